//! CPU time, from `/proc`: of the server by thread, of this thread, of the whole machine.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use serde_json::{Value, json};

/// The processes whose use is told.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) servers: Vec<u32>,
    /// What stands between the servers.
    pub(crate) bus: Option<u32>,
}

/// What had been used at one moment.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    /// The servers' thread numbers to their names and CPU time.
    threads: BTreeMap<u32, (String, Duration)>,
    /// All threads of the bus.
    bus: Duration,
    /// Bytes that the bus has read and written so far.
    moved: [u64; 2],
    /// By this generator.
    own: Duration,
    /// By everything on the machine, in clock ticks of 10 ms; what the host took away included.
    machine: u32,
}

impl Usage {
    /// Reads it now; zeros where there is no `/proc` or no such process.
    pub(crate) fn now(Measured { servers, bus }: &Measured) -> Self {
        let of_bus = bus.map(threads).unwrap_or_default();
        Self {
            threads: servers.iter().copied().flat_map(threads).collect(),
            bus: of_bus.values().map(|(_, used)| *used).sum(),
            moved: bus.and_then(moved).unwrap_or_default(),
            own: schedstat("/proc/thread-self/schedstat").unwrap_or_default(),
            machine: machine().unwrap_or(0),
        }
    }

    /// What was used since `earlier`, as parts of a result line: the servers' CPU seconds in all, by
    /// their main threads and by the names of the others; what the bus used and moved; the generator's
    /// share of one core; and how many cores were busy with none of them.
    pub(crate) fn since(&self, earlier: &Self, measured: &Measured, seconds: f64) -> Value {
        let own = self.own.saturating_sub(earlier.own);
        let mut line = json!({
            "generator_busy": rounded(own.as_secs_f64() / seconds),
            "generator_cpu": own.as_secs_f64(),
        });
        if measured.servers.is_empty() {
            return line;
        }
        let mut all = Duration::ZERO;
        let mut main = Duration::ZERO;
        let mut names: BTreeMap<&str, f64> = BTreeMap::new();
        for (thread, (name, now)) in &self.threads {
            let then = earlier
                .threads
                .get(thread)
                .map_or(Duration::ZERO, |it| it.1);
            let used = now.saturating_sub(then);
            all += used;
            if measured.servers.contains(thread) {
                main += used;
            } else if !used.is_zero() {
                *names.entry(name).or_default() += used.as_secs_f64();
            }
        }
        let bus = self.bus.saturating_sub(earlier.bus);
        if measured.bus.is_some() {
            line["bus_cpu"] = bus.as_secs_f64().into();
            let moved = (self.moved.iter().zip(earlier.moved)).map(|(now, then)| now - then);
            line["bus_moved"] = moved.collect::<Vec<_>>().into();
        }
        let machine = Duration::from_millis(10) * (self.machine - earlier.machine);
        line["server_cpu"] =
            json!({ "all": all.as_secs_f64(), "main": main.as_secs_f64(), "others": names });
        line["elsewhere"] =
            rounded(machine.saturating_sub(all + bus + own).as_secs_f64() / seconds).into();
        line
    }
}

/// To two digits, for reading.
pub(crate) fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

fn threads(pid: u32) -> BTreeMap<u32, (String, Duration)> {
    let mut threads = BTreeMap::new();
    for entry in fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let thread = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        // In nanoseconds, where `stat` counts in ticks of 10 ms.
        let on_cpu = schedstat(entry.path().join("schedstat"));
        if let (Some(thread), Some(on_cpu)) = (thread, on_cpu) {
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            threads.insert(thread, (name.trim().into(), on_cpu));
        }
    }
    threads
}

/// The first number of a `schedstat`: time on the CPU.
fn schedstat(path: impl AsRef<Path>) -> Option<Duration> {
    let text = fs::read_to_string(path).ok()?;
    Some(Duration::from_nanos(text.split(' ').next()?.parse().ok()?))
}

/// Bytes that a process has read and written. Sockets count if it uses `read` and `write`, as Redis and NATS do.
fn moved(pid: u32) -> Option<[u64; 2]> {
    let text = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    let field = |name: &str| {
        let mut lines = text.lines();
        lines.find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    };
    Some([field("rchar:")?, field("wchar:")?])
}

/// The first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal.
fn machine() -> Option<u32> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let numbers = text.lines().next()?.split_ascii_whitespace().skip(1);
    let ticks: Vec<u32> = numbers.map_while(|number| number.parse().ok()).collect();
    Some(ticks.iter().take(8).sum::<u32>() - ticks.get(3)? - ticks.get(4)?)
}
