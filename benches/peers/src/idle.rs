//! Idle connections: opened, used once, then held for somebody else to measure the server's memory.

use std::io::{self, Read, Write};

use serde_json::{Value, json};

use crate::{Fault, message::Template, options::Options, wire::Swarm};

/// Says `{"open":N}` on stdout, holds until stdin ends.
pub(crate) fn run(options: &Options) -> Result<Value, Fault> {
    let mut swarm = Swarm::open(options, options.connections)?;
    let sent = Template::new(options.dialect, "echo", "", options.bytes);
    let expected = Template::new(options.dialect, options.dialect.answer(), "", options.bytes);
    for (number, client) in (0..).zip(&mut swarm.clients) {
        client.ask(&sent.text(number), |answer| {
            expected.number(answer).is_ok_and(|it| it == number)
        })?;
    }
    println!("{}", json!({ "open": options.connections }));
    io::stdout().flush()?;
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(json!({ "unit": "connections", "count": options.connections }))
}
