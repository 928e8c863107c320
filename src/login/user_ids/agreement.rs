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

impl UserIds {
    /// The kind and the fingerprint of the key, as the store holds them.
    pub fn word(&self) -> Option<String> {
        self.key.as_ref().map(|(kind, key)| format!("{kind} {}", key.fingerprint()))
    }

    /// Compares the key with that of the store. Returns what keeps people from logging in.
    pub async fn compare(&self, store: &Redis, has_waited: bool) -> Result<Option<Finding>, StoreError> {
        let own = self.word().filter(|_| self.may_tell(has_waited));
        Ok(self.hear(store.id_key(own.as_deref()).await?.as_deref()))
    }

    /// Whether a store that names no key is to be told this one: if it was the store's before, or if the process
    /// `has_waited` for others to tell theirs. So a wrong key does not get into a store that was emptied.
    fn may_tell(&self, has_waited: bool) -> bool {
        let Agreement { was_own, heard } = *self.agreement.lock();
        was_own || has_waited && heard.is_none()
    }

    /// Takes the word that the store holds. Returns why nobody may log in at this process: otherwise people could get
    /// other user ids.
    fn hear(&self, held: Option<&str>) -> Option<Finding> {
        let (own, mut agreement) = (self.word(), self.agreement.lock());
        let is_own = own.as_deref() == held;
        // If somebody has emptied the store, what was known before holds.
        if held.is_some() {
            agreement.heard = Some(is_own);
            agreement.was_own |= is_own;
        }
        let kind = |text: &str| text.split(' ').next().map(str::to_owned);
        let other =
            said!(redis_knows_other_user_ids, held.unwrap_or("another kind"), own.as_deref().unwrap_or("random"));
        let (found, advice) = match (own, held) {
            _ if agreement.heard.unwrap_or(is_own) => return None,
            (Some(_), None) => (said!(id_key_not_compared_yet), said!(wait_for_id_key)),
            (Some(own), Some(held)) if kind(&own) == kind(held) => (other, said!(restore_id_key)),
            _ => (other, said!(ids_of_all_people_would_change)),
        };
        Some(Finding::fault("user_ids", found, advice))
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, prelude::BASE64_STANDARD as STANDARD};
    use wxmint_findings::Said;
    use wxmint_ids::{IdKey, IdKind};

    use super::*;

    /// On what the store holds.
    fn advice(ids: &UserIds, held: Option<&str>) -> Option<Said> {
        ids.hear(held).map(|finding| finding.advice)
    }

    #[test]
    fn a_process_goes_on_only_beside_its_own_key_and_kind() {
        let key = |kind, byte| {
            let key = IdKey::parse(STANDARD.encode([byte; 32]).as_bytes()).expect("a key");
            UserIds::new(Some((kind, key)), true)
        };
        let word = |kind, byte| key(kind, byte).word().expect("a word");
        let own = word(IdKind::OpenId, 1);
        for (is_computed, held, judged) in [
            (true, None, Some(said!(wait_for_id_key))),
            (true, Some(own.clone()), None),
            (true, Some(word(IdKind::OpenId, 2)), Some(said!(restore_id_key))),
            (true, Some(word(IdKind::UnionId, 1)), Some(said!(ids_of_all_people_would_change))),
            (false, Some(own), Some(said!(ids_of_all_people_would_change))),
            (false, None, None),
        ] {
            let ids = if is_computed { key(IdKind::OpenId, 1) } else { UserIds::new(None, true) };
            assert_eq!(advice(&ids, held.as_deref()), judged, "{is_computed} {held:?}");
        }
    }

    #[test]
    fn what_was_agreed_holds_while_the_store_names_no_key_and_only_who_has_waited_tells_a_key_at_first() {
        let key = |byte| IdKey::parse(STANDARD.encode([byte; 32]).as_bytes()).expect("a key");
        let [right, wrong] = [1, 2].map(|byte| UserIds::new(Some((IdKind::OpenId, key(byte))), true));
        assert_eq!((right.may_tell(false), right.may_tell(true), right.are_agreed()), (false, true, false));
        assert_eq!(advice(&right, right.word().as_deref()), None);
        assert_eq!((advice(&right, None), right.are_agreed(), right.may_tell(false)), (None, true, true));
        assert_eq!(advice(&wrong, right.word().as_deref()), Some(said!(restore_id_key)));
        assert_eq!((advice(&wrong, None), wrong.are_agreed()), (Some(said!(wait_for_id_key)), false));
        assert!(!wrong.may_tell(true), "it knows better");
        let drawn = UserIds::new(None, false);
        assert_eq!((advice(&drawn, None), drawn.are_agreed()), (None, true));
        assert_eq!(advice(&drawn, right.word().as_deref()), Some(said!(ids_of_all_people_would_change)));
        assert_eq!((advice(&drawn, None), drawn.are_agreed()), (Some(said!(ids_of_all_people_would_change)), false));
        // The doctor looks too, so that looks are no time: others may compute user ids, and have not told the key yet.
        assert_eq!(
            (advice(&drawn, None), drawn.are_agreed()),
            (Some(said!(ids_of_all_people_would_change)), false),
            "however often it looks"
        );
        assert_eq!(advice(&wrong, None), Some(said!(wait_for_id_key)));
        assert!(!wrong.may_tell(true));
    }
}
