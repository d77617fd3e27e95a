//! What the thread of the bus shares with others, and how it acts on them.

use std::sync::Arc;

use tokio::time::Instant;

use crate::{
    border::{
        buffers::Buffers,
        event::Event,
        handle::Process,
        mailbox::Mailbox,
        orders::Orders,
        owner::{Owner, OwnerNumber, Owners},
    },
    bus::{
        books::Books, channels::Channel, control, control::Control, control::Note, notices,
        queue::Queue,
    },
    config::bus::BusConfig,
    message::routes::Routes,
    rooms::{changes::RoomChanges, directory::RoomDirectory},
};

/// What the thread shares with others.
pub(crate) struct Parts {
    pub(crate) config: BusConfig,
    pub(crate) process: Process,
    /// Commands of the owner, as the shards get them.
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) changes: Arc<RoomChanges>,
    pub(crate) books: Arc<Books>,
    pub(crate) directory: Arc<RoomDirectory>,
    pub(crate) shards: Vec<Arc<Mailbox>>,
    pub(crate) buffers: Arc<Buffers>,
    pub(crate) routes: Arc<Routes>,
    /// Orders about clients of other processes.
    pub(crate) orders: Arc<Orders>,
    /// Those who hear of it.
    pub(crate) owners: Arc<Owners>,
}

impl Parts {
    /// Tells the oldest owner, who hears of what concerns the process.
    pub(crate) fn tell_first(&self, value: &str) {
        if let Some(owner) = self.owners.all().first() {
            notices::tell(owner, &Event::Bus { value });
        }
    }

    /// Tells all owners. The others than the oldest do not report it.
    pub(crate) fn tell_all(&self, value: &str, quiet: &str) {
        for (index, owner) in self.owners.all().iter().enumerate() {
            let value = if index == 0 { value } else { quiet };
            notices::tell(owner, &Event::Bus { value });
        }
    }

    /// Tells an owner something, if it is still there.
    pub(crate) fn tell(&self, owner: OwnerNumber, event: &Event<'_>) {
        if let Some(owner) = self.owner(owner) {
            notices::tell(&owner, event);
        }
    }

    /// An owner, if it is still there.
    pub(crate) fn owner(&self, number: OwnerNumber) -> Option<Arc<Owner>> {
        let owners = self.owners.all();
        owners.into_iter().find(|it| it.number == number)
    }
}

/// What the thread can do for a part of its state at one moment.
pub(crate) struct Hands<'a> {
    pub(crate) parts: &'a Parts,
    pub(crate) queue: &'a mut Queue,
    pub(crate) now: Instant,
}

impl Hands<'_> {
    /// Sends a message between processes. Nobody counts it. False if too much waits.
    pub(crate) fn post(&mut self, channel: Channel, note: Note<'_>) -> bool {
        let process = self.parts.process;
        let bytes = control::write(&Control { process, note });
        self.queue.push_uncounted(channel, bytes, self.now)
    }
}

/// What tests need to look at a part of the state alone.
#[cfg(all(test, feature = "redis"))]
pub(crate) mod testing {
    use super::*;
    use crate::{
        border::mailbox::Mail,
        bus::control,
        config::bus::{Place, Redis, Transport},
    };

    pub(crate) const OWN: Process = Process([1; 6]);

    /// A process that is on the bus by itself, with two I/O threads.
    pub(crate) struct Here {
        pub(crate) parts: Parts,
        pub(crate) queue: Queue,
        pub(crate) owner: Arc<Owner>,
        pub(crate) now: Instant,
    }

    impl Here {
        pub(crate) fn new() -> Self {
            let place = Place {
                host: "localhost".into(),
                port: 1,
                tls: None,
                username: None,
                password: None,
            };
            let mailbox = Arc::<Mailbox>::default();
            let parts = Parts {
                config: BusConfig {
                    prefix: "test".into(),
                    max_message: 512 * 1024,
                    is_publisher: false,
                    transport: Transport::Redis(Redis::Single(place)),
                },
                process: OWN,
                mailbox: mailbox.clone(),
                changes: Arc::default(),
                books: Arc::default(),
                directory: Arc::default(),
                shards: vec![Arc::default(), Arc::default()],
                buffers: Arc::default(),
                routes: Arc::new(Routes::new(vec![], vec![])),
                orders: Arc::new(Orders::new(2, Some(mailbox))),
                owners: Arc::default(),
            };
            let owner = parts.owners.enter(|| (), false, 1024 * 1024, 1).unwrap();
            let queue = Queue::new(parts.books.clone(), "chat".into());
            let now = Instant::now();
            Self {
                parts,
                queue,
                owner,
                now,
            }
        }

        pub(crate) fn hands(&mut self) -> Hands<'_> {
            let Self {
                parts, queue, now, ..
            } = self;
            Hands {
                parts,
                queue,
                now: *now,
            }
        }

        /// What has been posted since the last look.
        pub(crate) fn posted(&mut self) -> Vec<(Channel, Vec<u8>)> {
            let mut all = Vec::new();
            while let Some(waiting) = self.queue.take(self.now) {
                self.queue
                    .answered(waiting.ticket, crate::bus::books::Fate::Confirmed);
                assert!(control::is_control(&waiting.bytes));
                all.push((waiting.channel, waiting.bytes));
            }
            all
        }

        /// What the owner has heard since the last look.
        pub(crate) fn heard(&self) -> String {
            let mut all = String::new();
            while let (Some(batch), _) = self.owner.inboxes[0].take() {
                all.push_str(&String::from_utf8_lossy(batch.values()));
            }
            all
        }

        /// What an I/O thread has got since the last look.
        pub(crate) fn mail(&self, shard: usize) -> Vec<Mail> {
            let mut mail = Vec::new();
            self.parts.shards[shard].take_now(&mut mail);
            mail
        }
    }
}
