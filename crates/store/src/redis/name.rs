//! The names of keys. Braces are hash tags: a Cluster keeps keys with the same tag in one slot. The tag begins at the first
//! `{` and ends at the next `}`; of the texts that are put in braces, a user id alone may have braces itself.

use std::fmt::{self, Display};

use wxmint_ids::{AppId, LoginCode, TokenId, UnionId, UserId};

use crate::{Cell, Person, PersonalCall, Ticket, short_digest};

macro_rules! of_person {
    ($($(#[$doc:meta])* $name:ident = $what:literal;)+) => {
        $($(#[$doc])* pub(super) fn $name(person: &Person) -> impl Display { of_person(person, $what) })+
    };
}

of_person! {
    binding = "binding";
    session = "session";
    /// The users whom the person has left, or who did not take the person.
    left = "left";
    tries = "limit:tries";
    logins = "limit:eighths:logins";
    /// Failed passwords for all user names: one key, so that an erasure finds it.
    attempts = "limit:eighths:names";
}

/// The code is stored hashed, because it is a credential for some minutes.
pub(super) fn code(app: &AppId, code: &LoginCode) -> impl Display {
    let digest = short_digest(&[app.as_str(), code.as_str()].join(":"));
    fmt::from_fn(move |f| write!(f, "wxmint:code:{{{digest}}}"))
}

pub(super) fn access_token(app: &AppId) -> impl Display {
    fmt::from_fn(move |f| write!(f, "wxmint:{{{app}}}:access-token"))
}

pub(super) fn cell(cell: &Cell) -> impl Display {
    fmt::from_fn(move |f| match cell {
        Cell::Address(address) => write!(f, "wxmint:limit:eighths:ip:{address}"),
        Cell::Logins(person) => logins(person).fmt(f),
        Cell::Attempts(person, _) => attempts(person).fmt(f),
        Cell::Calls(person, call) => calls(person, *call).fmt(f),
        Cell::ForcedRenewals(app, seconds) => write!(f, "wxmint:{{{app}}}:limit:eighths:forced:{seconds}"),
    })
}

pub(super) fn calls(person: &Person, call: PersonalCall) -> impl Display {
    let what = match call {
        PersonalCall::Phone => "limit:eighths:phone",
        PersonalCall::Check => "limit:eighths:check",
        PersonalCall::Reset => "limit:eighths:reset",
        PersonalCall::EncryptKeys => "limit:eighths:encrypt-keys",
        PersonalCall::Logout => "limit:eighths:logouts",
        PersonalCall::Unbinding => "limit:eighths:unbindings",
    };
    of_person(person, what)
}

pub(super) fn user(user: &UserId) -> impl Display {
    // `}` at once would end an empty tag, which is none: the user's keys would lie in several slots. `%` is there twice, so
    // that no two users have one name.
    let mark = if user.as_str().starts_with(['}', '%']) { "%" } else { "" };
    fmt::from_fn(move |f| write!(f, "wxmint:user:{{{mark}{user}}}"))
}

/// Who has left the user's list, or was not admitted. Apart from the list, so that a token check does not read them.
pub(super) fn gone(user: &UserId) -> impl Display {
    let list = self::user(user);
    fmt::from_fn(move |f| write!(f, "{list}:gone"))
}

/// The number of a person who was struck off the user's list, for a while.
pub(super) fn struck(user: &UserId, person: &Person) -> impl Display {
    let (list, entry) = (self::user(user), entry(person));
    fmt::from_fn(move |f| write!(f, "{list}:struck:{entry}"))
}

/// In the slot of the user's list, because one script reads both.
pub(super) fn ends(user: &UserId) -> impl Display {
    let list = self::user(user);
    fmt::from_fn(move |f| write!(f, "{list}:ends"))
}

/// The end of one token. A key of its own, so that it expires by itself, and costs the same however many there are.
pub(super) fn ended(user: &UserId, token: &TokenId) -> impl Display {
    let list = self::user(user);
    fmt::from_fn(move |f| write!(f, "{list}:ended:{token}"))
}

/// The stream of ends.
pub(super) const STREAM: &str = "wxmint:ended";

/// The lives of tokens, in the slot of the stream.
pub(super) const LIVES: &str = "wxmint:{wxmint:ended}:lives";

/// Notes that the end of a key is in the stream. In the slot of the stream.
pub(super) fn ended_key(kid: &str) -> impl Display {
    fmt::from_fn(move |f| write!(f, "wxmint:{{{STREAM}}}:{kid}"))
}

pub(super) fn union(unionid: &UnionId) -> impl Display {
    fmt::from_fn(move |f| write!(f, "wxmint:union:{{{}}}", unionid.as_str()))
}

/// The ticket is stored hashed, because whoever can read Redis could otherwise redeem it.
pub(super) fn ticket(ticket: &Ticket) -> impl Display {
    let digest = short_digest(ticket.expose());
    fmt::from_fn(move |f| write!(f, "wxmint:ticket:{{{digest}}}"))
}

/// All keys of a person lie in one slot.
fn of_person<'a>(person: &'a Person, what: &'static str) -> impl Display + use<'a> {
    let parts = ["wxmint:{", person.app.as_str(), ":", person.openid.as_str(), "}:", what];
    fmt::from_fn(move |f| parts.iter().try_for_each(|part| f.write_str(part)))
}

/// A person as a field of a user's list. Neither an AppID nor an openid can contain the separator.
pub(super) fn entry(person: &Person) -> impl Display {
    fmt::from_fn(|f| write!(f, "{}:{}", person.app, person.openid.as_str()))
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
                let ended = name::ended(&user, &"jti".parse().expect("a token id")).to_string();
                let [list, gone, ends] =
                    [name::user(&user).to_string(), name::gone(&user).to_string(), name::ends(&user).to_string()];
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
            let calls = [PersonalCall::Phone, PersonalCall::Check, PersonalCall::Reset];
            let mut keys: Vec<String> = calls.iter().map(|call| name::calls(&person, *call).to_string()).collect();
            keys.extend([name::binding(&person).to_string(), name::session(&person).to_string()]);
            keys.extend([name::logins(&person).to_string(), name::tries(&person).to_string()]);
            keys.push(name::cell(&Cell::Attempts(person, short_digest("}{%").to_string())).to_string());
            let slots: HashSet<_> = keys.iter().map(|key| slot_of(key.as_bytes())).collect();
            assert_eq!(slots.len(), 1, "{keys:?}");
        }
    }
}
