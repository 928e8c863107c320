//! The secrets and identities of the operators and services that may ask the admin listener, and
//! the rights of each.

use std::{sync::Arc, time::Duration};

use actix_web::HttpRequest;
use arc_swap::ArcSwap;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use derive_more::{Display, FromStr};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wxmint_http::{Problem, ProblemCode, bearer_token, identified, no_valid_token};
use wxmint_verify::peer::NotVerified;

use crate::clock::now;
use crate::findings::{Finding, Message};
use crate::identities::{Issuers, ServiceIdentity, examine, take_members};

/// How many requests of one secret may be in progress at once: four fifths of the listener's
/// connections. Each may wait for Redis or WeChat, and the probes and the other secrets need
/// connections too.
const MOST_AT_ONCE: usize = 400;
/// The fewest characters of a secret. A shorter secret is refused, because it is easier to guess.
const SHORTEST: usize = 32;
const BUSY: Duration = Duration::from_secs(1);

/// A right of a secret, by its word in the file.
#[derive(Debug, Display, FromStr, Clone, Copy, PartialEq, Eq)]
#[display(rename_all = "lowercase")]
#[from_str(rename_all = "lowercase")]
pub(crate) enum Right {
    /// To look users up.
    Read,
    /// To revoke the tokens of users, and to block and unbind users.
    Operate,
    /// To use the app's access token and the users' session keys.
    WeChat,
    /// To receive revocations as security event tokens, on the public listener. Only a line that
    /// names this right has it.
    Events,
}

/// The holder of the secret, or of the service identity, that a request has shown.
#[derive(Clone)]
pub(crate) struct Holder {
    /// For the audit log.
    pub(crate) name: String,
    /// The SHA-256 of the secret, if the holder has one.
    sha256: Option<[u8; 32]>,
    /// The service identity whose tokens the holder shows, if it has no secret.
    pub(crate) identity: Option<ServiceIdentity>,
    pub(super) rights: Vec<Right>,
    room: Arc<Semaphore>,
}

impl Holder {
    pub(super) fn must_have(&self, right: Right) -> Result<(), Problem> {
        if self.has(right) {
            return Ok(());
        }
        let detail = format!(
            "The line of {} in WXMINT_ADMIN_TOKENS_FILE lacks `{right}`.",
            self.name
        );
        Err(Problem::new(ProblemCode::Forbidden, detail))
    }

