//! The engines that several JavaScript threads of this process share, by name.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use napi_derive::napi;
use zocket::{EngineRef, ServerHandle};

use crate::events::Sink;

/// Held while one of them starts, so that two threads that come at the same time get one engine. Nothing here calls JavaScript.
static SHARES: Mutex<BTreeMap<String, Share>> = Mutex::new(BTreeMap::new());

struct Share {
    engine: EngineRef,
    given: Vec<NativeGiven>,
}

/// An option or a route, as the application gave it, to be compared with that of another thread.
#[napi(object)]
#[derive(Clone)]
pub struct NativeGiven {
    /// What errors call it.
    pub name: String,
    /// What is compared.
    pub value: String,
    /// What errors show of it; nothing of what may be secret.
    pub shown: Option<String>,
}

/// The code of an error of a thread that cannot share an engine.
pub(crate) const CODE: &str = "SHARE";

/// Why a thread cannot share an engine.
pub(crate) enum Refused {
    /// It could not start.
    Start(zocket::Error),
    /// It was given something else than this thread.
    Differs(String),
    /// Too many threads share it.
    Full,
}

/// Joins the engine of that name, or starts it.
pub(crate) fn enter(
    name: String,
    given: Vec<NativeGiven>,
    sink: Sink,
    start: impl FnOnce(Sink) -> zocket::Result<ServerHandle>,
) -> Result<ServerHandle, Refused> {
    let mut shares = SHARES.lock().unwrap_or_else(PoisonError::into_inner);
    shares.retain(|_, share| share.engine.is_running());
    if let Some(share) = shares.get(&name) {
        if let Some(difference) = difference(&share.given, &given) {
            return Err(Refused::Differs(difference));
        }
        if let Some(server) = share.engine.share(sink.clone()) {
            return Ok(server);
        }
        if share.engine.is_running() {
            return Err(Refused::Full);
        }
    }
    let server = start(sink).map_err(Refused::Start)?;
    let engine = server.engine();
    shares.insert(name, Share { engine, given });
    Ok(server)
}

/// The first thing that is not the same, and what both gave.
fn difference(theirs: &[NativeGiven], ours: &[NativeGiven]) -> Option<String> {
    let find = |all: &[NativeGiven], name: &str| all.iter().find(|it| it.name == name).cloned();
    let names = theirs.iter().chain(ours).map(|it| &it.name);
    for name in names {
        let (their, our) = (find(theirs, name), find(ours, name));
        let value = |it: &Option<NativeGiven>| it.as_ref().map(|it| it.value.clone());
        if value(&their) == value(&our) {
            continue;
        }
        let show = |it: &Option<NativeGiven>| match it {
            None => Some("nothing".to_owned()),
            Some(it) => it.shown.clone(),
        };
        return Some(match (show(&their), show(&our)) {
            (Some(their), Some(our)) => format!("{name}: {their} there, and {our} here"),
            _ => name.clone(),
        });
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(name: &str, value: &str, shown: bool) -> NativeGiven {
        NativeGiven {
            name: name.into(),
            value: value.into(),
            shown: shown.then(|| value.into()),
        }
    }

    #[test]
    fn a_difference_is_named_with_what_may_be_shown() {
        let theirs = [
            given("options.port", "1", true),
            given("options.tls", "secret", false),
        ];
        assert_eq!(difference(&theirs, &theirs), None);
        let other = [
            given("options.port", "2", true),
            given("options.tls", "secret", false),
        ];
        assert_eq!(
            difference(&theirs, &other).as_deref(),
            Some("options.port: 1 there, and 2 here")
        );
        assert_eq!(
            difference(&theirs, &theirs[1..]).as_deref(),
            Some("options.port: 1 there, and nothing here")
        );
        let secret = [
            given("options.port", "1", true),
            given("options.tls", "other", false),
        ];
        assert_eq!(difference(&theirs, &secret).as_deref(), Some("options.tls"));
    }
}
