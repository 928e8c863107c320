//! Findings on a configuration, each with advice, for the log, readiness and `wxmint doctor`. This
//! room does not know how a finding is found or shown.
//!
//! Each text stands in English and in Chinese behind a code in `texts.json`; the macro `message!`
//! refuses a code without texts. Errors of wxmint's crates have their Chinese in `of_crates.rs`.

#[macro_use]
mod message;
pub mod json_places;
mod of_crates;

use std::fmt::{self, Display};
use std::{pin::Pin, sync::Arc};

use serde::Serialize;
use utoipa::ToSchema;

pub(crate) use self::message::{CATALOG, catalog_entry};
pub use self::message::{Catalog, Message};
pub use self::of_crates::{cure_of_vault, usable};

/// The result of a check.
#[derive(
    Debug, derive_more::Display, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema,
)]
#[display(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Nothing is wrong.
    Ok,
    /// Something should be improved, or could not be checked.
    Warning,
    /// wxmint does not start or does not become ready, or people cannot log in.
    Fault,
}

/// Examines the configuration of the running process. Takes at most 13 s.
pub type Doctor = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Vec<Finding>>>> + Send + Sync>;

/// The finding of one check. It never holds a secret, nor a URL that holds one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Finding {
    /// The name of the check.
    pub name: &'static str,
    /// The result of the check.
    pub status: Status,
    /// Says what the check found.
    #[schema(value_type = String)]
    pub found: Message,
    /// Says what to do; empty if there is nothing to do.
    #[schema(value_type = String)]
    pub advice: Message,
}

impl Finding {
    /// A check that found nothing wrong.
    pub fn ok(name: &'static str, found: impl Into<Message>) -> Self {
        Self {
            name,
            status: Status::Ok,
            found: found.into(),
            advice: Message::default(),
        }
    }

    /// A check that found something to improve, with advice.
    pub fn warning(
        name: &'static str,
        found: impl Into<Message>,
        advice: impl Into<Message>,
    ) -> Self {
        Self {
            name,
            status: Status::Warning,
            found: found.into(),
            advice: advice.into(),
        }
    }

    /// A check that found a fault ([`Status::Fault`]), with advice.
    pub fn fault(
        name: &'static str,
        found: impl Into<Message>,
        advice: impl Into<Message>,
    ) -> Self {
        Self {
            name,
            status: Status::Fault,
            found: found.into(),
            advice: advice.into(),
        }
    }

    /// A finding on clocks: this machine's clock is `ahead` seconds ahead of the clock of `other`,
    /// or behind it if negative. It is a warning if the difference is more than `far` seconds.
    pub fn clock(name: &'static str, ahead: f64, far: f64, other: impl Display) -> Self {
        let by = format!("{:.0}", ahead.abs());
        let found = if ahead > 0.0 {
            message!(clock_is_ahead, by, other)
        } else {
            message!(clock_is_behind, by, other)
        };
        if ahead.abs() > far {
            Self::warning(name, found, message!(set_both_by_ntp))
        } else {
            Self::ok(name, found)
        }
    }

    /// The same finding with its Chinese texts in both languages.
    pub fn in_chinese(&self) -> Self {
        let [found, advice] = [&self.found, &self.advice].map(|text| format!("{text:#}").into());
        Self {
            found,
            advice,
            ..*self
        }
    }

    /// A warning that a check could not be made because of another failure.
    pub fn unchecked(name: &'static str, because: impl Display) -> Self {
        Self::warning(
            name,
            message!(not_checked, because),
            message!(mend_that_first),
        )
    }
}

/// Adds a warning ([`Finding::unchecked`]) for each of `checks` that has no finding.
pub fn with_unchecked(
    mut found: Vec<Finding>,
    checks: &[&'static str],
    because: impl Display,
) -> Vec<Finding> {
    let unchecked: Vec<_> = checks
        .iter()
        .filter(|check| !found.iter().any(|finding| finding.name == **check))
        .map(|check| Finding::unchecked(check, &because))
        .collect();
    found.extend(unchecked);
    found
}

/// A number with its noun: `1 key`, `2 keys`, `2 个密钥`.
pub fn count(number: usize, [english, chinese]: [&str; 2]) -> Message {
    let end = if number == 1 { "" } else { "s" };
    Message::new(
        format_args!("{number} {english}{end}"),
        format_args!("{number} {chinese}"),
    )
}

impl Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.advice.is_empty() {
            true => self.found.fmt(f),
            false => message!(fault_and_advice, self.found, self.advice).fmt(f),
        }
    }
}
