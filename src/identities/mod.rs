//! Services that authenticate by a token that wxmint has not issued, in place of a secret: the
//! token of a Kubernetes ServiceAccount, a SPIFFE JWT-SVID, or a client's own assertion (RFC 7523).
//! This room does not know which rights a service has.
//!
//! - A token counts for one issuer, subject and audience. It lives for 24 hours at most, and an
//!   assertion for 5 minutes. `wxmint-verify` checks it, and refuses `alg` `none` and HS256, tokens
//!   of other kinds, and more than 8 KiB.
//! - Keys come from the issuer's metadata, a URL, a file or the setting itself, over https or from
//!   this machine. They are fetched every few minutes, and at most once in 10 s because of unknown
//!   `kid`s. They are kept for a day while the issuer is away.
//! - The pod's own token is sent to no URL but the one that the setting names.
//!
//! `tests/it/services.rs` has the attacks.

mod issuers;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use reqwest::Url;
use wxmint_upstream::is_secure;
use wxmint_verify::PublishedKeys;

pub use self::issuers::{Issuers, OWN, PeerKeys, examine};
use self::issuers::{Place, Trust};
use crate::findings::{Message, usable};

/// The longest life of a token that is accepted: a day. A projected ServiceAccount token lives for
/// an hour, unless its pod asks for another life.
const LONGEST_LIFE: Duration = Duration::from_hours(24);
/// The longest life of an assertion, which a client makes for one request.
pub const LONGEST_ASSERTION: Duration = Duration::from_mins(5);

const MEMBERS: [&str; 6] = ["issuer", "subject", "audience", "jwks", "ca", "token"];

/// The members of an identity in a configuration file, by name: `issuer`, `subject`, `audience`,
/// `jwks` (a URL, the path of a file, or the set itself), `ca` and `token`.
pub type Members<'a> = BTreeMap<&'static str, &'a str>;

/// Removes the words `NAME=VALUE` of an identity from the words of a line and returns them. Removes
/// none if the line has no `issuer=`. `None` if a name occurs twice.
pub fn take_members<'a>(words: &mut Vec<&'a str>) -> Option<Members<'a>> {
    let mut members = Members::new();
    let mut is_twice = false;
    let names_issuer = words.iter().any(|word| word.starts_with("issuer="));
    words.retain(|word| {
        let (name, value) = word.split_once('=').unwrap_or_default();
        let member = MEMBERS
            .into_iter()
            .find(|member| names_issuer && *member == name);
        is_twice |= member.is_some_and(|member| members.insert(member, value).is_some());
        member.is_none()
    });
    (!is_twice).then_some(members)
}

/// A wrong member of an identity.
#[derive(Debug)]
pub struct WrongMember {
    /// The name of the member.
    pub member: &'static str,
    /// The text of the error, which continues the member's name.
    pub wrong: Message,
}

/// A service, identified by tokens of an issuer with a given subject.
#[derive(Debug, Clone)]
pub struct ServiceIdentity {
    /// The `sub` of the service's tokens.
    pub subject: String,
    trust: Trust,
}

impl ServiceIdentity {
    /// Reads an identity from its members in a file. An error names the wrong member.
    pub fn read(members: &Members<'_>) -> Result<Self, WrongMember> {
        let wrong = |member, wrong| WrongMember { member, wrong };
        let text = |name, fault| {
            members
                .get(name)
                .copied()
                .filter(|text| !text.is_empty())
                .ok_or(wrong(name, fault))
        };
        let path = |name| match members.get(name) {
            Some(path) if !path.starts_with('/') => {
                Err(wrong(name, message!(must_be_absolute_path)))
            }
            path => Ok(path.map(PathBuf::from)),
        };
        let no_keys = || message!(must_be_https_url_or_jwks);
        let issuer = text("issuer", no_keys())?;
        let subject = text("subject", message!(must_be_sub_of_tokens))?;
        let metadata = [
            issuer.trim_end_matches('/'),
            "/.well-known/openid-configuration",
        ]
        .concat();
        let jwks = if members.contains_key("jwks_uri") {
            "jwks_uri"
        } else {
            "jwks"
        };
        let keys = match members.get(jwks).copied() {
            None => Place::Metadata(secure(&metadata).ok_or(wrong("issuer", no_keys()))?),
            Some(path) if path.starts_with('/') => Place::File(path.into()),
            Some(set) if set.starts_with('{') => {
                usable(PublishedKeys::read_of_others(set.as_bytes()))
                    .map_err(|reason| wrong(jwks, message!(has_no_usable_key, reason)))?;
                Place::Given(set.to_owned())
            }
            Some(url) => {
                Place::Url(secure(url).ok_or(wrong(jwks, message!(must_be_https_url_or_path)))?)
            }
        };
        let ca = path("ca")?;
        let token = path("token")?;
        if token.is_some() && !matches!(keys, Place::Url(_)) {
            return Err(wrong("token", message!(needs_jwks_url)));
        }
        let audience = members
            .get("audience")
            .map(|_| text("audience", message!(must_not_be_empty)))
            .transpose()?;
        let issuer = issuer.to_owned();
        let audience = audience.map(str::to_owned);
        let trust = Trust {
            issuer,
            audience,
            longest_life: LONGEST_LIFE,
            keys,
            ca,
            token,
        };
        Ok(Self {
            subject: subject.to_owned(),
            trust,
        })
    }

