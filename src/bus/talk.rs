//! What processes tell each other, beside messages for clients: who is there, questions and orders.

use std::time::Duration;

use tokio::time::Instant;

use crate::bus::{
    answers::Answers,
    channels::Channel,
    control::{self, Control, Note},
    format::Malformed,
    orders::Orders,
    parts::Hands,
    processes::Processes,
    questions::Questions,
};

/// The talk of one process with the others.
pub(crate) struct Talk {
    /// Whether others may ask it and give it orders.
    serves: bool,
    pub(crate) processes: Processes,
    pub(crate) questions: Questions,
    pub(crate) answers: Answers,
    pub(crate) orders: Orders,
}

impl Talk {
    pub(crate) fn new(serves: bool, now: Instant) -> Self {
        Self {
            serves,
            processes: Processes::new(serves, now),
            questions: Questions::default(),
            answers: Answers::default(),
            orders: Orders::default(),
        }
    }

    /// Takes a message that came on a channel.
    pub(crate) fn hear(
        &mut self,
        channel: Channel,
        bytes: &[u8],
        hands: &mut Hands<'_>,
    ) -> Result<(), Malformed> {
        let Control { process, note } = control::read(bytes)?;
        if process == hands.parts.process {
            if let (Channel::Everybody, Note::Question { number, .. }) = (channel, note) {
                self.questions.came_back(number, &self.processes, hands);
            }
            return Ok(());
        }
        let is_for_all = matches!(note, Note::Announcement { .. } | Note::Question { .. });
        match channel {
            Channel::Everybody if is_for_all => {}
            Channel::Process(_) => {}
            _ => return Err(Malformed::Control),
        }
        match note {
            Note::Announcement { ends: true, .. } => {
                self.processes.ended(process);
                self.questions.ended(process, hands);
                self.orders.ended(process, hands);
            }
            Note::Announcement { interval, asks, .. } => {
                self.processes.hear(process, interval, asks, hands.now);
            }
            Note::Answer {
                number,
                place,
                size,
                clients,
            } => {
                let part = (place, size);
                (self.questions).hear(process, number, part, &clients, hands);
            }
            Note::Done { number, outcome } => self.orders.done(process, number, outcome, hands),
            Note::Question { .. } | Note::Order { .. } if !self.serves => {}
            Note::Question { number, asks, room } => {
                self.answers.take(process, number, asks, room, hands);
            }
            Note::Order {
                number,
                act,
                clients,
            } => self.orders.take(process, number, act, clients, hands),
        }
        Ok(())
    }

    /// Does what is due. `is_away` is whether the bus has been found to be away.
    pub(crate) fn advance(&mut self, is_away: bool, hands: &mut Hands<'_>) {
        self.processes.advance(hands);
        self.questions.advance(&self.processes, is_away, hands);
        self.answers.advance(hands);
        self.orders.advance(&self.processes, hands);
    }

    /// When something is due.
    pub(crate) fn due(&self, now: Instant) -> Option<Instant> {
        let all = [
            self.processes.due(now),
            self.questions.due(),
            self.answers.due(),
            self.orders.due(),
        ];
        // Never at once, so that nothing that is late keeps the thread busy.
        let soon = now + Duration::from_millis(1);
        all.into_iter().flatten().min().map(|it| it.max(soon))
    }
}

#[cfg(all(test, feature = "redis"))]
mod tests {
    use super::*;
    use crate::{
        border::{command::Asks, handle::Process},
        bus::parts::testing::{Here, OWN},
    };

    #[test]
    fn a_question_ends_when_it_comes_back_on_the_channel_for_everybody() {
        let mut here = Here::new();
        let mut talk = Talk::new(true, here.now);
        let from = here.now;
        talk.processes.connected(from, &mut here.hands());
        here.now += Duration::from_secs(2);
        talk.advance(false, &mut here.hands());
        let ours = here.posted();
        let asker = (here.owner.number, 1);
        (talk.questions).ask(asker, Asks::Size, b"a", &here.hands());
        talk.advance(false, &mut here.hands());
        let question = here.posted();
        let [(Channel::Everybody, question)] = &question[..] else {
            panic!("{question:?}");
        };
        // It is of another process, so it is waited for.
        let note = Note::Announcement {
            interval: Some(Duration::from_secs(1)),
            asks: false,
            ends: false,
        };
        let process = Process([2; 6]);
        let announcement = control::write(&Control { process, note });
        let mut hear = |here: &mut Here, channel, bytes: &[u8]| {
            let heard = talk.hear(channel, bytes, &mut here.hands());
            assert!(heard.is_ok());
            here.heard()
        };
        // What else is ours, or comes on another channel, changes nothing.
        for (channel, bytes) in &ours {
            assert_eq!(hear(&mut here, *channel, bytes), "");
        }
        assert_eq!(hear(&mut here, Channel::Process(OWN), question), "");
        hear(&mut here, Channel::Everybody, &announcement);
        assert_eq!(hear(&mut here, Channel::Everybody, question), "");
        let note = Note::Answer {
            number: 1,
            place: 0,
            size: 3,
            clients: vec![],
        };
        let answer = control::write(&Control { process, note });
        let end = hear(&mut here, Channel::Process(OWN), &answer);
        assert_eq!(end, "[[1,0,3]]");
    }
}
