//! The answers to a probe: whether the server does its work.

/// How the server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    /// It takes clients, and the owner hears of them.
    Well,
    /// It takes no clients any more.
    Draining,
    /// The owner does not hear the bell.
    Deaf,
}

impl Health {
    /// The whole HTTP response; `headers_only` if the probe was `HEAD`. The connection ends after it.
    pub(crate) fn to_response(self, headers_only: bool) -> Vec<u8> {
        let (status, body) = match self {
            Self::Well => ("200 OK", "ok"),
            Self::Draining => ("503 Service Unavailable", "draining"),
            Self::Deaf => (
                "503 Service Unavailable",
                "the JavaScript thread does not answer",
            ),
        };
        let shown = if headers_only { "" } else { body };
        format!(
            "HTTP/1.1 {status}\r\n\
             Connection: close\r\n\
             Cache-Control: no-store\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\
             Content-Length: {length}\r\n\r\n{shown}",
            length = body.len(),
        )
        .into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_announces_its_body_and_head_gets_none() {
        for (health, status, body) in [
            (Health::Well, "200 OK", "ok"),
            (Health::Draining, "503 Service Unavailable", "draining"),
            (
                Health::Deaf,
                "503 Service Unavailable",
                "the JavaScript thread does not answer",
            ),
        ] {
            let whole = String::from_utf8(health.to_response(false)).unwrap();
            let (head, shown) = whole.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\nConnection: close\r\n")));
            assert!(head.ends_with(&format!("\r\nContent-Length: {}", body.len())));
            assert_eq!(shown, body);
            let head_only = String::from_utf8(health.to_response(true)).unwrap();
            assert_eq!(head_only, format!("{head}\r\n\r\n"));
        }
    }
}