    /// Reads a client's identity from its members in a file. If they name no issuer and no subject,
    /// the client signs an assertion for each request itself. `jwks_uri` is a URL or the path of a
    /// file. `None` if there are no members.
    pub fn of_client<'a>(
        id: &'a str,
        mut members: Members<'a>,
    ) -> Result<Option<Self>, WrongMember> {
        if members.is_empty() {
            return Ok(None);
        }
        if members.contains_key("jwks_uri") && members.contains_key("jwks") {
            return Err(WrongMember {
                member: "jwks_uri",
                wrong: message!(is_beside_jwks),
            });
        }
        let makes_assertions = !members.contains_key("issuer") && !members.contains_key("subject");
        if makes_assertions {
            members.extend([("issuer", id), ("subject", id)]);
        }
        let mut identity = Self::read(&members)?;
        if makes_assertions {
            identity.trust.longest_life = LONGEST_ASSERTION;
        }
        Ok(Some(identity))
    }

    /// Whether the client signs assertions itself, one for each request.
    pub fn makes_assertions(&self) -> bool {
        self.trust.longest_life == LONGEST_ASSERTION
    }
}

/// Two identities are equal if issuer and subject are, wherever the keys come from.
impl PartialEq for ServiceIdentity {
    fn eq(&self, other: &Self) -> bool {
        (&self.trust.issuer, &self.subject) == (&other.trust.issuer, &other.subject)
    }
}

fn secure(url: &str) -> Option<Url> {
    url.parse().ok().filter(is_secure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_an_identity_are_taken_once_and_only_out_of_a_line_that_names_an_issuer() {
        let taken = |line: &'static str| {
            let mut words: Vec<_> = line.split(' ').collect();
            take_members(&mut words).map(|members| (words, members.len()))
        };
        assert_eq!(
            taken("orders issuer=a subject=b read"),
            Some((vec!["orders", "read"], 2))
        );
        assert_eq!(
            taken("orders token=0123456789 read"),
            Some((vec!["orders", "token=0123456789", "read"], 0))
        );
        assert_eq!(taken("orders issuer=a subject=b subject=c"), None);
        assert_eq!(
            taken("orders issuer=a Subject=b"),
            Some((vec!["orders", "Subject=b"], 1))
        );
    }

    #[test]
    fn a_wrong_member_is_named() {
        let refused = |more: (&'static str, &str)| {
            let members = Members::from([("issuer", "https://k8s"), ("subject", "orders"), more]);
            let wrong = ServiceIdentity::read(&members).err();
            wrong
                .map(|wrong| format!("{} {}", wrong.member, wrong.wrong))
                .unwrap_or_default()
        };
        assert_eq!(refused(("jwks", "/keys.json")), "");
        assert_eq!(refused(("issuer", "https://k8s/")), "");
        assert_eq!(refused(("audience", "")), "audience must not be empty");
        assert_eq!(
            refused(("subject", "")),
            format!("subject {}", message!(must_be_sub_of_tokens))
        );
        for (name, value) in [
            ("issuer", "k8s"),
            ("issuer", "http://k8s"),
            ("jwks", "http://k8s"),
            ("jwks", "keys.json"),
        ] {
            assert!(
                refused((name, value)).starts_with(&format!("{name} must be an https URL")),
                "{value}"
            );
        }
        for (name, value) in [("ca", "ca.crt"), ("token", ""), ("token", "token")] {
            assert_eq!(
                refused((name, value)),
                format!("{name} must be the absolute path of a file")
            );
        }
        let private =
            r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"a","x":"AA","y":"AA","d":"AA"}]}"#;
        assert!(refused(("jwks", private)).contains("private member `d`"));
        // The token would be sent wherever the metadata say.
        assert!(refused(("token", "/token")).starts_with("token needs a `jwks`"));
    }
}
