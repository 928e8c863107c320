//! Which of WeChat's calls are made.

/// A call of WeChat's server API.
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
    /// As metrics name it.
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

    /// Whether a call that may have been received has spent a code, or a session key, so that it cannot be repeated.
    pub(super) fn spends_a_code(self) -> bool {
        match self {
            Self::Code2Session | Self::PhoneNumber | Self::ResetSessionKey => true,
            Self::StableToken | Self::CheckSession => false,
        }
    }
}
