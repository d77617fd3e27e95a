//! One server: a connection that publishes, and one that does nothing but subscribe.
//!
//! Each subscription is a command of its own. A node keeps no subscriptions: whoever uses it asks for all of them on each new node.

use std::{collections::HashMap, mem, pin::Pin, time::Duration};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use redis::{
    ErrorKind, Pipeline, RedisError, RedisResult, ServerError, Value, aio::MultiplexedConnection,
};
use tokio::{
    task::coop::unconstrained,
    time::{Instant, Interval, MissedTickBehavior, interval, timeout},
};

use crate::{
    bus::{
        link::{Ask, Failure, PATIENCE},
        queue::Waiting,
        redis::{
            connect,
            failure::{self, failure_of},
            pushes::{self, Push, PushSender, Pushes, SEPARATOR},
        },
    },
    config::bus::Place,
};

/// How often a server is asked whether it is there.
const BEAT: Duration = Duration::from_secs(1);
/// How many beats may pass without an answer, and how exact they are.
const MOST_BEATS: u32 = 3;
const JITTER: Duration = Duration::from_millis(100);
/// How many asks are taken at once, and how many batches of them may be under way.
pub(super) const MOST_ASKS: usize = 256;
const MOST_BATCHES: usize = 16;
/// How many pushes are taken at once.
const MOST_PUSHES: usize = 256;

/// Something that the server has been asked.
type Work = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// Its answer.
enum Answer {
    /// To a batch of publications, by its number.
    Published(u64, RedisResult<Vec<Value>>),
    /// To a batch of subscriptions and their ends.
    Subscribed(RedisResult<Vec<Value>>),
    Ponged(RedisResult<Value>),
    /// The same on the connection that subscribes.
    Heard(RedisResult<Value>),
}

/// What happened at a node.
#[derive(Debug)]
pub(super) enum Came {
    /// Publications and their answers.
    Published(Vec<Waiting>, Vec<Value>),
    /// Pushes.
    Pushed(Vec<Push>),
    /// The node refused subscriptions, because it does not serve their channels.
    Elsewhere(Vec<ServerError>),
    /// The node is lost.
    Lost(Failure),
}

/// The words for a single server, and for a node of a cluster.
pub(super) struct Verbs {
    publish: &'static str,
    subscribe: &'static str,
    unsubscribe: &'static str,
}

pub(super) const PLAIN: Verbs = Verbs {
    publish: "PUBLISH",
    subscribe: "SUBSCRIBE",
    unsubscribe: "UNSUBSCRIBE",
};
pub(super) const SHARDED: Verbs = Verbs {
    publish: "SPUBLISH",
    subscribe: "SSUBSCRIBE",
    unsubscribe: "SUNSUBSCRIBE",
};

/// The answers that a connection owes.
#[derive(Default)]
struct Owed {
    count: usize,
    /// Since when it has said nothing, and how many beats there were since.
    since: Option<(Instant, u32)>,
}

impl Owed {
    fn ask(&mut self, now: Instant) {
        self.count += 1;
        self.since.get_or_insert((now, 0));
    }

    fn answered(&mut self, now: Instant) {
        self.count = self.count.saturating_sub(1);
        self.heard(now);
    }

    /// It has said something, and perhaps owes more.
    fn heard(&mut self, now: Instant) {
        self.since = (self.count > 0).then_some((now, 0));
    }

    /// Counts a beat. Returns whether the answer is late.
    fn beat(&mut self, now: Instant) -> bool {
        let Some((since, beats)) = &mut self.since else {
            return false;
        };
        *beats += 1;
        // A process that was suspended has to read first what came meanwhile, so the time alone does not tell.
        *beats >= MOST_BEATS && now.duration_since(*since) + JITTER >= PATIENCE
    }
}

/// One server that is connected.
pub(super) struct Node {
    prefix: String,
    verbs: &'static Verbs,
    publisher: MultiplexedConnection,
    subscriber: MultiplexedConnection,
    pushes: Pushes,
    to_pushes: PushSender,
    work: FuturesUnordered<Work>,
    /// Publications under way, by the number of their batch.
    batches: HashMap<u64, Vec<Waiting>>,
    last_batch: u64,
    publishes: Owed,
    subscribes: Owed,
    /// Ends of subscriptions that were asked for and have not come.
    leaving: usize,
    /// A push that nobody asked for was taken for an answer.
    has_shifted: bool,
    /// Why it is lost, once it has told what came before.
    failure: Option<Failure>,
    beat: Interval,
}

