//! Audit events: who did what, when, from where, and what came of it. Their form is OCSF 1.8
//! (<https://schema.ocsf.io/1.8.0/>), and docs/operators.md says where they go.

mod file;
mod folded;
mod ocsf;
mod output;

use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::atomic::AtomicU64;
use std::sync::{LazyLock, OnceLock, mpsc::SyncSender};

use chrono::{DateTime, Utc};
use prometheus_client::metrics::counter::Counter;
use wxmint_ids::{AppId, ClientId, UserId};

pub use self::file::{FOREIGN_LINK, folder_of, is_ours};
use self::ocsf::{ACCOUNT_CHANGE, API_ACTIVITY, AUTHENTICATION, OTHER, PROCESS_ACTIVITY};
pub use self::output::{Audit, close, init, run};
use self::{file::Message, folded::Several};
use super::json_lines;

/// Events that could be written nowhere.
pub(super) static LOST: LazyLock<Counter> = LazyLock::new(Counter::default);
/// Those of them that a line of the file tells of.
static TOLD: AtomicU64 = AtomicU64::new(0);
static OUTPUT: OnceLock<Output> = OnceLock::new();

enum Output {
    Log,
    /// A thread writes the file, so that no login waits for a disk.
    File(SyncSender<Message>),
}

pub fn is_on() -> bool {
    OUTPUT.get().is_some()
}

/// Whether a line of the log would say again what an event says there.
pub fn is_in_log() -> bool {
    matches!(OUTPUT.get(), Some(Output::Log))
}

#[expect(clippy::disallowed_methods, reason = "a line, an event and a minute of lines begin when they are written")]
pub fn now() -> DateTime<Utc> {
    Utc::now()
}

/// An activity of OCSF: its class, its number and its name there, and our own name of the event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Activity(i64, i64, &'static str, &'static str);

impl Activity {
    pub const LOGIN: Self = Self(AUTHENTICATION, 1, "Logon", "login");
    pub const LOGOUT: Self = Self(AUTHENTICATION, 2, "Logoff", "logout");
    pub const BIND: Self = Self(ACCOUNT_CHANGE, OTHER, "Bind", "bind");
    pub const UNBIND: Self = Self(ACCOUNT_CHANGE, OTHER, "Unbind", "unbind");
    pub const BLOCK: Self = Self(ACCOUNT_CHANGE, 9, "Lock", "block");
    pub const UNBLOCK: Self = Self(ACCOUNT_CHANGE, 12, "Unlock", "unblock");
    pub const END: Self = Self(ACCOUNT_CHANGE, OTHER, "End Tokens", "end");
    pub const FORGET: Self = Self(ACCOUNT_CHANGE, 6, "Delete", "forget");
    /// A changed file was read.
    pub const RELOAD: Self = Self(PROCESS_ACTIVITY, OTHER, "Reload", "reload");
    /// Other keys are there, or another key signs.
    pub const KEY_CHANGE: Self = Self(PROCESS_ACTIVITY, OTHER, "Key Change", "key_change");
    /// Events before this one could not be written.
    const LOSS: Self = Self(PROCESS_ACTIVITY, OTHER, "Loss", "loss");

    /// A step of a door, by the activity's name and our own name of the event.
    pub const fn at_door(name: &'static str, code: &'static str) -> Self {
        Self(AUTHENTICATION, OTHER, name, code)
    }

    /// A request that needs a right, by its operation.
    pub fn request(operation: &'static str) -> Self {
        let (activity, name) = match operation {
            "dissolve" | "erase_person" => (4, "Delete"),
            "end" | "end_person" | "block" | "unblock" | "sign" | "replace_access_token" => (3, "Update"),
            _ => (2, "Read"),
        };
        Self(API_ACTIVITY, activity, name, operation)
    }

    /// The change that a request of the admin listener or a command makes in an account.
    pub fn changing_account(operation: &str) -> Option<Self> {
        Some(match operation {
            "dissolve" => Self::UNBIND,
            "block" => Self::BLOCK,
            "unblock" => Self::UNBLOCK,
            "end" | "end_person" => Self::END,
            "forget" | "erase_person" => Self::FORGET,
            _ => return None,
        })
    }
}

/// The sender of a request, and which request it is. By it, audit events have whatever names a request in logs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// `None` for a command.
    pub request_id: Option<String>,
    /// The id of the caller's trace, if it names one.
    pub trace_id: Option<String>,
    /// The client's address, as limits count it. `None` for a command.
    pub address: Option<String>,
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
    /// The changed file that was read, by its label in metrics.
    pub what: Option<&'static str>,
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
}

fn write(event: &Event, now: DateTime<Utc>) {
    let is_written = match OUTPUT.get() {
        None => true,
        Some(Output::Log) => json_lines::of_audit(event, now).and_then(|line| io::stderr().write_all(&line)).is_ok(),
        Some(Output::File(lines)) => output::is_sent(lines, event, now),
    };
    if !is_written {
        LOST.inc();
    }
}
