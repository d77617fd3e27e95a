//! A connection to one server of NATS, which may be part of a cluster. Subjects are those of core NATS.
//!
//! This file keeps no subscriptions; the thread of the bus asks for all of them on each new connection. The server answers neither a
//! publication nor a subscription, so marks tell how far it has come; see [`progress`].

mod connect;
mod progress;
mod reports;

use std::{
    collections::{HashMap, VecDeque},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use async_nats::{Client, Event, Message, PublishErrorKind, ServerError, Subscriber};
use futures_util::FutureExt as _;
use futures_util::stream::{AbortHandle, Abortable, SelectAll, Stream, StreamExt as _, abortable};
use tokio::{
    sync::mpsc::Receiver,
    task::coop::unconstrained,
    time::{Instant, sleep_until},
};

use crate::{
    bus::{
        books::Fate,
        channels::Channel,
        link::{Ask, Failure, Line, Report},
        nats::{connect::Connection, progress::Progress, reports::Reports},
        numbers,
        queue::{Ticket, Waiting},
    },
    config::bus::Place,
    shrink::shrink_map,
};

/// Stands between the parts of a subject.
const SEPARATOR: char = '.';
/// The other servers of a cluster learn of a subscription later than ours, by this much at most.
const SPREADING: Duration = Duration::from_millis(100);
/// How many empty rooms are read. `async_nats` keeps about 5 KB for each subscription.
pub(crate) const MOST_EMPTY: usize = 4_096;

/// Connects and works until the connection is lost.
pub(crate) async fn run(places: &[Place], prefix: &str, own: Channel, mut line: Line) {
    let failure = match connect::connect_to_any(places).await {
        Ok(Connection { client, events }) => {
            if line.reports.send(Report::Connected).await.is_err() {
                return;
            }
            let mut session = Session::new(client, prefix, own);
            // All that has come moves on in one turn. The turns of `async_nats` are limited, so it cannot run away from us.
            let Err(failure) = unconstrained(session.work(events, &mut line)).await else {
                return;
            };
            while let Some(report) = session.reports.take() {
                if line.reports.send(report).await.is_err() {
                    return;
                }
            }
            failure
        }
        Err(failure) => failure,
    };
    // Nobody listens if the thread of the bus has ended.
    let _ = line.reports.send(Report::Lost(failure)).await;
}

fn closed() -> Failure {
    Failure::away("it closed the connection, or has not answered for 3 s")
}

/// The messages of one subscription.
struct Reading {
    /// Its channel; `None` for our own marks.
    channel: Option<Channel>,
    subscriber: Subscriber,
}

impl Stream for Reading {
    type Item = (Option<Channel>, Message);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let channel = self.channel;
        let message = self.subscriber.poll_next_unpin(cx);
        message.map(|it| it.map(|message| (channel, message)))
    }
}

/// A publication that the server may still refuse.
struct Published {
    number: u64,
    ticket: Ticket,
    channel: Channel,
}

struct Session<'a> {
    client: Client,
    prefix: &'a str,
    /// The subject of our marks.
    mark: String,
    /// Tells our marks from what others publish there.
    secret: u64,
    progress: Progress,
    readings: SelectAll<Abortable<Reading>>,
    /// What ends each of them, and the number of the ask that began it.
    ends: HashMap<Channel, (u64, AbortHandle)>,
    /// In the order of their numbers.
    published: VecDeque<Published>,
    subscribed: VecDeque<(u64, Channel)>,
    /// Subscriptions that the other servers may not know yet, and until when.
    spreading: VecDeque<(Instant, u64, Channel)>,
    /// What the thread of the bus has to hear.
    reports: Reports,
}

impl<'a> Session<'a> {
    fn new(client: Client, prefix: &'a str, own: Channel) -> Self {
        Self {
            client,
            prefix,
            mark: format!("{}{SEPARATOR}mark", own.name(prefix, SEPARATOR)),
            secret: numbers::random(),
            progress: Progress::default(),
            readings: SelectAll::new(),
            ends: HashMap::new(),
            published: VecDeque::new(),
            subscribed: VecDeque::new(),
            spreading: VecDeque::new(),
            reports: Reports::default(),
        }
    }

