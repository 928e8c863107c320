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
}

impl Api {
    /// As metrics name it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Code2Session => "code2session",
            Self::StableToken => "stable_token",
            Self::PhoneNumber => "getuserphonenumber",
        }
    }

    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Code2Session => "/sns/jscode2session",
            Self::StableToken => "/cgi-bin/stable_token",
            Self::PhoneNumber => "/wxa/business/getuserphonenumber",
        }
    }

    /// Whether a call that may have been received has spent a code, so that it cannot be repeated.
    pub(super) fn spends_a_code(self) -> bool {
        match self {
            Self::Code2Session | Self::PhoneNumber => true,
            Self::StableToken => false,
        }
    }
}
