//! The texts of the pages.

use wxmint_http::ProblemCode;

/// Each has a code, and is in English and Chinese.
const TEXTS: &[[&str; 3]] = &include!("page.json");
/// The states of the page's script.
pub(super) const STATES: [&str; 8] = ["loading", "wait", "scanned", "going", "denied", "busy", "paused", "no_answer"];

pub(super) fn text(code: &str) -> [&'static str; 2] {
    TEXTS.iter().find(|[own, ..]| *own == code).map(|[_, english, chinese]| [*english, *chinese]).unwrap_or_default()
}

/// Why a page cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    Client,
    Address,
    Logout,
    LogoutAddress,
    /// WeChat has sent back another browser, or a second time.
    State,
    NoWay,
    Login(ProblemCode),
}

impl Why {
    /// The code of its text.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Client => "no_client",
            Self::Address => "no_address",
            Self::Logout => "no_logout",
            Self::LogoutAddress => "no_logout_address",
            Self::State => "no_state",
            Self::NoWay => "no_way",
            Self::Login(ProblemCode::BindingRequired) => "not_linked",
            Self::Login(ProblemCode::UserBlocked | ProblemCode::UnionidMissing) => "not_let_in",
            Self::Login(ProblemCode::SnapshotUser) => "snapshot",
            Self::Login(ProblemCode::RateLimited) => "too_many",
            Self::Login(_) => "no_answer",
        }
    }

    /// The problem that the page tells.
    pub(super) fn problem(self) -> Option<ProblemCode> {
        match self {
            Self::LogoutAddress => None,
            Self::Login(code) => Some(code),
            _ => Some(ProblemCode::InvalidRequest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_page_says_is_there_in_both_languages() {
        let pages = include_str!("page.rs").split("t(\"").skip(1).filter_map(|rest| rest.split('"').next());
        let login = |code| Why::Login(code);
        let whys = [Why::Client, Why::Address, Why::Logout, Why::LogoutAddress, Why::State, Why::NoWay].into_iter();
        let logins = ProblemCode::ALL.iter().copied().map(login);
        let said: Vec<_> = pages.chain(STATES).chain(whys.chain(logins).map(Why::code)).collect();
        for code in &said {
            assert!(text(code).iter().all(|text| !text.is_empty()), "{code}");
        }
        for code in [ProblemCode::UserBlocked, ProblemCode::UnionidMissing] {
            assert_eq!(login(code).code(), "not_let_in", "no later try can help");
        }
        let idle: Vec<_> = TEXTS.iter().map(|[code, ..]| code).filter(|code| !said.contains(code)).collect();
        assert!(idle.is_empty() && said.len() > TEXTS.len(), "{idle:?}");
    }
}
