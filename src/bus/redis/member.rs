//! A node of a cluster in a task of its own, so that one that is silent holds up no other.

use redis::aio::MultiplexedConnection;
use tokio::{
    sync::mpsc::{Sender, UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinSet,
};

use crate::{
    bus::{
        link::{Ask, Failure},
        queue::Waiting,
        redis::node::{Came, MOST_ASKS, Node, SHARDED},
    },
    config::bus::Place,
};

/// The number of a node in this connection to the cluster.
pub(super) type Number = u32;

/// What happened at a node.
pub(super) enum Event {
    /// It is connected, and takes questions here.
    Up(MultiplexedConnection),
    /// See [`Came`], which is never [`Came::Lost`] here.
    Came(Came),
    /// It is lost, and this is the last event.
    Lost {
        failure: Failure,
        /// Publications whose answers will not come.
        abandoned: Vec<Waiting>,
        /// Publications that were not written.
        unsent: Vec<Waiting>,
    },
}

/// Connects to a node in a task. It ends when nobody can ask it any more and its publications have their answers.
pub(super) fn start(
    tasks: &mut JoinSet<()>,
    number: Number,
    place: Place,
    prefix: String,
    events: Sender<(Number, Event)>,
) -> UnboundedSender<Ask> {
    let (asks, mut asked) = unbounded_channel();
    tasks.spawn(async move {
        let (failure, abandoned) = match Node::connect(&place, &prefix, &SHARDED).await {
            Ok(mut node) => match run(&mut node, number, &mut asked, &events).await {
                Some(failure) => (failure, node.abandon().collect()),
                None => return,
            },
            Err(failure) => (failure, Vec::new()),
        };
        asked.close();
        let mut unsent = Vec::new();
        while let Some(ask) = asked.recv().await {
            if let Ask::Publish(waiting) = ask {
                unsent.push(waiting);
            }
        }
        let lost = Event::Lost {
            failure: failure.at("its node", &place),
            abandoned,
            unsent,
        };
        // Nobody listens if the connection to the cluster has ended.
        let _ = events.send((number, lost)).await;
    });
    asks
}

/// Returns why the node is lost; `None` if nobody wants it any more.
async fn run(
    node: &mut Node,
    number: Number,
    asked: &mut UnboundedReceiver<Ask>,
    events: &Sender<(Number, Event)>,
) -> Option<Failure> {
    let up = Event::Up(node.asking());
    events.send((number, up)).await.ok()?;
    let mut asks = Vec::with_capacity(MOST_ASKS);
    let mut is_wanted = true;
    while is_wanted || !node.is_idle() {
        let came = tokio::select! {
            count = asked.recv_many(&mut asks, MOST_ASKS), if is_wanted && node.is_free() => {
                is_wanted = count > 0;
                node.obey(&mut asks);
                continue;
            }
            came = node.next() => came,
        };
        match came {
            Came::Lost(failure) => return Some(failure),
            came => events.send((number, Event::Came(came))).await.ok()?,
        }
    }
    None
}
