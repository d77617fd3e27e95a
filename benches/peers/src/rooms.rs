//! Many rooms: one client publishes to each in turn, and only its members get that.
//!
//! Clients and members of a room stay the same, whatever the number of rooms, so that what a message
//! costs depends on that number alone.

use std::{collections::VecDeque, time::Instant};

use serde_json::Value;

use crate::{
    Fault,
    dialect::{Around, Dialect},
    message::Template,
    options::Options,
    swarm::Swarm,
    window::{Phase, Window},
    wire::PATIENCE,
};

/// Joins sent at once: few enough that neither side's socket is ever full.
const JOINS: usize = 200;

/// Keeps `--in-flight` publications under way until the window is over.
pub(crate) fn run(options: &Options) -> Result<Value, Fault> {
    let publisher = options.connections;
    let mut swarm = Swarm::open(options, options.connections + 1)?;
    join_all(&mut swarm, options)?;
    let publish: Vec<Template> = (0..options.rooms)
        .map(|room| {
            let extra = format!("\"room\":\"{}\",", name(room));
            Template::new(options.dialect, "publish", &extra, options.bytes)
        })
        .collect();
    let news = Template::new(options.dialect, "news", "", options.bytes);

    let mut window = Window::new(options);
    // What each client gets next: the number, and when it was sent.
    let mut due = vec![VecDeque::<(u64, Instant)>::new(); options.connections];
    let mut missing = 0;
    let mut next = 0;
    let mut ready = Vec::new();
    let mut now = Instant::now();
    while window.phase(now)? != Phase::Over {
        // A batch of publications, then the next: each is to be sent as one, whatever the rooms.
        if missing == 0 {
            now = Instant::now();
            for _ in 0..options.in_flight {
                let room = usize::try_from(next)? % options.rooms;
                publish[room].write(next, &mut swarm.clients[publisher].out);
                for member in members(room, options) {
                    due[member].push_back((next, now));
                    missing += 1;
                }
                next += 1;
            }
            swarm.clients[publisher].flush()?;
        }
        now = swarm.wait(PATIENCE, &mut ready)?;
        for &client in &ready {
            now = Instant::now();
            swarm.clients[client].receive(&mut swarm.scratch, &mut |text: &[u8]| {
                let number = news.number(text)?;
                let queue = due.get_mut(client).ok_or("the publisher got a message")?;
                match queue.pop_front() {
                    Some((wanted, sent)) if wanted == number => {
                        missing -= 1;
                        let latency = now.saturating_duration_since(sent);
                        window.delivered(now, latency, options.is_remote(client));
                        Ok(())
                    }
                    wanted => Err(format!("{client} got {number}, {wanted:?} was due").into()),
                }
            })?;
        }
    }
    window.result("deliveries", options)
}

/// Room after room takes the next clients, and begins with the first again after the last.
fn members(room: usize, options: &Options) -> impl Iterator<Item = usize> {
    let (first, count) = (room * options.members, options.connections);
    (first..first + options.members).map(move |at| at % count)
}

/// All names have the same length.
fn name(room: usize) -> String {
    format!("room-{room:06}")
}

fn join_all(swarm: &mut Swarm, options: &Options) -> Result<(), Fault> {
    let mut rooms = vec![Vec::new(); options.connections];
    for room in 0..options.rooms {
        for member in members(room, options) {
            rooms[member].push(room);
        }
    }
    for (client, rooms) in rooms.iter().enumerate() {
        for rooms in rooms.chunks(JOINS) {
            let pairs: Vec<_> = rooms
                .iter()
                .map(|room| {
                    let text = |message| joining(options.dialect, message, *room);
                    (text("join"), text("joined"))
                })
                .collect();
            swarm.ask(client, &pairs)?;
        }
    }
    Ok(())
}

fn joining(dialect: Dialect, message: &str, room: usize) -> Vec<u8> {
    let Around { before, after } = dialect.message(message);
    format!("{before}{{\"room\":\"{}\"}}{after}", name(room)).into_bytes()
}
