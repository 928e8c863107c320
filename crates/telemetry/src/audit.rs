//! Audit events: who did what, when, from where, and with which outcome. Their form is OCSF 1.8
//! (<https://schema.ocsf.io/1.8.0/>). docs/operators.md says where they are written.

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
use wxmint_ids::{AppId, ClientId, Platform, UserId};

pub use self::file::{FOREIGN_LINK, folder_of, is_ours};
use self::ocsf::{ACCOUNT_CHANGE, API_ACTIVITY, AUTHENTICATION, OTHER, PROCESS_ACTIVITY};
pub use self::output::{Audit, close, init, run};
use self::{file::Message, folded::Several};
use super::json_lines;

/// Counts events that could not be written.
pub(super) static LOST: LazyLock<Counter> = LazyLock::new(Counter::default);
/// How many of the lost events a line of the file reports.
static TOLD: AtomicU64 = AtomicU64::new(0);
static OUTPUT: OnceLock<Output> = OnceLock::new();

enum Output {
    Log,
    /// A thread writes the file, so that no login waits for a disk.
    File(SyncSender<Message>),
}

/// Whether audit events are written at all.
pub fn is_on() -> bool {
    OUTPUT.get().is_some()
}

/// Whether events are written to the log, where another line would repeat them.
pub fn is_in_log() -> bool {
    matches!(OUTPUT.get(), Some(Output::Log))
}

#[expect(
    clippy::disallowed_methods,
    reason = "a line, an event and a minute of lines begin when they are written"
)]
pub fn now() -> DateTime<Utc> {
    Utc::now()
}

/// An activity of OCSF: its class, its number and its name in OCSF, and our own name of the event.
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
    /// The set of signing keys has changed, or another key signs.
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
            "end" | "end_person" | "block" | "unblock" | "sign" | "replace_access_token" => {
                (3, "Update")
            }
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

/// The sender and the ids of a request, with which audit events identify the request as logs do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// `None` for a command.
    pub request_id: Option<String>,
    /// The id of the caller's trace, if it names one.
    pub trace_id: Option<String>,
    /// The client's address, as limits count it. `None` for a command.
    pub address: Option<String>,
}

/// An audit event.
#[derive(Debug, Clone, Default)]
pub struct Event {
    pub activity: Activity,
    pub origin: Origin,
    /// The name of the secret's holder, or of the command's user. `None` if it is unknown, or if a
    /// person acts on their own account.
    pub by: Option<String>,
    /// The `sub` of the token that the holder has sent in place of a secret.
    pub subject: Option<String>,
    /// The user whom the event is about.
    pub user: Option<UserId>,
    pub app: Option<AppId>,
    /// The platform of the app, if the app is configured.
    pub platform: Option<Platform>,
    /// The kind of the app, if it is configured and no mini program.
    pub app_kind: Option<&'static str>,
    /// The client whose token the event is about.
    pub client: Option<ClientId>,
    /// A keyed hash of the openid.
    pub person: Option<String>,
    /// Why the act was refused or failed: a problem's code if there is one. `None` if it succeeded.
    pub refused: Option<Cow<'static, str>>,
    /// The limit that has refused the act.
    pub limit: Option<&'static str>,
    /// When that limit admits again.
    pub until: Option<DateTime<Utc>>,
    /// Whether the login has made a new user.
    pub new_user: bool,
    /// The changed file that was read, by its label in metrics.
    pub what: Option<&'static str>,
    /// A note for the reader, which never comes from a client.
    pub note: Option<String>,
    /// Set only when events are folded.
    pub several: Option<Several>,
}

impl Event {
    /// The address for which the event is counted if neither a secret nor a person is known.
    pub fn address(&self) -> &str {
        self.origin.address.as_deref().unwrap_or_default()
    }

    /// An event without further members. The caller sets those that it knows.
    pub fn new(activity: Activity, origin: Origin) -> Self {
        Self {
            activity,
            origin,
            ..Self::default()
        }
    }

    /// Writes the event.
    pub fn tell(self) {
        write(&self, now());
    }
}

fn write(event: &Event, now: DateTime<Utc>) {
    let is_written = match OUTPUT.get() {
        None => true,
        Some(Output::Log) => json_lines::of_audit(event, now)
            .and_then(|line| io::stderr().write_all(&line))
            .is_ok(),
        Some(Output::File(lines)) => output::is_sent(lines, event, now),
    };
    if !is_written {
        LOST.inc();
    }
}
