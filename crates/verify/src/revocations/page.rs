//! A page of the revocation feed, which the issuer signs and a verifier reads.

use std::{borrow::Cow, fmt, time::Duration};

use serde::de::{Error, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::RevocationHash;

/// The `typ` in the header of a page. No access token has it.
pub const PAGE_TYP: &str = "revocations+jwt";
/// The media type of a page.
pub const PAGE_MEDIA_TYPE: &str = "application/revocations+jwt";
/// The most revocations in one page.
pub const MAX_PAGE_REVOCATIONS: usize = 10_000;
/// The time from a page's `iat` to its `exp`.
pub const PAGE_LIFE: Duration = Duration::from_mins(5);

/// The claims of a page. All times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevocationsPage {
    /// The issuer, as in its tokens.
    pub iss: String,
    /// When the page was made. A page without revocations proves that there were no new ones until
    /// then.
    pub iat: i64,
    /// When the page expires: `iat` plus [`PAGE_LIFE`].
    pub exp: i64,
    /// The cursor after which the page begins; empty if it begins at the oldest revocation.
    pub after: String,
    /// The cursor of the next page. It equals `after` while there are no new revocations.
    pub cursor: String,
    /// Whether there are already more revocations after this page.
    pub more: bool,
    /// At most [`MAX_PAGE_REVOCATIONS`] revocations, the oldest first.
    #[serde(deserialize_with = "known_revocations")]
    pub revoked: Vec<RevocationEntry>,
}

/// One revocation, in JSON an array that begins with its kind: `["sub",H,BEFORE,UNTIL]`,
/// `["app",H,BEFORE,UNTIL]`, `["jti",H,UNTIL]` or `["kid",KID,UNTIL]`. H is a [`RevocationHash`].
/// All times are seconds since 1970. UNTIL is when the last token that the revocation names
/// expires. The revocation is needed until then, plus the leeway of verifiers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RevocationEntry {
    /// Revokes a user's tokens whose `iat` is not after `before`.
    User {
        /// [`RevocationHash::of_user`].
        user: RevocationHash,
        /// The greatest `iat` that is void.
        before: i64,
        /// When the last of these tokens has expired.
        until: i64,
    },
    /// Revokes a user's tokens of one app whose `iat` is not after `before`.
    UserInApp {
        /// [`RevocationHash::of_user_in_app`].
        user_in_app: RevocationHash,
        /// The greatest `iat` that is void.
        before: i64,
        /// When the last of these tokens has expired.
        until: i64,
    },
    /// Revokes one token.
    Token {
        /// [`RevocationHash::of_token`].
        token: RevocationHash,
        /// The token's `exp`.
        until: i64,
    },
    /// Revokes a key: all tokens and pages that it has signed are void.
    Key {
        /// The key's `kid`, not hashed.
        kid: String,
        /// When the last of these tokens has expired.
        until: i64,
    },
}

impl Serialize for RevocationEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::User {
                user,
                before,
                until,
            } => ("sub", user, before, until).serialize(serializer),
            Self::UserInApp {
                user_in_app,
                before,
                until,
            } => ("app", user_in_app, before, until).serialize(serializer),
            Self::Token { token, until } => ("jti", token, until).serialize(serializer),
            Self::Key { kid, until } => ("kid", kid, until).serialize(serializer),
        }
    }
}

/// Reads the revocations whose kinds this version knows. A revocation of an unknown kind is
/// ignored, so that an issuer can be upgraded before its verifiers. A revocation of a known kind
/// must have the right form.
fn known_revocations<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<RevocationEntry>, D::Error> {
    let entries = Vec::<KnownEntry>::deserialize(deserializer)?;
    Ok(entries
        .into_iter()
        .filter_map(|KnownEntry(entry)| entry)
        .collect())
}

/// `None` if the kind is not known.
struct KnownEntry(Option<RevocationEntry>);

impl<'de> Deserialize<'de> for KnownEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(EntryVisitor)
    }
}

struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = KnownEntry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array that begins with the kind of a revocation")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<KnownEntry, A::Error> {
        #[derive(Deserialize)]
        struct Kind<'a>(#[serde(borrow)] Cow<'a, str>);
        let Kind(kind) = next(&mut items)?;
        let entry = match &*kind {
            "sub" => Some(RevocationEntry::User {
                user: next(&mut items)?,
                before: next(&mut items)?,
                until: next(&mut items)?,
            }),
            "app" => Some(RevocationEntry::UserInApp {
                user_in_app: next(&mut items)?,
                before: next(&mut items)?,
                until: next(&mut items)?,
            }),
            "jti" => Some(RevocationEntry::Token {
                token: next(&mut items)?,
                until: next(&mut items)?,
            }),
            "kid" => Some(RevocationEntry::Key {
                kid: next(&mut items)?,
                until: next(&mut items)?,
            }),
            _ => None,
        };
        // A later version may add items to a revocation.
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(KnownEntry(entry))
    }
}

fn next<'de, T: Deserialize<'de>, A: SeqAccess<'de>>(items: &mut A) -> Result<T, A::Error> {
    items
        .next_element()?
        .ok_or_else(|| A::Error::custom("a revocation is too short"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(revoked: &str) -> Result<RevocationsPage, serde_json::Error> {
        let text =
            r#"{"iss":"i","iat":1,"exp":301,"after":"","cursor":"5-0","more":false,"revoked":[…]}"#;
        serde_json::from_str(&text.replace('…', revoked))
    }

    #[test]
    fn a_page_that_was_written_is_read_again() {
        let hash = RevocationHash::of("https://login.example.com", "user-1");
        let revoked = vec![
            RevocationEntry::User {
                user: hash,
                before: 1,
                until: 91,
            },
            RevocationEntry::UserInApp {
                user_in_app: hash,
                before: 2,
                until: 92,
            },
            RevocationEntry::Token {
                token: hash,
                until: 3,
            },
            RevocationEntry::Key {
                kid: "-kid".into(),
                until: 4,
            },
        ];
        let written = RevocationsPage {
            revoked,
            ..page("").expect("a page")
        };
        let json = serde_json::to_string(&written).expect("JSON");
        assert!(json.ends_with(&format!(
            r#""revoked":[["sub","{hash}",1,91],["app","{hash}",2,92],["jti","{hash}",3],["kid","-kid",4]]}}"#
        )));
        assert_eq!(
            serde_json::from_str::<RevocationsPage>(&json).expect("a page"),
            written
        );
    }

    #[test]
    fn claims_that_this_version_does_not_know_are_ignored() {
        let text = r#"{"iss":"i","iat":1,"exp":301,"after":"","cursor":"5-0","more":false,"revoked":[],"later":{"a":[1]}}"#;
        assert_eq!(
            serde_json::from_str::<RevocationsPage>(text).ok(),
            page("").ok()
        );
    }

    #[test]
    fn an_end_of_an_unknown_kind_is_ignored_and_one_of_a_wrong_form_spoils_the_page() {
        let read = |revoked: &str| page(revoked).map(|page| page.revoked.len()).ok();
        assert_eq!(
            read(r#"["device","AAAAAAAAAAAAAAAA",1,{}],["kid","a",1]"#),
            Some(1)
        );
        assert_eq!(read(r#"["kid","a",1,"of a later version"]"#), Some(1));
        for wrong in [
            r"[]",
            r"{}",
            r#""sub""#,
            r"[1]",
            r#"["sub"]"#,
            r#"["sub","AAAAAAAAAAAAAAAA"]"#,
            r#"["sub","AAAAAAAAAAAAAAAA",1]"#,
            r#"["app","AAAAAAAAAAAAAAAA",1]"#,
            r#"["sub","AAAAAAAAAAAAAAAA","1",2]"#,
            r#"["sub","AAAAAAAAAAAAAAAA",1,"2"]"#,
            r#"["sub","AAAAAAAAAAAAAAAA",1.5,2]"#,
            r#"["sub","AAAAAAAAAAAAAAA",1,2]"#,
            r#"["sub","AAAAAAAAAAAAAAAAAAAA",1,2]"#,
            r#"["sub","AAAAAAAAAAAAAAA=",1,2]"#,
            r#"["jti","AAAAAAAAAAAAAAAA",null]"#,
            r#"["kid",1,1]"#,
            r#"["kid","a"]"#,
            r#"["kid","a","1"]"#,
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
