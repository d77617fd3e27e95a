//! `slowClient` of outgoing messages: the policy for clients that read too slowly.

use zocket::RoutePolicy;

/// The policy a word stands for.
pub(crate) fn named(word: &str) -> Option<RoutePolicy> {
    match word {
        "disconnect" => Some(RoutePolicy::Disconnect),
        "drop" => Some(RoutePolicy::Drop),
        "latest" => Some(RoutePolicy::Latest),
        _ => None,
    }
}
