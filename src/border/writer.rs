//! Writes commands. Owners in Rust use it.

use crate::{
    border::{
        codes::{
            answer::BYTES,
            kind, opcode,
            word::{self, NO_NUMBER_HIGH},
        },
        command::{Answer, Asks, ErrorCode},
        handle::{ClientId, Handle},
        words::{push, push_length, push_padded, push_payload_length, push_text},
    },
    message::protocol::Kind,
};

/// Writes commands in their binary form, for owners in Rust.
#[derive(Debug, Default)]
pub struct CommandWriter(Vec<u8>);

impl CommandWriter {
    /// A writer with nothing in it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The commands so far, ready for [`ServerHandle::submit`](crate::ServerHandle::submit).
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Forgets what was written.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// See [`Command::Admit`](super::command::Command::Admit).
    pub fn admit(&mut self, handle: Handle) -> &mut Self {
        self.command(opcode::ADMIT, |out| push(out, handle.0))
    }

    /// See [`Command::Refuse`](super::command::Command::Refuse).
    pub fn refuse(
        &mut self,
        handle: Handle,
        status: u16,
        reason: u32,
        retry_after_ms: Option<u32>,
        issues: &[u8],
    ) -> &mut Self {
        self.command(opcode::REFUSE, |out| {
            push(out, handle.0);
            push(out, u32::from(status));
            push(out, reason);
            push(out, retry_after_ms.unwrap_or(word::NO_RETRY));
            push_text(out, issues);
        })
    }

    /// See [`Command::Release`](super::command::Command::Release).
    pub fn release(&mut self, handle: Handle) -> &mut Self {
        self.command(opcode::RELEASE, |out| push(out, handle.0))
    }

    /// See [`Command::Join`](super::command::Command::Join).
    pub fn join(&mut self, handle: Handle, room: &[u8]) -> &mut Self {
        self.command(opcode::JOIN, |out| {
            push(out, handle.0);
            push_text(out, room);
        })
    }

    /// See [`Command::Leave`](super::command::Command::Leave).
    pub fn leave(&mut self, handle: Handle, room: &[u8]) -> &mut Self {
        self.command(opcode::LEAVE, |out| {
            push(out, handle.0);
            push_text(out, room);
        })
    }

    /// See [`Command::To`](super::command::Command::To).
    pub fn to(&mut self, route: u32, payload: Option<&[u8]>, clients: &[Handle]) -> &mut Self {
        self.command(opcode::TO, |out| {
            push_payload_length(out, payload);
            push(out, route);
            push_handles(out, clients);
            push_padded(out, payload.unwrap_or_default());
        })
    }

    /// See [`Command::ToIds`](super::command::Command::ToIds).
    pub fn to_ids(
        &mut self,
        route: u32,
        payload: Option<&[u8]>,
        clients: &[ClientId],
    ) -> &mut Self {
        self.command(opcode::TO_IDS, |out| {
            push_payload_length(out, payload);
            push(out, route);
            push_ids(out, clients);
            push_padded(out, payload.unwrap_or_default());
        })
    }

    /// See [`Command::ExceptIds`](super::command::Command::ExceptIds).
    pub fn except_ids(&mut self, clients: &[ClientId]) -> &mut Self {
        self.command(opcode::EXCEPT_IDS, |out| push_ids(out, clients))
    }

    /// See [`Command::Route`](super::command::Command::Route).
    pub fn route(&mut self, number: u32, kind: Kind, name: &[u8]) -> &mut Self {
        let kind = match kind {
            Kind::Json => kind::JSON,
            Kind::Bytes => kind::BYTES,
        };
        self.command(opcode::ROUTE, |out| {
            push(out, number);
            push(out, kind);
            push_text(out, name);
        })
    }

    /// See [`Command::Flush`](super::command::Command::Flush).
    pub fn flush(&mut self, number: u32) -> &mut Self {
        self.command(opcode::FLUSH, |out| push(out, number))
    }

    /// See [`Command::Mark`](super::command::Command::Mark).
    pub fn mark(&mut self, number: u32) -> &mut Self {
        self.command(opcode::MARK, |out| push(out, number))
    }

    /// The same as [`rooms_except`](Self::rooms_except), with nobody left out.
    pub fn rooms(&mut self, route: u32, payload: Option<&[u8]>, rooms: &[&[u8]]) -> &mut Self {
        self.rooms_except(route, payload, rooms, &[])
    }

    /// See [`Command::Rooms`](super::command::Command::Rooms).
    pub fn rooms_except(
        &mut self,
        route: u32,
        payload: Option<&[u8]>,
        rooms: &[&[u8]],
        except: &[Handle],
    ) -> &mut Self {
        self.command(opcode::ROOMS, |out| {
            push_payload_length(out, payload);
            push(out, route);
            push_handles(out, except);
            push_length(out, rooms.len());
            for room in rooms {
                push_text(out, room);
            }
            push_padded(out, payload.unwrap_or_default());
        })
    }

