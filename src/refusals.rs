//! Turns every refusal into the problem that the client reads, logs what the operator must know,
//! and gives the reason to the audit.

mod rows;

use std::{fmt::Display, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use wxmint_http::{Problem, ProblemCode as Code};
use wxmint_telemetry::audit::Event;

use crate::clock::{date, now};
use crate::login::{
    AppCallError, AppRefusal, CountError, LoginError, OperatorError, RequestError, ServiceError,
    TokenActionError, Unavailable,
};

/// A refusal, in the forms for the client, the log and the audit.
pub(crate) struct Refusal {
    pub(crate) problem: Problem,
    /// The cause for the log, which is more exact than the problem.
    cause: String,
    /// The limit that has refused the request.
    limit: Option<&'static str>,
    /// When the limit will accept a request again.
    until: Option<DateTime<Utc>>,
}

/// The consequences of an error, besides its text.
pub(crate) struct ProblemRow {
    /// The problem, still without the wait.
    problem: Problem,
    /// The wait after which a repetition may succeed, for `Retry-After`. `None` if a repetition
    /// would fail too.
    retry_after: Option<Duration>,
    /// The limit that refuses the request: one of our own by its name, or `wechat` for WeChat's.
    limit: Option<&'static str>,
    /// Tells errors apart that an operator must mend one by one. `None`: by the error's text.
    mended_by: Option<String>,
}

impl ProblemRow {
    fn new(code: Code, detail: impl Into<String>) -> Self {
        Problem::new(code, detail).into()
    }

    fn retry_after(self, wait: Duration) -> Self {
        Self {
            retry_after: Some(wait),
            ..self
        }
    }

    fn limit(self, limit: &'static str) -> Self {
        Self {
            limit: Some(limit),
            ..self
        }
    }

    fn with_detail(self, detail: &str) -> Self {
        Self {
            problem: self.problem.with_detail(detail),
            ..self
        }
    }
}

impl From<Problem> for ProblemRow {
    fn from(problem: Problem) -> Self {
        Self {
            problem,
            retry_after: None,
            limit: None,
            mended_by: None,
        }
    }
}

/// An error that a client is answered with a problem. [`rows`] has the tables.
pub(crate) trait ClientError: Display {
    fn row(&self) -> ProblemRow;
}

impl Refusal {
    /// Refuses a request with a token.
    pub(crate) fn by_token(error: impl Into<TokenActionError>) -> Self {
        let refusal = Self::from(error.into());
        if let Some(limit) = refusal.limit {
            let kind = format!("by token {limit}");
            let until = refusal.until.map(date);
            bounded!(
                info,
                &kind,
                limit,
                until,
                "a request with a token is refused by a limit"
            );
        }
        refusal
    }

    pub(crate) fn log(&self, took: Duration) {
        let Self { cause, limit, .. } = self;
        let code = self.problem.code.as_str();
        let kind = format!("login {code} {}", limit.unwrap_or_default());
        let until = self.until.map(date);
        let took_us = took.as_micros() as u64;
        bounded!(
            info,
            &kind,
            code,
            cause,
            limit,
            until,
            took_us,
            "login refused"
        );
    }

    /// Audits a refusal that `who` may cause many times, and returns its problem.
    pub(crate) fn tell(self, event: Event, who: &str) -> Problem {
        self.of(event).tell_bounded(who);
        self.problem
    }

    pub(crate) fn of(&self, event: Event) -> Event {
        Event {
            refused: Some(self.problem.code.as_str().into()),
            limit: self.limit,
            until: self.until,
            ..event
        }
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self {
            cause: problem.detail.clone(),
            problem,
            limit: None,
            until: None,
        }
    }
}

/// Logs the cause, and tells the client only what to do.
impl<E: ClientError> From<E> for Refusal {
    fn from(error: E) -> Self {
        let cause = error.to_string();
        let ProblemRow {
            mut problem,
            retry_after,
            limit,
            mended_by,
        } = error.row();
        tell_operator(problem.code, &cause, mended_by.as_deref());
        if let Some(wait) = retry_after {
            problem = problem.retry_after(wait);
        }
        let wait = limit.and(retry_after);
        let wait = wait.and_then(|wait| TimeDelta::from_std(wait).ok());
        Self {
            problem,
            cause,
            limit,
            until: wait.and_then(|wait| now().checked_add_signed(wait)),
        }
    }
}

/// Lets handlers answer these errors by `?`.
macro_rules! problems {
    ($($error:ty),+ $(,)?) => { $(
        impl From<$error> for Problem {
            fn from(error: $error) -> Self {
                Refusal::from(error).problem
            }
        }
    )+ };
}

problems! {
    AppCallError,
    AppRefusal,
    CountError,
    LoginError,
    OperatorError,
    RequestError,
    ServiceError,
    TokenActionError,
    Unavailable,
}

#[expect(
    clippy::cognitive_complexity,
    reason = "each log macro counts as several branches"
)]
fn tell_operator(code: Code, cause: &str, mended_by: Option<&str>) {
    let name = code.as_str();
    match code {
        Code::WechatMisconfigured | Code::PhoneNumbersSpent => {
            let kind = format!("{name} {}", mended_by.unwrap_or(cause));
            let text = "a request failed, and requests like it will fail until the cause is mended";
            bounded!(error, &kind, %cause, code = name, "{text}");
        }
        Code::WechatUnavailable
        | Code::StoreUnavailable
        | Code::AccountsUnavailable
        | Code::PermissionMissing => {
            bounded!(warn, name, %cause, code = name, "a request failed");
        }
        Code::UnionidChanged => {
            bounded!(error, name, %cause, code = name, "a login is refused until an operator decides who the person is");
        }
        _ => tracing::debug!(%cause, code = name, "a request was refused"),
    }
}
