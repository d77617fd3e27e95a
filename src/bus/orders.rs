//! Orders about clients of other processes: those that an owner here gives, and those that other processes give.
//!
//! An order travels to the channel of each process that has some of the clients, and the answer to the channel of the asker. An order of
//! another process goes to the shards, like one of an owner.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use crate::{
    border::{
        act::{Act, Outcome},
        handle::{ClientId, Process},
        mailbox::Mail,
        order::{Asker, Order},
        orders::Party,
    },
    bus::{
        channels::Channel,
        control::{MAX_CLIENTS, Note},
        outgoing::by_process,
        parts::Hands,
        processes::Processes,
    },
    shrink::shrink_map,
};

/// How long another process has to carry out an order.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long an order of another process is kept. Nobody waits for its end then.
const KEPT: Duration = Duration::from_secs(10);
/// How many orders of other processes may be under way, and how many bytes they may have. Others are refused.
const MOST_OBEYED: usize = 1_024;
const MOST_BYTES: usize = 8 * 1024 * 1024;
/// Bytes of an order beside its rooms and ids.
const FIELDS: usize = 256;

/// A part of an order of an owner: what one process has to do.
struct Sent {
    /// The order it is a part of.
    key: u32,
    process: Process,
    until: Instant,
    /// The process has not been heard of, and may yet be.
    is_unknown: bool,
}

/// An order of an owner.
#[derive(Default)]
struct Given {
    /// How many parts are not done.
    left: usize,
    outcome: Outcome,
}

/// An order of another process.
struct Obeyed {
    process: Process,
    number: u64,
    is_join: bool,
    bytes: usize,
    until: Instant,
    /// How it ended, while the bus has not confirmed the rooms.
    outcome: Outcome,
}

/// The orders of one process.
#[derive(Default)]
pub(crate) struct Orders {
    last: u64,
    sent: HashMap<u64, Sent>,
    given: HashMap<u32, Given>,
    obeyed: HashMap<u32, Obeyed>,
    /// Bytes that `obeyed` holds.
    bytes: usize,
}

/// What is left to do for an order of another process that was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// To answer once the bus has confirmed all rooms.
    Confirm,
    Nothing,
}

impl Orders {
    /// Takes an order of an owner.
    pub(crate) fn give(&mut self, order: &Order, processes: &Processes, hands: &mut Hands<'_>) {
        let mut given = Given::default();
        let all = by_process(order.clients.iter().copied(), hands.parts.process);
        for (process, clients) in all {
            for some in clients.chunks(most_clients(&order.act, hands.parts.config.max_message)) {
                self.last += 1;
                let note = Note::Order {
                    number: self.last,
                    act: order.act.clone(),
                    clients: some.to_vec(),
                };
                if size_of(&order.act) + 16 > hands.parts.config.max_message {
                    let why = "the order is longer than the bus's maxMessage";
                    given.outcome.add(Outcome::failed(why));
                    continue;
                }
                if !hands.post(Channel::Process(process), note) {
                    let why = "too much waits for the bus";
                    given.outcome.add(Outcome::failed(why));
                    continue;
                }
                let is_unknown = !processes.has(process);
                // Nobody owns these clients, as far as anybody knows.
                if is_unknown && processes.are_known(hands.now) {
                    continue;
                }
                let sent = Sent {
                    key: order.key,
                    process,
                    until: hands.now + PATIENCE,
                    is_unknown,
                };
                self.sent.insert(self.last, sent);
                given.left += 1;
            }
        }
        if given.left == 0 {
            (hands.parts.orders).done(order.key, Party::Bus, given.outcome);
        } else {
            self.given.insert(order.key, given);
        }
    }

    /// A process has carried out its part of an order.
    pub(crate) fn done(
        &mut self,
        process: Process,
        number: u64,
        outcome: Outcome,
        hands: &Hands<'_>,
    ) {
        if (self.sent.get(&number)).is_some_and(|it| it.process == process) {
            self.end(number, outcome, hands);
        }
    }

    /// A process has ended, and its clients with it.
    pub(crate) fn ended(&mut self, process: Process, hands: &Hands<'_>) {
        self.end_all(|it| it.process == process, &Outcome::default(), hands);
    }