    /// The same as [`broadcast_except`](Self::broadcast_except), with nobody left out.
    pub fn broadcast(&mut self, route: u32, payload: Option<&[u8]>) -> &mut Self {
        self.broadcast_except(route, payload, &[])
    }

    /// See [`Command::Broadcast`](super::command::Command::Broadcast).
    pub fn broadcast_except(
        &mut self,
        route: u32,
        payload: Option<&[u8]>,
        except: &[Handle],
    ) -> &mut Self {
        self.command(opcode::BROADCAST, |out| {
            push_payload_length(out, payload);
            push(out, route);
            push_handles(out, except);
            push_padded(out, payload.unwrap_or_default());
        })
    }

    /// See [`Command::Close`](super::command::Command::Close).
    pub fn close(&mut self, handle: Handle, code: u16, reason: &[u8]) -> &mut Self {
        self.command(opcode::CLOSE, |out| {
            push(out, handle.0);
            push(out, u32::from(code));
            push_text(out, reason);
        })
    }

    /// See [`Command::Error`](super::command::Command::Error).
    pub fn error(
        &mut self,
        handle: Handle,
        code: ErrorCode,
        route: u32,
        number: Option<u64>,
        detail: Option<&[u8]>,
    ) -> &mut Self {
        self.command(opcode::ERROR, |out| {
            push_payload_length(out, detail);
            push(out, handle.0);
            push(out, code.code());
            push(out, route);
            let number = number.unwrap_or(u64::from(NO_NUMBER_HIGH) << 32);
            out.extend_from_slice(&number.to_le_bytes());
            push_padded(out, detail.unwrap_or_default());
        })
    }

    /// See [`Command::Pause`](super::command::Command::Pause).
    pub fn pause(&mut self, handle: Handle) -> &mut Self {
        self.command(opcode::PAUSE, |out| push(out, handle.0))
    }

    /// See [`Command::Resume`](super::command::Command::Resume).
    pub fn resume(&mut self, handle: Handle) -> &mut Self {
        self.command(opcode::RESUME, |out| push(out, handle.0))
    }

    /// See [`Command::Terminate`](super::command::Command::Terminate).
    pub fn terminate(&mut self, handle: Handle) -> &mut Self {
        self.command(opcode::TERMINATE, |out| push(out, handle.0))
    }

    /// See [`Command::Answer`](super::command::Command::Answer).
    pub fn answer(
        &mut self,
        how: Answer,
        handle: Handle,
        number: u64,
        kind: Kind,
        payload: Option<&[u8]>,
    ) -> &mut Self {
        self.command(opcode::ANSWER, |out| {
            push_payload_length(out, payload);
            let bytes = if kind == Kind::Bytes { BYTES } else { 0 };
            push(out, how.code() | bytes);
            push(out, handle.0);
            out.extend_from_slice(&number.to_le_bytes());
            push_padded(out, payload.unwrap_or_default());
        })
    }

    /// See [`Command::Settle`](super::command::Command::Settle).
    pub fn settle(&mut self, handle: Handle, number: u32) -> &mut Self {
        self.command(opcode::SETTLE, |out| {
            push(out, handle.0);
            push(out, number);
        })
    }

    /// See [`Command::Announce`](super::command::Command::Announce).
    pub fn announce(&mut self, handle: Handle) -> &mut Self {
        self.command(opcode::ANNOUNCE, |out| push(out, handle.0))
    }

    /// See [`Command::Members`](super::command::Command::Members).
    pub fn members(&mut self, question: u32, asks: Asks, room: &[u8]) -> &mut Self {
        self.command(opcode::MEMBERS, |out| {
            push(out, question);
            push(out, asks.code());
            push_text(out, room);
        })
    }

    /// See [`Command::MoreMembers`](super::command::Command::MoreMembers).
    pub fn more_members(&mut self, question: u32, shard: u32) -> &mut Self {
        self.command(opcode::MORE_MEMBERS, |out| {
            push(out, question);
            push(out, shard);
        })
    }

    fn command(&mut self, opcode: u32, rest: impl FnOnce(&mut Vec<u8>)) -> &mut Self {
        let start = self.0.len();
        push(&mut self.0, opcode);
        push(&mut self.0, 0);
        rest(&mut self.0);
        let words = u32::try_from((self.0.len() - start) / 4).expect("a command is under 16 GiB");
        self.0[start + 4..start + 8].copy_from_slice(&words.to_le_bytes());
        self
    }
}

fn push_handles(out: &mut Vec<u8>, handles: &[Handle]) {
    push_length(out, handles.len());
    for handle in handles {
        push(out, handle.0);
    }
}

fn push_ids(out: &mut Vec<u8>, ids: &[ClientId]) {
    push_length(out, ids.len());
    for id in ids {
        out.extend_from_slice(&id.to_bytes());
    }
}