    /// Works until the connection is lost, which is the error, or nobody wants it any more.
    async fn work(&mut self, mut events: Receiver<Event>, line: &mut Line) -> Result<(), Failure> {
        let Line { asks, reports } = line;
        let mut asked = Vec::new();
        let marks = self.client.subscribe(self.mark.clone()).await;
        let marks = marks.map_err(|_| closed())?;
        self.readings.push(reading(None, marks).0);
        loop {
            if let Some(mark) = self.progress.mark() {
                let bytes = write_mark(mark, self.secret).into();
                let sent = self.client.publish(self.mark.clone(), bytes).await;
                sent.map_err(|_| closed())?;
            }
            let room = self.progress.room();
            let spread = self.spreading.front().map(|(until, ..)| *until);
            tokio::select! {
                event = events.recv() => self.hear(event.ok_or_else(closed)?)?,
                Some((channel, message)) = self.readings.next(), if !self.readings.is_empty() => {
                    self.receive(channel, message);
                    // Each subscription has a queue of its own. What is in them came together, before all that comes later.
                    while let Some(Some((channel, message))) = self.readings.next().now_or_never() {
                        self.receive(channel, message);
                    }
                    self.reports.settle();
                }
                count = asks.recv_many(&mut asked, room), if room > 0 => {
                    if count == 0 {
                        return Ok(());
                    }
                    for ask in asked.drain(..) {
                        self.obey(ask).await?;
                    }
                }
                () = sleep_until(spread.unwrap_or_else(Instant::now)), if spread.is_some() => {
                    self.spread(Instant::now());
                }
                permit = reports.reserve(), if !self.reports.is_empty() => {
                    let Ok(permit) = permit else { return Ok(()) };
                    if let Some(report) = self.reports.take() {
                        permit.send(report);
                    }
                }
            }
        }
    }

    // Out.

    async fn obey(&mut self, ask: Ask) -> Result<(), Failure> {
        match ask {
            Ask::Publish(waiting) => self.publish(waiting).await,
            Ask::Subscribe(channel) => {
                let subscriber = self
                    .client
                    .subscribe(channel.name(self.prefix, SEPARATOR))
                    .await;
                let number = self.progress.write();
                let (reading, end) = reading(Some(channel), subscriber.map_err(|_| closed())?);
                self.readings.push(reading);
                self.subscribed.push_back((number, channel));
                if let Some((_, former)) = self.ends.insert(channel, (number, end)) {
                    former.abort();
                }
                Ok(())
            }
            Ask::Unsubscribe(channel) => {
                // It unsubscribes when it is dropped.
                if let Some((_, end)) = self.ends.remove(&channel) {
                    end.abort();
                }
                shrink_map(&mut self.ends);
                Ok(())
            }
            Ask::Held => Ok(()),
        }
    }

    async fn publish(
        &mut self,
        Waiting {
            ticket,
            channel,
            bytes,
            ..
        }: Waiting,
    ) -> Result<(), Failure> {
        let subject = channel.name(self.prefix, SEPARATOR);
        let size = bytes.len();
        match self.client.publish(subject, bytes.into()).await {
            Ok(()) => {
                let number = self.progress.write();
                self.published.push_back(Published {
                    number,
                    ticket,
                    channel,
                });
                Ok(())
            }
            Err(error) if error.kind() == PublishErrorKind::MaxPayloadExceeded => {
                let most = self.client.max_payload();
                let why = format!("it has {size} bytes, and the server takes {most}");
                self.reports.push(Report::Refused(ticket, why));
                Ok(())
            }
            Err(_) => Err(closed()),
        }
    }

    // In.

