//! Audit events: who did what, when, from where, and what came of it. Their form is OCSF 1.8
//! (<https://schema.ocsf.io/1.8.0/>), and docs/operators.md says where they go.

mod file;
mod folded;
mod ocsf;
mod output;

use std::{borrow::Cow, path::PathBuf, time::Duration};

use chrono::{DateTime, Utc};
use tokio::signal::unix::{SignalKind, signal};
use wxmint_ids::{AppId, ClientId, UserId};

pub use self::file::{FOREIGN_LINK, folder_of, is_ours};
use self::folded::FOLDED;
pub(super) use self::output::LOST;
pub use self::output::{close, init, is_in_log, is_on};
use self::output::{reopen, write};

const SWEEP: Duration = Duration::from_secs(5);

#[expect(clippy::disallowed_methods, reason = "a line, an event and a minute of lines begin when they are written")]
pub(crate) fn now() -> DateTime<Utc> {
    Utc::now()
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audit {
    /// Into the log, with the target `audit`.
    Log,
    /// Into this file, which they are appended to as JSON lines.
    File(PathBuf),
    Off,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Activity {
    #[default]
    Login,
    Logout,
    Bind,
    Unbind,
    Block,
    Unblock,
    End,
    Forget,
    /// A step of a door: the activity, and our own name of the event.
    AtDoor(&'static str, &'static str),
    /// A request that needs a right, by its operation.
    Request(&'static str),
    /// A changed file was read, by its label in metrics.
    Reload(&'static str),
    /// Other keys are there, or another key signs.
    KeyChange,
    /// Events before this one could not be written.
    Loss,
}

impl Activity {
    /// Our own name of the event.
    pub fn code(self) -> &'static str {
        self.row().3
    }

    /// The change that a request of the admin listener or a command makes in an account.
    pub fn changing_account(operation: &str) -> Option<Self> {
        Some(match operation {
            "dissolve" => Self::Unbind,
            "block" => Self::Block,
            "unblock" => Self::Unblock,
            "end" | "end_person" => Self::End,
            "forget" | "erase_person" => Self::Forget,
            _ => return None,
        })
    }
}

/// The sender of a request, and which request it is. Whatever names a request in logs stands in audit events through
/// this.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// `None` for a command.
    pub request_id: Option<String>,
    /// The id of the caller's trace, if it names one.
    pub trace_id: Option<String>,
    /// The client's address, as limits count it. `None` for a command.
    pub address: Option<String>,
}

/// Several events that were told as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Several {
    count: u32,
    first: DateTime<Utc>,
    last: DateTime<Utc>,
}

#[derive(Debug, Clone, Default)]
pub struct Event {
    pub activity: Activity,
    pub origin: Origin,
    /// The name of the secret's holder, or the command's user. `None` if unknown, or persons act for themselves.
    pub by: Option<String>,
    /// `sub` of the token that the holder has shown in place of a secret.
    pub subject: Option<String>,
    pub user: Option<UserId>,
    pub app: Option<AppId>,
    /// The kind of the app, if it is configured and no mini program.
    pub app_kind: Option<&'static str>,
    /// The page whose token it is about.
    pub client: Option<ClientId>,
    /// A keyed hash of the openid.
    pub person: Option<String>,
    /// Why it was refused or failed: a problem's code, where there is one.
    pub refused: Option<Cow<'static, str>>,
    /// The limit that has refused it, and when that limit lets in again.
    pub limit: Option<&'static str>,
    pub until: Option<DateTime<Utc>>,
    pub new_user: bool,
    /// A note for the reader, which never comes from a client.
    pub note: Option<String>,
    /// Set where events are folded, and by nobody else.
    pub several: Option<Several>,
}

impl Event {
    /// The event is counted for this address if neither a secret nor a person is known.
    pub fn address(&self) -> &str {
        self.origin.address.as_deref().unwrap_or_default()
    }

    pub fn new(activity: Activity, origin: Origin) -> Self {
        Self { activity, origin, ..Self::default() }
    }

    pub fn tell(self) {
        write(&self, now());
    }

    /// Tells an event that `who` can cause without end: at once if it is the first of its kind, and otherwise once a
    /// minute, with the count.
    pub fn tell_bounded(self, who: &str) {
        if !is_on() {
            return;
        }
        let now = now();
        if let Some(event) = FOLDED.admit(who, self, now) {
            write(&event, now);
        }
    }
}

/// Tells what was held back once its minute is over, and opens the file again at SIGHUP, while the process runs.
pub async fn run() {
    // A file that grows past RLIMIT_FSIZE would end the process. With a handler, writing fails instead.
    let _over_limit = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()));
    let mut hangups = if output::is_file() { signal(SignalKind::hangup()).ok() } else { None };
    let mut ticks = tokio::time::interval(SWEEP);
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let now = now();
                FOLDED.due(now).iter().for_each(|event| write(event, now));
            }
            Some(()) = async { hangups.as_mut()?.recv().await } => reopen(),
        }
    }
}
