//! The way of a message from the bus to commands, for the fuzz targets. Nothing else uses it.

use tokio::time::Instant;

use crate::{
    border::{handle::Process, writer::CommandWriter},
    bus::{
        channels::Channel,
        control, format,
        incoming::{Incoming, Outcome},
        seen::Seen,
        subscriptions::Subscriptions,
    },
    message::protocol::Kind,
};

/// A process that reads all kinds of channels: that for everybody, its own, and those of the rooms `a` and `b`. It has the route
/// `on` of JSON with the number 0, and the route `raw` of bytes with the number 1.
pub struct BusProbe {
    incoming: Incoming,
    subscriptions: Subscriptions,
    channels: [Channel; 4],
    now: Instant,
    out: CommandWriter,
}

impl BusProbe {
    /// A process that has heard nothing.
    #[must_use]
    pub fn new() -> Self {
        let process = Process([1; 6]);
        let rooms = [b"a", b"b"].map(|name| (Channel::of_room(name), name));
        let mut subscriptions = Subscriptions::default();
        for channel in [Channel::Everybody, Channel::Process(process)] {
            subscriptions.open(channel, None);
        }
        for (channel, name) in rooms {
            subscriptions.open(channel, Some(&name[..].into()));
        }
        Self {
            incoming: Incoming {
                process,
                delivers: true,
                seen: Seen::default(),
            },
            subscriptions,
            channels: [
                Channel::Everybody,
                Channel::Process(process),
                rooms[0].0,
                rooms[1].0,
            ],
            now: Instant::now(),
            out: CommandWriter::new(),
        }
    }

    /// Takes a message from one of the channels. Returns the commands that it becomes.
    ///
    /// # Errors
    /// Why it makes no sense.
    pub fn take(&mut self, channel: u8, bytes: &[u8]) -> Result<&[u8], String> {
        self.out.clear();
        let number_of = |name: &str| match name {
            "on" => Some((0, Kind::Json)),
            "raw" => Some((1, Kind::Bytes)),
            _ => None,
        };
        let channel = self.channels[usize::from(channel) % self.channels.len()];
        let came = (channel, bytes);
        let outcome = (self.incoming).take(
            came,
            &self.subscriptions,
            self.now,
            number_of,
            &mut self.out,
        );
        match outcome {
            Outcome::Malformed { why, .. } => Err(why),
            Outcome::Taken { .. } | Outcome::Ignored { .. } => Ok(self.out.bytes()),
        }
    }

    /// A message as this version would write it; `None` if it makes no sense or is of an unknown kind.
    #[must_use]
    pub fn rewritten(bytes: &[u8]) -> Option<Vec<u8>> {
        if control::is_control(bytes) {
            return Some(control::write(&control::read(bytes).ok()?));
        }
        let publication = format::read(bytes).ok()??;
        let mut out = Vec::new();
        format::write(&mut out, &publication);
        Some(out)
    }
}

impl Default for BusProbe {
    fn default() -> Self {
        Self::new()
    }
}
