//! `$error`: why a message is refused, and how its sender is told.

use std::io::Write;

use crate::message::json::push_json_string;

/// Why the engine refuses a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadCode {
    /// It is no envelope.
    BadMessage,
    /// There is no route of that name.
    NoRoute,
    /// It came too soon after the others.
    RateLimited,
}

impl BadCode {
    /// All of them, each at its own number.
    pub const ALL: [Self; 3] = [Self::BadMessage, Self::NoRoute, Self::RateLimited];

    /// The code in the `$error`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BadMessage => "BAD_MESSAGE",
            Self::NoRoute => "NO_ROUTE",
            Self::RateLimited => "RATE_LIMITED",
        }
    }
}

/// What an `$error` says at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum More {
    /// Nothing.
    Nothing,
    /// After how many milliseconds the next message is let through.
    RetryAfterMs(u64),
    /// How many more there were.
    Count(u32),
}

/// The payload of an `$error` message as JSON text: `{"code","route"?,"message","retryAfterMs"?,"count"?}`. The route is JSON
/// text already, so that it is told as it came.
///
/// # Panics
///
/// Never: writing into a vector cannot fail.
#[must_use]
pub fn error_payload(code: BadCode, route: Option<&str>, message: &str, more: More) -> Vec<u8> {
    let code = code.name();
    let mut out = Vec::with_capacity(48 + code.len() + route.map_or(0, str::len) + message.len());
    out.extend_from_slice(br#"{"code":"#);
    push_json_string(&mut out, code);
    if let Some(route) = route {
        out.extend_from_slice(br#","route":"#);
        out.extend_from_slice(route.as_bytes());
    }
    out.extend_from_slice(br#","message":"#);
    push_json_string(&mut out, message);
    let end = match more {
        More::Nothing => write!(out, "}}"),
        More::RetryAfterMs(wait) => write!(out, ",\"retryAfterMs\":{wait}}}"),
        More::Count(count) => write!(out, ",\"count\":{count}}}"),
    };
    end.expect("a vector takes every write");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_payload_leaves_out_what_it_does_not_have() {
        assert_eq!(
            error_payload(BadCode::BadMessage, None, "no", More::Nothing),
            br#"{"code":"BAD_MESSAGE","message":"no"}"#
        );
        let route = r#""a\"\ud800""#;
        assert_eq!(
            error_payload(BadCode::NoRoute, Some(route), "no", More::Nothing),
            br#"{"code":"NO_ROUTE","route":"a\"\ud800","message":"no"}"#
        );
        assert_eq!(
            error_payload(BadCode::RateLimited, None, "no", More::RetryAfterMs(7)),
            br#"{"code":"RATE_LIMITED","message":"no","retryAfterMs":7}"#
        );
        assert_eq!(
            error_payload(BadCode::NoRoute, None, "no", More::Count(2)),
            br#"{"code":"NO_ROUTE","message":"no","count":2}"#
        );
    }
}