impl Node {
    /// Connects twice.
    pub(super) async fn connect(
        place: &Place,
        prefix: &str,
        verbs: &'static Verbs,
    ) -> Result<Self, Failure> {
        let (to_pushes, pushes) = pushes::queue();
        let open = || connect::open(place, prefix, to_pushes.clone());
        let both = async { RedisResult::Ok((open().await?, open().await?)) };
        let (publisher, subscriber) = match timeout(PATIENCE, both).await {
            Ok(both) => both.map_err(|error| failure::of_connecting(&error))?,
            Err(_) => return Err(Failure::silent()),
        };
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            prefix: prefix.to_owned(),
            verbs,
            publisher,
            subscriber,
            pushes,
            to_pushes,
            work: FuturesUnordered::new(),
            batches: HashMap::new(),
            last_batch: 0,
            publishes: Owed::default(),
            subscribes: Owed::default(),
            leaving: 0,
            has_shifted: false,
            failure: None,
            beat,
        })
    }

    /// A connection for questions.
    pub(super) fn asking(&self) -> MultiplexedConnection {
        self.publisher.clone()
    }

    /// Whether more may be asked.
    pub(super) fn is_free(&self) -> bool {
        self.publishes.count < MOST_BATCHES && self.subscribes.count < MOST_BATCHES
    }

    /// Whether no publication awaits its answer.
    pub(super) fn is_idle(&self) -> bool {
        self.batches.is_empty()
    }

    /// The publications whose answers nobody will hear.
    pub(super) fn abandon(&mut self) -> impl Iterator<Item = Waiting> {
        mem::take(&mut self.batches).into_values().flatten()
    }

    /// Takes on what was asked. What stands together leaves together.
    pub(super) fn obey(&mut self, asks: &mut Vec<Ask>) {
        let mut under_way = Vec::new();
        let (mut publications, mut subscriptions) = (redis::pipe(), redis::pipe());
        for ask in asks.drain(..) {
            let (verb, channel) = match &ask {
                Ask::Publish(waiting) => (self.verbs.publish, waiting.channel),
                Ask::Subscribe(channel) => (self.verbs.subscribe, *channel),
                Ask::Unsubscribe(channel) => (self.verbs.unsubscribe, *channel),
                Ask::Held => continue,
            };
            let name = channel.name(&self.prefix, SEPARATOR);
            if let Ask::Publish(waiting) = ask {
                publications.cmd(verb).arg(name).arg(&waiting.bytes);
                under_way.push(waiting);
            } else {
                self.leaving += usize::from(matches!(ask, Ask::Unsubscribe(_)));
                subscriptions.cmd(verb).arg(name);
            }
        }
        // Each is polled once in this order before any later one, and that writes it, see `work`.
        if !subscriptions.is_empty() {
            let connection = self.subscriber.clone();
            self.subscribes.ask(Instant::now());
            (self.work).push(work(async move {
                Answer::Subscribed(send(connection, subscriptions).await)
            }));
        }
        if !publications.is_empty() {
            let connection = self.publisher.clone();
            self.publishes.ask(Instant::now());
            self.last_batch += 1;
            let batch = self.last_batch;
            self.batches.insert(batch, under_way);
            (self.work).push(work(async move {
                Answer::Published(batch, send(connection, publications).await)
            }));
        }
    }

    /// Asks both connections whether the server is there, unless they owe an answer.
    fn ask_whether_there(&mut self) {
        if self.publishes.count == 0 {
            let mut connection = self.publisher.clone();
            self.publishes.ask(Instant::now());
            (self.work).push(work(async move {
                Answer::Ponged(redis::cmd("PING").query_async(&mut connection).await)
            }));
        }
        if self.subscribes.count == 0 {
            let mut connection = self.subscriber.clone();
            self.subscribes.ask(Instant::now());
            (self.work).push(work(async move {
                Answer::Heard(redis::cmd("PING").query_async(&mut connection).await)
            }));
        }
    }

    /// What happens next.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the caller stops waiting.
    pub(super) async fn next(&mut self) -> Came {
        if let Some(failure) = self.failure.take() {
            return Came::Lost(failure);
        }
        let mut pushes = Vec::new();
        loop {
            tokio::select! {
                // An answer that is there already is not late.
                biased;
                Some(answer) = self.work.next(), if !self.work.is_empty() => {
                    if let Some(came) = self.hear(answer) {
                        return came;
                    }
                }
                () = self.pushes.take(&mut pushes, MOST_PUSHES) => {
                    self.subscribes.heard(Instant::now());
                    self.look_for_shifts(&pushes);
                    self.look_for_the_end(&mut pushes);
                    return Came::Pushed(pushes);
                }
                _ = self.beat.tick() => {
                    let now = Instant::now();
                    let is_late = [self.publishes.beat(now), self.subscribes.beat(now)];
                    if is_late.contains(&true) {
                        return Came::Lost(Failure::silent());
                    }
                    self.ask_whether_there();
                }
            }
        }
    }

    /// The crate takes each end of a subscription for an answer. If the server ends one by itself, the answers that are owed move by
    /// one, and the last of them may get lost. The names in the pushes are right all the same.
    fn look_for_shifts(&mut self, pushes: &[Push]) {
        for _ in pushes
            .iter()
            .filter(|push| matches!(push, Push::Unsubscribed(_)))
        {
            match self.leaving.checked_sub(1) {
                Some(left) => self.leaving = left,
                None => self.has_shifted = true,
            }
        }
        self.settle();
    }

    /// Says that all answers are there, behind the pushes that came before, if one of them may be lost.
    fn settle(&mut self) {
        if self.subscribes.count == 0 && mem::take(&mut self.has_shifted) {
            self.to_pushes.add(Push::Settled);
        }
    }

    /// What comes after the end of a connection does not count.
    fn look_for_the_end(&mut self, pushes: &mut Vec<Push>) {
        let end = |push: &Push| match push {
            Push::Closed => Some(failure::closed()),
            Push::Overflow => Some(failure::overflow()),
            _ => None,
        };
        let mut places = pushes.iter().enumerate();
        if let Some((place, failure)) = places.find_map(|(at, it)| Some((at, end(it)?))) {
            pushes.truncate(place);
            self.failure = Some(failure);
        }
    }

    fn hear(&mut self, answer: Answer) -> Option<Came> {
        let now = Instant::now();
        match answer {
            Answer::Published(batch, answers) => {
                self.publishes.answered(now);
                match answers {
                    Ok(answers) => {
                        let publications = self.batches.remove(&batch)?;
                        Some(Came::Published(publications, answers))
                    }
                    Err(error) => Some(Came::Lost(failure_of(&error))),
                }
            }
            Answer::Subscribed(answers) => {
                self.subscribes.answered(now);
                let answers = match answers {
                    Ok(answers) => answers,
                    Err(error) => return Some(Came::Lost(failure_of(&error))),
                };
                self.settle();
                elsewhere(answers)
            }
            Answer::Ponged(outcome) => {
                self.publishes.answered(now);
                check(outcome)
            }
            Answer::Heard(outcome) => {
                self.subscribes.answered(now);
                self.settle();
                check(outcome)
            }
        }
    }
}

