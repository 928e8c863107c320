//! The texts of the pages.

use wxmint_http::ProblemCode;

/// Each has a code, and is in English and Chinese.
const TEXTS: &[[&str; 3]] = &include!("page.json");
/// The states of the page's script.
pub(super) const STATES: [&str; 8] = ["loading", "wait", "scanned", "going", "denied", "busy", "paused", "no_answer"];
const NOT_POSSIBLE: &str = "not_possible";

pub(super) fn text(code: &str) -> [&'static str; 2] {
    TEXTS.iter().find(|[own, ..]| *own == code).map(|[_, english, chinese]| [*english, *chinese]).unwrap_or_default()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Why {
    /// The codes of its title and text.
    pub(super) title: &'static str,
    pub(super) code: &'static str,
    /// The problem that the page tells.
    pub(super) problem: Option<ProblemCode>,
}

impl Why {
    pub(super) const CLIENT: Self = Self::of_request(NOT_POSSIBLE, "no_client");
    pub(super) const ADDRESS: Self = Self::of_request(NOT_POSSIBLE, "no_address");
    pub(super) const LOGOUT: Self = Self::of_request("not_left", "no_logout");
    pub(super) const LOGOUT_ADDRESS: Self = Self { title: "left", code: "no_logout_address", problem: None };
    /// WeChat has sent back another browser, or a second time.
    pub(super) const STATE: Self = Self::of_request(NOT_POSSIBLE, "no_state");
    pub(super) const NO_WAY: Self = Self::of_request(NOT_POSSIBLE, "no_way");

    const fn of_request(title: &'static str, code: &'static str) -> Self {
        Self { title, code, problem: Some(ProblemCode::InvalidRequest) }
    }

    pub(super) fn of_login(problem: ProblemCode) -> Self {
        let code = match problem {
            ProblemCode::BindingRequired => "not_linked",
            ProblemCode::UserBlocked | ProblemCode::UnionidMissing => "not_let_in",
            ProblemCode::SnapshotUser => "snapshot",
            ProblemCode::RateLimited => "too_many",
            _ => "no_answer",
        };
        Self { title: NOT_POSSIBLE, code, problem: Some(problem) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_page_says_is_there_in_both_languages() {
        let pages = include_str!("page.rs").split("t(\"").skip(1).filter_map(|rest| rest.split('"').next());
        let whys = [Why::CLIENT, Why::ADDRESS, Why::LOGOUT, Why::LOGOUT_ADDRESS, Why::STATE, Why::NO_WAY].into_iter();
        let logins = ProblemCode::ALL.iter().copied().map(Why::of_login);
        let whys = whys.chain(logins).flat_map(|why| [why.title, why.code]);
        let said: Vec<_> = pages.chain(STATES).chain(whys).collect();
        for code in &said {
            assert!(text(code).iter().all(|text| !text.is_empty()), "{code}");
        }
        for code in [ProblemCode::UserBlocked, ProblemCode::UnionidMissing] {
            assert_eq!(Why::of_login(code).code, "not_let_in", "no later try can help");
        }
        let idle: Vec<_> = TEXTS.iter().map(|[code, ..]| code).filter(|code| !said.contains(code)).collect();
        assert!(idle.is_empty() && said.len() > TEXTS.len(), "{idle:?}");
    }
}