    fn hear(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::ServerError(error) => self.refused(&error),
            // One for each message. But `async_nats` keeps 128 events for us and discards more, so there may have been others.
            Event::SlowConsumer(_) => {
                self.reports.discard();
                Ok(())
            }
            Event::Disconnected | Event::Closed => Err(closed()),
            _ => Ok(()),
        }
    }

    /// The server did not take something. If it is no publication, there is no bus without it.
    fn refused(&mut self, error: &ServerError) -> Result<(), Failure> {
        let told = || connect::told_by_server(error);
        let ServerError::Other(text) = error else {
            return Err(told());
        };
        let subject = subject_of_refused(text).ok_or_else(told)?;
        if subject == self.mark {
            // That is an answer too.
            if let Some(mark) = self.progress.under_way() {
                self.echoed(mark);
            }
            return Ok(());
        }
        let channel = Channel::named(subject, self.prefix, SEPARATOR);
        // Refusals come in the order of the publications.
        let place = (self.published.iter()).position(|it| Some(it.channel) == channel);
        if let Some(refused) = place.and_then(|it| self.published.remove(it)) {
            let report = Report::Refused(refused.ticket, text.clone());
            self.reports.push(report);
        }
        Ok(())
    }

    fn receive(&mut self, channel: Option<Channel>, message: Message) {
        let report = match channel {
            Some(channel) => Report::Received(channel, message.payload.into()),
            None => match read_mark(&message.payload, self.secret) {
                Some(mark) if self.echoed(mark) => return,
                _ => Report::Foreign,
            },
        };
        self.reports.arrived(report);
    }

    /// A mark has come back; false if it is not the one that is under way.
    fn echoed(&mut self, mark: u64) -> bool {
        let Some(taken) = self.progress.echo(mark) else {
            return false;
        };
        while let Some(first) = pop_if(&mut self.published, |it| it.number <= taken) {
            let report = Report::Answered(first.ticket, Fate::Confirmed);
            self.reports.push(report);
        }
        let until = Instant::now() + SPREADING;
        while let Some((number, channel)) = pop_if(&mut self.subscribed, |it| it.0 <= taken) {
            self.spreading.push_back((until, number, channel));
        }
        true
    }

    /// The other servers of the cluster know of these subscriptions too.
    fn spread(&mut self, now: Instant) {
        while let Some((_, number, channel)) = pop_if(&mut self.spreading, |it| it.0 <= now) {
            // It may have ended, and have begun anew.
            if self.ends.get(&channel).is_some_and(|it| it.0 == number) {
                self.reports.push(Report::Subscribed(channel));
            }
        }
        if self.spreading.is_empty() {
            self.spreading = VecDeque::new();
        }
    }
}

fn reading(channel: Option<Channel>, subscriber: Subscriber) -> (Abortable<Reading>, AbortHandle) {
    abortable(Reading {
        channel,
        subscriber,
    })
}

fn pop_if<T>(queue: &mut VecDeque<T>, is_due: impl Fn(&T) -> bool) -> Option<T> {
    queue
        .front()
        .is_some_and(is_due)
        .then(|| queue.pop_front())?
}

fn write_mark(mark: u64, secret: u64) -> Vec<u8> {
    [secret.to_le_bytes(), mark.to_le_bytes()].concat()
}

fn read_mark(bytes: &[u8], secret: u64) -> Option<u64> {
    let number = bytes.strip_prefix(&secret.to_le_bytes())?;
    Some(u64::from_le_bytes(number.try_into().ok()?))
}

