//! By what requests are counted, so that nobody has too many.

/// The limits. Each has one name: that of its variable (`WXMINT_LIMIT_IP`), its field of `LoginLimits`, and its label
/// in the log and the audit events. No variable sets the limit of unbindings.
pub(crate) const IP: &str = "ip";
pub const OPENID: &str = "openid";
pub const USERNAME: &str = "username";
pub(super) const UNBINDINGS: &str = "unbindings";

/// The kinds by which requests of a person are counted beside logins. An erasure takes them all.
pub(super) const COUNTED_OF_A_PERSON: [&str; 8] =
    [NAMES, PHONE, CHECK, RESET, ENCRYPT_KEYS, LOGOUTS, UNBINDINGS, AT_DOORS];
/// Failed passwords, by the digest of the user name.
pub(super) const NAMES: &str = "names";
/// Requests that have WeChat asked.
pub(super) const PHONE: &str = "phone";
pub(super) const CHECK: &str = "check";
pub(super) const RESET: &str = "reset";
pub(super) const ENCRYPT_KEYS: &str = "encrypt-keys";
pub(super) const LOGOUTS: &str = "logouts";
/// Requests at the doors, by the first of their names.
pub(crate) const AT_DOORS: &str = "device";
