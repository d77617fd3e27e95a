//! Which node of a cluster serves which slots, as the nodes tell it.

use std::{fmt, ops::RangeInclusive};

use redis::{ServerError, Value};

use crate::bus::lanes::{Lane, SLOTS};

/// More ranges than slots make no sense.
const MOST_RANGES: usize = SLOTS as usize;

/// Where a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.host.escape_debug();
        if self.host.contains(':') {
            write!(f, "[{host}]:{}", self.port)
        } else {
            write!(f, "{host}:{}", self.port)
        }
    }
}

/// Slots and the node that serves them.
pub(super) type Range = (RangeInclusive<Lane>, Address);

/// Reads what `CLUSTER SLOTS` answered. A node without a host is on the host that was asked.
pub(super) fn read_slots(answer: &Value, asked: &str) -> Option<Vec<Range>> {
    let ranges = items(answer)?;
    if ranges.len() > MOST_RANGES {
        return None;
    }
    ranges
        .iter()
        .map(|range| read_range(range, asked))
        .collect()
}

fn read_range(range: &Value, asked: &str) -> Option<Range> {
    let [first, last, master, ..] = items(range)? else {
        return None;
    };
    let [host, port, ..] = items(master)? else {
        return None;
    };
    let (first, last) = (number(first)?, number(last)?);
    if first > last || last >= SLOTS {
        return None;
    }
    let host = match host {
        Value::Nil => asked.to_owned(),
        Value::BulkString(host) => named(str::from_utf8(host).ok()?, asked),
        Value::SimpleString(host) => named(host, asked),
        _ => return None,
    };
    let port = number(port).filter(|port| *port > 0)?;
    Some((first..=last, Address { host, port }))
}

/// A node that does not know its own name says `?`.
fn named(host: &str, asked: &str) -> String {
    if matches!(host, "" | "?") {
        asked
    } else {
        host
    }
    .to_owned()
}

fn items(value: &Value) -> Option<&[Value]> {
    match value {
        Value::Array(items) => Some(items),
        _ => None,
    }
}

fn number(value: &Value) -> Option<u16> {
    match value {
        Value::Int(number) => u16::try_from(*number).ok(),
        _ => None,
    }
}

/// A node that says who serves a slot.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Redirect {
    /// This one, from now on.
    Moved(Lane, Address),
    /// It is on the way to this one.
    Ask(Lane),
}

/// Reads an error such as `MOVED 12182 127.0.0.1:7002`.
pub(super) fn redirect(error: &ServerError, asked: &str) -> Option<Redirect> {
    let mut words = error.details()?.split_ascii_whitespace();
    let slot = words.next()?.parse().ok().filter(|slot| *slot < SLOTS)?;
    match error.code() {
        "ASK" => Some(Redirect::Ask(slot)),
        "MOVED" => {
            let (host, port) = words.next()?.rsplit_once(':')?;
            let host = host.trim_start_matches('[').trim_end_matches(']');
            let host = named(host, asked);
            let port = port.parse().ok().filter(|port| *port > 0)?;
            Some(Redirect::Moved(slot, Address { host, port }))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    fn range(first: i64, last: i64, host: Value, port: i64) -> Value {
        let node = Value::Array(vec![host, Value::Int(port), text("id")]);
        let replica = Value::Array(vec![text("replica"), Value::Int(9)]);
        Value::Array(vec![Value::Int(first), Value::Int(last), node, replica])
    }

    fn address(host: &str, port: u16) -> Address {
        let host = host.to_owned();
        Address { host, port }
    }

    #[test]
    fn slots_are_read_with_their_masters() {
        let answer = Value::Array(vec![
            range(0, 5, text("10.0.0.1"), 7000),
            range(6, 16_383, Value::Nil, 7001),
            range(7, 7, text(""), 7002),
        ]);
        let expected = vec![
            (0..=5, address("10.0.0.1", 7000)),
            (6..=16_383, address("asked", 7001)),
            (7..=7, address("asked", 7002)),
        ];
        assert_eq!(read_slots(&answer, "asked"), Some(expected));
    }

    #[test]
    fn slots_that_make_no_sense_are_refused() {
        for wrong in [
            Value::Nil,
            Value::Array(vec![Value::Int(1)]),
            Value::Array(vec![range(5, 4, text("a"), 1)]),
            Value::Array(vec![range(0, 16_384, text("a"), 1)]),
            Value::Array(vec![range(0, 1, text("a"), 0)]),
            Value::Array(vec![range(0, 1, text("a"), 65_536)]),
            Value::Array(vec![range(0, 1, Value::Int(1), 1)]),
        ] {
            assert_eq!(read_slots(&wrong, "asked"), None, "{wrong:?}");
        }
    }

    #[test]
    fn redirections_name_the_slot_and_the_node() {
        let read = |line: &str| {
            let value = redis::parse_redis_value(line.as_bytes()).unwrap();
            let Value::ServerError(error) = value else {
                panic!("{value:?} is no error");
            };
            redirect(&error, "asked")
        };
        let moved = |host, port| Some(Redirect::Moved(12, address(host, port)));
        assert_eq!(read("-MOVED 12 10.0.0.1:7002\r\n"), moved("10.0.0.1", 7002));
        assert_eq!(read("-MOVED 12 :7002\r\n"), moved("asked", 7002));
        assert_eq!(read("-MOVED 12 [::1]:7002\r\n"), moved("::1", 7002));
        assert_eq!(read("-MOVED 12 ::1:7002\r\n"), moved("::1", 7002));
        assert_eq!(read("-ASK 12 10.0.0.1:7002\r\n"), Some(Redirect::Ask(12)));
        for wrong in [
            "-MOVED\r\n",
            "-MOVED x y\r\n",
            "-MOVED 16384 a:1\r\n",
            "-MOVED 12 a:0\r\n",
            "-MOVED 12 a\r\n",
            "-CLUSTERDOWN 12 a:1\r\n",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
