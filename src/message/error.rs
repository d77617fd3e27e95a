//! The `$error` reply to a bad message: its codes, its texts and its JSON.

use std::io::Write;

use crate::message::json::push_json_string;

/// Makes [`BadCode`] of one list: the code in the `$error`, and what its sender is told.
macro_rules! codes {
    ($($(#[$about:meta])* $code:ident: $name:literal, $text:literal;)*) => {
        /// Why a message is refused: by the engine, or by the owner.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum BadCode {
            $($(#[$about])* $code,)*
        }

        impl BadCode {
            /// All of them, each at its own number.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$code),*];

            /// How many there are.
            pub const COUNT: u32 = {
                let mut count = 0;
                $(let _ = Self::$code; count += 1;)*
                count
            };

            /// The code in the `$error`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$code => $name,)*
                }
            }

            /// The text for the sender, unless a more exact one is known.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$code => $text,)*
                }
            }

            /// The code with this number.
            #[must_use]
            pub fn from_index(index: u32) -> Option<Self> {
                Self::ALL.get(index as usize).copied()
            }
        }
    };
}

codes! {
    /// It is not an envelope. The `$error` says what is wrong with it.
    BadMessage: "BAD_MESSAGE", "the message is not an envelope";
    /// The route does not exist.
    NoRoute: "NO_ROUTE", "the server has no handler for this route";
    /// It came too soon after the others.
    RateLimited: "RATE_LIMITED", "the client sent too many messages within a second";
    /// The owner's schema refused its payload, or threw.
    InvalidPayload: "INVALID_PAYLOAD", "the payload is not valid";
    /// A middleware of the owner threw.
    Rejected: "REJECTED", "a middleware rejected the message";
    /// A handler of the owner threw.
    HandlerError: "HANDLER_ERROR", "the handler failed";
    /// The client has as many calls open as it may.
    TooManyCalls: "TOO_MANY_CALLS", "too many calls are open";
}

/// Most bytes of an `$error` with issues, its envelope included.
const MAX_ERROR: usize = 16_384;

/// Most bytes of the issues in an `$error` together with its route, both as JSON text.
pub const MAX_ISSUES_AND_ROUTE: usize = MAX_ERROR
    - r#"{"type":"$error","payload":{"code":"","route":,"message":"","issues":}}"#.len()
    - BadCode::InvalidPayload.name().len()
    - BadCode::InvalidPayload.text().len();

/// The content of an `$error`. Fields that are `None` are left out.
#[derive(Debug, Clone, Copy)]
pub struct ErrorPayload<'a> {
    /// Why the message was refused: the name of a [`BadCode`], or a code that its route declares.
    pub code: &'a str,
    /// The wire name of the message as JSON text, exactly as it came.
    pub route: Option<&'a str>,
    /// The reason, for people.
    pub message: &'a str,
    /// The issues that a schema found: JSON text.
    pub issues: Option<&'a [u8]>,
    /// The data of a declared error: JSON text.
    pub data: Option<&'a [u8]>,
    /// After how many milliseconds the next message is let through.
    pub retry_after_ms: Option<u64>,
    /// How many more there were.
    pub count: Option<u32>,
}

impl<'a> ErrorPayload<'a> {
    /// The code with its own text, and nothing more.
    #[must_use]
    pub const fn new(code: BadCode) -> Self {
        Self {
            code: code.name(),
            route: None,
            message: code.text(),
            issues: None,
            data: None,
            retry_after_ms: None,
            count: None,
        }
    }

    /// An error that a route declares.
    #[must_use]
    pub const fn declared(code: &'a str, route: Option<&'a str>, data: Option<&'a [u8]>) -> Self {
        Self {
            code,
            route,
            message: "the handler answered with an error",
            issues: None,
            data,
            retry_after_ms: None,
            count: None,
        }
    }

    /// The payload as JSON text: `{"code","route"?,"message","issues"?,"data"?,"retryAfterMs"?,"count"?}`.
    ///
    /// # Panics
    ///
    /// Never: writing into a vector cannot fail.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let code = self.code;
        let length = code.len() + self.route.map_or(0, str::len) + self.message.len();
        let mut out = Vec::with_capacity(64 + length + self.issues.map_or(0, <[u8]>::len));
        out.extend_from_slice(br#"{"code":"#);
        push_json_string(&mut out, code);
        if let Some(route) = self.route {
            out.extend_from_slice(br#","route":"#);
            out.extend_from_slice(route.as_bytes());
        }
        out.extend_from_slice(br#","message":"#);
        push_json_string(&mut out, self.message);
        if let Some(issues) = self.issues {
            out.extend_from_slice(br#","issues":"#);
            out.extend_from_slice(issues);
        }
        if let Some(data) = self.data {
            out.extend_from_slice(br#","data":"#);
            out.extend_from_slice(data);
        }
        let numbers = [
            ("retryAfterMs", self.retry_after_ms),
            ("count", self.count.map(u64::from)),
        ];
        for (name, number) in numbers {
            if let Some(number) = number {
                write!(out, ",\"{name}\":{number}").expect("a vector takes every write");
            }
        }
        out.push(b'}');
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_payload_leaves_out_what_it_does_not_have() {
        let json = |payload: ErrorPayload<'_>| String::from_utf8(payload.to_json()).unwrap();
        let no = |code| ErrorPayload {
            message: "no",
            ..ErrorPayload::new(code)
        };
        assert_eq!(
            json(no(BadCode::BadMessage)),
            r#"{"code":"BAD_MESSAGE","message":"no"}"#
        );
        let route = Some(r#""a\"\ud800""#);
        assert_eq!(
            json(ErrorPayload {
                route,
                ..no(BadCode::NoRoute)
            }),
            r#"{"code":"NO_ROUTE","route":"a\"\ud800","message":"no"}"#
        );
        let retry_after_ms = Some(7);
        assert_eq!(
            json(ErrorPayload {
                retry_after_ms,
                ..no(BadCode::RateLimited)
            }),
            r#"{"code":"RATE_LIMITED","message":"no","retryAfterMs":7}"#
        );
        let count = Some(2);
        assert_eq!(
            json(ErrorPayload {
                count,
                ..no(BadCode::NoRoute)
            }),
            r#"{"code":"NO_ROUTE","message":"no","count":2}"#
        );
        let issues = Some(&b"[1]"[..]);
        assert_eq!(
            json(ErrorPayload {
                issues,
                ..no(BadCode::InvalidPayload)
            }),
            r#"{"code":"INVALID_PAYLOAD","message":"no","issues":[1]}"#
        );
    }

    #[test]
    fn issues_and_route_of_the_most_bytes_make_an_error_of_the_most_bytes() {
        let route = r#""say""#;
        let issues = vec![b'1'; MAX_ISSUES_AND_ROUTE - route.len()];
        let payload = ErrorPayload {
            route: Some(route),
            issues: Some(&issues),
            ..ErrorPayload::new(BadCode::InvalidPayload)
        };
        let around = r#"{"type":"$error","payload":}"#.len();
        assert_eq!(payload.to_json().len() + around, MAX_ERROR);
    }

    #[test]
    fn every_code_is_found_by_its_number() {
        for (index, code) in (0..).zip(BadCode::ALL) {
            assert_eq!(BadCode::from_index(index), Some(code));
            assert_eq!(code as u32, index);
        }
        assert_eq!(BadCode::from_index(u32::MAX), None);
    }
}
