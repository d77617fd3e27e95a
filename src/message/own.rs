//! What the engine says of its own accord to clients that speak `zocket.1`: `$welcome` or `$refused` first, and `$pong`.
//!
//! None of it is a message of the application, so none of it counts as sent or written.

use std::{fmt::Display, time::Duration};

use crate::{frame::outgoing::close, handshake::refusal::Refusal, message::envelope::encode_frame};

/// The type of the message that [`PONG`] answers.
pub(crate) const PING_TYPE: &str = "$ping";
/// A whole frame: `{"type":"$pong"}`.
pub(crate) const PONG: &[u8; PONG_LENGTH as usize] = b"\x81\x10{\"type\":\"$pong\"}";
/// Its length.
pub(crate) const PONG_LENGTH: u8 = 18;
/// What is added to the HTTP status of a refusal to make it a close code; RFC 6455, section 7.4.2, leaves 4000 to 4999 to applications.
const CLOSE_CODES: u16 = 4000;

/// Appends the first frame of a connection.
pub(crate) fn push_welcome(
    out: &mut Vec<u8>,
    id: impl Display,
    max_payload: usize,
    heartbeat_interval: Option<Duration>,
) {
    let interval = heartbeat_interval.map_or(0, |interval| interval.as_millis());
    let payload = format!(
        r#"{{"clientId":"{id}","maxPayload":{max_payload},"heartbeatInterval":{interval}}}"#
    );
    encode_frame(out, br#"{"type":"$welcome""#, Some(payload.as_bytes()));
}

/// Appends the frame that refuses, and the close frame after it.
pub(crate) fn push_refused(out: &mut Vec<u8>, refusal: &Refusal) {
    let name = refusal.reason.name();
    let mut payload = format!(r#"{{"status":{},"code":"{name}""#, refusal.status).into_bytes();
    if !refusal.issues.is_empty() {
        payload.extend_from_slice(br#","issues":"#);
        payload.extend_from_slice(&refusal.issues);
    }
    if let Some(wait) = refusal.retry_after {
        let milliseconds = wait.as_nanos().div_ceil(1_000_000);
        payload.extend_from_slice(format!(r#","retryAfterMs":{milliseconds}"#).as_bytes());
    }
    payload.push(b'}');
    encode_frame(out, br#"{"type":"$refused""#, Some(&payload));
    out.extend_from_slice(&close(CLOSE_CODES + refusal.status, name));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::refusal::Reason;

    fn text(frame: &[u8]) -> &str {
        assert!(frame[0] == 0x81 && frame[1] < 126, "a short text frame");
        str::from_utf8(&frame[2..2 + usize::from(frame[1])]).unwrap()
    }

    #[test]
    fn a_welcome_says_who_one_is_and_what_to_keep_to() {
        let mut out = Vec::new();
        push_welcome(&mut out, "an-id", 1024, Some(Duration::from_secs(30)));
        assert_eq!(
            text(&out),
            r#"{"type":"$welcome","payload":{"clientId":"an-id","maxPayload":1024,"heartbeatInterval":30000}}"#
        );
        out.clear();
        push_welcome(&mut out, "x", 1, None);
        assert!(text(&out).ends_with(r#""heartbeatInterval":0}}"#));
    }

    #[test]
    fn a_refusal_is_a_message_and_a_close_frame() {
        let mut out = Vec::new();
        push_refused(&mut out, &Refusal::new(401, Reason::Connect));
        let told = r#"{"type":"$refused","payload":{"status":401,"code":"CONNECT"}}"#;
        assert_eq!(text(&out), told);
        assert_eq!(out[2 + told.len()..], *b"\x88\x09\x11\x31CONNECT");
    }

    #[test]
    fn a_refusal_says_all_it_knows() {
        let mut out = Vec::new();
        let refusal = Refusal {
            issues: b"[{}]".to_vec(),
            ..Refusal::new(400, Reason::Headers)
        };
        push_refused(
            &mut out,
            &refusal.with_retry_after(Duration::from_micros(1_001)),
        );
        assert_eq!(
            text(&out),
            r#"{"type":"$refused","payload":{"status":400,"code":"HEADERS","issues":[{}],"retryAfterMs":2}}"#
        );
    }

    #[test]
    fn a_pong_is_a_whole_text_frame() {
        assert_eq!(text(PONG), r#"{"type":"$pong"}"#);
        assert_eq!(PONG.len(), 2 + text(PONG).len());
    }
}
