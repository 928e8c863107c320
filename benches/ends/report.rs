//! The results, as tables in Markdown and as JSON.

use std::{fmt, time::Duration};

use serde_json::{Value, json};

/// The longest time from the 204 to the refusal that is good enough.
pub(crate) const GOAL: Duration = Duration::from_secs(10);

#[derive(Default)]
pub(crate) struct Report {
    /// In the order of measurement.
    pub(crate) refusals: Vec<Refusals>,
    lines: Vec<Line>,
}

/// How long one peer went on accepting tokens that were ended.
pub(crate) struct Refusals {
    pub(crate) title: &'static str,
    /// Ascending.
    times: Vec<Duration>,
}

/// A measured value.
struct Line {
    /// What is measured, with its unit.
    name: &'static str,
    value: f64,
    decimals: usize,
    /// The target: the value should be at most this.
    goal: Option<f64>,
}

impl Refusals {
    /// `times` must not be empty.
    pub(crate) fn of(title: &'static str, mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self { title, times }
    }

    pub(crate) fn median(&self) -> Duration {
        self.quantile(0.5)
    }

    pub(crate) fn p99(&self) -> Duration {
        self.quantile(0.99)
    }

    pub(crate) fn worst(&self) -> Duration {
        self.quantile(1.0)
    }

    /// The least time within which this part of the tokens was refused.
    fn quantile(&self, part: f64) -> Duration {
        let count = (self.times.len() as f64 * part).ceil() as usize;
        self.times[count.max(1) - 1]
    }
}

impl Report {
    pub(crate) fn add(&mut self, name: &'static str, value: f64, decimals: usize, goal: Option<f64>) {
        self.lines.push(Line { name, value, decimals, goal });
    }

    /// Every value, and the time of each refusal in milliseconds.
    pub(crate) fn to_json(&self, load: &str) -> Value {
        let refusals = self.refusals.iter().map(|peer| {
            let times: Vec<_> = peer.times.iter().map(Duration::as_millis).map(|ms| ms as u64).collect();
            (peer.title.to_owned(), times.into())
        });
        let values = self.lines.iter().map(|line| (line.name.to_owned(), line.value.into()));
        json!({
            "load_average_before": load,
            "refusals_ms": Value::Object(refusals.collect()),
            "values": Value::Object(values.collect()),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [first, ..] = &self.refusals[..] {
            let (logouts, goal) = (first.times.len(), GOAL.as_secs());
            writeln!(
                f,
                "\n| from the 204 to the refusal, {logouts} logouts | median, s | p99, s | worst, s (≤ {goal}) |"
            )?;
            writeln!(f, "|---|--:|--:|--:|")?;
        }
        for peer in &self.refusals {
            let [median, p99, worst] = [peer.median(), peer.p99(), peer.worst()].map(|time| time.as_secs_f64());
            writeln!(f, "| {} | {median:.2} | {p99:.2} | {worst:.2} |", peer.title)?;
        }
        if !self.lines.is_empty() {
            writeln!(f, "\n| | measured | goal |\n|---|--:|--:|")?;
        }
        for Line { name, value, decimals, goal } in &self.lines {
            let goal = goal.map(|goal| format!("≤ {goal}")).unwrap_or_default();
            writeln!(f, "| {name} | {value:.decimals$} | {goal} |")?;
        }
        Ok(())
    }
}
