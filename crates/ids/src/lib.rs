//! The identifiers that come from WeChat and from its client on phones. Each is parsed once, where
//! it enters; all other code trusts the type. The identifiers in tokens are those of the verifier's
//! crate: [`AppId`], [`UserId`], [`TokenId`].
//!
//! The limits are wider than the forms that WeChat uses today, because WeChat does not promise
//! those forms. The limits guarantee that a value can stand in a Redis key, a log line and a URL
//! without being escaped.

mod foreign;
mod platform;
mod user_ids;

pub use foreign::{ClientId, InvalidForeignId, foreign_id, is_visible, parsed};
pub use platform::{IdText, OpenId, Platform, UnionId, UnionScope};
pub use user_ids::{IdKey, IdKind, InvalidIdKey};
use wxmint_verify::identifier;
pub use wxmint_verify::ids::{AppId, InvalidId, TokenId, UserId};

/// `Debug` that hides the value, because secrets, one-time codes and the identifiers of people must
/// not reach a log.
#[doc(hidden)]
#[macro_export]
macro_rules! unprintable {
    ($name:ident) => {
        impl ::std::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    };
}

const WORD: &str = "letters, digits, `_` and `-`";

/// Whether a byte is a character of base64url. WeChat's codes and openids consist of these
/// characters.
pub fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

identifier! {
    /// The one-time code of `wx.login`, or of another platform's login: in practice 32 letters and
    /// digits, valid for 5 minutes and for one use. Other platforms' codes have further characters.
    /// Spaces are allowed because WeChat's developer tools without an AppID send `the code is a mock
    /// one`: this is answered as a wrong code, not as a malformed request ([`is_code_of_wechat`]).
    LoginCode, 1024, "visible ASCII characters", |byte| (b' '..=b'~').contains(&byte)
}
unprintable!(LoginCode);

/// Whether a [`LoginCode`] or [`PhoneCode`] has only characters that WeChat uses in codes. Any
/// other code, such as `the code is a mock one`, is wrong without asking WeChat.
pub fn is_code_of_wechat(code: &str) -> bool {
    code.bytes().all(is_base64url)
}

identifier! {
    /// The one-time code of the button `open-type="getPhoneNumber"`, valid for 5 minutes and for
    /// one use. It is not the code of `wx.login`.
    PhoneCode, 256, "visible ASCII characters", |byte| (b' '..=b'~').contains(&byte)
}
unprintable!(PhoneCode);

/// One person in one app of a platform. All of a person's data is stored under these three.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Person {
    pub platform: Platform,
    pub app: AppId,
    pub openid: OpenId,
}

/// A phone number that WeChat has verified. It never gets into a token or a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Phone {
    /// The number, preceded by the country code if it is a foreign number.
    pub number: String,
    /// The number without the country code.
    pub pure_number: String,
    /// The country code, such as `86`.
    pub country_code: String,
}
unprintable!(Phone);