/// Something to ask. Its first poll writes it, also when the task has used up its turn: tokio would have it wait otherwise, and those
/// asked later would leave first.
fn work(asking: impl Future<Output = Answer> + Send + 'static) -> Work {
    Box::pin(unconstrained(asking))
}

async fn send(mut connection: MultiplexedConnection, batch: Pipeline) -> RedisResult<Vec<Value>> {
    connection
        .send_packed_commands(&batch, 0, batch.len())
        .await
}

/// Subscriptions that another node has to serve. Other refusals end the node.
fn elsewhere(answers: Vec<Value>) -> Option<Came> {
    let mut elsewhere = Vec::new();
    for answer in answers {
        match answer {
            Value::ServerError(error) if matches!(error.code(), "MOVED" | "ASK") => {
                elsewhere.push(error);
            }
            Value::ServerError(error) => return Some(Came::Lost(failure::of_server(&error))),
            _ => {}
        }
    }
    (!elsewhere.is_empty()).then_some(Came::Elsewhere(elsewhere))
}

/// An answer that is an error is an answer: a user who may not ping has had one too.
fn check(outcome: RedisResult<Value>) -> Option<Came> {
    let is_answer = |error: &RedisError| matches!(error.kind(), ErrorKind::Server(_));
    match outcome {
        Err(error) if !is_answer(&error) => Some(Came::Lost(failure_of(&error))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
        net::{TcpListener, TcpStream},
        sync::mpsc::{UnboundedSender, unbounded_channel},
        task::{consume_budget, yield_now},
    };

    use super::*;
    use crate::bus::{channels::Channel, queue::Queue};

    fn place_of(listener: &TcpListener) -> Place {
        Place {
            host: "127.0.0.1".into(),
            port: listener.local_addr().unwrap().port(),
            tls: None,
            username: None,
            password: None,
        }
    }

    /// A server that tells what is published.
    async fn answer(mut socket: TcpStream, published: UnboundedSender<String>) {
        let (read, mut write) = socket.split();
        let mut lines = BufReader::new(read).lines();
        while let Ok(Some(head)) = lines.next_line().await {
            let mut words = Vec::new();
            for _ in 0..head[1..].parse().unwrap() {
                lines.next_line().await.unwrap();
                words.push(lines.next_line().await.unwrap().unwrap());
            }
            let answer = match &*words[0] {
                "HELLO" => "%1\r\n+proto\r\n:3\r\n",
                "PUBLISH" => {
                    published.send(words.remove(2)).unwrap();
                    ":0\r\n"
                }
                _ => "+OK\r\n",
            };
            write.write_all(answer.as_bytes()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn publications_leave_in_order_also_when_the_task_has_used_up_its_turn() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = place_of(&listener);
        let (published, mut came) = unbounded_channel();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(answer(socket, published.clone()));
            }
        });
        let mut node = Node::connect(&place, "test", &PLAIN).await.unwrap();
        let (mut queue, now) = (Queue::new(<_>::default(), "test".into()), Instant::now());
        let mut sent = 0..;
        // Tokio lets a task do 128 things in one turn.
        for done in 100..128 {
            yield_now().await;
            for _ in 0..done {
                consume_budget().await;
            }
            for number in sent.by_ref().take(MOST_BATCHES) {
                queue.push(Channel::Everybody, number.to_string().into(), now);
                node.obey(&mut vec![Ask::Publish(queue.take(now).unwrap())]);
            }
            while !node.is_idle() {
                assert!(matches!(node.next().await, Came::Published(..)));
            }
        }
        for number in 0..sent.start {
            assert_eq!(came.recv().await, Some(number.to_string()));
        }
    }

    #[tokio::test]
    async fn a_server_that_closes_the_connection_at_once_is_told_with_its_likely_reasons() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = place_of(&listener);
        tokio::spawn(async move { while listener.accept().await.is_ok() {} });
        let failure = Node::connect(&place, "chat", &PLAIN).await.err().unwrap();
        assert!(failure.text.contains("too many clients"), "{failure:?}");
    }

    #[test]
    fn an_answer_is_late_after_three_seconds_in_which_it_could_be_read() {
        let (mut owed, mut now) = (Owed::default(), Instant::now());
        let mut beat = |owed: &mut Owed, seconds: u32| {
            now += seconds * BEAT;
            (owed.beat(now), now)
        };
        let (is_late, at) = beat(&mut owed, 10);
        assert!(!is_late);
        owed.ask(at);
        owed.ask(at);
        assert!(!beat(&mut owed, 1).0);
        assert!(!beat(&mut owed, 1).0);
        let (is_late, at) = beat(&mut owed, 1);
        assert!(is_late);
        // The process was suspended: only one beat in all that time.
        owed.answered(at);
        let (is_late, at) = beat(&mut owed, 100);
        assert!(!is_late);
        // Something came, and an answer is owed.
        owed.heard(at);
        assert!(!beat(&mut owed, 1).0);
        let (is_late, at) = beat(&mut owed, 1);
        assert!(!is_late);
        owed.answered(at);
        assert!(!beat(&mut owed, 10).0);
    }
}
