//! One server of Redis or Valkey.

use redis::Value;

use crate::bus::{
    books::Fate,
    link::{Ask, Failure, Line, Report},
    redis::{
        failure,
        node::{Came, MOST_ASKS, Node},
        pushes::Push,
    },
};

/// The thread of the bus has ended.
struct Gone;

/// Works with a node until it is lost, or until `other` ends. Returns why; `None` if nobody wants the connection any more.
pub(super) async fn run(
    mut node: Node,
    line: &mut Line,
    other: impl Future<Output = Failure>,
) -> Option<Failure> {
    line.reports.send(Report::Connected).await.ok()?;
    let mut other = std::pin::pin!(other);
    let mut asks: Vec<Ask> = Vec::with_capacity(MOST_ASKS);
    loop {
        let came = tokio::select! {
            count = line.asks.recv_many(&mut asks, MOST_ASKS), if node.is_free() => {
                if count == 0 {
                    return None;
                }
                node.obey(&mut asks);
                continue;
            }
            came = node.next() => came,
            failure = &mut other => return Some(failure),
        };
        match tell(line, came).await {
            Ok(None) => {}
            Ok(failure) => return failure,
            Err(Gone) => return None,
        }
    }
}

/// Tells the thread what came. Returns a failure if the node is lost.
async fn tell(line: &Line, came: Came) -> Result<Option<Failure>, Gone> {
    let report = async |report| line.reports.send(report).await.map_err(|_| Gone);
    match came {
        Came::Published(publications, answers) => {
            for (waiting, answer) in publications.into_iter().zip(answers) {
                let ticket = waiting.ticket;
                report(match answer {
                    Value::ServerError(error) => Report::Refused(ticket, failure::why(&error)),
                    _ => Report::Answered(ticket, Fate::Confirmed),
                })
                .await?;
            }
        }
        Came::Pushed(pushes) => {
            for push in pushes {
                report(match push {
                    Push::Message(channel, bytes) => Report::Received(channel, bytes),
                    Push::Foreign => Report::Foreign,
                    Push::Subscribed(channel) => Report::Subscribed(channel),
                    // We asked for the first, and the node tells the last two as a failure.
                    Push::Unsubscribed(_) | Push::Settled | Push::Closed | Push::Overflow => {
                        continue;
                    }
                })
                .await?;
            }
        }
        Came::Elsewhere(errors) => return Ok(errors.first().map(failure::of_server)),
        Came::Lost(failure) => return Ok(Some(failure)),
    }
    Ok(None)
}
