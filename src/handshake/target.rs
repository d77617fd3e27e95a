//! The request target: what stands between `GET` and `HTTP/1.1`.

use super::authority::Authority;

/// A target split at its question mark, nothing decoded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target<'a> {
    /// Starts with a slash.
    pub(super) path: &'a str,
    /// Empty if the target has no query.
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
mod tests;
