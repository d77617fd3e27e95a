//! The loop of one I/O thread: reads the shard's mail, and starts the other tasks.

use std::{rc::Rc, time::Duration};

use tokio::{
    task::{spawn_local, yield_now},
    time::{Instant, interval, sleep, sleep_until},
};

#[cfg(feature = "bus")]
use crate::shard::questions;
use crate::{
    border::mailbox::{Accepted, Mail, StopMode},
    shard::{Shard, drain::Drain, flush, leave, obey, orders, relief, stop},
    tasks::{heartbeat, listener, relief as relieving, serve},
    transport::{listener::Listener, stream::Stream},
};

/// This many events at once, of any connections, are a sign of more to come.
const MANY: usize = 4;
/// How often sockets are looked at again before events are published.
const MOST_LOOKS: usize = 4;
/// When the owner is told that a crowd has left. The second time is for memory that is freed late, by lingering connections or by a
/// busy owner.
const TOLD_AFTER: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(3)];
/// How long bad messages are counted before the owner hears how many there were.
const BAD_INTERVAL: Duration = Duration::from_secs(1);
/// How often owners that share the engine are asked whether they hear, so that one that blocks is known before it gets a client.
const ASK_INTERVAL: Duration = Duration::from_millis(250);

/// Runs a shard on the current thread's runtime until it has stopped.
pub(crate) async fn run(shard: Rc<Shard>, listener: Option<Listener>) {
    if let Some(listener) = listener {
        let mailboxes = shard.shared.mailboxes.clone();
        let task = spawn_local(listener::run(shard.clone(), listener, mailboxes));
        *shard.listener.borrow_mut() = Some(task.abort_handle());
    }
    if let Some(every) = shard.config().heartbeat_interval {
        spawn_local(heartbeat::run(shard.clone(), every));
    }
    spawn_local(publish(shard.clone()));
    spawn_local(tell_when_thinned(shard.clone()));
    spawn_local(tell_of_bad(shard.clone()));
    spawn_local(relieving::run(shard.clone()));
    if shard.config().is_shared && shard.index == 0 {
        spawn_local(ask_owners(shard.clone()));
    }
    work(&shard).await;
}

/// Publishes events once all ready tasks have had their turn, so that the bell rings once for all of their events. While many events
/// come, it also waits for those that arrive meanwhile. A single event never waits.
async fn publish(shard: Rc<Shard>) {
    loop {
        shard.unpublished.notified().await;
        let mut seen = 0;
        for _ in 0..MOST_LOOKS {
            let events = shard.unpublished();
            if events < seen + MANY {
                break;
            }
            seen = events;
            yield_now().await;
        }
        shard.publish();
    }
}

/// Tells the owner each time that a quarter of the sockets or more are gone. Runs for ever; it sleeps while nobody leaves.
async fn tell_when_thinned(shard: Rc<Shard>) {
    loop {
        shard.tasks.thinned.notified().await;
        for wait in TOLD_AFTER {
            sleep(wait).await;
            shard.thinned();
        }
        shard.tasks.told();
    }
}

/// Ends each second that began with a bad message. Runs for ever, and sleeps while no bad message comes.
async fn tell_of_bad(shard: Rc<Shard>) {
    loop {
        shard.has_bad.notified().await;
        sleep(BAD_INTERVAL).await;
        shard.tell_rest();
    }
}

/// Rings the owners, unless there is only one. Runs for ever.
async fn ask_owners(shard: Rc<Shard>) {
    let mut timer = interval(ASK_INTERVAL);
    loop {
        timer.tick().await;
        let owners = shard.shared.owners.all();
        if owners.len() > 1 {
            for owner in owners {
                owner.is_heard();
            }
        }
    }
}

async fn work(shard: &Rc<Shard>) {
    let mailbox = shard.shared.mailboxes[shard.index as usize].clone();
    let mut mail = Vec::new();
    let mut close_deadline = None;
    while !stop::is_done(shard) {
        let drain = shard.drain.borrow().as_ref().map(Drain::next);
        let parts = shard.parts.borrow().next();
        let parts = parts.into_iter().chain(shard.orphans_by.get()).min();
        tokio::select! {
            () = mailbox.take(&mut mail) => {
                for mail in mail.drain(..) {
                    read_mail(shard, mail, &mut close_deadline);
                }
                flush::flush_touched(shard);
                relief::watch_buffers(shard);
            }
            () = shard.tasks.none_left.notified() => {}
            () = shard.parted.notified() => leave::go_on(shard),
            () = until(parts) => leave::go_on(shard),
            () = until(drain) => {
                if stop::drain_on(shard) {
                    read_mail(shard, Mail::Stop(StopMode::Close), &mut close_deadline);
                }
            }
            () = until(close_deadline) => {
                close_deadline = None;
                stop::tell_unclosed(shard);
                stop::stop(shard, StopMode::Terminate);
            }
        }
    }
    // The shard that listens may have waited for this one.
    shard.shared.mailboxes[0].post(Mail::Drained);
    shard.tell_stopped();
}

fn read_mail(shard: &Rc<Shard>, mail: Mail, close_deadline: &mut Option<Instant>) {
    match mail {
        Mail::Commands(owner, bytes) => {
            obey::apply(shard, owner, &bytes);
            shard.shared.buffers.give_back(bytes);
        }
        Mail::Socket(Accepted { stream, arrival }) => {
            // A socket the runtime refuses is closed; its client sees that.
            if let Ok(stream) = Stream::from_std(stream) {
                serve::serve(shard, stream, arrival);
            }
        }
        Mail::Owner(owner) => shard.add_owner(owner),
        Mail::Leave(owner, mode) => leave::leave(shard, &owner, mode),
        Mail::Abandon(owner) => leave::abandon(shard, &owner),
        Mail::Order(order) => orders::carry_out(shard, &order),
        Mail::Ordered(owner, order, outcome) => {
            orders::carried_out(shard, owner, order, outcome);
        }
        #[cfg(feature = "bus")]
        Mail::Question(number, asks, room) => questions::answer_bus(shard, number, asks, &room),
        // Only the bus gets these.
        #[cfg(feature = "bus")]
        Mail::Obeyed(..) | Mail::Counted { .. } => {}
        Mail::Drained => shard.wake_waiting(),
        // Seen after every batch.
        Mail::Full => {}
        Mail::Stop(mode) => {
            if !matches!(mode, StopMode::Drain(_)) {
                close_deadline.get_or_insert(Instant::now() + shard.config().close_timeout);
            }
            stop::stop(shard, mode);
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
