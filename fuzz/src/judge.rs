//! RFC 6455 read once more, slowly and without memory limits in mind: what a client's bytes must lead to.

/// How a connection stands after some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Between two frames; more may come.
    Open,
    /// In the middle of a frame.
    Half,
    /// The server closes with this code; 1005 is a close frame without one.
    Close(u16),
}

/// What some bytes hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judgement {
    pub verdict: Verdict,
    /// Complete messages before that.
    pub messages: usize,
}

/// Judges the bytes that follow a handshake.
pub fn judge(bytes: &[u8], max_payload: usize) -> Judgement {
    let mut judge = Judge {
        rest: bytes,
        max_payload,
        message: None,
        messages: 0,
    };
    let verdict = loop {
        match judge.frame() {
            Ok(()) => {}
            Err(verdict) => break verdict,
        }
    };
    Judgement {
        verdict,
        messages: judge.messages,
    }
}

struct Judge<'a> {
    rest: &'a [u8],
    max_payload: usize,
    /// The message under way and whether it is text.
    message: Option<(bool, Vec<u8>)>,
    messages: usize,
}

const BROKEN: Verdict = Verdict::Close(1002);

impl<'a> Judge<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Verdict> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Verdict::Half)?;
        self.rest = rest;
        Ok(taken)
    }

    fn frame(&mut self) -> Result<(), Verdict> {
        if self.rest.is_empty() {
            return Err(Verdict::Open);
        }
        let head = self.take(2)?;
        let (is_final, opcode) = (head[0] >= 0x80, head[0] % 16);
        let is_control = opcode >= 8;
        if head[0] & 0x70 != 0 || head[1] < 0x80 || ![0, 1, 2, 8, 9, 10].contains(&opcode) {
            return Err(BROKEN);
        }
        if is_control && (!is_final || head[1] - 0x80 > 125) {
            return Err(BROKEN);
        }
        if !is_control && (opcode == 0) != self.message.is_some() {
            return Err(BROKEN);
        }
        let extended = match head[1] - 0x80 {
            126 => self.take(2 + 4)?,
            127 => self.take(8 + 4)?,
            _ => self.take(4)?,
        };
        let (length, mask) = extended.split_at(extended.len() - 4);
        let length = match length {
            [] => u64::from(head[1] - 0x80),
            bytes => bytes
                .iter()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        };
        if length >= 1 << 63 {
            return Err(BROKEN);
        }
        let before = self.message.as_ref().map_or(0, |(_, bytes)| bytes.len());
        if !is_control && length > (self.max_payload - before) as u64 {
            return Err(Verdict::Close(1009));
        }
        let length = usize::try_from(length).expect("limited");
        let is_whole = length <= self.rest.len();
        let masked = self.take(length.min(self.rest.len()))?;
        let payload: Vec<u8> = masked
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, key)| byte ^ key)
            .collect();
        match opcode {
            8..=10 if !is_whole => Err(Verdict::Half),
            8 => Err(Verdict::Close(close_code(&payload))),
            9 | 10 => Ok(()),
            // Text that is wrong already is not waited for.
            _ if !is_whole => self.data(opcode, false, &payload).and(Err(Verdict::Half)),
            _ => self.data(opcode, is_final, &payload),
        }
    }

    fn data(&mut self, opcode: u8, is_final: bool, payload: &[u8]) -> Result<(), Verdict> {
        let (is_text, mut message) = self.message.take().unwrap_or((opcode == 1, Vec::new()));
        message.extend_from_slice(payload);
        if is_text {
            match str::from_utf8(&message) {
                Err(error) if is_final || error.error_len().is_some() => {
                    return Err(Verdict::Close(1007));
                }
                _ => {}
            }
        }
        if is_final {
            self.messages += 1;
        } else {
            self.message = Some((is_text, message));
        }
        Ok(())
    }
}

/// The code that answers a close frame.
fn close_code(payload: &[u8]) -> u16 {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return if payload.is_empty() { 1005 } else { 1002 };
    };
    match u16::from_be_bytes(*code) {
        _ if str::from_utf8(reason).is_err() => 1007,
        code @ (1000..=1003 | 1007..=1014 | 3000..=4999) => code,
        _ => 1002,
    }
}
