//! The findings on a configuration, and what to do about them: for readiness, and for `wxmint doctor`. Each text is in
//! English and in Chinese.

#[macro_use]
mod message;
pub mod json_places;
mod of_crates;

use std::fmt::{self, Display};
use std::{pin::Pin, sync::Arc};

use serde::Serialize;
use utoipa::ToSchema;

#[doc(hidden)]
pub use self::message::{CATALOG, catalog_entry};
pub use self::message::{Catalog, Message};
pub use self::of_crates::{cure_of_vault, usable};

#[derive(Debug, derive_more::Display, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[display(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Ok,
    Warning,
    /// wxmint does not start or does not become ready, or people cannot log in.
    Fault,
}

/// Examines the configuration of the running process, for 13 s at most.
pub type Doctor = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Vec<Finding>>>> + Send + Sync>;

/// The finding of one check. It never holds a secret, nor a URL that holds one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Finding {
    /// The name of the check.
    pub name: &'static str,
    pub status: Status,
    #[schema(value_type = String)]
    pub found: Message,
    /// Says what to do; empty if nothing is to be done.
    #[schema(value_type = String)]
    pub advice: Message,
}

impl Finding {
    pub fn ok(name: &'static str, found: impl Into<Message>) -> Self {
        Self { name, status: Status::Ok, found: found.into(), advice: Message::default() }
    }

    pub fn warning(name: &'static str, found: impl Into<Message>, advice: impl Into<Message>) -> Self {
        Self { name, status: Status::Warning, found: found.into(), advice: advice.into() }
    }

    pub fn fault(name: &'static str, found: impl Into<Message>, advice: impl Into<Message>) -> Self {
        Self { name, status: Status::Fault, found: found.into(), advice: advice.into() }
    }

    /// How many seconds the clock of this machine is ahead of another, which is a warning if it is `far`.
    pub fn clock(name: &'static str, ahead: f64, far: f64, other: impl Display) -> Self {
        let by = format!("{:.0}", ahead.abs());
        let found =
            if ahead > 0.0 { message!(clock_is_ahead, by, other) } else { message!(clock_is_behind, by, other) };
        if ahead.abs() > far { Self::warning(name, found, message!(set_both_by_ntp)) } else { Self::ok(name, found) }
    }

    pub fn in_chinese(&self) -> Self {
        let [found, advice] = [&self.found, &self.advice].map(|text| format!("{text:#}").into());
        Self { found, advice, ..*self }
    }

    /// A warning that another failure has made the check impossible.
    pub fn unchecked(name: &'static str, because: impl Display) -> Self {
        Self::warning(name, message!(not_checked, because), message!(mend_that_first))
    }
}

/// These findings, and of each of the checks that has none, that it could not be made.
pub fn with_unchecked(mut found: Vec<Finding>, checks: &[&'static str], because: impl Display) -> Vec<Finding> {
    let has_none = |check: &&&str| !found.iter().any(|finding| finding.name == **check);
    let unchecked: Vec<_> = checks.iter().filter(has_none).map(|check| Finding::unchecked(check, &because)).collect();
    found.extend(unchecked);
    found
}

/// How many of something there are: `1 key`, `2 keys`, `2 个密钥`.
pub fn count(number: usize, [english, chinese]: [&str; 2]) -> Message {
    let end = if number == 1 { "" } else { "s" };
    Message::new(format_args!("{number} {english}{end}"), format_args!("{number} {chinese}"))
}

impl Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.advice.is_empty() {
            true => self.found.fmt(f),
            false => message!(fault_and_advice, self.found, self.advice).fmt(f),
        }
    }
}
