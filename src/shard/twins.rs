//! Shared frames and their compressed twins: made when the first client needs them, once for each size of window.

use std::rc::Rc;

use crate::{
    connection::{Connection, outbox::Frames},
    frame::deflate::Window,
    shard::Shard,
};

/// A twin that has been asked for.
enum Twin {
    /// None of the messages is worth compressing.
    Same,
    Compressed(Rc<Frames>),
}

/// The same messages for many: as they are, and compressed.
pub(crate) struct Twins<'a> {
    shard: &'a Shard,
    plain: Rc<Frames>,
    /// Bytes of the longest message; 0 if none is to be compressed.
    longest: usize,
    /// By the index of the window.
    compressed: [Option<Twin>; Window::COUNT],
}

impl<'a> Twins<'a> {
    /// Shares frames; `compresses` says whether their routes may be compressed.
    pub(crate) fn new(shard: &'a Shard, frames: Frames, compresses: bool) -> Self {
        let wants = |length| shard.compressor().wants(length);
        let mut longest = 0;
        if compresses && wants(frames.length()) {
            longest = Some(frames.longest()).filter(|&it| wants(it)).unwrap_or(0);
        }
        Self {
            shard,
            plain: frames.share(shard.tally()),
            longest,
            compressed: [const { None }; Window::COUNT],
        }
    }

    /// The frames for a connection.
    pub(crate) fn of(&mut self, connection: &Connection) -> &Rc<Frames> {
        let Some(window) = connection.window().filter(|_| self.longest > 0) else {
            return &self.plain;
        };
        // Clients whose windows reach all of the messages share one twin.
        let window = window.reaching(self.longest);
        let (shard, plain) = (self.shard, &self.plain);
        match self.compressed[window.index()].get_or_insert_with(|| make(shard, plain, window)) {
            Twin::Same => &self.plain,
            Twin::Compressed(frames) => frames,
        }
    }
}

fn make(shard: &Shard, plain: &Frames, window: Window) -> Twin {
    let mut frames = Frames::default();
    let mut is_same = true;
    for frame in plain.iter() {
        frames.push(|out| {
            let start = out.len();
            let compressed = (shard.compressor()).push(frame, window, out, shard.metrics());
            is_same &= !compressed;
            out.len() - start
        });
    }
    if is_same {
        return Twin::Same;
    }
    Twin::Compressed(frames.share(shard.tally()))
}
