//! The stretch of time that is measured, after the warm-up: its ends, its CPU, its result line.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{
    Fault,
    histogram::Histogram,
    options::Options,
    usage::{Measured, Usage, rounded},
    wire::PATIENCE,
};

/// Counts what happens between two moments.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) start: Instant,
    pub(crate) end: Instant,
    measured: Measured,
    /// Taken at the first look after `start`.
    first: Option<(Instant, Usage)>,
    /// The latest sign of life.
    heard: Instant,
    counted: u64,
    pub(crate) latencies: Histogram,
    /// Those of answers that came from another server.
    remote: Histogram,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    WarmUp,
    Measuring,
    Over,
}

impl Window {
    /// The warm-up begins now.
    pub(crate) fn new(options: &Options) -> Self {
        let now = Instant::now();
        let start = now + options.warm_up;
        Self {
            start,
            end: start + options.seconds,
            measured: Measured {
                servers: options.server_pids.clone(),
                bus: options.bus_pid,
            },
            first: None,
            heard: now,
            counted: 0,
            latencies: Histogram::new(),
            remote: Histogram::new(),
        }
    }

    /// Where `now` lies; takes the first look when the window has begun.
    ///
    /// # Errors
    ///
    /// Nothing was answered for too long.
    pub(crate) fn phase(&mut self, now: Instant) -> Result<Phase, Fault> {
        if now.saturating_duration_since(self.heard) > PATIENCE {
            return Err("no answer for 10 s".into());
        }
        if now >= self.end {
            return Ok(Phase::Over);
        }
        if now < self.start {
            return Ok(Phase::WarmUp);
        }
        if self.first.is_none() {
            let usage = Usage::now(&self.measured);
            self.first = Some((Instant::now(), usage));
        }
        Ok(Phase::Measuring)
    }

    /// `times` answers came, `latency` after what they answer.
    pub(crate) fn answered(&mut self, now: Instant, latency: Duration, times: u64) {
        self.heard = now;
        if self.first.is_some() {
            self.counted += times;
            self.latencies.record(latency, times);
        }
    }

    /// One answer came, which crossed from one server to another if `is_remote`.
    pub(crate) fn delivered(&mut self, now: Instant, latency: Duration, is_remote: bool) {
        self.answered(now, latency, 1);
        if is_remote && self.first.is_some() {
            self.remote.record(latency, 1);
        }
    }

    /// The result line; `unit` is what was counted, as in `messages`.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
    pub(crate) fn result(self, unit: &str, options: &Options) -> Result<Value, Fault> {
        let (start, before) = self.first.ok_or("the window was never reached")?;
        let seconds = start.elapsed().as_secs_f64();
        let mut line = Usage::now(&self.measured).since(&before, &self.measured, seconds);
        if self.counted == 0 {
            return Err("nothing was answered in the window".into());
        }
        line["unit"] = unit.into();
        line["count"] = self.counted.into();
        line["seconds"] = seconds.into();
        line["per_second"] = rounded(self.counted as f64 / seconds).into();
        line["p50_us"] = rounded(self.latencies.percentile(0.5)).into();
        line["p90_us"] = rounded(self.latencies.percentile(0.9)).into();
        line["p99_us"] = rounded(self.latencies.percentile(0.99)).into();
        if !self.remote.is_empty() {
            line["remote_p50_us"] = rounded(self.remote.percentile(0.5)).into();
            line["remote_p99_us"] = rounded(self.remote.percentile(0.99)).into();
        }
        line["connections"] = options.connections.into();
        Ok(line)
    }
}
