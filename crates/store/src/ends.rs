//! The owner of a token, how tokens end before they expire, the stream that tells verifiers, and who is blocked.

use std::time::Duration;

use chrono::{DateTime, Utc};
use derive_more::Display;
use wxmint_ids::{AppId, TokenId, UserId};
use wxmint_verify::ends::{End, EndHash};
use wxmint_verify::{LONGEST_LIFE, MAX_LEEWAY};

use super::Person;

/// How long an end is remembered at most: until no verifier can accept a token from before it, whatever life tokens
/// have. It is forgotten sooner once [`super::Redis::note_life`] has noted a life: the longest one is a second shorter.
pub const ENDS_KEPT: Duration = LONGEST_LIFE.saturating_add(MAX_LEEWAY).saturating_add(Duration::from_secs(1));
/// Names the second since which ends may be missing, for as long as a token can be left that they would name.
pub const DOUBTED_SINCE: &str = "wxmint:{wxmint:ended}:doubt";
/// How much longer an end stays in the store than verifiers keep it: by as much as clocks may differ, because a
/// verifier that starts with nothing and whose clock is behind the store's still accepts tokens then.
pub(super) const CLOCKS_DIFFER: Duration = MAX_LEEWAY;

/// How long an end must be kept, by the lives of tokens in seconds, each with the last second of such a token.
pub(super) fn kept(lives: impl IntoIterator<Item = (u64, i64)>, now: i64) -> Duration {
    let longest = lives.into_iter().filter(|(_, until)| *until >= now).map(|(life, _)| life).max();
    longest.map_or(ENDS_KEPT, |life| Duration::from_secs(life).saturating_add(MAX_LEEWAY))
}

/// The owner of a token, and whether it has been ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenState {
    /// The token has not been ended. These are the people of its user in its app, each with the generation of the
    /// binding; it was issued to one of them.
    People(Vec<(Person, u64)>),
    /// All tokens of its user were ended, and this one with them. `told`: whether the end is in the stream, so that a
    /// repetition has nothing left to do.
    EndedWithUser { told: bool },
    /// The token itself was ended, or all tokens of its user in its app. `told`: whether the end of the token itself is
    /// in the stream.
    Ended { told: bool },
}

impl TokenState {
    /// Whether the token was ended, and a repetition has nothing left to do.
    pub fn is_told(&self) -> bool {
        matches!(self, Self::EndedWithUser { told: true } | Self::Ended { told: true })
    }
}

/// Verifiers must no longer accept these tokens. Times are seconds since 1970 by the store's clock. It displays in its
/// form in the stream. No id contains a blank.
#[derive(Debug, Display, Clone, PartialEq, Eq)]
pub enum Ended {
    /// A user's tokens with `iat` not after `before`.
    #[display("sub {before} {user}")]
    User { user: UserId, before: i64 },
    /// A user's tokens of one app with `iat` not after `before`.
    #[display("app {before} {app} {user}")]
    UserInApp { user: UserId, app: AppId, before: i64 },
    /// One token, its user, and its `exp`.
    #[display("jti {expires_at} {id} {user}")]
    Token { id: TokenId, user: UserId, expires_at: i64 },
    /// Whatever this key has signed.
    #[display("kid {kid}")]
    Key { kid: String },
}

impl Ended {
    /// Reads the form in the stream.
    pub fn read(text: &str) -> Option<Self> {
        Some(match text.split(' ').collect::<Vec<_>>()[..] {
            ["sub", before, user] => Self::User { user: user.parse().ok()?, before: before.parse().ok()? },
            ["app", before, app, user] => {
                Self::UserInApp { user: user.parse().ok()?, app: app.parse().ok()?, before: before.parse().ok()? }
            }
            ["jti", expires_at, id, user] => {
                Self::Token { id: id.parse().ok()?, user: user.parse().ok()?, expires_at: expires_at.parse().ok()? }
            }
            ["kid", kid] => Self::Key { kid: kid.to_owned() },
            _ => return None,
        })
    }

    /// The form for verifiers of this issuer, which names nobody.
    pub fn published(&self, iss: &str) -> End {
        match *self {
            Self::User { ref user, before } => End::User { user: EndHash::of_user(iss, user), before },
            Self::UserInApp { ref user, ref app, before } => {
                End::UserInApp { user_in_app: EndHash::of_user_in_app(iss, user, app), before }
            }
            Self::Token { ref id, expires_at: expires, .. } => {
                End::Token { token: EndHash::of_token(iss, id), expires }
            }
            Self::Key { ref kid } => End::Key { kid: kid.clone() },
        }
    }

    /// The second from which no token can be left that it names. `keep`: see [`ReadEnds::keep`]. `None` for a key.
    pub fn needed_until(&self, keep: Duration) -> Option<i64> {
        match self {
            Self::User { before, .. } | Self::UserInApp { before, .. } => Some(before + keep.as_secs() as i64),
            Self::Token { expires_at, .. } => Some(expires_at + MAX_LEEWAY.as_secs() as i64),
            Self::Key { .. } => None,
        }
    }
}

/// A user's records say this, whether or not the user has people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserState {
    pub blocked: bool,
    /// The second up to which all of the user's tokens are ended. Kept until no token can be left that it names.
    pub ended_before: Option<i64>,
    /// Whether verifiers have been told of that end.
    pub told: bool,
}

/// A part of the stream of ends, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadEnds {
    /// When it was read, by the store's clock.
    pub at: DateTime<Utc>,
    pub ends: Vec<Ended>,
    /// How long an end must be kept: for the longest life of tokens that may be left, and the leeway of verifiers.
    pub keep: Duration,
    /// Where to go on; empty if the stream is empty. To the reader it is any text.
    pub cursor: String,
    /// Whether the stream goes on.
    pub more: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_read_as_it_was_written() {
        let (user, app) = ("user-1".parse::<UserId>().expect("a user"), "wx0123456789abcdef".parse().expect("an app"));
        for end in [
            Ended::User { user: user.clone(), before: 1 },
            Ended::UserInApp { user: user.clone(), app, before: -2 },
            Ended::Token { id: "jti-1".parse().expect("an id"), user, expires_at: 3 },
            Ended::Key { kid: "a-kid".into() },
        ] {
            assert_eq!(Ended::read(&end.to_string()), Some(end));
        }
        for wrong in ["", "sub", "sub 1", "sub x user-1", "jti 1 a", "jti 1 a b c", "nonsense 1 x"] {
            assert_eq!(Ended::read(wrong), None, "{wrong}");
        }
    }
}
