//! A connection to one server of Redis or Valkey.
//!
//! It is two connections: one publishes, and the other does nothing but subscribe. Each subscription is a command of its own. This
//! file keeps no subscriptions; the thread of the bus asks for all of them on each new connection.

use std::{future::Future, pin::Pin, time::Duration};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, ErrorKind, IntoConnectionInfo,
    RedisConnectionInfo, RedisError, RedisResult, TlsCertificates, Value,
    aio::{MultiplexedConnection, PubSubSink, PubSubStream},
};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::{
    bus::{
        books::Fate,
        channels::Channel,
        link::{Ask, Cause, Failure, Line, Report},
        queue::Ticket,
    },
    config::bus::Place,
};

/// Stands between the parts of a channel's name.
const SEPARATOR: char = ':';
/// A server that has not answered for this long is away.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often the server is asked whether it is there.
const BEAT: Duration = Duration::from_secs(1);
/// How many asks are taken at once, and how many batches of publications may be under way.
const MOST_ASKS: usize = 256;
const MOST_BATCHES: usize = 16;

/// Something that the server has been asked.
type Work = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// Its answer.
enum Answer {
    Published(Vec<Ticket>, RedisResult<Vec<Value>>),
    Subscribed(Channel, RedisResult<()>),
    Unsubscribed(RedisResult<()>),
    Ponged(RedisResult<()>),
    /// The same on the connection that subscribes.
    Heard(RedisResult<()>),
}

/// Since when a connection owes an answer.
#[derive(Default)]
struct Owed(Option<Instant>);

impl Owed {
    fn ask(&mut self) {
        self.0.get_or_insert_with(Instant::now);
    }

    /// It has answered something, and perhaps not all.
    fn answered(&mut self, owes_more: bool) {
        self.0 = owes_more.then(Instant::now);
    }

    fn is_late(&self) -> bool {
        self.0.is_some_and(|since| since.elapsed() >= PATIENCE)
    }
}

/// Connects and works until the connection is lost.
pub(crate) async fn run(place: &Place, prefix: &str, own: Channel, mut line: Line) {
    let failure = match timeout(PATIENCE, connect(place)).await {
        Ok(Ok((publisher, sink, stream))) => {
            if line.reports.send(Report::Connected).await.is_err() {
                return;
            }
            let session = Session {
                prefix,
                own,
                publisher,
                sink,
                work: FuturesUnordered::new(),
                batches: 0,
                publishes: Owed::default(),
                subscribes: Owed::default(),
                subscriptions: 0,
            };
            match session.run(stream, &mut line).await {
                Some(failure) => failure,
                None => return,
            }
        }
        Ok(Err(error)) => failure_of(&error),
        Err(_) => silent(),
    };
    // Nobody listens if the thread of the bus has ended.
    let _ = line.reports.send(Report::Lost(failure)).await;
}

fn silent() -> Failure {
    Failure::away("it has not answered for 3 s")
}

async fn connect(place: &Place) -> RedisResult<(MultiplexedConnection, PubSubSink, PubSubStream)> {
    let client = client(place)?;
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None);
    let publisher = client
        .get_multiplexed_async_connection_with_config(&config)
        .await?;
    let (sink, stream) = client.get_async_pubsub().await?.split();
    Ok((publisher, sink, stream))
}

fn client(place: &Place) -> RedisResult<Client> {
    let mut who = RedisConnectionInfo::default().set_lib_name("zocket", env!("CARGO_PKG_VERSION"));
    if let Some(username) = &place.username {
        who = who.set_username(username);
    }
    if let Some(password) = &place.password {
        who = who.set_password(password);
    }
    let (host, port) = (place.host.clone(), place.port);
    let Some(tls) = &place.tls else {
        let info = ConnectionAddr::Tcp(host, port).into_connection_info()?;
        return Client::open(info.set_redis_settings(who));
    };
    let address = ConnectionAddr::TcpTls {
        host,
        port,
        insecure: false,
        tls_params: None,
    };
    let info = address.into_connection_info()?.set_redis_settings(who);
    let client_tls = tls.identity.as_ref().map(|(cert, key)| ClientTlsConfig {
        client_cert: cert.clone(),
        client_key: key.clone(),
    });
    let root_cert = tls.ca.clone();
    Client::build_with_tls(
        info,
        TlsCertificates {
            client_tls,
            root_cert,
        },
    )
}

struct Session<'a> {
    prefix: &'a str,
    /// A channel that is read anyway. To subscribe to it again is how a connection that subscribes is asked whether it is there.
    own: Channel,
    publisher: MultiplexedConnection,
    sink: PubSubSink,
    work: FuturesUnordered<Work>,
    /// Batches of publications under way.
    batches: usize,
    publishes: Owed,
    subscribes: Owed,
    /// Answers that the connection that subscribes owes.
    subscriptions: usize,
}

