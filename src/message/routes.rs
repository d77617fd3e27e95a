//! The table of routes. It finds the number of an incoming type, and holds the start of every outgoing envelope.
//!
//! The owner hands over two lists of names. A route's number is its place in its list. Only the owner knows what a number stands for.

use rustc_hash::FxHashMap;

use crate::message::{
    binary::encode_bytes, envelope::encode_frame, json::push_json_string, protocol::Kind,
};

/// The outgoing route number that stands for the library's own `$error`.
pub const ERROR_ROUTE: u32 = u32::MAX;

/// The policy of an outgoing route for clients that read too slowly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RoutePolicy {
    /// The policy of the server: [`Config::slow_client`](crate::Config::slow_client).
    #[default]
    Server,
    /// Past the limit, the engine cuts the client off.
    Disconnect,
    /// Past the limit, the engine drops the messages and counts them.
    Drop,
    /// While the socket is full, only the newest message waits. The engine drops older ones and counts them. It takes the newest one
    /// past the limit too.
    Latest,
}

/// How messages of an incoming route are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Answers {
    /// Not at all; one with an `id` hears when its handler is done.
    #[default]
    None,
    /// With one reply: each message with an `id` is a call.
    Reply,
    /// With items and a reply: each message is a call.
    Stream,
}

/// How messages of one incoming route are answered, and the errors that it declares.
#[derive(Debug, Clone, Default)]
pub struct RouteAnswers {
    /// With what.
    pub how: Answers,
    /// The codes of its own errors. A command names one by its place.
    pub declared: Vec<String>,
}

/// The route names of both directions. It never changes, so all shards share one.
#[derive(Debug)]
pub struct Routes {
    // The keys come from the owner and peers only look names up, so a fast hash without a random seed is safe.
    numbers: FxHashMap<Box<str>, u32>,
    names: Vec<String>,
    outgoing: Vec<String>,
    /// The kinds of what the incoming routes take, by number. Ends early where the rest is JSON.
    kinds: Vec<Kind>,
    prefixes: Vec<Box<[u8]>>,
    /// The kinds of what the outgoing routes send.
    outgoing_kinds: Vec<Kind>,
    /// The list may be shorter than that of the routes: the others have the server's policy.
    policies: Vec<RoutePolicy>,
    /// The outgoing routes whose messages are never compressed, by number; ends early where the rest may be.
    uncompressed: Vec<bool>,
    /// Ends early where the rest is not answered.
    answers: Vec<RouteAnswers>,
    error_prefix: Box<[u8]>,
}

impl Routes {
    /// Makes the table; a route's number is its position in its list.
    #[must_use]
    pub fn new(incoming: Vec<String>, outgoing: Vec<String>) -> Routes {
        let numbers = (0..)
            .zip(&incoming)
            .map(|(route, name)| (name.as_str().into(), route))
            .collect();
        Routes {
            numbers,
            names: incoming,
            kinds: Vec::new(),
            outgoing_kinds: Vec::new(),
            prefixes: outgoing.iter().map(|name| envelope_prefix(name)).collect(),
            outgoing,
            policies: Vec::new(),
            uncompressed: Vec::new(),
            answers: Vec::new(),
            error_prefix: envelope_prefix("$error"),
        }
    }

    /// Adds the policies of the outgoing routes, by number. Routes that are left out at the end have the server's policy.
    #[must_use]
    pub fn with_policies(self, policies: Vec<RoutePolicy>) -> Routes {
        Routes { policies, ..self }
    }

    /// The same table with the outgoing routes marked whose messages are never compressed, by number; those left out at the end
    /// may be.
    #[must_use]
    pub fn with_uncompressed(self, uncompressed: Vec<bool>) -> Routes {
        Routes {
            uncompressed,
            ..self
        }
    }

    /// The same table with how its incoming routes are answered, by number; those left out at the end are not answered.
    #[must_use]
    pub fn with_answers(self, answers: Vec<RouteAnswers>) -> Routes {
        Routes { answers, ..self }
    }

    /// The same table with the kinds of what its incoming routes take, by number; those left out at the end take JSON.
    #[must_use]
    pub fn with_kinds(self, kinds: Vec<Kind>) -> Routes {
        Routes { kinds, ..self }
    }

    /// The same table with the kinds of what its outgoing routes send.
    #[must_use]
    pub fn with_outgoing_kinds(self, outgoing_kinds: Vec<Kind>) -> Routes {
        Routes {
            outgoing_kinds,
            ..self
        }
    }

    /// What an outgoing route sends.
    #[must_use]
    pub fn outgoing_kind(&self, route: u32) -> Kind {
        (self.outgoing_kinds.get(route as usize).copied()).unwrap_or_default()
    }

