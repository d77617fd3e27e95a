//! Idle connections: opened, used once, then held for somebody else to measure the server's memory;
//! closed and opened again when told to.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::{
    Fault,
    message::Template,
    options::Options,
    swarm::Swarm,
    wire::{Client, Leaving},
};

/// Says `{"open":N}` on stdout, and again after every line on stdin, which turns open into closed and
/// back; ends with stdin.
pub(crate) fn run(options: &Options) -> Result<Value, Fault> {
    let mut clients = open(options)?;
    say(clients.len())?;
    for line in io::stdin().lines() {
        line?;
        if clients.is_empty() {
            clients = open(options)?;
        } else {
            close(&mut clients)?;
        }
        say(clients.len())?;
    }
    Ok(json!({ "unit": "connections", "count": options.connections }))
}

fn open(options: &Options) -> Result<Vec<Client>, Fault> {
    let mut swarm = Swarm::open(options, options.connections)?;
    let sent = Template::new(options.dialect, "echo", "", options.bytes);
    let expected = Template::new(options.dialect, options.dialect.answer(), "", options.bytes);
    swarm.ask_all(
        |client| sent.text(client as u64),
        |client| expected.text(client as u64),
    )?;
    Ok(swarm.clients)
}

/// Every other client says goodbye, the rest are gone without a word.
fn close(clients: &mut Vec<Client>) -> Result<(), Fault> {
    let ways = [Leaving::Goodbye, Leaving::Reset];
    for (client, how) in clients.drain(..).zip(ways.into_iter().cycle()) {
        client.close(how)?;
    }
    Ok(())
}

fn say(open: usize) -> Result<(), Fault> {
    println!("{}", json!({ "open": open }));
    Ok(io::stdout().flush()?)
}
