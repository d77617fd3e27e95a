//! Models of the state that the owner, the listener and the shards share. `npm run loom` tries every order of their steps.

use std::sync::Arc;

use loom::{future::block_on, thread};

use crate::{
    border::{
        bell::Bell,
        event::Event,
        handle::Handle,
        inbox::{Drained, Inbox, InboxWriter},
        mailbox::{Mail, Mailbox, StopMode},
        owner::OwnerNumber,
    },
    limits::pending::PendingPlaces,
    sync::{Condvar, Mutex},
};

/// The owner's event loop: it sleeps until it is rung.
#[derive(Default)]
struct Owner {
    is_rung: Mutex<bool>,
    rung: Condvar,
}

impl Owner {
    fn ring(&self) {
        *self.is_rung.lock().unwrap() = true;
        self.rung.notify_one();
    }

    fn sleep(&self) {
        let mut is_rung = self.is_rung.lock().unwrap();
        while !*is_rung {
            is_rung = self.rung.wait(is_rung).unwrap();
        }
        *is_rung = false;
    }
}

struct Server {
    owner: Arc<Owner>,
    bell: Arc<Bell>,
    inbox: Arc<Inbox>,
    mailbox: Arc<Mailbox>,
}

impl Server {
    fn new(limit: usize) -> Self {
        let owner = Arc::new(Owner::default());
        let sink = owner.clone();
        let bell = Arc::new(Bell::new(move || sink.ring(), false));
        Self {
            owner,
            inbox: Arc::new(Inbox::new(limit, bell.clone())),
            bell,
            mailbox: Arc::default(),
        }
    }

    /// Answers one ring as a server's handle does; the handles of the events that were there.
    fn hear(&self) -> Vec<u32> {
        self.owner.sleep();
        self.bell.answer();
        let mut handles = Vec::new();
        loop {
            let (batch, drained) = self.inbox.take();
            if drained == Drained::Wake {
                self.mailbox.post(Mail::Drained);
            }
            let Some(batch) = batch else {
                return handles;
            };
            let is_last = !batch.is_followed();
            handles.extend(batch.heads().iter().map(|head| head.handle.0));
            self.inbox.recycle(batch);
            if is_last {
                return handles;
            }
        }
    }
}

fn push(writer: &mut InboxWriter, handle: u32) {
    writer.push(Handle(handle), &Event::Stopped);
    writer.publish();
}

#[test]
fn every_event_reaches_an_owner_that_looks_only_when_rung() {
    loom::model(|| {
        let server = Server::new(usize::MAX);
        let mut writer = InboxWriter::new(server.inbox.clone());
        let shard = thread::spawn(move || {
            for handle in 0..3 {
                push(&mut writer, handle);
            }
        });
        let mut heard = Vec::new();
        while heard.len() < 3 {
            heard.extend(server.hear());
        }
        assert_eq!(heard, [0, 1, 2]);
        shard.join().unwrap();
    });
}

#[test]
fn two_shards_ring_one_owner_who_misses_neither() {
    loom::model(|| {
        let server = Server::new(usize::MAX);
        let other = Arc::new(Inbox::new(usize::MAX, server.bell.clone()));
        let shards = [server.inbox.clone(), other.clone()]
            .map(|inbox| thread::spawn(move || inbox.publish_one(Handle(1), &Event::Stopped)));
        let mut heard = 0;
        while heard < 2 {
            heard += server.hear().len();
            heard += usize::from(other.take().0.is_some());
        }
        for shard in shards {
            shard.join().unwrap();
        }
    });
}

#[test]
fn a_shard_that_waits_for_room_is_woken_by_a_take() {
    loom::model(|| {
        // One event fills it.
        let server = Server::new(1);
        let mut writer = InboxWriter::new(server.inbox.clone());
        let mailbox = server.mailbox.clone();
        let shard = thread::spawn(move || {
            for handle in 0..2 {
                while writer.waits(InboxWriter::is_full) {
                    let mut mail = Vec::new();
                    block_on(mailbox.take(&mut mail));
                }
                push(&mut writer, handle);
            }
        });
        let mut heard = Vec::new();
        while heard.len() < 2 {
            heard.extend(server.hear());
        }
        assert_eq!(heard, [0, 1]);
        shard.join().unwrap();
    });
}

#[test]
fn a_shard_that_waits_for_its_event_to_be_taken_is_woken() {
    loom::model(|| {
        let server = Server::new(usize::MAX);
        let mut writer = InboxWriter::new(server.inbox.clone());
        let mailbox = server.mailbox.clone();
        let shard = thread::spawn(move || {
            push(&mut writer, 0);
            let last = writer.last();
            while writer.waits(|writer| !writer.is_taken(last)) {
                block_on(mailbox.take(&mut Vec::new()));
            }
        });
        while server.hear().is_empty() {}
        shard.join().unwrap();
    });
}

/// The first byte of each command, 255 for anything else.
fn words(mail: &[Mail]) -> Vec<u8> {
    let word = |mail: &Mail| match mail {
        Mail::Commands(_, bytes) => bytes[0],
        _ => 255,
    };
    mail.iter().map(word).collect()
}

#[test]
fn mail_of_two_threads_arrives_whole_and_in_each_ones_order_past_the_bound() {
    loom::model(|| {
        let mailbox = Arc::new(Mailbox::default());
        let (owner, listener) = (mailbox.clone(), mailbox.clone());
        let owner = thread::spawn(move || {
            for n in 1..=2_u8 {
                owner.commands(OwnerNumber::default(), Arc::new(vec![n, 0, 0, 0]));
            }
        });
        let listener = thread::spawn(move || listener.post(Mail::Stop(StopMode::Close)));
        let mut read = Vec::new();
        while read.len() < 3 {
            let mut mail = Vec::new();
            block_on(mailbox.take(&mut mail));
            assert!(!mail.is_empty());
            read.extend(words(&mail));
        }
        read.retain(|&word| word != 255);
        assert_eq!(read, [1, 2]);
        owner.join().unwrap();
        listener.join().unwrap();
    });
}

#[test]
fn an_owner_that_waits_for_room_is_let_go_when_the_shard_ends() {
    loom::model(|| {
        let mailbox = Arc::new(Mailbox::default());
        let shard = mailbox.clone();
        let shard = thread::spawn(move || shard.close());
        for n in 1..=2_u8 {
            mailbox.commands(OwnerNumber::default(), Arc::new(vec![n, 0, 0, 0]));
        }
        shard.join().unwrap();
        mailbox.post(Mail::Drained);
    });
}

#[test]
fn a_listener_that_waits_for_a_place_is_woken_by_one_that_leaves() {
    loom::model(|| {
        let places = Arc::new(PendingPlaces::new(1, 0));
        let address = std::net::IpAddr::from([192, 0, 2, 1]).into();
        let mut only = places.enter(address, tokio::time::Instant::now());
        only.complete();
        let shard = thread::spawn(move || drop(only));
        block_on(places.room());
        shard.join().unwrap();
    });
}
