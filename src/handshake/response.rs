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

impl SwitchingProtocols<'_> {
    /// The whole HTTP response.
    #[must_use]
    pub fn to_response(&self) -> Vec<u8> {
        let mut response = b"HTTP/1.1 101 Switching Protocols\r\n\
            Upgrade: websocket\r\n\
            Connection: Upgrade\r\n"
            .to_vec();
        let fields = [
            ("Accept", Some(self.accept)),
            ("Protocol", self.protocol),
            ("Extensions", self.extensions),
        ];
        for (name, value) in fields {
            let Some(value) = value else { continue };
            for part in ["Sec-WebSocket-", name, ": ", value, "\r\n"] {
                response.extend_from_slice(part.as_bytes());
            }
        }
        response.extend_from_slice(b"\r\n");
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
