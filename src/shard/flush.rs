//! Writes to each connection that has something new, once per batch.

use std::{mem, rc::Rc};

use crate::{
    border::ending::EndedBy,
    connection::{Connection, output::Flush},
    shard::{Shard, life},
};

/// Writes every connection of the batch once.
pub(crate) fn flush_touched(shard: &Shard) {
    let mut touched = mem::take(&mut *shard.touched.borrow_mut());
    for connection in touched.drain(..) {
        connection.output.unlist();
        flush_or_cut(shard, &connection);
    }
    shard.tally().all_written();
    // The next batch uses the list's memory again, unless it has begun already. Memory for a crowd that has left is freed.
    let open = shard.registry.borrow().open().len();
    touched.shrink_to(8 * open.max(64));
    let mut next = shard.touched.borrow_mut();
    if next.is_empty() {
        *next = touched;
    }
}

/// Writes before the end of the batch if much is queued. The server then holds less.
pub(crate) fn write_much(shard: &Shard) {
    if shard.tally().is_much_unwritten() {
        flush_touched(shard);
    }
}

pub(crate) fn flush_or_cut(shard: &Shard, connection: &Rc<Connection>) {
    if connection.output.flush(shard.metrics()) == Flush::Broken {
        life::cut(shard, connection, EndedBy::Network);
    }
}
