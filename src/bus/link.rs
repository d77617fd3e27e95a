//! What the thread of the bus and a connection to the bus tell each other.

use std::{fmt, time::Duration};

use tokio::sync::mpsc::{Receiver, Sender, UnboundedReceiver, UnboundedSender};

use crate::bus::{
    books::Fate,
    channels::Channel,
    lanes::Lanes,
    queue::{Ticket, Waiting},
};

/// How many reports of a connection may wait. Past that, it reads no more.
pub(crate) const REPORTS: usize = 256;
/// A server that has not answered for this long is away.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);

/// What a connection is to do. The thread limits how much of it is under way.
#[derive(Debug)]
pub(crate) enum Ask {
    /// Publish this, after all before it.
    Publish(Waiting),
    /// Read a channel.
    Subscribe(Channel),
    /// Read it no more.
    Unsubscribe(Channel),
    /// Nothing: the thread has heard of one more [`Report`] that holds lanes, and asks to publish nothing there until they are open.
    Held,
}

/// What happened on a connection.
#[derive(Debug)]
pub(crate) enum Report {
    /// The bus takes publications, and reads channels to us.
    Connected,
    /// Nobody serves these lanes, for this reason. What is for them waits, and nothing of them is read.
    Away(Lanes, Failure),
    /// Publications for these lanes wait. The answer to this and to the one above is [`Ask::Held`].
    Hold(Lanes),
    /// Other servers serve these lanes now, so nothing of them is read before it is asked for again.
    Moved(Lanes),
    /// Channels of these lanes that are not confirmed have to be asked for again.
    Found(Lanes),
    /// Publications for these lanes may leave.
    Open(Lanes),
    /// A publication was not written.
    NotTaken(Waiting),
    /// A channel is not read to us any more, and has to be asked for again.
    Unsubscribed(Channel),
    /// A channel is in a lane that nobody serves.
    Unserved(Channel),
    /// A publication has got an answer.
    Answered(Ticket, Fate),
    /// The bus did not take a publication, for this reason.
    Refused(Ticket, String),
    /// The bus has confirmed a subscription.
    Subscribed(Channel),
    /// A message came on this channel.
    Received(Channel, Vec<u8>),
    /// Something else came.
    Foreign,
    /// So many messages were discarded, because this process does not take them fast enough.
    #[cfg_attr(
        not(feature = "nats"),
        expect(dead_code, reason = "Redis ends the connection instead")
    )]
    Discarded(u64),
    /// The connection is over. It is the last report.
    Lost(Failure),
}

/// Why there is no connection. The text has no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) cause: Cause,
    pub(crate) text: String,
}

/// Whether waiting may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The bus cannot be reached, or is gone, or does not answer.
    Away,
    /// The bus does not take our credentials, or does not permit us what we need.
    Credentials,
    /// One side does not take the other's certificate.
    Certificate,
}

impl Failure {
    pub(crate) fn away(text: impl fmt::Display) -> Self {
        let text = text.to_string();
        let cause = Cause::Away;
        Self { cause, text }
    }

    pub(crate) fn silent() -> Self {
        Self::away(format_args!(
            "it has not answered for {} s",
            PATIENCE.as_secs()
        ))
    }

    /// The bus does not know us.
    pub(crate) fn credentials() -> Self {
        Self {
            cause: Cause::Credentials,
            text: "it does not accept the user name or the password".to_owned(),
        }
    }

    /// The bus knows us, and does not permit us something.
    pub(crate) fn not_permitted(what: &str) -> Self {
        Self {
            cause: Cause::Credentials,
            text: format!("it does not permit this user what a bus needs: {what}"),
        }
    }

    /// The failure that an error of the system or of TLS tells.
    pub(crate) fn of(text: String) -> Self {
        let of_certificates = [
            "ertificate",
            "UnknownIssuer",
            "UnknownCA",
            "invalid peer",
            "BadSignature",
        ];
        let cause = if of_certificates.iter().any(|word| text.contains(word)) {
            Cause::Certificate
        } else {
            Cause::Away
        };
        Self { cause, text }
    }

    /// The one of two failures to tell. One that waiting does not help against says more than a server that is away.
    pub(crate) fn or(self, later: Self) -> Self {
        match self.cause {
            Cause::Away => later,
            Cause::Credentials | Cause::Certificate => self,
        }
    }

    /// The same, with the part of the bus where it happened.
    pub(crate) fn at(self, what: &str, place: impl fmt::Display) -> Self {
        let text = format!("{what} {place}: {}", self.text);
        Self { text, ..self }
    }
}

/// The side of the thread.
pub(crate) struct Link {
    pub(crate) asks: UnboundedSender<Ask>,
    pub(crate) reports: Receiver<Report>,
}

/// The side of the connection.
pub(crate) struct Line {
    pub(crate) asks: UnboundedReceiver<Ask>,
    pub(crate) reports: Sender<Report>,
}
