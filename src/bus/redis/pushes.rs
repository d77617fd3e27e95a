//! What a server pushes to a connection, until somebody takes it.
//!
//! The connection hands pushes over without waiting, so they stand in a queue of their own. It holds 16 MiB and a message. A queue
//! that is full ends the connection, as Redis itself ends a connection that does not read fast enough.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use redis::{PushInfo, PushKind, Value};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::bus::channels::Channel;

/// Bytes that may wait.
const MOST: usize = 16 * 1024 * 1024;
/// What a push costs beside its bytes.
const OVERHEAD: usize = 128;
/// Stands between the parts of a channel's name.
pub(super) const SEPARATOR: char = ':';

/// Something that was pushed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Push {
    /// A message.
    Message(Channel, Vec<u8>),
    /// Something else, or a message on a channel that is not ours.
    Foreign,
    /// The server reads a channel to us.
    Subscribed(Channel),
    /// It does no more. We asked for that, or the channel's slot has moved to another server.
    Unsubscribed(Channel),
    /// The node says this itself: all that was asked before has its answer, and some answers may be lost.
    Settled,
    /// The connection is over.
    Closed,
    /// There were more pushes than the queue holds.
    Overflow,
}

impl Push {
    fn size(&self) -> usize {
        let bytes = match self {
            Self::Message(_, bytes) => bytes.len(),
            _ => 0,
        };
        bytes + OVERHEAD
    }
}

/// Puts pushes into the queue.
#[derive(Clone)]
pub(super) struct PushSender {
    sender: UnboundedSender<Push>,
    bytes: Arc<AtomicUsize>,
}

/// The queue.
pub(super) struct Pushes {
    receiver: UnboundedReceiver<Push>,
    bytes: Arc<AtomicUsize>,
}

pub(super) fn queue() -> (PushSender, Pushes) {
    let (sender, receiver) = unbounded_channel();
    let bytes = Arc::<AtomicUsize>::default();
    let sender = PushSender {
        sender,
        bytes: bytes.clone(),
    };
    (sender, Pushes { receiver, bytes })
}

impl PushSender {
    /// Takes a push of a connection. One connection uses it, so two pushes are never added at once.
    pub(super) fn add(&self, push: Push) {
        let waiting = self.bytes.load(Ordering::Relaxed);
        let push = match push {
            Push::Message(..) | Push::Foreign if waiting > MOST => Push::Overflow,
            push => push,
        };
        self.bytes.fetch_add(push.size(), Ordering::Relaxed);
        // Nobody listens any more if it fails.
        let _ = self.sender.send(push);
    }

    /// What a connection calls with its pushes.
    pub(super) fn callback(
        self,
        prefix: String,
    ) -> impl Fn(PushInfo) -> Result<(), Infallible> + Send + Sync + 'static {
        move |info| {
            if let Some(push) = read(info, &prefix) {
                self.add(push);
            }
            Ok(())
        }
    }
}

impl Pushes {
    /// Waits for pushes, and takes up to so many.
    pub(super) async fn take(&mut self, pushes: &mut Vec<Push>, most: usize) {
        self.receiver.recv_many(pushes, most).await;
        let bytes: usize = pushes.iter().map(Push::size).sum();
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

fn read(info: PushInfo, prefix: &str) -> Option<Push> {
    let mut data = info.data.into_iter();
    let mut channel = || match data.next()? {
        Value::BulkString(name) => {
            let name = str::from_utf8(&name).ok()?;
            Channel::named(name, prefix, SEPARATOR)
        }
        _ => None,
    };
    Some(match info.kind {
        PushKind::Disconnection => Push::Closed,
        PushKind::Message | PushKind::SMessage => match (channel(), data.next()) {
            (Some(channel), Some(Value::BulkString(bytes))) => Push::Message(channel, bytes),
            _ => Push::Foreign,
        },
        PushKind::Subscribe | PushKind::SSubscribe => Push::Subscribed(channel()?),
        PushKind::Unsubscribe | PushKind::SUnsubscribe => Push::Unsubscribed(channel()?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    fn read_one(kind: PushKind, data: Vec<Value>) -> Option<Push> {
        read(PushInfo { kind, data }, "chat")
    }

    #[test]
    fn pushes_are_read_by_kind_and_channel() {
        let room = Channel::of_room(b"a");
        let name = text(&room.name("chat", SEPARATOR));
        let message = read_one(PushKind::SMessage, vec![name.clone(), text("x")]);
        assert_eq!(message, Some(Push::Message(room, b"x".to_vec())));
        let moved = read_one(PushKind::SUnsubscribe, vec![name.clone(), Value::Int(0)]);
        assert_eq!(moved, Some(Push::Unsubscribed(room)));
        let foreign = read_one(PushKind::Message, vec![text("other:all"), text("x")]);
        assert_eq!(foreign, Some(Push::Foreign));
        for data in [
            vec![],
            vec![name, Value::Nil],
            vec![Value::Int(1), text("x")],
        ] {
            assert_eq!(read_one(PushKind::Message, data), Some(Push::Foreign));
        }
        assert_eq!(read_one(PushKind::Subscribe, vec![]), None);
        assert_eq!(read_one(PushKind::Invalidate, vec![]), None);
    }

    #[tokio::test]
    async fn the_queue_is_bounded_and_takes_more_once_it_was_read() {
        let (sender, mut pushes) = queue();
        let message = || Push::Message(Channel::Everybody, vec![0; MOST / 4]);
        for _ in 0..10 {
            sender.add(message());
        }
        let mut taken = Vec::new();
        pushes.take(&mut taken, 100).await;
        let messages = taken.iter().filter(|it| matches!(it, Push::Message(..)));
        assert_eq!((messages.count(), taken.len()), (4, 10));
        assert!(taken.contains(&Push::Overflow));
        sender.add(message());
        taken.clear();
        pushes.take(&mut taken, 100).await;
        assert_eq!(taken, [message()]);
    }
}
