//! Whether this process has the id key of the others, which is compared through the store.

use wxmint_findings::Finding;
use wxmint_store::{Redis, StoreError};

use super::UserIds;

#[derive(Clone, Copy, Default)]
pub(super) struct Agreement {
    /// Whether the store has once named this process's key.
    was_own: bool,
    /// Whether the last word of the store was this process's, if it has ever named a key.
    pub(super) heard: Option<bool>,
}

/// Why nobody may log in at this process. Otherwise people could get other user ids.
#[derive(Debug, PartialEq, Eq)]
enum Disagreement {
    /// The store does not name a key yet.
    NotCompared,
    /// It names another key of the same kind.
    Key,
    /// Its user ids are of another kind.
    Kind,
}

impl UserIds {
    /// The kind and the fingerprint of the key, as the store holds them.
    pub fn word(&self) -> Option<String> {
        self.key.as_ref().map(|(kind, key)| format!("{kind} {}", key.fingerprint()))
    }

    /// Compares the key with that of the store. Returns what keeps people from logging in.
    pub async fn compare(&self, store: &Redis, has_waited: bool) -> Result<Option<Finding>, StoreError> {
        let own = self.word();
        let held = store.id_key(own.as_deref().filter(|_| self.may_tell(has_waited))).await?;
        let (held, disagreement) = (held.as_deref(), self.hear(held.as_deref()));
        let other =
            said!(redis_knows_other_user_ids, held.unwrap_or("another kind"), own.as_deref().unwrap_or("random"));
        Ok(disagreement.map(|why| match why {
            Disagreement::NotCompared => {
                Finding::fault("user_ids", said!(id_key_not_compared_yet), said!(wait_for_id_key))
            }
            Disagreement::Key => Finding::fault("user_ids", other, said!(restore_id_key)),
            Disagreement::Kind => Finding::fault("user_ids", other, said!(ids_of_all_people_would_change)),
        }))
    }

    /// Whether a store that names no key is to be told this one: if it was the store's before, or if the process
    /// `has_waited` for others to tell theirs. So a wrong key does not get into a store that was emptied.
    fn may_tell(&self, has_waited: bool) -> bool {
        let Agreement { was_own, heard } = *self.agreement.lock();
        was_own || has_waited && heard.is_none()
    }

    /// Takes the word that the store holds.
    fn hear(&self, held: Option<&str>) -> Option<Disagreement> {
        let (own, mut agreement) = (self.word(), self.agreement.lock());
        let is_own = own.as_deref() == held;
        // If somebody has emptied the store, what was known before holds.
        if held.is_some() {
            agreement.heard = Some(is_own);
            agreement.was_own |= is_own;
        }
        let kind = |text: &str| text.split(' ').next().map(str::to_owned);
        match (own, held) {
            _ if agreement.heard.unwrap_or(is_own) => None,
            (Some(_), None) => Some(Disagreement::NotCompared),
            (Some(own), Some(held)) if kind(&own) == kind(held) => Some(Disagreement::Key),
            _ => Some(Disagreement::Kind),
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, prelude::BASE64_STANDARD as STANDARD};
    use wxmint_ids::{IdKey, IdKind};

    use super::*;

    #[test]
    fn a_process_goes_on_only_beside_its_own_key_and_kind() {
        let key = |kind, byte| {
            let key = IdKey::parse(STANDARD.encode([byte; 32]).as_bytes()).expect("a key");
            UserIds::new(Some((kind, key)), true)
        };
        let word = |kind, byte| key(kind, byte).word().expect("a word");
        let own = word(IdKind::OpenId, 1);
        for (is_computed, held, judged) in [
            (true, None, Some(Disagreement::NotCompared)),
            (true, Some(own.clone()), None),
            (true, Some(word(IdKind::OpenId, 2)), Some(Disagreement::Key)),
            (true, Some(word(IdKind::UnionId, 1)), Some(Disagreement::Kind)),
            (false, Some(own), Some(Disagreement::Kind)),
            (false, None, None),
        ] {
            let ids = if is_computed { key(IdKind::OpenId, 1) } else { UserIds::new(None, true) };
            assert_eq!(ids.hear(held.as_deref()), judged, "{is_computed} {held:?}");
        }
    }

    #[test]
    fn what_was_agreed_holds_while_the_store_names_no_key_and_only_who_has_waited_tells_a_key_at_first() {
        let key = |byte| IdKey::parse(STANDARD.encode([byte; 32]).as_bytes()).expect("a key");
        let [right, wrong] = [1, 2].map(|byte| UserIds::new(Some((IdKind::OpenId, key(byte))), true));
        assert_eq!((right.may_tell(false), right.may_tell(true), right.are_agreed()), (false, true, false));
        assert_eq!(right.hear(right.word().as_deref()), None);
        assert_eq!((right.hear(None), right.are_agreed(), right.may_tell(false)), (None, true, true));
        assert_eq!(wrong.hear(right.word().as_deref()), Some(Disagreement::Key));
        assert_eq!((wrong.hear(None), wrong.are_agreed()), (Some(Disagreement::NotCompared), false));
        assert!(!wrong.may_tell(true), "it knows better");
        let drawn = UserIds::new(None, false);
        assert_eq!((drawn.hear(None), drawn.are_agreed()), (None, true));
        assert_eq!(drawn.hear(right.word().as_deref()), Some(Disagreement::Kind));
        assert_eq!((drawn.hear(None), drawn.are_agreed()), (Some(Disagreement::Kind), false));
        // The doctor looks too, so that looks are no time: others may compute user ids, and have not told the key yet.
        assert_eq!((drawn.hear(None), drawn.are_agreed()), (Some(Disagreement::Kind), false), "however often it looks");
        assert_eq!(wrong.hear(None), Some(Disagreement::NotCompared));
        assert!(!wrong.may_tell(true));
    }
}
