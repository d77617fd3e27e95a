//! Fan-out: one client publishes to a room, the others are its members and each get everything.

use std::{collections::VecDeque, time::Instant};

use serde_json::Value;

use crate::{
    Fault,
    message::Template,
    options::Options,
    window::{Phase, Window},
    wire::{PATIENCE, Swarm},
};

/// A publication under way: when it was sent, and how many members still wait for it.
struct Publication {
    sent: Instant,
    missing: usize,
}

/// Keeps `--in-flight` publications under way until the window is over.
pub(crate) fn run(options: &Options) -> Result<Value, Fault> {
    let members = options.connections;
    let mut swarm = Swarm::open(options, members + 1)?;
    let dialect = options.dialect;
    let join = format!(
        "{}{{\"room\":\"bench\"}}{}",
        dialect.before("join"),
        dialect.after()
    );
    let joined = format!(
        "{}{{\"room\":\"bench\"}}{}",
        dialect.before("joined"),
        dialect.after()
    );
    for member in &mut swarm.clients[..members] {
        member.ask(join.as_bytes(), |answer| answer == joined.as_bytes())?;
    }
    let publish = Template::new(dialect, "publish", "\"room\":\"bench\",", options.bytes);
    let news = Template::new(dialect, "news", "", options.bytes);

    let mut window = Window::new(options);
    let mut due = vec![0_u64; members];
    let mut under_way: VecDeque<Publication> = VecDeque::new();
    let mut oldest = 0_u64;
    let mut ready = Vec::new();
    while window.phase(Instant::now())? != Phase::Over {
        while under_way.front().is_some_and(|it| it.missing == 0) {
            under_way.pop_front();
            oldest += 1;
        }
        if under_way.len() < options.in_flight {
            let sent = Instant::now();
            while under_way.len() < options.in_flight {
                let number = oldest + under_way.len() as u64;
                publish.write(number, &mut swarm.clients[members].out);
                under_way.push_back(Publication {
                    sent,
                    missing: members,
                });
            }
            swarm.clients[members].flush()?;
        }
        swarm.wait(Instant::now() + PATIENCE, &mut ready)?;
        for &index in &ready {
            let now = Instant::now();
            swarm.clients[index].receive(&mut swarm.scratch, |text| {
                let number = news.number(text)?;
                let wanted = due.get_mut(index).ok_or("the publisher got a message")?;
                if number != *wanted {
                    return Err(format!("member {index} got {number}, {wanted} was due").into());
                }
                *wanted += 1;
                let publication = usize::try_from(number - oldest)
                    .ok()
                    .and_then(|at| under_way.get_mut(at))
                    .ok_or("a message that was not published yet")?;
                publication.missing -= 1;
                window.answered(now, now.saturating_duration_since(publication.sent), 1);
                Ok(())
            })?;
        }
    }
    window.result("deliveries", options)
}
