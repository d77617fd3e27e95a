//! Says what went wrong, without what was sent.

use redis::{ErrorKind, RedisError, ServerError};

use crate::bus::link::Failure;

/// How much of a text of the server is shown.
const MOST_SHOWN: usize = 200;

/// A connection that ended.
pub(super) fn closed() -> Failure {
    Failure::away("the connection was closed")
}

/// More messages came than we can take.
pub(super) fn overflow() -> Failure {
    Failure::away("it sends faster than this process reads")
}

/// Why a server did not take a publication.
pub(super) fn why(error: &ServerError) -> String {
    let details = error.details().unwrap_or_default();
    shown(&format!("{} {details}", error.code()))
}

/// A text of the server. It repeats the arguments of a command that it does not know, and they may hold a payload.
fn shown(text: &str) -> String {
    let told = text.split(", with args").next().unwrap_or_default();
    told.chars().take(MOST_SHOWN).collect()
}

pub(super) fn of_server(error: &ServerError) -> Failure {
    failure_of(&error.clone().into())
}

pub(super) fn failure_of(error: &RedisError) -> Failure {
    let code = error.code().unwrap_or_default();
    if matches!(code, "WRONGPASS" | "NOAUTH" | "NOPERM")
        || error.kind() == ErrorKind::AuthenticationFailed
    {
        return if code == "NOPERM" {
            Failure::not_permitted(&shown(error.detail().unwrap_or(code)))
        } else {
            Failure::credentials()
        };
    }
    if is_end(error) {
        return closed();
    }
    Failure::of(shown(&error.to_string()))
}

/// Why a connection was not made.
pub(super) fn of_connecting(error: &RedisError) -> Failure {
    if is_end(error) {
        return Failure::away(
            "it closed the connection at once, as a server does that has too many clients, wants TLS or is in protected mode",
        );
    }
    failure_of(error)
}

/// Whether the connection was closed. The crate says "broken pipe" then, whoever did it.
fn is_end(error: &RedisError) -> bool {
    error.is_connection_dropped() && !error.is_connection_refusal()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_is_not_shown() {
        let text = "ERR unknown command 'PUBLISH', with args beginning with: 'chat:all' 'secret' ";
        assert_eq!(shown(text), "ERR unknown command 'PUBLISH'");
        assert_eq!(shown(&"é".repeat(1_000)).chars().count(), MOST_SHOWN);
    }
}
