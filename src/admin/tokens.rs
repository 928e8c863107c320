//! The secrets of operators and peers, which the admin listener wants from whoever asks about users, and the rights of
//! each.

use std::{sync::Arc, time::Duration};

use actix_web::HttpRequest;
use arc_swap::ArcSwap;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Digest, SHA256, digest};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wxmint_http::{Problem, ProblemCode, bearer_token, no_valid_token};

use crate::findings::Said;

/// A secret that is easier to guess is refused.
const SHORTEST: usize = 32;
/// How many requests of one secret are worked on at once: four fifths of the listener's connections. Each may wait for
/// Redis or WeChat, and the probes and the other secrets need connections too.
const MOST_AT_ONCE: usize = 400;

const BUSY: Duration = Duration::from_secs(1);

/// A right of a secret, by its word in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Right {
    /// To look users up.
    Read,
    /// To end, block and unbind users.
    Operate,
    /// To use the app's access token and the users' session keys.
    WeChat,
    /// To receive what has been revoked as security event tokens, on the public listener. Only a line that names it has
    /// it.
    Events,
}

impl Right {
    const ALL: [Self; 4] = [Self::Read, Self::Operate, Self::WeChat, Self::Events];
    fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
            Self::WeChat => "wechat",
            Self::Events => "events",
        }
    }
}

/// The holder of the secret that a request has shown.
#[derive(Debug, Clone)]
pub(crate) struct Holder {
    name: String,
    rights: Vec<Right>,
    room: Arc<Semaphore>,
}

impl Holder {
    /// For the audit log.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn rights(&self) -> Vec<&'static str> {
        self.rights.iter().map(|right| right.word()).collect()
    }

    pub(super) fn must_have(&self, right: Right) -> Result<(), Problem> {
        if self.has(right) {
            return Ok(());
        }
        let detail =
            format!("The line of this secret in the file of WXMINT_ADMIN_TOKENS_FILE lacks `{}`.", right.word());
        Err(Problem::new(ProblemCode::Forbidden, detail))
    }

    /// A place for one request, until it is dropped.
    pub(super) fn place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.room).try_acquire_owned().map_err(|_| {
            let detail =
                format!("{MOST_AT_ONCE} requests of this secret are waiting for an answer. Wait, then try again.");
            Problem::new(ProblemCode::RateLimited, detail).retry_after(BUSY)
        })
    }

    pub(crate) fn has(&self, right: Right) -> bool {
        self.rights.contains(&right)
    }
}

/// The holders and the hashes of their secrets. It does not print, and does not hold the secrets themselves.
pub struct AdminTokens(Vec<(Holder, Digest)>);

impl AdminTokens {
    /// Reads a line `NAME SECRET [WHAT]` for each token; without WHAT it may look users up, and no more. Blank lines
    /// and lines that begin with `#` are skipped. A name may stand in several lines, so that a secret can be replaced
    /// without a gap. A file of comments alone has no secrets. The error says why the file cannot be used, and never
    /// repeats what stands in it.
    pub fn parse(content: &[u8]) -> Result<Self, Said> {
        if content.trim_ascii().is_empty() {
            // An editor may leave a file empty for a moment. A comment alone is meant.
            return Err(said!(is_empty_comment_alone_takes_all));
        }
        if !content.ends_with(b"\n") {
            return Err(said!(does_not_end_with_line_break));
        }
        let mut tokens: Vec<(Holder, Digest)> = Vec::new();
        for (number, line) in (1..).zip(content.split(|byte| *byte == b'\n')) {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let wrong = |what: Said| said!(on_line, number, what);
            let line = str::from_utf8(line).map_err(|_| wrong(said!(must_be_name_blank_and_secret)))?;
            let (name, secret, rights) = match line.split_whitespace().collect::<Vec<_>>()[..] {
                [name, secret] => (name, secret, Some(vec![Right::Read])),
                [name, secret, words] => (name, secret, rights(words)),
                _ => return Err(wrong(said!(must_be_name_blank_and_secret))),
            };
            let rights = rights.ok_or_else(|| wrong(said!(rights_are_wrong)))?;
            if name.len() > 64 || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.@".contains(&byte)) {
                return Err(wrong(said!(name_must_be_at_most_64)));
            }
            // Other characters cannot stand in a bearer token (RFC 6750 section 2.1).
            if secret.len() < SHORTEST
                || !secret.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte))
            {
                return Err(wrong(said!(secret_must_be_at_least_32)));
            }
            let hash = digest(&SHA256, secret.as_bytes());
            if tokens.iter().any(|(_, other)| other.as_ref() == hash.as_ref()) {
                return Err(wrong(said!(secret_stands_twice)));
            }
            let room = Arc::new(Semaphore::new(MOST_AT_ONCE));
            tokens.push((Holder { name: name.to_owned(), rights, room }, hash));
        }
        Ok(Self(tokens))
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Compares with every secret, and each in constant time, so that the time taken tells nothing.
    fn holder(&self, shown: &str) -> Option<&Holder> {
        let shown = digest(&SHA256, shown.as_bytes());
        self.0.iter().fold(None, |found, (holder, hash)| {
            let is_equal = verify_slices_are_equal(hash.as_ref(), shown.as_ref()).is_ok();
            if is_equal { Some(holder) } else { found }
        })
    }
}

