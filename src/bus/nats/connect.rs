//! Opens connections to servers of NATS.
//!
//! `async_nats` would connect again by itself. The thread of the bus does that, because it knows what waits and what is read. So the
//! client forgets its servers as soon as it is connected, and ends with its connection.

use std::{error::Error as _, sync::Arc, time::Duration};

use async_nats::{
    Client, ConnectError, ConnectErrorKind, ConnectOptions, Event, ServerAddr, ServerError,
};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio::{
    sync::mpsc::{Receiver, channel},
    time::{sleep, timeout},
};

use crate::{
    bus::{
        link::{Cause, Failure, PATIENCE},
        numbers,
    },
    config::bus::{BusTls, Place},
};

/// How often the server is asked whether it is there. `async_nats` gives it up when the third question is due and two have no answer.
const BEAT: Duration = Duration::from_secs(1);
/// The next server is tried when this one has not answered for so long.
const STAGGER: Duration = Duration::from_millis(500);
/// How many events of a connection may wait.
const EVENTS: usize = 128;
/// Nobody can be reached there.
const NOWHERE: &str = "nats://127.0.0.1:0";

/// A connection, and what happens to it.
pub(super) struct Connection {
    pub(super) client: Client,
    pub(super) events: Receiver<Event>,
}

/// Connects to one of several servers, in random order.
pub(super) async fn connect_to_any(places: &[Place]) -> Result<Connection, Failure> {
    let mut rest: Vec<_> = places.iter().map(|it| (numbers::random(), it)).collect();
    rest.sort_unstable_by_key(|(random, _)| *random);
    let mut attempts = FuturesUnordered::new();
    let mut why = Failure::away("it has no server");
    loop {
        if let Some((_, place)) = rest.pop() {
            attempts.push(async move { (place, connect(place).await) });
        }
        tokio::select! {
            attempt = attempts.next() => match attempt {
                Some((_, Ok(connection))) => return Ok(connection),
                Some((_, Err(failure))) if places.len() == 1 => return Err(failure),
                Some((place, Err(failure))) => {
                    let text = format!("{place}: {}", failure.text);
                    why = why.or(Failure { text, ..failure });
                }
                None => return Err(why),
            },
            () = sleep(STAGGER), if !rest.is_empty() => {}
        }
    }
}

async fn connect(place: &Place) -> Result<Connection, Failure> {
    let scheme = if place.tls.is_some() { "tls" } else { "nats" };
    let address = format!("{scheme}://{place}").parse::<ServerAddr>();
    let address = address.map_err(Failure::away)?;
    let (sender, events) = channel(EVENTS);
    let mut options = ConnectOptions::new()
        .name("zocket")
        .ping_interval(BEAT)
        .ignore_discovered_servers()
        .max_reconnects(1)
        .event_callback(move |event| {
            let sender = sender.clone();
            // Nobody listens to a connection that was given up.
            async move { drop(sender.send(event).await) }
        });
    if let Some((username, password)) = place.username.clone().zip(place.password.clone()) {
        options = options.user_and_password(username, password);
    }
    if let Some(tls) = &place.tls {
        options = options.tls_client_config(tls_config(tls)?);
    }
    let connecting = async {
        let client = options.connect(address).await;
        let client = client.map_err(|error| failure_of(&error))?;
        let pool = client.set_server_pool([NOWHERE].as_slice()).await;
        pool.map_err(Failure::away)?;
        Ok(Connection { client, events })
    };
    let connected = timeout(PATIENCE, connecting).await;
    connected.unwrap_or_else(|_| Err(Failure::silent()))
}

fn tls_config(tls: &BusTls) -> Result<ClientConfig, Failure> {
    configured(tls).map_err(|error| Failure {
        cause: Cause::Certificate,
        text: format!("the certificates or the key cannot be used: {error}"),
    })
}

fn configured(tls: &BusTls) -> Result<ClientConfig, Box<dyn std::error::Error>> {
    let mut roots = RootCertStore::empty();
    if let Some(ca) = &tls.ca {
        for certificate in CertificateDer::pem_slice_iter(ca) {
            roots.add(certificate?)?;
        }
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let Some((cert, key)) = &tls.identity else {
        return Ok(config.with_no_client_auth());
    };
    let chain = CertificateDer::pem_slice_iter(cert).collect::<Result<_, _>>()?;
    Ok(config.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key)?)?)
}

/// Why a connection was not made.
fn failure_of(error: &ConnectError) -> Failure {
    match error.kind() {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
            Failure::credentials()
        }
        ConnectErrorKind::TimedOut => Failure::silent(),
        _ => {
            let source = error.source();
            if let Some(told) = source.and_then(|it| it.downcast_ref::<ServerError>()) {
                return told_by_server(told);
            }
            Failure::of(source.map_or_else(|| error.to_string(), ToString::to_string))
        }
    }
}

/// What an error of the server says about the connection.
pub(super) fn told_by_server(error: &ServerError) -> Failure {
    match error {
        ServerError::AuthorizationViolation => Failure::credentials(),
        ServerError::Other(text) if text.contains("Permissions Violation") => {
            Failure::not_permitted(text)
        }
        // Such as `User Authentication Expired`.
        ServerError::Other(text) if text.contains("Authentication") => Failure {
            cause: Cause::Credentials,
            text: text.clone(),
        },
        ServerError::Other(text) => Failure::away(text),
        ServerError::SlowConsumer(_) => Failure::away(error),
    }
}
