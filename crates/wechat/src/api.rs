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
    /// Gives the keys for `wx.getUserCryptoManager`.
    EncryptKeys,
    /// Draws a mini-program code.
    MiniProgramCode,
}

impl Api {
    /// In the order of their declaration.
    pub(super) const ALL: [Self; 7] = [
        Self::Code2Session,
        Self::StableToken,
        Self::PhoneNumber,
        Self::CheckSession,
        Self::ResetSessionKey,
        Self::EncryptKeys,
        Self::MiniProgramCode,
    ];

    /// Path, name in metrics, and whether the call uses up a code or a session key.
    fn row(self) -> (&'static str, &'static str, bool) {
        match self {
            Self::Code2Session => ("/sns/jscode2session", "code2session", true),
            Self::StableToken => ("/cgi-bin/stable_token", "stable_token", false),
            Self::PhoneNumber => ("/wxa/business/getuserphonenumber", "getuserphonenumber", true),
            Self::CheckSession => ("/wxa/checksession", "checksession", false),
            Self::ResetSessionKey => ("/wxa/resetusersessionkey", "resetusersessionkey", true),
            Self::EncryptKeys => ("/wxa/business/getuserencryptkey", "getuserencryptkey", false),
            Self::MiniProgramCode => ("/wxa/getwxacodeunlimit", "getwxacodeunlimit", false),
        }
    }

    pub(super) fn path(self) -> &'static str {
        self.row().0
    }

    pub(super) fn name(self) -> &'static str {
        self.row().1
    }

    /// If so, the call cannot be repeated once WeChat may have received it.
    pub(super) fn spends_a_code(self) -> bool {
        self.row().2
    }
}
