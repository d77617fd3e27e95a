//! Reads the commands in a buffer. [`writer`](super::writer) writes them.

use crate::{
    border::{
        codes::{
            kind,
            limit::MAX_REASON,
            opcode,
            word::{self, NO_NUMBER_HIGH},
        },
        command::{Answer, Asks, ClientIds, Command, ErrorCode, Handles, RoomNames},
        words::Words,
    },
    message::protocol::Kind,
};

/// Walks the commands of one buffer. It stops at the first command that it cannot decode. Then [`is_done`](Self::is_done) is
/// false.
#[derive(Debug)]
pub struct Commands<'a>(&'a [u8]);

impl<'a> Commands<'a> {
    /// The commands in `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether every byte was understood.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> Iterator for Commands<'a> {
    type Item = Command<'a>;

    #[inline]
    fn next(&mut self) -> Option<Command<'a>> {
        let mut rest = Words(self.0);
        let mut words = Words(rest.command()?);
        let opcode = words.word()?;
        words.word()?;
        let command = decode(opcode, words)?;
        self.0 = rest.0;
        Some(command)
    }
}

fn decode(opcode: u32, mut words: Words<'_>) -> Option<Command<'_>> {
    Some(match opcode {
        opcode::ADMIT => Command::Admit(words.handle()?),
        opcode::REFUSE => {
            let handle = words.handle()?;
            let status = u16::try_from(words.word()?).ok()?;
            let reason = words.word()?;
            let retry = words.word()?;
            let length = words.word()? as usize;
            Command::Refuse {
                handle,
                status,
                reason,
                retry_after_ms: (retry != word::NO_RETRY).then_some(retry),
                issues: words.padded(length)?,
            }
        }
        opcode::RELEASE => Command::Release(words.handle()?),
        opcode::JOIN => Command::Join(words.handle()?, words.room_name()?),
        opcode::LEAVE => Command::Leave(words.handle()?, words.room_name()?),
        opcode::TO | opcode::ROOMS | opcode::BROADCAST => decode_send(opcode, words)?,
        opcode::TO_IDS => {
            let length = words.word()?;
            let route = words.word()?;
            let clients = ClientIds::read(&mut words)?;
            Command::ToIds {
                route,
                payload: words.payload(length)?,
                clients,
            }
        }
        opcode::CLOSE => {
            let handle = words.handle()?;
            let code = u16::try_from(words.word()?).ok()?;
            let length = words.word()? as usize;
            if length > MAX_REASON {
                return None;
            }
            Command::Close {
                handle,
                code,
                reason: words.padded(length)?,
            }
        }
        opcode::ANNOUNCE => Command::Announce(words.handle()?),
        opcode::ERROR => {
            let length = words.word()?;
            Command::Error {
                handle: words.handle()?,
                code: ErrorCode::from_code(words.word()?),
                route: words.word()?,
                number: Some(words.double()?)
                    .filter(|number| number >> 32 != u64::from(NO_NUMBER_HIGH)),
                detail: words.payload(length)?,
            }
        }
        opcode::PAUSE => Command::Pause(words.handle()?),
        opcode::RESUME => Command::Resume(words.handle()?),
        opcode::TERMINATE => Command::Terminate(words.handle()?),
        opcode::ANSWER => {
            let length = words.word()?;
            let (how, kind) = Answer::with_kind(words.word()?)?;
            let handle = words.handle()?;
            Command::Answer {
                how,
                handle,
                number: words.double()?,
                kind,
                payload: words.payload(length)?,
            }
        }
        opcode::SETTLE => Command::Settle(words.handle()?, words.word()?),
        opcode::EXCEPT_IDS => Command::ExceptIds(ClientIds::read(&mut words)?),
        opcode::ROUTE => {
            let number = words.word()?;
            let kind = match words.word()? {
                kind::JSON => Kind::Json,
                kind::BYTES => Kind::Bytes,
                _ => return None,
            };
            let length = words.word()? as usize;
            Command::Route(number, kind, words.padded(length)?)
        }
        opcode::FLUSH => Command::Flush(words.word()?),
        opcode::MARK => Command::Mark(words.word()?),
        opcode::MEMBERS => Command::Members {
            question: words.word()?,
            asks: Asks::from_code(words.word()?)?,
            room: words.room_name()?,
        },
        opcode::MORE_MEMBERS => Command::MoreMembers {
            question: words.word()?,
            shard: words.word()?,
        },
        _ => return None,
    })
}

/// A command that sends a message of a route.
fn decode_send(opcode: u32, mut words: Words<'_>) -> Option<Command<'_>> {
    let length = words.word()?;
    let route = words.word()?;
    let clients = Handles::read(&mut words)?;
    Some(match opcode {
        opcode::TO => Command::To {
            route,
            payload: words.payload(length)?,
            clients,
        },
        opcode::ROOMS => {
            let rooms = RoomNames::read(&mut words)?;
            Command::Rooms {
                route,
                payload: words.payload(length)?,
                except: clients,
                rooms,
            }
        }
        _ => Command::Broadcast {
            route,
            payload: words.payload(length)?,
            except: clients,
        },
    })
}

#[cfg(test)]
mod tests;
