//! The names of keys. Braces are hash tags: a Cluster keeps keys with the same tag in one slot. A
//! tag begins at the first `{` and ends at the next `}`. Among the texts in braces, only a user id
//! can contain braces itself.

use std::fmt::{self, Display};

use aws_lc_rs::digest;
use base64::{display::Base64Display, engine::general_purpose::URL_SAFE_NO_PAD};
use wxmint_ids::{
    AppId, LoginCode, OpenId, Person, PhoneCode, Platform, TokenId, UnionId, UnionScope, UserId,
};

use crate::{Result, StoreError, Ticket};

/// Declares a function for each name: its parts, and how they are joined.
macro_rules! names {
    ($($(#[$doc:meta])* $name:ident($($part:ident: $type:ty),+) = $text:expr;)+) => {
        $($(#[$doc])* pub(super) fn $name($($part: $type),+) -> String { $text })+
    };
}

names! {
    binding(person: &Person) = of_person(person, "binding");
    session(person: &Person) = of_person(person, "session");
    /// The users that the person has left, or that did not admit the person.
    left(person: &Person) = of_person(person, "left");
    tries(person: &Person) = of_person(person, "limit:tries");
    logins(person: &Person) = of_person(person, "limit:eighths:logins");
    limit(kind: &str, key: &str) = ["wxmint:limit:eighths:", kind, ":", key].concat();
    limit_of_app(app: &AppId, kind: &str, key: &str) = format!("wxmint:{{{app}}}:limit:eighths:{kind}:{key}");
    /// One key has all events of a kind, so that an erasure of the person finds them.
    limit_of_person(person: &Person, kind: &str) = of_person(person, &["limit:eighths:", kind].concat());
    /// The code is stored hashed, because it is a credential for a few minutes.
    code(app: &AppId, code: &LoginCode) =
        format!("wxmint:code:{{{}}}", short_digest(&[app.as_str(), code.as_str()].join(":")));
    access_token(app: &AppId) = format!("wxmint:{{{app}}}:access-token");
    /// The persons who have left the user's list, or were not admitted. A key of its own, so that a
    /// token check does not read them.
    gone(user: &UserId) = self::user(user) + ":gone";
    /// The generation of a person who was erased from the user's list, for a while.
    struck(user: &UserId, person: &Person) =
        format!("{}:struck:{}", self::user(user), named(person));
    /// The revocations of the user's tokens. In the slot of the user's list, because one script
    /// reads both.
    revocations(user: &UserId) = self::user(user) + ":ends";
    /// The revocation of one token. A key of its own, so that a lookup costs the same however many
    /// revocations the user has.
    revoked_token(user: &UserId, token: &TokenId) = format!("{}:ended:{token}", self::user(user));
    /// Notes that the revocation of a signing key is in the stream. In the slot of the stream.
    revoked_key(kid: &str) = format!("wxmint:{{{STREAM}}}:{kid}");
    /// Notes for a while that a revocation is in the stream, with its date there. `revocation`: the
    /// revocation without its date.
    put(revocation: &str) = format!("wxmint:{{{STREAM}}}:put:{revocation}");
    union(unionid: &UnionId) =
        ["wxmint:union:{", &unionid.scope().prefix(), unionid.as_str(), "}"].concat();
    /// The users who are in conflict about a unionid.
    shared(unionid: &UnionId) = union(unionid) + ":users";
    /// The ticket is stored hashed, because otherwise anybody who can read Redis could redeem it.
    ticket(ticket: &Ticket) = format!("wxmint:ticket:{{{}}}", short_digest(ticket.expose()));
    /// The users who have tokens of a client.
    users_of_client(client: &AppId) = format!("wxmint:client:{{{client}}}");
    /// The clients that have tokens of the user, each with the app through which the user approved
    /// it.
    clients(user: &UserId) = self::user(user) + ":clients";
}

/// The key that notes that a phone code was counted. The code is stored hashed, as a login code is.
pub fn counted_phone_code(app: &AppId, code: &PhoneCode) -> String {
    format!(
        "wxmint:code:phone:{{{}}}",
        short_digest(&[app.as_str(), code.as_str()].join(":"))
    )
}

/// The stream of revocations.
pub(super) const STREAM: &str = "wxmint:revoked";
/// The mode of user ids: the kind and the fingerprint of the id key, or that they are drawn.
pub(super) const ID_KEY: &str = "wxmint:id-key";
/// The lives of tokens, in the slot of the stream.
pub(super) const LIVES: &str = "wxmint:{wxmint:revoked}:lives";
/// The lives of the refresh tokens of sites.
pub(super) const RENEWALS: &str = "wxmint:{wxmint:revoked}:renewals";
/// A random mark, made with the first life that is noted. It changes if Redis was emptied.
pub(super) const MARK: &str = "wxmint:{wxmint:revoked}:mark";
/// Since when revocations may be missing.
pub(super) const POSSIBLE_LOSS: &str = "wxmint:{wxmint:revoked}:doubt";
/// The users whose revocations have no entry in the stream any more but are still needed here, by
/// the second up to which.
pub(super) const KEPT: &str = "wxmint:{wxmint:revoked}:kept";

/// The first half of the SHA-256 of `text` in base64url, for names of keys that must not reveal the
/// text.
pub fn short_digest(text: &str) -> impl Display + use<> {
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    fmt::from_fn(move |f| Base64Display::new(&digest.as_ref()[..16], &URL_SAFE_NO_PAD).fmt(f))
}

pub(super) fn user(user: &UserId) -> String {
    // A user id that begins with `}` would make an empty tag, which Redis ignores: the user's keys
    // would lie in several slots. So `%` is put in front. It is also put in front of an id that
    // begins with `%`, so that no two users have the same name.
    let mark = if user.as_str().starts_with(['}', '%']) {
        "%"
    } else {
        ""
    };
    ["wxmint:user:{", mark, user.as_str(), "}"].concat()
}

/// The user whose list has this key; `None` for other keys.
pub(super) fn user_of(key: &str) -> Option<UserId> {
    let text = key.strip_prefix("wxmint:user:{")?.strip_suffix('}')?;
    text.strip_prefix('%').unwrap_or(text).parse().ok()
}

/// A key of a person. All of them lie in one slot.
fn of_person(person: &Person, what: &str) -> String {
    [
        "wxmint:{",
        person.platform.prefix(),
        person.app.as_str(),
        ":",
        person.openid.as_str(),
        "}:",
        what,
    ]
    .concat()
}

/// The person as text. The first slash and the first colon are unambiguous, because no AppID contains
/// one, and no openid contains a colon.
fn named(person: &Person) -> String {
    let Person {
        platform,
        app,
        openid,
    } = person;
    format!("{}{app}:{}", platform.prefix(), openid.as_str())
}

/// The person of whom a key is, by what it is called in [`of_person`].
pub(super) fn person_of(key: &str, what: &str) -> Result<Person> {
    read_person(key, what).ok_or(StoreError::Damaged("the name of a key"))
}

fn read_person(key: &str, what: &str) -> Option<Person> {
    let text = key
        .strip_prefix("wxmint:{")?
        .strip_suffix(what)?
        .strip_suffix("}:")?;
    let (platform, text) = at_platform(text)?;
    let (app, openid) = text.split_once(':')?;
    Some(Person {
        platform,
        app: app.parse().ok()?,
        openid: OpenId::new(platform, openid).ok()?,
    })
}

/// The unionid of which a key of [`union`] is; `None` for other keys.
pub(super) fn unionid_of(key: &str) -> Option<UnionId> {
    let text = key.strip_prefix("wxmint:union:{")?.strip_suffix('}')?;
    let (platform, text) = at_platform(text)?;
    if platform == Platform::WeChat {
        return text.parse().ok();
    }
    let (word, text) = text.split_once(':')?;
    let scope = UnionScope::new(platform, word).ok()?;
    UnionId::new(scope, text).ok()
}

/// The platform whose prefix the text has, and the text without it. A slash after the first colon
/// belongs to an openid.
fn at_platform(text: &str) -> Option<(Platform, &str)> {
    let before_colon = text.split(':').next().unwrap_or_default();
    match before_colon.split_once('/') {
        Some((name, _)) => {
            let platform: Platform = name.parse().ok()?;
            let rest = text.strip_prefix(platform.prefix())?;
            (platform != Platform::WeChat).then_some((platform, rest))
        }
        None => Some((Platform::WeChat, text)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use wxmint_redis_link::slot_of;

    use super::{super::name, *};

    #[test]
    fn the_keys_of_one_user_are_of_one_slot_and_of_no_other_user() {
        let mut names = HashSet::new();
        for first in b'!'..=b'~' {
            for rest in ["", "lin", "}", "{", "}lin}", "{lin}", "%7Dlin"] {
                let user: UserId = format!("{}{rest}", char::from(first))
                    .parse()
                    .expect("a user id");
                let token = name::revoked_token(&user, &"jti".parse().expect("a token id"));
                let [list, gone, revocations] = [
                    name::user(&user),
                    name::gone(&user),
                    name::revocations(&user),
                ];
                let keys = [list, gone, revocations, token];
                let slots: HashSet<_> = keys.iter().map(|key| slot_of(key.as_bytes())).collect();
                assert_eq!(slots.len(), 1, "{keys:?}");
                for key in keys {
                    assert!(names.insert(key.clone()), "{key} is of two users");
                }
            }
        }
    }

    #[test]
    fn equal_ids_of_two_platforms_have_other_keys_which_name_their_owners() {
        let mut names = HashSet::new();
        for platform in Platform::ALL {
            let person = Person {
                platform,
                app: "wx1".parse().expect("an AppID"),
                openid: "o1".parse().expect("an openid"),
            };
            let key = name::binding(&person);
            assert_eq!(person_of(&key, "binding"), Ok(person.clone()), "{key}");
            assert!(names.insert(key));
            if platform != Platform::WeChat {
                let marked = OpenId::new(platform, "qq/_o.1+2=@~").expect("an openid");
                let with_marks = Person {
                    openid: marked,
                    ..person.clone()
                };
                let key = name::binding(&with_marks);
                assert_eq!(person_of(&key, "binding"), Ok(with_marks), "{key}");
                assert!(names.insert(key));
            }
            let user = "lin".parse().expect("a user id");
            assert!(names.insert(name::struck(&user, &person)));
            let scope = UnionScope::new(platform, "shops").expect("a scope");
            let unionid = UnionId::new(scope, "u1").expect("a unionid");
            let key = name::union(&unionid);
            assert_eq!(unionid_of(&key), Some(unionid), "{key}");
            assert!(names.insert(key));
        }
        assert!(names.contains("wxmint:{wx1:o1}:binding"), "{names:?}");
        assert!(names.contains("wxmint:union:{u1}"), "{names:?}");
        assert!(
            names.contains("wxmint:{douyin/wx1:o1}:binding"),
            "{names:?}"
        );
        assert!(
            names.contains("wxmint:union:{douyin/shops:u1}"),
            "{names:?}"
        );
        for other in [
            "wxmint:{wechat/wx1:o1}:binding",
            "wxmint:{myspace/wx1:o1}:binding",
            "wxmint:{wx1}:binding",
            "wxmint:{wx1:o1}:session",
        ] {
            assert!(person_of(other, "binding").is_err(), "{other}");
        }
        for other in ["wxmint:union:{douyin/u1}", "wxmint:union:{wechat/u1}", "u1"] {
            assert_eq!(unionid_of(other), None, "{other}");
        }
    }

    #[test]
    fn the_keys_of_one_person_are_of_one_slot() {
        // An AppID and an openid have neither braces nor colons.
        for odd in ["-", "_", "0", "a", "Z", "/", "*"] {
            let person = Person {
                platform: Platform::Huawei,
                app: "wx1".parse().expect("an AppID"),
                openid: OpenId::new(Platform::Huawei, odd).expect("an openid"),
            };
            let mut keys = vec![
                name::binding(&person),
                name::session(&person),
                name::logins(&person),
                name::tries(&person),
            ];
            keys.push(name::limit_of_person(&person, "names"));
            let slots: HashSet<_> = keys.iter().map(|key| slot_of(key.as_bytes())).collect();
            assert_eq!(slots.len(), 1, "{keys:?}");
        }
    }
}
