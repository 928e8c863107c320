//! Computed user ids: with the same id key, the same person gets the same user id anywhere and at
//! any time.

use aws_lc_rs::hmac;
use base64::{Engine, prelude::BASE64_STANDARD as STANDARD};
use derive_more::{Display, FromStr};
use uuid::Builder;
use zeroize::Zeroizing;

use crate::{Person, Platform, UnionId, UserId, unprintable};

/// The id of WeChat from which a user id is computed. Settings and Redis have these names in lower
/// case.
#[derive(Debug, Display, FromStr, Clone, Copy, PartialEq, Eq)]
#[display(rename_all = "lowercase")]
#[from_str(rename_all = "lowercase")]
pub enum IdKind {
    /// From AppID and openid.
    OpenId,
    /// From the unionid.
    UnionId,
}

/// Why a file is not an id key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidIdKey {
    #[error("the file holds no key")]
    NoKey,
    #[error(
        "must be one line, because an id key does not rotate: under another key everybody gets another id"
    )]
    SeveralLines,
    #[error("must be base64 of 32 bytes, as `wxmint keys id-key` writes it")]
    Form,
}

/// The secret from which user ids are computed. It does not rotate: another key gives every user
/// another id.
pub struct IdKey(hmac::Key);
unprintable!(IdKey);

impl IdKey {
    /// Parses the content of a key file: base64 of 32 bytes, in one line.
    pub fn parse(file: &[u8]) -> Result<Self, InvalidIdKey> {
        match file.trim_ascii() {
            b"" => Err(InvalidIdKey::NoKey),
            lines if lines.contains(&b'\n') => Err(InvalidIdKey::SeveralLines),
            line => {
                let bytes = STANDARD
                    .decode(line)
                    .map(Zeroizing::new)
                    .ok()
                    .filter(|bytes| bytes.len() == 32);
                Ok(Self(hmac::Key::new(
                    hmac::HMAC_SHA256,
                    &bytes.ok_or(InvalidIdKey::Form)?,
                )))
            }
        }
    }

    /// The user id of a person. Somebody who uses several apps has one user id in each.
    pub fn of_openid(&self, person: &Person) -> UserId {
        let app = person.app.as_str();
        let openid = person.openid.as_str();
        match person.platform {
            Platform::WeChat => self.user_id(&["wxmint user id of openid", app, openid]),
            platform => {
                self.user_id(&["wxmint user id of openid at", platform.name(), app, openid])
            }
        }
    }

    /// The user id of all persons with this unionid.
    pub fn of_unionid(&self, unionid: &UnionId) -> UserId {
        let scope = unionid.scope();
        match scope.platform() {
            Platform::WeChat => self.user_id(&["wxmint user id of unionid", unionid.as_str()]),
            platform => self.user_id(&[
                "wxmint user id of unionid at",
                platform.name(),
                scope.word(),
                unionid.as_str(),
            ]),
        }
    }

    /// The fingerprint of the key, 8 hexadecimal digits. It is not secret.
    pub fn fingerprint(&self) -> String {
        let [a, b, c, d, ..] = self.mac(&["wxmint id key"]);
        format!("{:08x}", u32::from_be_bytes([a, b, c, d]))
    }

    /// A UUIDv8 (RFC 9562 section 5.8) from the first 16 bytes of the HMAC.
    fn user_id(&self, parts: &[&str]) -> UserId {
        let uuid = Builder::from_custom_bytes(self.mac(parts)).into_uuid();
        uuid.to_string().parse().expect("a UUID is a user id")
    }