/// `None` if a word names no right.
fn rights(words: &str) -> Option<Vec<Right>> {
    let right = |word: &str| Right::ALL.into_iter().find(|right| right.word() == word);
    words.split(',').map(right).collect()
}

/// The tokens in use, which change when their file does.
#[derive(Clone)]
pub struct CurrentAdminTokens(Arc<ArcSwap<AdminTokens>>);

impl CurrentAdminTokens {
    pub fn new(tokens: AdminTokens) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(tokens)))
    }

    pub fn swap(&self, tokens: AdminTokens) {
        self.0.store(Arc::new(tokens));
    }

    pub(super) fn holder(&self, request: &HttpRequest) -> Result<Holder, Problem> {
        let detail = "Send the secret of an operator, as `Authorization: Bearer …`.";
        let token = bearer_token(request).map_err(|problem| problem.with_detail(detail))?;
        self.of(token).ok_or_else(|| {
            tracing::warn!("the admin listener was asked with a secret that is not in WXMINT_ADMIN_TOKENS_FILE");
            no_valid_token().with_detail("This secret is not in the file of WXMINT_ADMIN_TOKENS_FILE.")
        })
    }

    /// The holder of this secret.
    pub(crate) fn of(&self, secret: &str) -> Option<Holder> {
        self.0.load().holder(secret).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    const OTHER: &str = "0123456789abcdef0123456789abcdeF";

    #[test]
    fn each_secret_names_its_holder_and_no_other_text_does() {
        let content = format!("# operators\n\nalice {SECRET}\r\n  bob\t{OTHER}\nalice {SECRET}2\n");
        let tokens = AdminTokens::parse(content.as_bytes()).expect("tokens");
        let holder = |shown: &str| tokens.holder(shown).map(|holder| holder.name.clone());
        assert_eq!(holder(SECRET).as_deref(), Some("alice"));
        assert_eq!(holder(OTHER).as_deref(), Some("bob"));
        assert_eq!(holder(&format!("{SECRET}2")).as_deref(), Some("alice"));
        for wrong in ["", "alice", &SECRET[1..], &format!("{SECRET}3"), &SECRET.to_uppercase()] {
            assert_eq!(holder(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_secret_has_the_rights_of_its_line_and_may_read_if_the_line_names_none() {
        let content = format!("alice {SECRET}\nbob {OTHER}\twechat,read\nalice {SECRET}2 operate,events\n");
        let tokens = AdminTokens::parse(content.as_bytes()).expect("tokens");
        let rights = |shown: &str| {
            let holder = tokens.holder(shown).expect("a holder");
            Right::ALL.map(|right| holder.must_have(right).is_ok())
        };
        assert_eq!(rights(SECRET), [true, false, false, false]);
        assert_eq!(rights(OTHER), [true, false, true, false]);
        assert_eq!(rights(&format!("{SECRET}2")), [false, true, false, true]);
    }

    #[test]
    fn requests_of_one_secret_leave_room_for_those_of_another() {
        let tokens = AdminTokens::parse(format!("alice {SECRET}\nbob {OTHER}\n").as_bytes()).expect("tokens");
        let holder = |shown: &str| tokens.holder(shown).cloned().expect("a holder");
        let mut places: Vec<_> = (0..MOST_AT_ONCE).map(|_| holder(SECRET).place().expect("room")).collect();
        assert_eq!(holder(SECRET).place().expect_err("full").code(), ProblemCode::RateLimited);
        assert!(holder(OTHER).place().is_ok());
        places.pop();
        assert!(holder(SECRET).place().is_ok());
    }

    #[test]
    fn a_file_that_cannot_be_used_is_refused_without_repeating_it() {
        let refused =
            |content: &str| AdminTokens::parse(content.as_bytes()).err().map(String::from).unwrap_or_default();
        assert_eq!(refused("# nobody\n"), "");
        for (content, said) in [
            (String::new(), "is empty"),
            ("\n \n".into(), "is empty"),
            // It may go on with its rights.
            (format!("alice {SECRET}"), "does not end with a line break"),
            ("\nalice\n".into(), "line 2: must be a name, a blank and a secret"),
            (format!("alice {SECRET} read more\n"), "line 1: must be a name, a blank and a secret"),
            (format!("al\u{ed}ce {SECRET}\n"), "line 1: a name must be"),
            (format!("alice {}\n", &SECRET[1..]), "line 1: a secret must be"),
            (format!("alice {SECRET},\n"), "line 1: a secret must be"),
            (format!("alice {SECRET}\nbob {SECRET}\n"), "line 2: this secret stands in the file already"),
        ] {
            assert!(refused(&content).starts_with(said), "{}", refused(&content));
        }
        for unknown in ["more", "Read", "read,", ",read", "read,,wechat", "read;wechat", "*", "all"] {
            assert!(refused(&format!("alice {SECRET} {unknown}\n")).starts_with("line 1: rights must be"), "{unknown}");
        }
    }
}