    /// Does what is due.
    pub(crate) fn advance(&mut self, processes: &Processes, hands: &Hands<'_>) {
        let now = hands.now;
        if !self.sent.is_empty() {
            if processes.are_known(now) {
                let nobody = |it: &Sent| it.is_unknown && !processes.has(it.process);
                self.end_all(nobody, &Outcome::default(), hands);
                for sent in self.sent.values_mut() {
                    sent.is_unknown = false;
                }
            }
            let why = "a process has not answered for 5 s; the order may still be carried out";
            self.end_all(|it| it.until <= now, &Outcome::failed(why), hands);
        }
        if !self.obeyed.is_empty() {
            let mut freed = 0;
            self.obeyed.retain(|_, it| {
                let stays = now < it.until;
                freed += if stays { 0 } else { it.bytes };
                stays
            });
            self.bytes -= freed;
            shrink_map(&mut self.obeyed);
        }
    }

    /// When something is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        let sent = self.sent.values().map(|it| it.until);
        sent.chain(self.obeyed.values().map(|it| it.until)).min()
    }

    fn end_all(&mut self, ends: impl Fn(&Sent) -> bool, outcome: &Outcome, hands: &Hands<'_>) {
        let ended = self.sent.iter().filter(|(_, it)| ends(it));
        for number in ended.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.end(number, outcome.clone(), hands);
        }
    }

    fn end(&mut self, number: u64, outcome: Outcome, hands: &Hands<'_>) {
        let Some(sent) = self.sent.remove(&number) else {
            return;
        };
        shrink_map(&mut self.sent);
        let Some(given) = self.given.get_mut(&sent.key) else {
            return;
        };
        given.outcome.add(outcome);
        given.left -= 1;
        if given.left == 0
            && let Some(given) = self.given.remove(&sent.key)
        {
            shrink_map(&mut self.given);
            (hands.parts.orders).done(sent.key, Party::Bus, given.outcome);
        }
    }

    // Orders of other processes.

    /// Takes an order of another process, and hands it to the shards.
    pub(crate) fn take(
        &mut self,
        process: Process,
        number: u64,
        act: Act,
        mut clients: Vec<ClientId>,
        hands: &mut Hands<'_>,
    ) {
        clients.retain(|it| it.process() == hands.parts.process);
        let (is_join, bytes) = (
            matches!(act, Act::Join(_)),
            size_of(&act) + 16 * clients.len(),
        );
        let begun = if self.obeyed.len() < MOST_OBEYED && self.bytes + bytes <= MOST_BYTES {
            hands.parts.orders.begin(Asker::Process, act, clients)
        } else {
            None
        };
        let Some(order) = begun else {
            let outcome = Outcome::failed("the process has too many orders to carry out");
            hands.post(Channel::Process(process), Note::Done { number, outcome });
            return;
        };
        let obeyed = Obeyed {
            process,
            number,
            is_join,
            bytes,
            until: hands.now + KEPT,
            outcome: Outcome::default(),
        };
        self.bytes += bytes;
        self.obeyed.insert(order.key, obeyed);
        for shard in &hands.parts.shards {
            shard.post(Mail::Order(order.clone()));
        }
    }

    /// The owners here have carried out an order of another process.
    pub(crate) fn obeyed(&mut self, key: u32, outcome: Outcome, hands: &mut Hands<'_>) -> Rest {
        let Some(obeyed) = self.obeyed.get_mut(&key) else {
            return Rest::Nothing;
        };
        obeyed.outcome = outcome;
        if obeyed.is_join {
            return Rest::Confirm;
        }
        self.answer(key, hands);
        Rest::Nothing
    }

    /// Tells a process that its order was carried out.
    pub(crate) fn answer(&mut self, key: u32, hands: &mut Hands<'_>) {
        let Some(obeyed) = self.obeyed.remove(&key) else {
            return;
        };
        shrink_map(&mut self.obeyed);
        self.bytes -= obeyed.bytes;
        let Obeyed {
            process,
            number,
            outcome,
            ..
        } = obeyed;
        hands.post(Channel::Process(process), Note::Done { number, outcome });
    }
}

