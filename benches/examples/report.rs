//! The results, as a table and as JSON.

use std::{collections::BTreeMap, fmt};

use serde_json::{Value, json};

use crate::{running::EXAMPLES, spread::Spread};

/// The measures of each example. CPU time is in microseconds per request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Measure {
    /// Requests without a token to a path that needs none.
    Public,
    /// Requests with tokens that come again and again.
    Known,
    /// Requests with new tokens.
    New,
    /// The sidecar's part of `Known`.
    Sidecar,
    /// Requests per second of `Known`.
    Rate,
}

const COLUMNS: [(Measure, &str, &str); 5] = [
    (Measure::Public, "public_cpu_us", "no token"),
    (Measure::Known, "cpu_us", "token"),
    (Measure::Sidecar, "sidecar_cpu_us", "of it sidecar"),
    (Measure::New, "first_sight_cpu_us", "token, first sight"),
    (Measure::Rate, "rate", "requests/s, token"),
];

/// The values of each measure of each example, in the order of measurement.
#[derive(Default)]
pub(crate) struct Report(BTreeMap<(&'static str, Measure), Vec<f64>>);

impl Report {
    /// Adds one value of an example; an empty name means the back end alone.
    pub(crate) fn add(&mut self, example: &'static str, measure: Measure, value: f64) {
        self.0.entry((example, measure)).or_default().push(value);
    }

    fn spread(&self, example: &'static str, measure: Measure) -> Option<Spread> {
        self.0.get(&(example, measure)).map(|values| Spread::of(values))
    }

    /// Every measure with its spread and its values.
    pub(crate) fn to_json(&self) -> Value {
        let entry = |(&(example, measure), values): (&(&'static str, Measure), &Vec<f64>)| {
            let Spread { median, min, max } = Spread::of(values);
            let (_, key, _) = COLUMNS[COLUMNS.iter().position(|(column, ..)| *column == measure)?];
            let example = if example.is_empty() { "back_end_alone" } else { example };
            Some((format!("{example}.{key}"), json!({"median": median, "min": min, "max": max, "values": values})))
        };
        Value::Object(self.0.iter().filter_map(entry).collect())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{:<26}", "CPU µs a request")?;
        for (_, _, title) in COLUMNS {
            write!(f, "{title:>22}")?;
        }
        let rows = EXAMPLES.iter().map(|example| (example.name, example.title)).chain([("", "the back end alone")]);
        for (name, title) in rows.filter(|(name, _)| self.0.keys().any(|(taken, _)| taken == name)) {
            write!(f, "\n{title:<26}")?;
            for (measure, ..) in COLUMNS {
                let cell = self.spread(name, measure).map(|spread| cell(measure, spread)).unwrap_or_default();
                write!(f, "{cell:>22}")?;
            }
        }
        writeln!(f)
    }
}

/// The median and the range.
fn cell(measure: Measure, Spread { median, min, max }: Spread) -> String {
    let decimals = usize::from(measure != Measure::Rate);
    format!("{median:.decimals$} ({min:.0}–{max:.0})")
}
