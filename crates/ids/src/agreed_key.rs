//! The id key of a process, and whether all processes have the same one. They compare it through a store, and a process
//! that finds another one there computes no user ids.

use parking_lot::Mutex;

use crate::{IdKey, IdKind, Person, UnionId, UserId};

/// The key with which user ids are computed, unless they are drawn.
pub struct AgreedKey {
    own: Option<(IdKind, IdKey)>,
    agreement: Mutex<Agreement>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Agreement {
    /// Whether the store has once named this process's key.
    was_own: bool,
    state: State,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Unknown,
    Own,
    Other,
}

/// Why nobody may log in at this process. Otherwise people could get other user ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disagreement {
    /// The store does not name a key yet.
    NotCompared,
    /// It names another key of the same kind.
    Key,
    /// Its user ids are of another kind.
    Kind,
}

impl AgreedKey {
    /// `None`: user ids are drawn.
    pub fn new(own: Option<(IdKind, IdKey)>) -> Self {
        Self { own, agreement: Mutex::default() }
    }

    /// `None` if user ids are drawn.
    pub fn kind(&self) -> Option<IdKind> {
        self.own.as_ref().map(|(kind, _)| *kind)
    }

    /// The kind and the fingerprint of the key, as the store holds them.
    pub fn word(&self) -> Option<String> {
        self.own.as_ref().map(|(kind, key)| format!("{} {}", kind.name(), key.fingerprint()))
    }

    /// Whether a store that names no key is to be told this one: if it was the store's before, or if the process
    /// `has_waited` for others to tell theirs. So a wrong key does not get into a store that was emptied.
    pub fn may_tell(&self, has_waited: bool) -> bool {
        let Agreement { was_own, state } = *self.agreement.lock();
        was_own || has_waited && state == State::Unknown
    }

    /// Takes the word that the store holds.
    pub fn hear(&self, held: Option<&str>) -> Option<Disagreement> {
        let mut agreement = self.agreement.lock();
        let (state, disagreement) = judge(self.word().as_deref(), held);
        // If somebody has emptied the store, what was known before holds.
        if held.is_some() {
            agreement.state = state;
        }
        agreement.was_own |= state == State::Own;
        match agreement.state {
            State::Own => None,
            State::Unknown => disagreement,
            State::Other => Some(disagreement.unwrap_or(Disagreement::Kind)),
        }
    }

    /// Whether the store's word is this process's, or neither has one.
    pub fn is_agreed(&self) -> bool {
        matches!((&self.own, self.agreement.lock().state), (Some(_), State::Own) | (None, State::Unknown))
    }

    /// `None` if user ids are drawn, or if it would be computed from the unionid that is missing.
    pub fn user(&self, person: &Person, unionid: Option<&UnionId>) -> Option<UserId> {
        match self.own.as_ref()? {
            (IdKind::OpenId, key) => Some(key.of_openid(person)),
            (IdKind::UnionId, key) => unionid.map(|unionid| key.of_unionid(unionid)),
        }
    }
}

fn judge(own: Option<&str>, held: Option<&str>) -> (State, Option<Disagreement>) {
    let Some(held) = held else { return (State::Unknown, own.map(|_| Disagreement::NotCompared)) };
    let kind = |text: &str| text.split(' ').next().map(str::to_owned);
    match own {
        Some(own) if own == held => (State::Own, None),
        Some(own) if kind(own) == kind(held) => (State::Other, Some(Disagreement::Key)),
        _ => (State::Other, Some(Disagreement::Kind)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_goes_on_only_beside_its_own_key_and_kind() {
        let [own, other, kind] = ["openid 1", "openid 2", "unionid 1"];
        for (settings, held, state, disagreement) in [
            (Some("openid 1"), None, State::Unknown, Some(Disagreement::NotCompared)),
            (Some("openid 1"), Some(own), State::Own, None),
            (Some("openid 1"), Some(other), State::Other, Some(Disagreement::Key)),
            (Some("openid 1"), Some(kind), State::Other, Some(Disagreement::Kind)),
            (None, Some(own), State::Other, Some(Disagreement::Kind)),
            (None, None, State::Unknown, None),
        ] {
            assert_eq!(judge(settings, held), (state, disagreement), "{settings:?} {held:?}");
        }
    }

    #[test]
    fn what_was_agreed_holds_while_the_store_names_no_key_and_only_who_has_waited_tells_a_key_at_first() {
        let keys = [1, 2].map(|byte| Some((IdKind::OpenId, IdKey::of(&[byte; 32]))));
        let [right, wrong] = keys.map(AgreedKey::new);
        assert_eq!((right.may_tell(false), right.may_tell(true), right.is_agreed()), (false, true, false));
        assert_eq!(right.hear(right.word().as_deref()), None);
        assert_eq!((right.hear(None), right.is_agreed(), right.may_tell(false)), (None, true, true));
        assert_eq!(wrong.hear(right.word().as_deref()), Some(Disagreement::Key));
        assert_eq!((wrong.hear(None), wrong.is_agreed()), (Some(Disagreement::NotCompared), false));
        assert!(!wrong.may_tell(true), "it knows better");
        let drawn = AgreedKey::new(None);
        assert_eq!((drawn.hear(None), drawn.is_agreed()), (None, true));
        assert_eq!(drawn.hear(right.word().as_deref()), Some(Disagreement::Kind));
        assert_eq!((drawn.hear(None), drawn.is_agreed()), (Some(Disagreement::Kind), false));
    }
}
