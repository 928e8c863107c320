//! The names of keys. Braces are hash tags: a Cluster keeps keys with the same tag in one slot. The tag begins at the
//! first `{` and ends at the next `}`; of the texts that are put in braces, a user id alone may have braces itself.

use std::fmt::{self, Display};

use aws_lc_rs::digest;
use base64::{display::Base64Display, engine::general_purpose::URL_SAFE_NO_PAD};
use wxmint_ids::{AppId, LoginCode, PhoneCode, TokenId, UnionId, UserId};

use crate::{Person, Ticket};

/// Each name, what it is made of, and how.
macro_rules! names {
    ($($(#[$doc:meta])* $name:ident($($part:ident: $type:ty),+) = $text:expr;)+) => {
        $($(#[$doc])* pub(super) fn $name($($part: $type),+) -> String { $text })+
    };
}

names! {
    binding(person: &Person) = of_person(person, "binding");
    session(person: &Person) = of_person(person, "session");
    /// The users whom the person has left, or who did not take the person.
    left(person: &Person) = of_person(person, "left");
    tries(person: &Person) = of_person(person, "limit:tries");
    logins(person: &Person) = of_person(person, "limit:eighths:logins");
    limit(kind: &str, key: &str) = ["wxmint:limit:eighths:", kind, ":", key].concat();
    limit_of_app(app: &AppId, kind: &str, key: &str) = format!("wxmint:{{{app}}}:limit:eighths:{kind}:{key}");
    /// One key has all events of a kind, so that an erasure finds them.
    limit_of_person(person: &Person, kind: &str) = of_person(person, &["limit:eighths:", kind].concat());
    /// The code is stored hashed, because it is a credential for some minutes.
    code(app: &AppId, code: &LoginCode) =
        format!("wxmint:code:{{{}}}", short_digest(&[app.as_str(), code.as_str()].join(":")));
    access_token(app: &AppId) = format!("wxmint:{{{app}}}:access-token");
    /// The people who have left the user's list, or were not admitted. Apart from the list, so that a token check does
    /// not read them.
    gone(user: &UserId) = self::user(user) + ":gone";
    /// The number of a person who was struck off the user's list, for a while.
    struck(user: &UserId, person: &Person) =
        format!("{}:struck:{}:{}", self::user(user), person.app, person.openid.as_str());
    /// In the slot of the user's list, because one script reads both.
    ends(user: &UserId) = self::user(user) + ":ends";
    /// The end of one token. A key of its own, so that it expires by itself, and costs the same however many there are.
    ended(user: &UserId, token: &TokenId) = format!("{}:ended:{token}", self::user(user));
    /// Notes that the end of a key is in the stream. In the slot of the stream.
    ended_key(kid: &str) = format!("wxmint:{{{STREAM}}}:{kid}");
    /// Notes for a while that an end is in the stream, with the date that it has there. `ended`: the end without it.
    put(ended: &str) = format!("wxmint:{{{STREAM}}}:put:{ended}");
    union(unionid: &UnionId) = ["wxmint:union:{", unionid.as_str(), "}"].concat();
    /// The users of a unionid who are in conflict.
    shared(unionid: &UnionId) = union(unionid) + ":users";
    /// The ticket is stored hashed, because whoever can read Redis could otherwise redeem it.
    ticket(ticket: &Ticket) = format!("wxmint:ticket:{{{}}}", short_digest(ticket.expose()));
    /// The users who have tokens of a client.
    users_of_client(client: &AppId) = format!("wxmint:client:{{{client}}}");
    /// The clients of which a user has tokens, each with the app through which it was approved.
    clients(user: &UserId) = self::user(user) + ":clients";
}

/// Where a code of a phone number is known as counted. Hashed, as a code of a login.
pub fn counted_phone_code(app: &AppId, code: &PhoneCode) -> String {
    format!("wxmint:code:phone:{{{}}}", short_digest(&[app.as_str(), code.as_str()].join(":")))
}

pub(super) const STREAM: &str = "wxmint:revoked";
/// Names the id key with which user ids are computed.
pub(super) const ID_KEY: &str = "wxmint:id-key";
/// The lives of tokens, in the slot of the stream.
pub(super) const LIVES: &str = "wxmint:{wxmint:revoked}:lives";
/// The lives of what renews the tokens of sites.
pub(super) const RENEWALS: &str = "wxmint:{wxmint:revoked}:renewals";
/// Made with the first life that is noted. Another one is there once Redis was emptied.
pub(super) const MARK: &str = "wxmint:{wxmint:revoked}:mark";
/// Since when ends may be missing.
pub(super) const DOUBT: &str = "wxmint:{wxmint:revoked}:doubt";
/// The users whose ends have no entry of the stream any more and are needed here still, by the second up to which.
pub(super) const KEPT: &str = "wxmint:{wxmint:revoked}:kept";

/// Half of the SHA-256 of `text`: for names of keys, which must not tell the text.
pub fn short_digest(text: &str) -> impl Display + use<> {
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    fmt::from_fn(move |f| Base64Display::new(&digest.as_ref()[..16], &URL_SAFE_NO_PAD).fmt(f))
}

pub(super) fn user(user: &UserId) -> String {
    // `}` at once would end an empty tag, which is none: the user's keys would lie in several slots. `%` is there
    // twice, so that no two users have one name.
    let mark = if user.as_str().starts_with(['}', '%']) { "%" } else { "" };
    ["wxmint:user:{", mark, user.as_str(), "}"].concat()
}

/// The user whose list has this name.
pub(super) fn user_of(key: &str) -> Option<UserId> {
    let text = key.strip_prefix("wxmint:user:{")?.strip_suffix('}')?;
    text.strip_prefix('%').unwrap_or(text).parse().ok()
}

/// All keys of a person lie in one slot. Neither an AppID nor an openid can contain the colon.
fn of_person(person: &Person, what: &str) -> String {
    ["wxmint:{", person.app.as_str(), ":", person.openid.as_str(), "}:", what].concat()
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
                let user: UserId = format!("{}{rest}", char::from(first)).parse().expect("a user id");
                let ended = name::ended(&user, &"jti".parse().expect("a token id"));
                let [list, gone, ends] = [name::user(&user), name::gone(&user), name::ends(&user)];
                let keys = [list, gone, ends, ended];
                let slots: HashSet<_> = keys.iter().map(|key| slot_of(key.as_bytes())).collect();
                assert_eq!(slots.len(), 1, "{keys:?}");
                keys.into_iter().for_each(|key| assert!(names.insert(key.clone()), "{key} is of two users"));
            }
        }
    }

    #[test]
    fn the_keys_of_one_person_are_of_one_slot() {
        // An AppID and an openid have neither braces nor colons.
        for odd in ["-", "_", "0", "a", "Z"] {
            let person = Person { app: odd.parse().expect("an AppID"), openid: odd.parse().expect("an openid") };
            let mut keys =
                vec![name::binding(&person), name::session(&person), name::logins(&person), name::tries(&person)];
            keys.push(name::limit_of_person(&person, "names"));
            let slots: HashSet<_> = keys.iter().map(|key| slot_of(key.as_bytes())).collect();
            assert_eq!(slots.len(), 1, "{keys:?}");
        }
    }
}
