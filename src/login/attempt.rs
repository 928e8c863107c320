//! A login in progress, and the facts about it that an audit event names.

use chrono::{DateTime, Utc};
use wxmint_ids::{AppId, ClientId, Person, UserId};
use wxmint_store::AttemptId;

/// The facts about a login, for its audit event. They are filled in step by step, so that a refused
/// login has those that were found before its refusal.
#[derive(Debug, Default)]
pub struct AuditContext {
    pub app: Option<AppId>,
    pub person: Option<Person>,
    /// The client that gets the token in place of the app.
    pub client: Option<ClientId>,
    pub user: Option<UserId>,
    /// `Some` if this login bound the person: whether it also created the user.
    pub bound: Option<bool>,
}

/// A login in progress: its sender, its time, and the facts that were found so far.
pub struct Attempt<'a> {
    pub(crate) id: AttemptId,
    /// The client's address, by which logins are limited.
    pub(crate) address: &'a str,
    pub(crate) audit_context: &'a mut AuditContext,
    pub(crate) now: DateTime<Utc>,
}
