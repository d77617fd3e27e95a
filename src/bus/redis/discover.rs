//! Finds a Redis Cluster: which nodes serve which slots.

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use redis::{RedisResult, Value, aio::MultiplexedConnection};
use tokio::time::timeout;

use crate::{
    bus::{
        link::{Failure, PATIENCE},
        redis::{
            connect,
            failure::{failure_of, of_connecting},
            slots::{Range, read_slots},
        },
    },
    config::bus::Place,
};

/// The first version with sharded Pub/Sub.
const OLDEST: u32 = 7;

/// Asks all of the nodes that we know from the start, and believes the first that answers.
pub(super) async fn discover(seeds: &[Place]) -> Result<Vec<Range>, Failure> {
    let mut asked: FuturesUnordered<_> = seeds.iter().map(discover_by).collect();
    let mut reason = Failure::silent();
    while let Some(answer) = asked.next().await {
        match answer {
            Ok(ranges) => return Ok(ranges),
            Err(failure) => reason = reason.or(failure),
        }
    }
    Err(reason)
}

async fn discover_by(seed: &Place) -> Result<Vec<Range>, Failure> {
    let asked = async {
        let mut connection = connect::open_plain(seed).await?;
        let hello = connect::hello(&mut connection).await?;
        let slots = cluster_slots(&mut connection).await;
        RedisResult::Ok((hello, slots))
    };
    let answer = timeout(PATIENCE, asked).await;
    let at = |failure: Failure| failure.at("its node", seed);
    let (hello, slots) = match answer {
        Ok(answer) => answer.map_err(|error| at(of_connecting(&error)))?,
        Err(_) => return Err(at(Failure::silent())),
    };
    if hello.major() < OLDEST {
        let version = hello.version.escape_debug();
        return Err(at(Failure::away(format_args!(
            "it has the version {version}, and the sharded Pub/Sub of a cluster needs Redis {OLDEST}"
        ))));
    }
    if hello.mode != "cluster" {
        return Err(at(Failure::away("it is not a node of a cluster")));
    }
    let slots = slots.map_err(|error| at(failure_of(&error)))?;
    read_slots(&slots, &seed.host)
        .filter(|ranges| !ranges.is_empty())
        .ok_or_else(|| at(Failure::away("its cluster serves no slots")))
}

/// Asks a node.
pub(super) async fn cluster_slots(connection: &mut MultiplexedConnection) -> RedisResult<Value> {
    let mut question = redis::cmd("CLUSTER");
    question.arg("SLOTS").query_async(connection).await
}