impl Session<'_> {
    /// Returns why the connection is lost; `None` if nobody wants it any more.
    async fn run(mut self, mut stream: PubSubStream, line: &mut Line) -> Option<Failure> {
        let mut asks = Vec::with_capacity(MOST_ASKS);
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                count = line.asks.recv_many(&mut asks, MOST_ASKS), if self.batches < MOST_BATCHES => {
                    if count == 0 {
                        return None;
                    }
                    self.obey(&mut asks);
                }
                Some(answer) = self.work.next(), if !self.work.is_empty() => {
                    if let Err(failure) = self.hear(answer, line).await {
                        return Some(failure);
                    }
                }
                message = stream.next() => {
                    let Some(message) = message else {
                        return Some(Failure::away("the connection that subscribes was closed"));
                    };
                    self.subscribes.answered(self.subscriptions > 0);
                    let channel = Channel::named(message.get_channel_name(), self.prefix, SEPARATOR);
                    let report = channel.map_or(Report::Foreign, |channel| {
                        Report::Received(channel, message.get_payload_bytes().to_vec())
                    });
                    line.reports.send(report).await.ok()?;
                }
                _ = beat.tick() => {
                    if self.publishes.is_late() || self.subscribes.is_late() {
                        return Some(silent());
                    }
                    self.beat();
                }
            }
        }
    }

    /// Takes on what was asked. Publications that stand together leave together.
    fn obey(&mut self, asks: &mut Vec<Ask>) {
        let mut tickets = Vec::new();
        let mut batch = redis::pipe();
        for ask in asks.drain(..) {
            match ask {
                Ask::Publish(waiting) => {
                    tickets.push(waiting.ticket);
                    batch
                        .cmd("PUBLISH")
                        .arg(waiting.channel.name(self.prefix, SEPARATOR))
                        .arg(waiting.bytes);
                }
                Ask::Subscribe(channel) => {
                    let name = channel.name(self.prefix, SEPARATOR);
                    let mut sink = self.sink.clone();
                    self.subscriptions += 1;
                    self.subscribes.ask();
                    self.work.push(Box::pin(async move {
                        Answer::Subscribed(channel, sink.subscribe(name).await)
                    }));
                }
                Ask::Unsubscribe(channel) => {
                    let name = channel.name(self.prefix, SEPARATOR);
                    let mut sink = self.sink.clone();
                    self.subscriptions += 1;
                    self.subscribes.ask();
                    self.work.push(Box::pin(async move {
                        Answer::Unsubscribed(sink.unsubscribe(name).await)
                    }));
                }
            }
        }
        if tickets.is_empty() {
            return;
        }
        // Each is polled once in this order before any later one, and that writes it.
        let mut publisher = self.publisher.clone();
        self.batches += 1;
        self.publishes.ask();
        self.work.push(Box::pin(async move {
            let answers = publisher
                .send_packed_commands(&batch, 0, tickets.len())
                .await;
            Answer::Published(tickets, answers)
        }));
    }

    /// Asks both connections whether the server is there, unless they owe an answer.
    fn beat(&mut self) {
        if self.publishes.0.is_none() {
            let mut publisher = self.publisher.clone();
            self.batches += 1;
            self.publishes.ask();
            self.work.push(Box::pin(async move {
                Answer::Ponged(redis::cmd("PING").query_async(&mut publisher).await)
            }));
        }
        if self.subscribes.0.is_none() {
            let name = self.own.name(self.prefix, SEPARATOR);
            let mut sink = self.sink.clone();
            self.subscriptions += 1;
            self.subscribes.ask();
            self.work.push(Box::pin(async move {
                Answer::Heard(sink.subscribe(name).await)
            }));
        }
    }

    async fn hear(&mut self, answer: Answer, line: &Line) -> Result<(), Failure> {
        match answer {
            Answer::Published(tickets, answers) => {
                self.batches -= 1;
                self.publishes.answered(self.batches > 0);
                let answers = answers.map_err(|error| failure_of(&error))?;
                for (ticket, answer) in tickets.into_iter().zip(answers) {
                    let report = match answer {
                        Value::ServerError(error) => {
                            let why = error.details().unwrap_or_default();
                            Report::Refused(ticket, format!("{} {why}", error.code()))
                        }
                        _ => Report::Answered(ticket, Fate::Confirmed),
                    };
                    tell(line, report).await?;
                }
            }
            Answer::Ponged(outcome) => {
                self.batches -= 1;
                self.publishes.answered(self.batches > 0);
                // A user who may not ping has had an answer too.
                check(outcome)?;
            }
            Answer::Subscribed(channel, outcome) => {
                self.subscriptions -= 1;
                self.subscribes.answered(self.subscriptions > 0);
                outcome.map_err(|error| failure_of(&error))?;
                tell(line, Report::Subscribed(channel)).await?;
            }
            Answer::Unsubscribed(outcome) | Answer::Heard(outcome) => {
                self.subscriptions -= 1;
                self.subscribes.answered(self.subscriptions > 0);
                outcome.map_err(|error| failure_of(&error))?;
            }
        }
        Ok(())
    }
}

async fn tell(line: &Line, report: Report) -> Result<(), Failure> {
    let sent = line.reports.send(report).await;
    sent.map_err(|_| Failure::away("the server stops"))
}

/// An answer that is an error is an answer.
fn check(outcome: RedisResult<()>) -> Result<(), Failure> {
    match outcome {
        Err(error) if !matches!(error.kind(), ErrorKind::Server(_)) => Err(failure_of(&error)),
        _ => Ok(()),
    }
}

/// Says what went wrong, without what was sent.
fn failure_of(error: &RedisError) -> Failure {
    let code = error.code().unwrap_or_default();
    if matches!(code, "WRONGPASS" | "NOAUTH" | "NOPERM")
        || error.kind() == ErrorKind::AuthenticationFailed
    {
        let text = if code == "NOPERM" {
            format!(
                "it does not permit this user what a bus needs: {}",
                error.detail().unwrap_or(code)
            )
        } else {
            "it does not accept the user name or the password".to_owned()
        };
        return Failure {
            cause: Cause::Credentials,
            text,
        };
    }
    let text = error.to_string();
    let is_certificate = [
        "ertificate",
        "UnknownIssuer",
        "invalid peer",
        "BadSignature",
    ]
    .iter()
    .any(|word| text.contains(word));
    Failure {
        cause: if is_certificate {
            Cause::Certificate
        } else {
            Cause::Away
        },
        text,
    }
}
