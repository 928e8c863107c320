//! The settings of logins.

use wxmint_store::limits::Rate;

/// How people are bound to users, and how often they may try.
#[derive(Debug, Clone, Copy)]
pub struct LoginPolicy {
    /// Whether an unbound person gets a new user although the account backend could ask for a
    /// password.
    pub auto_provision: bool,
    /// How many people of one app a user may have.
    pub bindings_per_user: u32,
    /// Whether a login revokes the user's earlier tokens.
    pub single_session: bool,
    /// Logins of an address.
    pub limit_ip: Rate,
    /// Logins of a person.
    pub limit_openid: Rate,
    /// Failed passwords of a person for a user name.
    pub limit_username: Rate,
    /// Requests of pages for a login by a phone that an address may have open at a time.
    pub limit_open_requests: u32,
    /// Phone numbers per day. WeChat bills each of them.
    pub phone_numbers_per_person: u32,
    pub phone_numbers_per_app: u32,
}
