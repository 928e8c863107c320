//! The calls of WeChat's server API that wxmint makes.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// Exchanges a login code.
    Code2Session,
    /// Fetches the app's access token.
    StableToken,
    /// Exchanges a phone code.
    PhoneNumber,
    /// Tells whether a session key is the current one.
    CheckSession,
    /// Replaces a session key.
    ResetSessionKey,
}

impl Api {
    /// The name in metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Code2Session => "code2session",
            Self::StableToken => "stable_token",
            Self::PhoneNumber => "getuserphonenumber",
            Self::CheckSession => "checksession",
            Self::ResetSessionKey => "resetusersessionkey",
        }
    }

    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Code2Session => "/sns/jscode2session",
            Self::StableToken => "/cgi-bin/stable_token",
            Self::PhoneNumber => "/wxa/business/getuserphonenumber",
            Self::CheckSession => "/wxa/checksession",
            Self::ResetSessionKey => "/wxa/resetusersessionkey",
        }
    }

    /// Whether the call uses up a code or a session key, so that it cannot be repeated once WeChat may have received
    /// it.
    pub(super) fn spends_a_code(self) -> bool {
        match self {
            Self::Code2Session | Self::PhoneNumber | Self::ResetSessionKey => true,
            Self::StableToken | Self::CheckSession => false,
        }
    }
}