/// How many ids fit into one message.
fn most_clients(act: &Act, max_message: usize) -> usize {
    let room = max_message.saturating_sub(size_of(act));
    (room / 16).clamp(1, MAX_CLIENTS)
}

/// Bytes of an order without its ids.
fn size_of(act: &Act) -> usize {
    FIELDS
        + match act {
            Act::Join(rooms) | Act::Leave(rooms) => rooms.iter().map(|it| 5 + it.len()).sum(),
            Act::Disconnect { reason, .. } => reason.len(),
        }
}

#[cfg(all(test, feature = "redis"))]
mod tests {
    use super::*;
    use crate::{
        border::orders::Party,
        bus::{
            control,
            parts::testing::{Here, OWN},
        },
    };
    use std::sync::Arc;

    const OTHER: Process = Process([2; 6]);
    const SECOND: Duration = Duration::from_secs(1);

    fn processes(here: &mut Here, is_settled: bool) -> Processes {
        let mut processes = Processes::new(true, here.now);
        let now = here.now;
        processes.connected(now, &mut here.hands());
        processes.hear(OTHER, Some(SECOND * 60), false, now);
        if is_settled {
            here.now += SECOND;
        }
        here.posted();
        processes
    }

    /// Gives an order of the owner, for which the shards have nothing to do.
    fn give(
        here: &mut Here,
        orders: &mut Orders,
        processes: &Processes,
        act: Act,
        clients: Vec<ClientId>,
    ) {
        let asker = Asker::Owner(Arc::downgrade(&here.owner), 3);
        let order = here.parts.orders.begin(asker, act, clients).unwrap();
        for shard in 0..2 {
            (here.parts.orders).done(order.key, Party::Shard(shard), Outcome::default());
        }
        orders.give(&order, processes, &mut here.hands());
    }

    fn join() -> Act {
        Act::Join(vec![b"a"[..].into()])
    }

    const DONE: &str = r#"[{"number":3,"refused":[]}]"#;

    #[test]
    fn an_order_goes_to_the_processes_of_its_clients_and_waits_for_all() {
        let mut here = Here::new();
        let processes = processes(&mut here, true);
        let mut orders = Orders::default();
        let [own, theirs, stranger] = [OWN, OTHER, Process([9; 6])].map(ClientId::random_of);
        give(
            &mut here,
            &mut orders,
            &processes,
            join(),
            vec![own, theirs, stranger],
        );
        let channels: Vec<_> = here
            .posted()
            .into_iter()
            .map(|(channel, _)| channel)
            .collect();
        let expected = [OTHER, Process([9; 6])].map(Channel::Process);
        assert_eq!(channels, expected);
        assert_eq!(here.heard(), "");
        orders.done(Process([9; 6]), 1, Outcome::default(), &here.hands());
        assert_eq!(here.heard(), "");
        orders.done(OTHER, 1, Outcome::default(), &here.hands());
        assert_eq!(here.heard(), DONE);
        give(
            &mut here,
            &mut orders,
            &processes,
            join(),
            vec![own, stranger],
        );
        assert_eq!(here.heard(), DONE);
        give(&mut here, &mut orders, &processes, join(), vec![theirs]);
        orders.ended(OTHER, &here.hands());
        assert_eq!(here.heard(), DONE);
        assert!(orders.sent.is_empty() && orders.given.is_empty());
    }

    #[test]
    fn an_order_without_an_answer_fails_after_five_seconds() {
        let mut here = Here::new();
        let processes = processes(&mut here, true);
        let mut orders = Orders::default();
        let clients = vec![ClientId::random_of(OTHER)];
        give(&mut here, &mut orders, &processes, join(), clients);
        here.now += PATIENCE.saturating_sub(Duration::from_millis(1));
        orders.advance(&processes, &here.hands());
        assert_eq!(here.heard(), "");
        here.now += Duration::from_millis(1);
        orders.advance(&processes, &here.hands());
        assert!(here.heard().contains("may still be carried out"));
    }

