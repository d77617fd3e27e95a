//! The answer that accepts an upgrade: the 101, made of what the handshake has settled.

/// The content of the 101. The connection changes to frames right behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SwitchingProtocols<'a> {
    /// The value of `Sec-WebSocket-Accept`.
    pub accept: &'a str,
    /// The subprotocol that was selected: one that the client offered (RFC 6455, section 4.2.2).
    pub protocol: Option<&'a str>,
    /// The extensions that were agreed on, as they stand in `Sec-WebSocket-Extensions`.
    pub extensions: Option<&'a str>,
}

const START: &str = "HTTP/1.1 101 Switching Protocols\r\n\
    Upgrade: websocket\r\n\
    Connection: Upgrade\r\n\
    Sec-WebSocket-Accept: ";

impl SwitchingProtocols<'_> {
    /// The whole HTTP response.
    #[must_use]
    pub fn to_response(&self) -> Vec<u8> {
        let fields = [
            ("\r\nSec-WebSocket-Protocol: ", self.protocol),
            ("\r\nSec-WebSocket-Extensions: ", self.extensions),
        ];
        let fields = fields.map(|(name, value)| value.map(|value| [name, value]));
        let parts = [START, self.accept].into_iter();
        let parts = parts.chain(fields.iter().flatten().flatten().copied());
        let parts = parts.chain(["\r\n\r\n"]);
        // Exactly, as it is kept until the owner has decided.
        let length = parts.clone().map(str::len).sum();
        let mut response = Vec::with_capacity(length);
        for part in parts {
            response.extend_from_slice(part.as_bytes());
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(switching: SwitchingProtocols<'_>) -> String {
        String::from_utf8(switching.to_response()).unwrap()
    }

    #[test]
    fn the_101_has_the_fields_of_the_rfc_and_nothing_else() {
        let accept = "abc=";
        assert_eq!(
            response(SwitchingProtocols {
                accept,
                ..Default::default()
            }),
            "HTTP/1.1 101 Switching Protocols\r\n\
             Upgrade: websocket\r\n\
             Connection: Upgrade\r\n\
             Sec-WebSocket-Accept: abc=\r\n\r\n"
        );
    }

    #[test]
    fn what_was_settled_is_said_in_a_field_each() {
        let switching = SwitchingProtocols {
            accept: "abc=",
            protocol: Some("mqtt"),
            extensions: Some("permessage-deflate; server_no_context_takeover"),
        };
        assert!(response(switching).ends_with(
            "Sec-WebSocket-Accept: abc=\r\n\
             Sec-WebSocket-Protocol: mqtt\r\n\
             Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n\r\n"
        ));
    }
}
