//! Ends a socket: sends what is queued, then a FIN, and discards what still comes. Closing a socket with unread bytes would reset it,
//! and the client would lose the last bytes that were sent.

use std::{future::poll_fn, io, pin::Pin, rc::Rc, task::Poll, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadBuf},
    time::timeout,
};

use crate::{
    connection::{Connection, Order, output::Flush},
    handshake::refusal::Refusal,
    limits::pending::PendingPlace,
    shard::Shard,
    tasks::signal,
    transport::stream::{Reader, Stream},
};

/// How long the end of a socket may take, so that a close frame or a refusal arrives instead of a reset.
const LINGER: Duration = Duration::from_secs(2);

/// Ends a connection. Boxed, so that no open connection carries it along.
pub(crate) fn linger<'a>(
    shard: &'a Rc<Shard>,
    connection: &'a Connection,
    reader: Reader,
) -> Pin<Box<impl Future<Output = ()> + 'a>> {
    Box::pin(send_and_discard(shard, connection, reader))
}

async fn send_and_discard(shard: &Rc<Shard>, connection: &Connection, mut reader: Reader) {
    let work = async {
        if connection.output.flush(shard.metrics()) == Flush::Broken {
            return;
        }
        let mut closed = false;
        poll_fn(|cx| {
            connection.register(cx);
            if matches!(connection.take_order(), Some(Order::Terminate))
                || connection.output.poll_flush(cx, shard.metrics()).is_ready()
            {
                return Poll::Ready(());
            }
            if !closed && connection.output.is_empty() {
                connection.output.shut_down();
                closed = true;
            }
            let mut scratch = shard.take_scratch();
            let polled = loop {
                let mut buffer = ReadBuf::new(&mut scratch);
                match reader.poll_read(cx, &mut buffer) {
                    Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                    Poll::Ready(_) => break Poll::Ready(()),
                    Poll::Pending => break Poll::Pending,
                }
            };
            shard.return_scratch(scratch);
            polled
        })
        .await;
    };
    let is_over = tokio::select! {
        work = timeout(LINGER, work) => work.is_ok(),
        // Its order does not reach a connection whose number the owner has released.
        () = signal::terminating(shard) => false,
    };
    if !is_over {
        connection.output.cut();
    }
}

/// Sends a refusal, then a FIN, and discards what still comes. Boxed, so that no other handshake carries it along.
pub(crate) fn refuse<'a>(
    shard: &'a Shard,
    pending: &'a mut PendingPlace,
    stream: Stream,
    refusal: &Refusal,
) -> Pin<Box<impl Future<Output = ()> + 'a>> {
    shard.metrics().refuse(refusal.reason);
    answer(shard, pending, stream, refusal.to_response())
}

/// The same with any response.
pub(crate) fn answer<'a>(
    shard: &'a Shard,
    pending: &'a mut PendingPlace,
    stream: Stream,
    response: Vec<u8>,
) -> Pin<Box<impl Future<Output = ()> + 'a>> {
    pending.refused();
    Box::pin(send_answer(shard, pending, stream, response))
}

async fn send_answer(shard: &Shard, pending: &PendingPlace, mut stream: Stream, response: Vec<u8>) {
    let answer = async {
        stream.write_all(&response).await?;
        stream.shutdown().await?;
        // Closing with unread bytes would reset the connection and take the answer with it.
        let mut discarded = [0_u8; 1024];
        while stream.read(&mut discarded).await? > 0 {}
        io::Result::Ok(())
    };
    let is_read = tokio::select! {
        answer = timeout(LINGER, answer) => answer.is_ok(),
        () = pending.told_to_leave() => false,
        () = signal::terminating(shard) => false,
    };
    if !is_read {
        // A client that does not read the refusal in time gets a reset.
        stream.end_with_reset();
    }
}
