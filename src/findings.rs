//! The findings on a configuration, and what to do about them: for readiness, and for `wxmint doctor`.

mod chinese;

use std::{
    fmt::{self, Display},
    sync::Arc,
};

use serde::Serialize;
use utoipa::ToSchema;

pub use self::chinese::in_chinese;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Ok,
    Warning,
    /// wxmint does not start or does not become ready, or people cannot log in.
    Fault,
}

/// Examines the configuration of the running process. It blocks, for 13 s at most.
pub type Doctor = Arc<dyn Fn() -> Vec<Finding> + Send + Sync>;

/// The finding of one check. It never holds a secret, nor a URL that holds one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Finding {
    /// The name of the check.
    pub name: &'static str,
    pub status: Status,
    pub found: String,
    /// Says what to do; empty if nothing is to be done.
    pub advice: String,
}

impl Finding {
    pub fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, status: Status::Ok, found: found.into(), advice: String::new() }
    }

    pub fn warning(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, status: Status::Warning, found: found.into(), advice: advice.into() }
    }

    pub fn fault(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, status: Status::Fault, found: found.into(), advice: advice.into() }
    }

    /// How many seconds the clock of this machine is ahead of another, which is a warning if it is `far`.
    pub fn clock(name: &'static str, ahead: f64, far: f64, other: impl Display) -> Self {
        let far_off = ahead.abs();
        let found = match ahead > 0.0 {
            true => format!("the clock of this machine is {far_off:.0} s ahead of {other}"),
            false => format!("the clock of this machine is {far_off:.0} s behind {other}"),
        };
        if far_off > far { Self::warning(name, found, "set both by NTP") } else { Self::ok(name, found) }
    }

    /// The same in Chinese, as far as it is in sentences of wxmint's own.
    pub fn in_chinese(&self) -> Self {
        Self { found: in_chinese(&self.found), advice: in_chinese(&self.advice), ..*self }
    }

    /// A warning that another failure has made the check impossible.
    pub fn unchecked(name: &'static str, because: impl Display) -> Self {
        Self::warning(name, format!("not checked: {because}"), "mend that first, then run the doctor again")
    }
}

/// How many of something there are: `1 key`, `2 keys`.
pub fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

impl Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.found)?;
        if self.advice.is_empty() { Ok(()) } else { write!(f, "; {}", self.advice) }
    }
}