    #[test]
    fn a_process_that_nobody_knows_yet_may_still_announce_itself() {
        let mut here = Here::new();
        let mut processes = processes(&mut here, false);
        let mut orders = Orders::default();
        let [late, nobody] = [Process([8; 6]), Process([9; 6])];
        for process in [late, nobody] {
            let clients = vec![ClientId::random_of(process)];
            give(&mut here, &mut orders, &processes, join(), clients);
        }
        processes.hear(late, Some(SECOND), false, here.now);
        here.now += SECOND;
        orders.advance(&processes, &here.hands());
        assert_eq!(here.heard(), DONE);
        assert_eq!(orders.sent.len(), 1);
    }

    #[test]
    fn many_clients_become_messages_that_fit_and_long_names_fail() {
        let mut here = Here::new();
        here.parts.config.max_message = 1_024;
        let processes = processes(&mut here, true);
        let mut orders = Orders::default();
        let clients: Vec<_> = (0..100).map(|_| ClientId::random_of(OTHER)).collect();
        give(&mut here, &mut orders, &processes, join(), clients.clone());
        let posted = here.posted();
        assert!(posted.len() > 1 && posted.iter().all(|(_, it)| it.len() <= 1_024));
        let long = Act::Join(vec![[b'x'; 1_000][..].into()]);
        give(&mut here, &mut orders, &processes, long, clients);
        assert!(here.heard().contains("maxMessage"));
        assert!(here.posted().is_empty());
    }

    /// Takes an order of another process; its key, if it goes to the shards.
    fn take(here: &mut Here, orders: &mut Orders, number: u64, act: Act) -> Option<u32> {
        let clients = vec![ClientId::random_of(OWN), ClientId::random_of(OTHER)];
        orders.take(OTHER, number, act, clients, &mut here.hands());
        match &here.mail(0)[..] {
            [Mail::Order(order)] => {
                assert_eq!(order.clients.len(), 1);
                Some(order.key)
            }
            _ => None,
        }
    }

    #[test]
    fn an_order_of_another_process_is_answered_and_a_join_once_it_is_confirmed() {
        let mut here = Here::new();
        let mut orders = Orders::default();
        let key = take(&mut here, &mut orders, 5, Act::Leave(vec![])).unwrap();
        let full = Outcome {
            why: Some("full".into()),
            ..Outcome::default()
        };
        assert_eq!(
            orders.obeyed(key, full.clone(), &mut here.hands()),
            Rest::Nothing
        );
        let key = take(&mut here, &mut orders, 6, join()).unwrap();
        assert_eq!(
            orders.obeyed(key, full.clone(), &mut here.hands()),
            Rest::Confirm
        );
        let answers = |here: &mut Here| {
            let read = |(channel, bytes): (Channel, Vec<u8>)| {
                assert_eq!(channel, Channel::Process(OTHER));
                let Note::Done { number, outcome } = control::read(&bytes).unwrap().note else {
                    panic!("another kind");
                };
                (number, outcome)
            };
            here.posted().into_iter().map(read).collect::<Vec<_>>()
        };
        assert_eq!(answers(&mut here), [(5, full.clone())]);
        orders.answer(key, &mut here.hands());
        orders.answer(key, &mut here.hands());
        assert_eq!(answers(&mut here), [(6, full)]);
        assert!(orders.obeyed.is_empty() && orders.bytes == 0);
    }

    #[test]
    fn a_flood_of_orders_of_others_is_refused_and_passes() {
        let mut here = Here::new();
        let processes = processes(&mut here, true);
        let mut orders = Orders::default();
        let long = Act::Join(vec![[b'x'; 4_096][..].into(); 200]);
        for number in 0..100 {
            take(&mut here, &mut orders, number, long.clone());
        }
        assert!(orders.bytes <= MOST_BYTES && orders.obeyed.len() < 20);
        for number in 0..2_000 {
            take(&mut here, &mut orders, number, join());
        }
        assert!(orders.obeyed.len() <= MOST_OBEYED && orders.bytes <= MOST_BYTES);
        assert!(here.posted().len() >= 1_000);
        here.now += KEPT;
        orders.advance(&processes, &here.hands());
        assert!(orders.obeyed.is_empty() && orders.bytes == 0);
    }
}