    /// A permit for one request, which is returned when it is dropped.
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

/// The holders of one file. The type cannot be printed, and does not hold the secrets themselves.
pub struct AdminTokens(Vec<Holder>);

impl AdminTokens {
    /// Reads a line `NAME SECRET [RIGHTS]` or `NAME issuer=… subject=… [RIGHTS]` for each holder.
    /// Without `RIGHTS`, a holder may look users up. A name may stand in several lines, so that a
    /// secret can be replaced without a gap. A file of comments alone has no secrets. The error
    /// never repeats the content of the file.
    pub fn parse(content: &[u8]) -> Result<Self, Message> {
        if content.trim_ascii().is_empty() {
            // An editor may leave a file empty for a moment. A file with only a comment is meant to
            // be so.
            return Err(message!(is_empty_comment_alone_takes_all));
        }
        if !content.ends_with(b"\n") {
            return Err(message!(does_not_end_with_line_break));
        }
        let mut tokens: Vec<Holder> = Vec::new();
        for (number, line) in (1..).zip(content.split(|byte| *byte == b'\n')) {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let wrong = |what: Message| message!(on_line, number, what);
            let line =
                str::from_utf8(line).map_err(|_| wrong(message!(must_be_name_blank_and_secret)))?;
            let holder = read_line(line).map_err(wrong)?;
            if tokens
                .iter()
                .any(|other| (other.sha256, &other.identity) == (holder.sha256, &holder.identity))
            {
                return Err(wrong(message!(secret_stands_twice)));
            }
            tokens.push(holder);
        }
        Ok(Self(tokens))
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Compares with every secret, each in constant time, so that the duration reveals nothing.
    fn holder(&self, shown: &str) -> Option<&Holder> {
        let shown = digest(&SHA256, shown.as_bytes());
        let mut found = None;
        for holder in &self.0 {
            if let Some(own) = &holder.sha256
                && verify_slices_are_equal(own, shown.as_ref()).is_ok()
            {
                found = Some(holder);
            }
        }
        found
    }

    fn identities(&self) -> impl Iterator<Item = (&Holder, &ServiceIdentity)> {
        self.0
            .iter()
            .filter_map(|holder| Some((holder, holder.identity.as_ref()?)))
    }
}

fn read_line(line: &str) -> Result<Holder, Message> {
    let mut words: Vec<_> = line.split_whitespace().collect();
    let members =
        take_members(&mut words).ok_or_else(|| message!(must_be_name_blank_and_secret))?;
    let (name, secret, rights) = match (&words[..], members.is_empty()) {
        ([name, secret, rights @ ..], true) => (*name, Some(*secret), rights),
        ([name, rights @ ..], false) => (*name, None, rights),
        _ => return Err(message!(must_be_name_blank_and_secret)),
    };
    let rights = match rights {
        [] => vec![Right::Read],
        [words] => words
            .split(',')
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map_err(|_| message!(rights_are_wrong))?,
        _ => return Err(message!(must_be_name_blank_and_secret)),
    };
    if name.len() > 64
        || !name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-.@".contains(&byte))
    {
        return Err(message!(name_must_be_at_most_64));
    }
    // Other characters cannot stand in a bearer token (RFC 6750 section 2.1).
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    if secret.is_some_and(|secret| secret.len() < SHORTEST || !secret.bytes().all(is_allowed)) {
        return Err(message!(secret_must_be_at_least_32));
    }
    let identity = secret
        .is_none()
        .then(|| ServiceIdentity::read(&members))
        .transpose();
    let identity = identity.map_err(|wrong| message!("`{}` {}", wrong.member, wrong.wrong))?;
    let sha256 =
        secret.and_then(|secret| digest(&SHA256, secret.as_bytes()).as_ref().try_into().ok());
    Ok(Holder {
        name: name.to_owned(),
        sha256,
        identity,
        rights,
        room: Arc::new(Semaphore::new(MOST_AT_ONCE)),
    })
}

/// The holder of the secret or token that was shown.
pub(crate) enum Shown {
    By(Box<Holder>),
    /// A refused token of an issuer in the file. The log says why.
    RefusedToken,
    ByNobody,
}

/// The admin tokens in use, which change when their file does.
#[derive(Clone)]
pub struct CurrentAdminTokens(Arc<(ArcSwap<AdminTokens>, Issuers)>);

impl CurrentAdminTokens {
    /// `issuer` is wxmint's own issuer URL. The audience of services' tokens is its admin listener,
    /// `{issuer}/admin`.
    pub fn new(tokens: AdminTokens, issuer: &str) -> Self {
        Self(Arc::new((
            ArcSwap::from_pointee(tokens),
            Issuers::new(format!("{issuer}/admin")),
        )))
    }

    /// Fetches and keeps the keys of the services' issuers from now on, on the current runtime.
    pub(crate) fn hold_keys(&self) {
        self.0
            .1
            .hold(self.0.0.load().identities().map(|(_, identity)| identity));
    }

    /// Replaces the tokens in use, after their file has changed.
    pub fn swap(&self, tokens: AdminTokens) {
        self.0.0.store(Arc::new(tokens));
        self.hold_keys();
    }

    pub(super) async fn holder(&self, request: &HttpRequest) -> Result<Holder, Problem> {
        let detail = "Send the secret of an operator, as `Authorization: Bearer …`.";
        let token = bearer_token(request).map_err(|problem| problem.with_detail(detail))?;
        match self.of(token).await? {
            Shown::By(holder) => return Ok(*holder),
            Shown::RefusedToken => {}
            Shown::ByNobody => {
                bounded!(
                    warn,
                    "admin secret",
                    "a secret or token was shown that is not in WXMINT_ADMIN_TOKENS_FILE"
                );
            }
        }
        // The same answer in both cases, because strangers ask too.
        Err(no_valid_token().with_detail(
            "This secret or token is not in the file of WXMINT_ADMIN_TOKENS_FILE, or the token's audience, times or \
             signature are wrong. The log of wxmint says which.",
        ))
    }

    /// The holder of this secret, or of the service identity that this token shows.
    pub(crate) async fn of(&self, shown: &str) -> Result<Shown, Problem> {
        let tokens = self.0.0.load_full();
        let issuers = &self.0.1;
        if let Some(holder) = tokens.holder(shown) {
            return Ok(Shown::By(Box::new(holder.clone())));
        }
        let found = issuers.find(shown, tokens.identities(), now()).await;
        let is_refused = matches!(found, Err(NotVerified::Refused(_)));
        Ok(match identified(found)? {
            Some((holder, _)) => Shown::By(Box::new(holder.clone())),
            None if is_refused => Shown::RefusedToken,
            None => Shown::ByNobody,
        })
    }