    /// What an incoming route takes.
    #[must_use]
    pub fn kind(&self, route: u32) -> Kind {
        (self.kinds.get(route as usize).copied()).unwrap_or_default()
    }

    /// How messages of an incoming route are answered.
    #[must_use]
    pub fn answers(&self, route: u32) -> Answers {
        (self.answers.get(route as usize)).map_or(Answers::None, |it| it.how)
    }

    /// The code of an error that an incoming route declares, by its place.
    #[must_use]
    pub fn declared(&self, route: u32, place: u32) -> Option<&str> {
        let declared = &self.answers.get(route as usize)?.declared;
        declared.get(place as usize).map(String::as_str)
    }

    /// The number of the incoming route of this name.
    #[must_use]
    pub fn incoming(&self, name: &str) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    /// The name of an incoming route.
    #[must_use]
    pub fn incoming_name(&self, route: u32) -> Option<&str> {
        self.names.get(route as usize).map(String::as_str)
    }

    /// The names of the outgoing routes, by number.
    #[must_use]
    pub fn outgoing_names(&self) -> &[String] {
        &self.outgoing
    }

    /// The start of an outgoing route's envelope, `{"type":"chat.message"`, for
    /// [`encode_frame`].
    #[must_use]
    pub fn prefix(&self, route: u32) -> Option<&[u8]> {
        match route {
            ERROR_ROUTE => Some(&self.error_prefix),
            _ => self.prefixes.get(route as usize).map(Box::as_ref),
        }
    }

    /// Appends a message of an outgoing route as one whole frame, and returns its length; 0 if there is no such route. The payload
    /// is JSON text or bytes, as the route has it.
    pub fn encode(&self, out: &mut Vec<u8>, route: u32, payload: Option<&[u8]>) -> usize {
        match (
            self.outgoing_kind(route),
            self.outgoing.get(route as usize),
            self.prefix(route),
        ) {
            (Kind::Bytes, Some(name), _) => {
                encode_bytes(out, name, None, payload.unwrap_or_default())
            }
            (_, _, Some(prefix)) => encode_frame(out, prefix, payload),
            (_, _, None) => 0,
        }
    }

    /// The policy of an outgoing route for slow clients.
    #[must_use]
    pub fn policy(&self, route: u32) -> RoutePolicy {
        (self.policies.get(route as usize).copied()).unwrap_or_default()
    }

    /// Whether an outgoing route's messages may be compressed.
    #[must_use]
    pub fn may_compress(&self, route: u32) -> bool {
        !(self.uncompressed.get(route as usize).copied()).unwrap_or_default()
    }
}

fn envelope_prefix(name: &str) -> Box<[u8]> {
    let mut prefix = br#"{"type":"#.to_vec();
    push_json_string(&mut prefix, name);
    prefix.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes() -> Routes {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        Routes::new(
            names(&["chat.message", "__proto__", "é\u{fffd}"]),
            names(&["chat.onMessage", "q\"\\\n"]),
        )
    }

    #[test]
    fn incoming_names_and_numbers_belong_together() {
        let routes = routes();
        for (number, name) in (0..).zip(["chat.message", "__proto__", "é\u{fffd}"]) {
            assert_eq!(routes.incoming(name), Some(number));
            assert_eq!(routes.incoming_name(number), Some(name));
        }
    }

    #[test]
    fn names_that_are_no_incoming_routes_have_no_number() {
        for name in [
            "",
            "chat",
            "chat.onMessage",
            "Chat.message",
            "chat.message ",
            "$error",
        ] {
            assert_eq!(routes().incoming(name), None);
        }
        assert_eq!(routes().incoming_name(3), None);
        assert_eq!(routes().incoming_name(ERROR_ROUTE), None);
    }

    #[test]
    fn an_outgoing_prefix_is_the_start_of_an_envelope() {
        let routes = routes();
        assert_eq!(routes.prefix(0), Some(&br#"{"type":"chat.onMessage""#[..]));
        assert_eq!(routes.prefix(1), Some(&br#"{"type":"q\"\\\n""#[..]));
        assert_eq!(routes.prefix(2), None);
    }

    #[test]
    fn a_route_without_a_policy_of_its_own_has_the_servers() {
        let routes = routes().with_policies(vec![RoutePolicy::Latest]);
        assert_eq!(routes.policy(0), RoutePolicy::Latest);
        assert_eq!(routes.policy(1), RoutePolicy::Server);
        assert_eq!(routes.policy(ERROR_ROUTE), RoutePolicy::Server);
    }

    #[test]
    fn the_error_route_exists_without_being_listed() {
        let routes = Routes::new(vec![], vec![]);
        assert_eq!(
            routes.prefix(ERROR_ROUTE),
            Some(&br#"{"type":"$error""#[..])
        );
    }
}