    /// The first 16 bytes of the HMAC-SHA-256 of the parts. Each part follows its length in two
    /// bytes, so that different lists never give the same input. Two bytes are enough, because an
    /// id has at most 256.
    fn mac(&self, parts: &[&str]) -> [u8; 16] {
        let mut bytes = [0; 16];
        let mut mac = hmac::Context::with_key(&self.0);
        for part in parts {
            mac.update(&(part.len() as u16).to_be_bytes());
            mac.update(part.as_bytes());
        }
        bytes.copy_from_slice(&mac.sign().as_ref()[..16]);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::UnionScope;

    const VECTORS: &str = include_str!("../../../examples/user-ids/vectors.json");

    fn key(byte: u8) -> IdKey {
        IdKey::parse(STANDARD.encode([byte; 32]).as_bytes()).expect("a key")
    }

    fn person(app: &str, openid: &str) -> Person {
        Person {
            platform: Platform::WeChat,
            app: app.parse().expect("an AppID"),
            openid: openid.parse().expect("an openid"),
        }
    }

    #[test]
    fn the_vectors_of_the_docs_are_computed() {
        let vectors: serde_json::Value = serde_json::from_str(VECTORS).expect("JSON");
        let text = |value: &serde_json::Value, name: &str| value[name].as_str().map(str::to_owned);
        let of = |value: &serde_json::Value| {
            IdKey::parse(text(value, "id_key").expect("a key").as_bytes()).expect("a key")
        };
        let all = vectors.as_array().expect("a list");
        assert!(all.len() >= 6);
        for vector in all {
            let computed = match text(vector, "unionid") {
                Some(unionid) => of(vector).of_unionid(&unionid.parse().expect("a unionid")),
                None => {
                    let [app, openid] =
                        ["appid", "openid"].map(|name| text(vector, name).expect("a part"));
                    of(vector).of_openid(&person(&app, &openid))
                }
            };
            assert_eq!(
                Some(computed.as_str().to_owned()),
                text(vector, "user_id"),
                "{vector}"
            );
            assert_eq!(
                Some(of(vector).fingerprint()),
                text(vector, "fingerprint"),
                "{vector}"
            );
        }
    }

    #[test]
    fn a_file_that_is_not_one_key_is_refused_with_the_right_form() {
        let (line, refused) = (STANDARD.encode([1; 32]), |file: &str| {
            IdKey::parse(file.as_bytes()).err()
        });
        for whole in [line.clone(), format!("{line}\n"), format!("\n {line}\r\n")] {
            assert_eq!(refused(&whole), None, "{whole:?}");
        }
        for empty in ["", "\n", " \r\n\n"] {
            assert_eq!(refused(empty), Some(InvalidIdKey::NoKey), "{empty:?}");
        }
        for two in [
            format!("{line}\n{line}\n"),
            format!("{line}\n\n{}\n", STANDARD.encode([2; 32])),
        ] {
            assert_eq!(refused(&two), Some(InvalidIdKey::SeveralLines), "{two:?}");
        }
        let short = STANDARD.encode([1; 31]);
        for wrong in [
            &line[1..],
            &short,
            &STANDARD.encode([1; 33]),
            &format!("{line} {line}"),
            "key",
        ] {
            assert_eq!(refused(wrong), Some(InvalidIdKey::Form), "{wrong:?}");
        }
        assert_eq!(format!("{:?}", key(1)), "IdKey(…)");
    }

    /// The two expected ids were computed by another program, with Python's hmac.
    #[test]
    fn equal_ids_of_two_platforms_or_scopes_give_other_users() {
        let key = key(1);
        let of_openid = |platform, app| {
            key.of_openid(&Person {
                platform,
                ..person(app, "o1")
            })
        };
        assert_eq!(
            of_openid(Platform::Douyin, "tt0123456789abcdef").as_str(),
            "be67a9c4-9725-868f-8160-3b7e629f97b9"
        );
        let of_unionid = |platform, word| {
            let scope = UnionScope::new(platform, word).expect("a scope");
            key.of_unionid(&UnionId::new(scope, "u1").expect("a unionid"))
        };
        assert_eq!(
            of_unionid(Platform::Douyin, "shops").as_str(),
            "aa447fea-8617-8026-b493-10f024d82ba4"
        );
        let mut users = HashSet::new();
        for platform in Platform::ALL {
            assert!(users.insert(of_openid(platform, "wx1")), "{platform}");
            assert!(users.insert(of_unionid(platform, "shops")), "{platform}");
            let is_other = users.insert(of_unionid(platform, "games"));
            assert_eq!(is_other, platform != Platform::WeChat, "{platform}");
        }
    }

    #[test]
    fn no_two_people_kinds_or_keys_have_one_id_and_each_is_a_uuid_of_version_8() {
        let unionid: UnionId = "a".parse().expect("a unionid");
        let people = [
            ("wx1", "a"),
            ("wx", "1a"),
            ("wx1a", "b"),
            ("wx1", "ab"),
            ("a", "wx1"),
        ];
        let of = |key: &IdKey| people.map(|(app, openid)| key.of_openid(&person(app, openid)));
        let (one, other) = (key(1), key(2));
        let all = of(&one)
            .into_iter()
            .chain(of(&other))
            .chain([one.of_unionid(&unionid), other.of_unionid(&unionid)]);
        let all: Vec<_> = all.map(|id| id.as_str().to_owned()).collect();
        assert_eq!(
            all.iter().collect::<HashSet<_>>().len(),
            all.len(),
            "{all:?}"
        );
        for id in &all {
            assert!(
                id.len() == 36 && &id[14..15] == "8" && "89ab".contains(&id[19..20]),
                "{id}"
            );
        }
        assert_ne!(one.fingerprint(), other.fingerprint());
    }
}