    pub(crate) async fn examine(&self) -> Vec<Finding> {
        examine(
            "files",
            self.0.0.load().identities().map(|(_, identity)| identity),
        )
        .await
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
        for wrong in [
            "",
            "alice",
            &SECRET[1..],
            &format!("{SECRET}3"),
            &SECRET.to_uppercase(),
        ] {
            assert_eq!(holder(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_secret_has_the_rights_of_its_line_and_may_read_if_the_line_names_none() {
        let content =
            format!("alice {SECRET}\nbob {OTHER}\twechat,read\nalice {SECRET}2 operate,events\n");
        let tokens = AdminTokens::parse(content.as_bytes()).expect("tokens");
        let rights = |shown: &str| {
            let holder = tokens.holder(shown).expect("a holder");
            [Right::Read, Right::Operate, Right::WeChat, Right::Events]
                .map(|right| holder.must_have(right).is_ok())
        };
        assert_eq!(rights(SECRET), [true, false, false, false]);
        assert_eq!(rights(OTHER), [true, false, true, false]);
        assert_eq!(rights(&format!("{SECRET}2")), [false, true, false, true]);
    }

    #[test]
    fn requests_of_one_secret_leave_room_for_those_of_another() {
        let tokens = AdminTokens::parse(format!("alice {SECRET}\nbob {OTHER}\n").as_bytes())
            .expect("tokens");
        let holder = |shown: &str| tokens.holder(shown).cloned().expect("a holder");
        let mut places: Vec<_> = (0..MOST_AT_ONCE)
            .map(|_| holder(SECRET).place().expect("room"))
            .collect();
        assert_eq!(
            holder(SECRET).place().expect_err("full").code,
            ProblemCode::RateLimited
        );
        assert!(holder(OTHER).place().is_ok());
        places.pop();
        assert!(holder(SECRET).place().is_ok());
    }

    #[test]
    fn a_file_that_cannot_be_used_is_refused_without_repeating_it() {
        let refused = |content: &str| {
            AdminTokens::parse(content.as_bytes())
                .err()
                .map(String::from)
                .unwrap_or_default()
        };
        assert_eq!(refused("# nobody\n"), "");
        for (content, said) in [
            (String::new(), "is empty"),
            ("\n \n".into(), "is empty"),
            // The line may continue with the rights.
            (format!("alice {SECRET}"), "does not end with a line break"),
            (
                "\nalice\n".into(),
                "line 2: must be a name, a blank and a secret",
            ),
            (
                format!("alice {SECRET} read more\n"),
                "line 1: must be a name, a blank and a secret",
            ),
            (format!("al\u{ed}ce {SECRET}\n"), "line 1: a name must be"),
            (
                format!("alice {}\n", &SECRET[1..]),
                "line 1: a secret must be",
            ),
            (format!("alice {SECRET},\n"), "line 1: a secret must be"),
            (
                format!("alice {SECRET}\nbob {SECRET}\n"),
                "line 2: this secret, or this issuer and subject, stands",
            ),
            (
                "a issuer=https://k8s subject=b\nc issuer=https://k8s subject=b\n".into(),
                "line 2: this secret, or this",
            ),
            (
                "a issuer=https://k8s\n".into(),
                "line 1: `subject` must be the `sub` of the tokens, such as",
            ),
            (
                "a issuer=k8s subject=b\n".into(),
                "line 1: `issuer` must be an https URL, or `jwks`",
            ),
            (
                "a issuer=https://k8s subject=b token=/token\n".into(),
                "line 1: `token` needs a `jwks`",
            ),
            (
                "a issuer=https://k8s subject=b subject=c\n".into(),
                "line 1: must be a name, a blank and a secret, or",
            ),
            (
                "a isuer=https://k8s subject=b\n".into(),
                "line 1: rights must be",
            ),
            (
                "a issuer=https://k8s subject=b all\n".into(),
                "line 1: rights must be",
            ),
            (
                format!("a {SECRET} issuer=https://k8s subject=b read\n"),
                "line 1: must be a name, a blank and a secret, or",
            ),
        ] {
            assert!(refused(&content).starts_with(said), "{}", refused(&content));
        }
        for unknown in [
            "more",
            "Read",
            "read,",
            ",read",
            "read,,wechat",
            "read;wechat",
            "*",
            "all",
        ] {
            assert!(
                refused(&format!("alice {SECRET} {unknown}\n"))
                    .starts_with("line 1: rights must be"),
                "{unknown}"
            );
        }
    }
}