/// The subject of a publication that was refused, from the text of the error.
fn subject_of_refused(error: &str) -> Option<&str> {
    let subject = error.strip_prefix("Permissions Violation for Publish to ")?;
    Some(subject.trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
        net::TcpListener,
        sync::{mpsc, oneshot},
        time::timeout,
    };

    use super::*;
    use crate::{border::handle::Process, bus::link::REPORTS};

    /// How many messages `async_nats` keeps for one subscription.
    const MOST_KEPT: usize = 64 * 1024;

    /// A session on a server of NATS that sends so many messages to whoever reads the channel for everybody. The receiver hears
    /// when `async_nats` has read all of them.
    async fn session(
        messages: usize,
    ) -> (Session<'static>, Receiver<Event>, oneshot::Receiver<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (all_read, read) = oneshot::channel();
        tokio::spawn(async move {
            let mut all_read = Some(all_read);
            let (reader, mut writer) = listener.accept().await.unwrap().0.into_split();
            let info = r#"INFO {"server_id":"a","version":"2.9.0","max_payload":1000,"proto":1}"#;
            writer
                .write_all(format!("{info}\r\n").as_bytes())
                .await
                .unwrap();
            let mut lines = BufReader::new(reader).split(b'\n');
            while let Ok(Some(line)) = lines.next_segment().await {
                let line = String::from_utf8_lossy(&line);
                let words: Vec<_> = line.split_whitespace().collect();
                let answer = match words[..] {
                    ["PING"] => "PONG\r\n".to_owned(),
                    ["SUB", subject @ "test.all", id] => {
                        let all = format!("MSG {subject} {id} 1\r\nx\r\n").repeat(messages);
                        format!("{all}PING\r\n")
                    }
                    ["PONG"] => {
                        let _ = all_read.take().map(|it| it.send(()));
                        continue;
                    }
                    _ => continue,
                };
                writer.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let place = Place {
            host: "127.0.0.1".to_owned(),
            port,
            tls: None,
            username: None,
            password: None,
        };
        let connected = connect::connect_to_any(&[place]).await;
        let Ok(Connection { client, events }) = connected else {
            panic!("the server is there");
        };
        let own = Channel::Process(Process([1; 6]));
        (Session::new(client, "test", own), events, read)
    }

    #[tokio::test]
    async fn messages_that_async_nats_discards_are_counted() {
        const LOST: usize = 5;
        let (mut session, events, all_read) = session(MOST_KEPT + LOST).await;
        let everybody = Ask::Subscribe(Channel::Everybody);
        session.obey(everybody).await.unwrap();
        // Nobody takes them meanwhile.
        all_read.await.unwrap();
        let (asks, asked) = mpsc::unbounded_channel();
        let (reports, mut reported) = mpsc::channel(REPORTS);
        let mut line = Line {
            asks: asked,
            reports,
        };
        let count = async {
            let (mut received, mut discarded) = (0, 0);
            while received < MOST_KEPT || discarded < LOST as u64 {
                match reported.recv().await {
                    Some(Report::Received(Channel::Everybody, _)) => received += 1,
                    Some(Report::Discarded(count)) => discarded += count,
                    other => panic!("{other:?}"),
                }
            }
            (received, discarded)
        };
        let counted = tokio::select! {
            counted = timeout(Duration::from_secs(60), count) => counted.expect("all of them"),
            _ = session.work(events, &mut line) => panic!("the connection goes on"),
        };
        assert_eq!(counted, (MOST_KEPT, LOST as u64));
        drop(asks);
    }

    #[tokio::test]
    async fn a_subscription_is_told_when_the_other_servers_have_had_time_to_learn_of_it() {
        let (mut session, _events, _) = session(0).await;
        let everybody = Ask::Subscribe(Channel::Everybody);
        session.obey(everybody).await.unwrap();
        // A mark speaks for what was written before the mark ahead of it.
        let first = session.progress.mark().unwrap();
        assert!(session.echoed(first));
        let second = session.progress.mark().unwrap();
        let before = Instant::now();
        assert!(session.echoed(second));
        session.spread(before + Duration::from_millis(99));
        assert!(session.reports.is_empty());
        session.spread(Instant::now() + Duration::from_millis(100));
        let told = session.reports.take();
        assert!(matches!(told, Some(Report::Subscribed(Channel::Everybody))));
    }

    #[test]
    fn marks_are_known_by_their_secret() {
        let bytes = write_mark(7, 1);
        assert_eq!(read_mark(&bytes, 1), Some(7));
        assert_eq!(read_mark(&bytes, 2), None);
        for garbage in [&b""[..], b"12345678", &bytes[..15], &[0; 17]] {
            assert_eq!(read_mark(garbage, 1), None);
        }
    }

    #[test]
    fn an_error_tells_which_publication_was_refused() {
        let of = subject_of_refused;
        let text = r#"Permissions Violation for Publish to "a.all""#;
        assert_eq!(of(text), Some("a.all"));
        assert_eq!(
            of(r#"Permissions Violation for Subscription to "a.all""#),
            None
        );
        assert_eq!(of("Authorization Violation"), None);
    }
}
