//! The request target: what stands between `GET` and `HTTP/1.1`.

use super::authority::Authority;

/// A target split at its question mark, nothing decoded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target<'a> {
    /// Starts with a slash.
    pub(super) path: &'a str,
    /// Empty when there is none.
    pub(super) query: &'a str,
}

impl<'a> Target<'a> {
    /// Reads `/path?query`, or the same behind `http://host`, as proxies send it. The other two forms of RFC 9112,
    /// section 3.2, do not go with `GET`, and a fragment goes with none.
    pub(super) fn parse(target: &'a str) -> Option<Target<'a>> {
        if target.contains('#') {
            return None;
        }
        let local = if target.starts_with('/') {
            target
        } else {
            strip_authority(target)?
        };
        let (path, query) = local.split_once('?').unwrap_or((local, ""));
        Some(Target {
            path: if path.is_empty() { "/" } else { path },
            query,
        })
    }
}

fn strip_authority(target: &str) -> Option<&str> {
    let (scheme, rest) = target.split_once("://")?;
    if !["http", "https", "ws", "wss"]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known))
    {
        return None;
    }
    let (authority, local) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    Authority::parse(authority.as_bytes())?;
    Some(local)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(target: &str) -> Option<(&str, &str)> {
        Target::parse(target).map(|target| (target.path, target.query))
    }

    #[test]
    fn a_target_splits_at_its_first_question_mark() {
        assert_eq!(split("/"), Some(("/", "")));
        assert_eq!(split("/a/b?c=d?e"), Some(("/a/b", "c=d?e")));
        assert_eq!(split("/?"), Some(("/", "")));
        assert_eq!(split("//a?b"), Some(("//a", "b")));
    }

    #[test]
    fn nothing_is_decoded() {
        assert_eq!(split("/%61/../b?%3f"), Some(("/%61/../b", "%3f")));
    }

    #[test]
    fn path_and_query_are_taken_from_an_absolute_target() {
        assert_eq!(split("http://h/path?q"), Some(("/path", "q")));
        assert_eq!(split("WSS://h:1/a"), Some(("/a", "")));
        assert_eq!(split("ws://[::1]:1"), Some(("/", "")));
        assert_eq!(split("https://h?q=http://x/"), Some(("/", "q=http://x/")));
    }

    #[test]
    fn every_other_form_is_refused() {
        for target in [
            "",
            "*",
            "h",
            "h:443",
            "?q",
            "a/b",
            "ftp://h/",
            "://h/",
            "http:/h",
            "http:///a",
            "http://u@h/",
            "/a#b",
            "http://h/#",
        ] {
            assert_eq!(split(target), None, "{target}");
        }
    }
}