/// Compact encodings of identifiers, for values and hash fields in Redis. Each person has four of
/// them, so that text would cost a third of all memory. In the names of Redis keys, identifiers are
/// text.
///
/// An encoding begins with the byte 1, with which no text begins. A UUID in lower case then has its
/// 16 bytes, an openid or a unionid of 28 characters has the 21 bytes that its base64url decodes
/// to, and an AppID of the usual form has the 8 bytes of its digits. Any other identifier is its
/// text. A person or a unionid of another platform than WeChat begins with the byte 2 and the number
/// of the platform.
pub mod packed {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as URL_SAFE_NO_PAD};
    use uuid::Uuid;

    use crate::{AppId, OpenId, Person, Platform, UnionId, UnionScope, UserId};

    /// The bytes do not encode the kind of identifier that the text names.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
    #[error("{0} cannot be read")]
    pub struct Unreadable(pub &'static str);

    type Result<T> = std::result::Result<T, Unreadable>;

    const PACKED: u8 = 1;
    /// The number of a platform follows.
    const OF_PLATFORM: u8 = 2;

    /// Encodes a user id.
    pub fn user(user: &UserId) -> Vec<u8> {
        let text = user.as_str();
        match Uuid::try_parse(text) {
            Ok(uuid) if *uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == *text => {
                packed(uuid.as_bytes())
            }
            _ => text.into(),
        }
    }

    /// Decodes [`user`].
    pub fn read_user(bytes: &[u8]) -> Result<UserId> {
        let text = match bytes {
            [PACKED, uuid @ ..] => Uuid::from_slice(uuid)
                .map(|uuid| uuid.to_string())
                .unwrap_or_default(),
            text => str::from_utf8(text).unwrap_or_default().to_owned(),
        };
        text.parse().map_err(|_| Unreadable("a user id"))
    }

    /// Encodes a unionid.
    pub fn unionid(unionid: &UnionId) -> Vec<u8> {
        let id = packed_id(unionid.as_str());
        match unionid.scope().platform() {
            Platform::WeChat => id,
            platform => {
                let word = unionid.scope().word();
                [&of_platform(platform)[..], word.as_bytes(), b":", &id].concat()
            }
        }
    }

    /// Decodes [`unionid`].
    pub fn read_unionid(bytes: &[u8]) -> Result<UnionId> {
        decoded_unionid(bytes).ok_or(Unreadable("a unionid"))
    }

    fn decoded_unionid(bytes: &[u8]) -> Option<UnionId> {
        let (platform, bytes) = read_platform(bytes)?;
        if platform == Platform::WeChat {
            return read_packed_id(bytes).parse().ok();
        }
        let (word, id) = at_colon(bytes)?;
        let scope = UnionScope::new(platform, word).ok()?;
        UnionId::new(scope, &read_packed_id(id)).ok()
    }

    /// Encodes a person, for the list of a user's persons: the app, and then the openid.
    pub fn person(person: &Person) -> Vec<u8> {
        let app = app(person.platform, &person.app);
        [&app[..], &packed_id(person.openid.as_str())].concat()
    }

    /// Encodes an app. The encodings of an app's persons begin with these bytes, and no encodings
    /// of another app's persons do. An AppID as text ends with a colon, which no AppID or openid
    /// contains.
    pub fn app(platform: Platform, app: &AppId) -> Vec<u8> {
        if platform != Platform::WeChat {
            return [&of_platform(platform)[..], app.as_str().as_bytes(), b":"].concat();
        }
        let number = app
            .as_str()
            .strip_prefix("wx")
            .and_then(|digits| u64::from_str_radix(digits, 16).ok());
        match number.filter(|number| *usual_app(*number) == *app.as_str()) {
            Some(number) => packed(&number.to_be_bytes()),
            None => [app.as_str(), ":"].concat().into(),
        }
    }

    /// Whether an encoding of a person is of this app of any platform.
    pub fn is_in_app(person: &[u8], app: &AppId) -> bool {
        read_platform(person)
            .is_some_and(|(platform, _)| person.starts_with(&self::app(platform, app)))
    }

    fn usual_app(number: u64) -> String {
        format!("wx{number:016x}")
    }

    /// Decodes [`person`].
    pub fn read_person(bytes: &[u8]) -> Result<Person> {
        decoded_person(bytes).ok_or(Unreadable("a person"))
    }

    fn decoded_person(bytes: &[u8]) -> Option<Person> {
        let (platform, bytes) = read_platform(bytes)?;
        let (app, openid) = match bytes.split_first()? {
            (&PACKED, rest) => {
                let (number, openid) = rest.split_first_chunk()?;
                (usual_app(u64::from_be_bytes(*number)), openid)
            }
            _ => {
                let (app, openid) = at_colon(bytes)?;
                (app.to_owned(), openid)
            }
        };
        Some(Person {
            platform,
            app: app.parse().ok()?,
            openid: OpenId::new(platform, &read_packed_id(openid)).ok()?,
        })
    }

    /// The first bytes of the encodings of another platform than WeChat.
    fn of_platform(platform: Platform) -> [u8; 2] {
        [OF_PLATFORM, platform.number()]
    }

    /// The platform, and what follows [`of_platform`]. WeChat has no such beginning.
    fn read_platform(bytes: &[u8]) -> Option<(Platform, &[u8])> {
        match bytes {
            [OF_PLATFORM, number, rest @ ..] => {
                let platform = Platform::numbered(*number)?;
                (platform != Platform::WeChat).then_some((platform, rest))
            }
            bytes => Some((Platform::WeChat, bytes)),
        }
    }

    /// The text before the first colon, and the bytes after it.
    fn at_colon(bytes: &[u8]) -> Option<(&str, &[u8])> {
        let colon = bytes.iter().position(|byte| *byte == b':')?;
        Some((str::from_utf8(&bytes[..colon]).ok()?, &bytes[colon + 1..]))
    }

    /// Encodes a list of unionids. Each follows its length in one byte.
    pub fn unionids<'a>(all: impl IntoIterator<Item = &'a UnionId>) -> Vec<u8> {
        all.into_iter()
            .map(unionid)
            .flat_map(|id| [&[id.len() as u8], &id[..]].concat())
            .collect()
    }

    /// Decodes [`unionids`].
    pub fn read_unionids(mut list: &[u8]) -> Result<Vec<UnionId>> {
        let mut found = Vec::new();
        while let Some((length, rest)) = list.split_first() {
            let (first, others) = rest
                .split_at_checked((*length).into())
                .ok_or(Unreadable("a list of unionids"))?;
            found.push(read_unionid(first)?);
            list = others;
        }
        Ok(found)
    }

    /// Encodes an openid or a unionid.
    fn packed_id(id: &str) -> Vec<u8> {
        match URL_SAFE_NO_PAD.decode(id) {
            Ok(bytes) if id.len() == 28 => packed(&bytes),
            _ => id.into(),
        }
    }

    fn read_packed_id(bytes: &[u8]) -> String {
        match bytes {
            [PACKED, packed @ ..] => URL_SAFE_NO_PAD.encode(packed),
            text => str::from_utf8(text).unwrap_or_default().to_owned(),
        }
    }

    fn packed(bytes: &[u8]) -> Vec<u8> {
        [&[PACKED], bytes].concat()
    }

    #[cfg(test)]
    mod tests {
        use std::collections::HashSet;

        use super::*;

        #[test]
        fn ids_of_the_usual_forms_are_few_bytes_and_all_are_read_as_they_were() {
            for (text, length) in [
                ("01a206e8-75d8-7c03-ae97-86e7c2d4d193", 17),
                ("01A206E8-75D8-7C03-AE97-86E7C2D4D193", 36),
                ("01a206e875d8-7c03-ae97-86e7c2d4d1-93", 36),
                ("01a206e875d87c03ae9786e7c2d4d193", 32),
                ("0123456789abcdef", 16),
                ("42", 2),
            ] {
                let id: UserId = text.parse().expect("a user id");
                assert_eq!(
                    (user(&id).len(), read_user(&user(&id))),
                    (length, Ok(id)),
                    "{text}"
                );
            }
            for (text, length) in [
                ("oGZUI0egBJY1zhBYw2KhdUfwVJJE", 22),
                ("o-_", 3),
                ("oGZUI0egBJY1zhBYw2KhdUfwVJJEabcd", 32),
            ] {
                let id: UnionId = text.parse().expect("a unionid");
                assert_eq!(
                    (unionid(&id).len(), read_unionid(&unionid(&id))),
                    (length, Ok(id.clone())),
                    "{text}"
                );
                for (app, app_length) in [
                    ("wx0123456789abcdef", 9),
                    ("wx0123456789ABCDEF", 19),
                    ("wx1", 4),
                ] {
                    let app = app.parse().expect("an AppID");
                    let openid = text.parse().expect("an openid");
                    let somebody = Person {
                        platform: Platform::WeChat,
                        app,
                        openid,
                    };
                    let bytes = person(&somebody);
                    assert_eq!(
                        (bytes.len(), read_person(&bytes)),
                        (app_length + length, Ok(somebody))
                    );
                }
                let list = unionids([&id, &id]);
                assert_eq!(
                    (list.len(), read_unionids(&list)),
                    (2 * length + 2, Ok(vec![id.clone(), id]))
                );
            }
        }

        #[test]
        fn equal_ids_of_two_platforms_or_scopes_are_read_as_they_were_and_never_meet() {
            let app: AppId = "wx0123456789abcdef".parse().expect("an AppID");
            let mut written = HashSet::new();
            for platform in Platform::ALL {
                for openid in ["o1", "oGZUI0egBJY1zhBYw2KhdUfwVJJE"] {
                    let somebody = Person {
                        platform,
                        app: app.clone(),
                        openid: openid.parse().expect("an openid"),
                    };
                    let bytes = person(&somebody);
                    assert!(bytes.starts_with(&self::app(platform, &app)));
                    assert_eq!(read_person(&bytes), Ok(somebody));
                    assert!(written.insert(bytes), "{platform}");
                }
                for word in ["shops", "games"] {
                    let scope = UnionScope::new(platform, word).expect("a scope");
                    let id = UnionId::new(scope, "oGZUI0egBJY1zhBYw2KhdUfwVJJE").expect("an id");
                    assert_eq!(read_unionid(&unionid(&id)), Ok(id.clone()));
                    let list = unionids([&id, &id]);
                    assert_eq!(read_unionids(&list), Ok(vec![id.clone(), id.clone()]));
                    let is_new = written.insert(unionid(&id));
                    assert!(is_new || platform == Platform::WeChat, "{platform} {word}");
                }
            }
            // WeChat's number has no such encoding, and there is no platform with the last number.
            for bytes in [
                &b"\x02\0app:o1"[..],
                b"\x02\xffapp:o1",
                b"\x02\x01o1",
                b"\x02",
            ] {
                assert!(read_person(bytes).is_err(), "{bytes:?}");
                assert!(read_unionid(bytes).is_err(), "{bytes:?}");
            }
        }

        #[test]
        fn what_another_program_wrote_is_refused() {
            for bytes in [&b"\x01"[..], b"\x01\0", b"\xff", b"", b"a b", b"\x02abc"] {
                assert!(read_user(bytes).is_err(), "{bytes:?}");
                assert!(read_person(bytes).is_err(), "{bytes:?}");
            }
            assert!(read_unionids(b"\x05abc").is_err() && read_unionids(b"\0").is_err());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wechat_sends_today_is_accepted() {
        assert!("wx4f4bc4dec97d474b".parse::<AppId>().is_ok());
        assert!("the code is a mock one".parse::<LoginCode>().is_ok());
        assert!("line\nbreak".parse::<LoginCode>().is_err());
        assert!(is_code_of_wechat("0a1B2c_-") && !is_code_of_wechat("the code is a mock one"));
        assert!("oGZUI0egBJY1zhBYw2KhdUfwVJJE".parse::<OpenId>().is_ok());
    }

    #[test]
    fn codes_and_a_persons_ids_are_not_printed() {
        let code: LoginCode = "0a1b2c".parse().expect("a code");
        let openid: OpenId = "oGZUI0egBJY1zhBYw2KhdUfwVJJE".parse().expect("an openid");
        assert_eq!(format!("{code:?} {openid:?}"), "LoginCode(…) OpenId(…)");
    }
}
