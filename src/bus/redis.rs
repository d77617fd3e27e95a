//! The bus over Redis or Valkey: a single server, one that sentinels watch, or a cluster.
//!
//! Nothing here keeps subscriptions or publications that wait. The thread of the bus does, and asks for all of them on each new
//! connection.

mod cluster;
mod connect;
mod discover;
mod failure;
mod member;
mod node;
mod nodes;
mod owners;
mod pushes;
mod sentinel;
mod shut;
mod single;
mod slots;

use std::future::pending;

use crate::{
    bus::link::{Failure, Line, Report},
    config::bus::Redis,
};

use self::node::{Node, PLAIN};

/// Connects and works until the connection is lost.
pub(crate) async fn run(redis: &Redis, prefix: &str, mut line: Line) {
    if let Some(failure) = work(redis, prefix, &mut line).await {
        // Nobody listens if the thread of the bus has ended.
        let _ = line.reports.send(Report::Lost(failure)).await;
    }
}

/// Returns why the connection is lost; `None` if nobody wants it any more.
async fn work(redis: &Redis, prefix: &str, line: &mut Line) -> Option<Failure> {
    match redis {
        Redis::Single(place) => match Node::connect(place, prefix, &PLAIN).await {
            Ok(node) => single::run(node, line, pending()).await,
            Err(failure) => Some(failure),
        },
        Redis::Sentinel(sentinels) => match sentinel::connect(sentinels, prefix).await {
            Ok((node, named)) => {
                single::run(node, line, sentinel::replaced(sentinels, named)).await
            }
            Err(failure) => Some(failure),
        },
        Redis::Cluster(seeds) => cluster::run(seeds, prefix, line).await,
    }
}
