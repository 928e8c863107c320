//! Why an exchange has not named a person.

use std::time::Duration;

use wxmint_ids::Platform;
use wxmint_upstream::{CallOutcome, Closed, FetchError, PAUSE};

/// Why a platform has not named the person of a code. The error contains no URL, code, secret or text
/// of the platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlatformError {
    /// The platform answered with an error number.
    #[error("{platform} answered error {number}{}", in_parentheses(*word))]
    Refused {
        platform: Platform,
        number: i64,
        /// A word of ours for the number, where the platform has words.
        word: Option<&'static str>,
        meaning: Meaning,
    },
    /// The person has no id of the kind that the app's file asks for. Another id is never taken for
    /// it, because the person would become another user.
    #[error("{platform} named the person without {lacks}, which the app's file has as `identity`")]
    OtherIdentity {
        platform: Platform,
        lacks: &'static str,
    },
    /// The request was not sent: its code is unused and may be sent again, after `retry_after`.
    #[error("the request to {platform} was not sent: {reason}")]
    NotSent {
        platform: Platform,
        reason: String,
        retry_after: Duration,
    },
    /// The request was sent, and no usable answer came: its code may be used up.
    #[error("{platform} gave no usable answer: {reason}")]
    Unanswered { platform: Platform, reason: String },
    /// The platform itself answered, but its answer names no person whom an app can have: the code may
    /// be used up.
    #[error("{platform} gave an answer that cannot be used: {reason}")]
    Unusable { platform: Platform, reason: String },
}

/// The meaning of an error number for a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// The code is wrong, used, expired, or another app's: the mini program must get a new code.
    CodeInvalid,
    /// The operator must mend the configuration at the platform or here: AppID, secret or rights.
    Misconfigured,
    /// The platform has a trouble of its own: the client may try again.
    Busy,
    /// This person logs in too often: the client may try again later.
    SlowDown,
    /// The number is in no list that we know. It is answered as a trouble of the platform, because a
    /// client that was told of a wrong code would ask for codes for ever. The operator must find the
    /// reason.
    Unknown,
}

impl PlatformError {
    pub(crate) fn unanswered(platform: Platform, reason: impl Into<String>) -> Self {
        Self::Unanswered {
            platform,
            reason: reason.into(),
        }
    }

    pub(crate) fn unusable(platform: Platform, reason: impl Into<String>) -> Self {
        Self::Unusable {
            platform,
            reason: reason.into(),
        }
    }

    pub(crate) fn of_fetch(platform: Platform, error: FetchError) -> Self {
        match error {
            FetchError::NotSent(reason) => Self::NotSent {
                platform,
                reason,
                retry_after: PAUSE,
            },
            FetchError::Unanswered(reason) => Self::Unanswered { platform, reason },
        }
    }

    pub(crate) fn of_breaker(platform: Platform, closed: Closed) -> Self {
        Self::NotSent {
            platform,
            reason: closed.to_string(),
            retry_after: PAUSE,
        }
    }

    /// The error in metrics and traces, from a bounded set: a known number, or a word.
    pub fn label(&self) -> String {
        let label = match self {
            Self::Refused {
                meaning: Meaning::Unknown,
                ..
            } => "other",
            Self::Refused {
                word: Some(word), ..
            } => word,
            Self::Refused { number, .. } => return number.to_string(),
            Self::OtherIdentity { .. } => "other_identity",
            Self::NotSent { .. } => "not_sent",
            Self::Unanswered { .. } => "unanswered",
            Self::Unusable { .. } => "unusable",
        };
        label.to_owned()
    }

    /// The outcome that the breaker counts. Most numbers, and an answer that names no person, can be
    /// caused by one client, so they must not affect other clients.
    pub(crate) fn outcome(&self) -> CallOutcome {
        match self {
            Self::Refused {
                meaning: Meaning::Busy,
                ..
            } => CallOutcome::AppFailed,
            Self::Refused { .. } | Self::OtherIdentity { .. } | Self::Unusable { .. } => {
                CallOutcome::Succeeded
            }
            Self::NotSent { .. } | Self::Unanswered { .. } => CallOutcome::Unanswered,
        }
    }
}

fn in_parentheses(word: Option<&str>) -> String {
    word.map(|word| format!(" ({word})")).unwrap_or_default()
}
