//! A server that sentinels watch: finds it, and notices when they replace it.

use std::time::Duration;

use redis::{RedisResult, aio::MultiplexedConnection};
use tokio::time::{sleep, timeout};

use crate::{
    bus::{
        link::Failure,
        redis::{
            connect,
            failure::{failure_of, of_connecting},
            node::{Node, PLAIN},
        },
    },
    config::bus::{Place, Sentinels},
};

/// How long one sentinel has to answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often a sentinel is asked whether the server is still the one.
const BEAT: Duration = Duration::from_secs(1);

/// A host and a port.
type Address = (String, u16);

/// Which server the sentinels have named.
pub(super) struct Named {
    address: Address,
    /// The place of the sentinel that named it.
    by: usize,
}

/// Connects to the server that the sentinels name. Returns it with what they said.
pub(super) async fn connect(sentinels: &Sentinels, prefix: &str) -> Result<(Node, Named), Failure> {
    let mut reason = Failure::silent();
    for (by, sentinel) in sentinels.places.iter().enumerate() {
        match connect_by(sentinel, sentinels, prefix).await {
            Ok((node, address)) => return Ok((node, Named { address, by })),
            Err(failure) => reason = reason.or(failure),
        }
    }
    Err(reason)
}

async fn connect_by(
    sentinel: &Place,
    sentinels: &Sentinels,
    prefix: &str,
) -> Result<(Node, Address), Failure> {
    let address = match timeout(PATIENCE, ask_once(sentinel, &sentinels.name)).await {
        Ok(Ok(Some(address))) => address,
        Ok(Ok(None)) => {
            let name = sentinels.name.escape_debug();
            return Err(Failure::away(format_args!(
                "the sentinel {sentinel} knows no server {name}"
            )));
        }
        Ok(Err(error)) => return Err(of_connecting(&error).at("the sentinel", sentinel)),
        Err(_) => return Err(silent(sentinel)),
    };
    let place = Place {
        host: address.0.clone(),
        port: address.1,
        tls: sentinel.tls.clone(),
        username: sentinels.username.clone(),
        password: sentinels.password.clone(),
    };
    let node = Node::connect(&place, prefix, &PLAIN).await;
    let node = node.map_err(|failure| failure.at("the server", &place))?;
    // A sentinel may not have noticed yet that the server was replaced.
    let hello = timeout(PATIENCE, connect::hello(&mut node.asking())).await;
    match hello {
        Ok(Ok(hello)) if hello.role == "master" => Ok((node, address)),
        Ok(Ok(hello)) => Err(Failure::away(format_args!(
            "the server {place} is a {} now",
            hello.role.escape_debug()
        ))),
        Ok(Err(error)) => Err(failure_of(&error).at("the server", &place)),
        Err(_) => Err(Failure::silent().at("the server", &place)),
    }
}

fn silent(sentinel: &Place) -> Failure {
    Failure::away(format_args!(
        "the sentinel {sentinel} has not answered for {} s",
        PATIENCE.as_secs()
    ))
}

async fn ask_once(sentinel: &Place, name: &str) -> RedisResult<Option<Address>> {
    let mut connection = connect::open_plain(sentinel).await?;
    ask(&mut connection, name).await
}

async fn ask(connection: &mut MultiplexedConnection, name: &str) -> RedisResult<Option<Address>> {
    let mut question = redis::cmd("SENTINEL");
    question.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
    question.query_async(connection).await
}

/// Ends when the sentinels name another server.
///
/// It asks one sentinel until that one fails, and then the next one. Sentinels that cannot reach each other may name two servers, and
/// asking all of them would lead back and forth. So would beginning with another one than the sentinel that named this server: for a
/// moment after a replacement, some of them name the old server.
pub(super) async fn replaced(sentinels: &Sentinels, current: Named) -> Failure {
    let Named { address, by } = current;
    let (before, from) = sentinels.places.split_at(by);
    loop {
        for sentinel in from.iter().chain(before) {
            let opened = timeout(PATIENCE, connect::open_plain(sentinel)).await;
            let Ok(Ok(mut connection)) = opened else {
                continue;
            };
            while let Ok(Ok(named)) = timeout(PATIENCE, ask(&mut connection, &sentinels.name)).await
            {
                if let Some((host, port)) = named.filter(|named| *named != address) {
                    return Failure::away(format_args!(
                        "the sentinels have replaced the server by {}:{port}",
                        host.escape_debug()
                    ));
                }
                sleep(BEAT).await;
            }
        }
        sleep(BEAT).await;
    }
}
