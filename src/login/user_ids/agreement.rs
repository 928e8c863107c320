//! Compares how this process makes user ids with what the store says, so that no process gives
//! people other user ids.

use parking_lot::Mutex;
use wxmint_store::{Bindings, DRAWN, StoreError};

use crate::findings::Finding;

/// Whether this process agrees with the fingerprint in the store: the kind and the fingerprint of
/// the id key, or [`DRAWN`]. All processes must have the same one. A process that finds another one
/// logs nobody in.
pub struct Agreement {
    /// The fingerprint of this process.
    pub own: String,
    /// Whether other processes may use the same store. A store in memory belongs to one process.
    has_peers: bool,
    seen: Mutex<Seen>,
}

#[derive(Clone, Copy, Default)]
struct Seen {
    /// Whether the store has ever held this process's fingerprint.
    was_own: bool,
    /// Whether the last fingerprint in the store was this process's; `None` if the store has not
    /// held one yet.
    last_match: Option<bool>,
    /// Whether the store has ever answered.
    has_answered: bool,
}

impl Agreement {
    pub(super) fn new(own: String, has_peers: bool) -> Self {
        Self {
            own,
            has_peers,
            seen: Mutex::default(),
        }
    }

    /// Compares if the process has not done so since its start, because the first login may come
    /// before the first comparison.
    pub(in crate::login) async fn ask_first(&self, bindings: &Bindings) -> Result<(), StoreError> {
        if !self.seen.lock().has_answered {
            Box::pin(self.compare(bindings, false)).await?;
        }
        Ok(())
    }

    /// Fails unless the store's fingerprint is this process's. Checked before a code is spent, and
    /// again before a login is recorded.
    pub(in crate::login) fn check_agreed(&self) -> Result<(), StoreError> {
        let is_agreed = self.seen.lock().last_match == Some(true);
        if is_agreed {
            Ok(())
        } else {
            Err(StoreError::OtherIdKey)
        }
    }

    /// Whether this process has not yet seen a fingerprint in the store, so that other processes
    /// may publish theirs first.
    pub fn wait_for_others(&self) -> bool {
        self.seen.lock().last_match.is_none()
    }

    /// Compares this process's fingerprint with that of the store, and publishes it if it may.
    /// Returns what keeps people from logging in.
    pub async fn compare(
        &self,
        bindings: &Bindings,
        has_waited: bool,
    ) -> Result<Option<Finding>, StoreError> {
        let own = Some(self.own.as_str()).filter(|_| self.may_publish(has_waited));
        Ok(self.on_stored_fingerprint(bindings.id_key(own).await?.as_deref()))
    }

    /// Whether to publish our fingerprint in a store that has none: if the store held it before, or
    /// if the process `has_waited` for others to publish theirs. So no wrong fingerprint gets into
    /// a store that was emptied. A process that draws user ids, and has seen that others compute
    /// them, publishes nothing from then on.
    fn may_publish(&self, has_waited: bool) -> bool {
        let Seen {
            was_own,
            last_match,
            ..
        } = *self.seen.lock();
        match last_match {
            Some(is_own) => is_own || was_own && self.are_computed(),
            None => has_waited || !self.has_peers,
        }
    }

    /// Takes note of the fingerprint that the store holds. If it is a different one, returns why
    /// nobody may log in at this process: people could get other user ids.
    fn on_stored_fingerprint(&self, held: Option<&str>) -> Option<Finding> {
        let own = self.own.as_str();
        // A process that draws user ids yields to those that compute them, so [`DRAWN`] says
        // nothing here.
        let held = held.filter(|held| *held != DRAWN || !self.are_computed());
        let mut seen = self.seen.lock();
        seen.has_answered = true;
        // If somebody has emptied the store, what was known before holds.
        if let Some(held) = held {
            let is_own = own == held;
            seen.last_match = Some(is_own);
            seen.was_own |= is_own;
        }
        if seen.last_match == Some(true) {
            return None;
        }
        let other = message!(
            redis_knows_other_user_ids,
            held.unwrap_or("another kind"),
            own
        );
        let (found, advice) = match held {
            None if self.are_computed() || seen.last_match.is_none() => {
                (message!(id_key_not_compared_yet), message!(wait_for_id_key))
            }
            Some(held) if own.split(' ').next() == held.split(' ').next() => {
                (other, message!(restore_id_key))
            }
            _ => (other, message!(ids_of_all_people_would_change)),
        };
        Some(Finding::fault("user_ids", found, advice))
    }

    fn are_computed(&self) -> bool {
        self.own != DRAWN
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, prelude::BASE64_STANDARD as STANDARD};
    use wxmint_ids::{IdKey, IdKind};

    use super::*;
    use crate::findings::Message;
    use crate::login::UserIds;

    /// The advice for the fingerprint that the store holds.
    fn advice(ids: &Agreement, held: Option<&str>) -> Option<Message> {
        ids.on_stored_fingerprint(held)
            .map(|finding| finding.advice)
    }

    fn are_agreed(ids: &Agreement) -> bool {
        ids.check_agreed().is_ok()
    }

    fn computing(kind: IdKind, byte: u8) -> Agreement {
        let key = IdKey::parse(STANDARD.encode([byte; 32]).as_bytes()).expect("a key");
        UserIds::new(Some((kind, key)), true, true).agreement
    }

    fn drawing() -> Agreement {
        UserIds::new(None, false, true).agreement
    }

    #[test]
    fn a_process_goes_on_only_beside_its_own_key_and_kind() {
        let word = |kind, byte| computing(kind, byte).own;
        let own = word(IdKind::OpenId, 1);
        for (is_computed, held, judged) in [
            (true, None, Some(message!(wait_for_id_key))),
            (true, Some(own.clone()), None),
            (
                true,
                Some(word(IdKind::OpenId, 2)),
                Some(message!(restore_id_key)),
            ),
            (
                true,
                Some(word(IdKind::UnionId, 1)),
                Some(message!(ids_of_all_people_would_change)),
            ),
            (
                true,
                Some(DRAWN.to_owned()),
                Some(message!(wait_for_id_key)),
            ),
            (
                false,
                Some(own),
                Some(message!(ids_of_all_people_would_change)),
            ),
            (false, Some(DRAWN.to_owned()), None),
            (false, None, Some(message!(wait_for_id_key))),
        ] {
            let ids = if is_computed {
                computing(IdKind::OpenId, 1)
            } else {
                drawing()
            };
            assert_eq!(
                advice(&ids, held.as_deref()),
                judged,
                "{is_computed} {held:?}"
            );
            assert_eq!(are_agreed(&ids), judged.is_none(), "{is_computed} {held:?}");
        }
    }

    #[test]
    fn what_was_agreed_holds_while_the_store_has_no_word_and_only_who_has_waited_tells_one_at_first()
     {
        let [right, wrong] = [1, 2].map(|byte| computing(IdKind::OpenId, byte));
        assert_eq!(
            (
                right.may_publish(false),
                right.may_publish(true),
                are_agreed(&right)
            ),
            (false, true, false)
        );
        assert_eq!(advice(&right, Some(&right.own)), None);
        assert_eq!(
            (
                advice(&right, None),
                are_agreed(&right),
                right.may_publish(false)
            ),
            (None, true, true)
        );
        assert_eq!(
            (
                advice(&right, Some(DRAWN)),
                are_agreed(&right),
                right.may_publish(false)
            ),
            (None, true, true)
        );
        assert_eq!(
            advice(&wrong, Some(&right.own)),
            Some(message!(restore_id_key))
        );
        assert_eq!(
            (advice(&wrong, None), are_agreed(&wrong)),
            (Some(message!(wait_for_id_key)), false)
        );
        assert!(!wrong.may_publish(true), "it knows better");
        // The number of looks does not matter: the doctor looks too, so looks do not measure time.
        for _ in 0..2 {
            assert_eq!(advice(&wrong, None), Some(message!(wait_for_id_key)));
            assert!(!wrong.may_publish(true));
        }
    }

    #[test]
    fn who_draws_user_ids_waits_like_who_computes_them_and_yields_to_them_for_good() {
        let right = computing(IdKind::OpenId, 1);
        let drawn = drawing();
        assert_eq!(
            (
                drawn.may_publish(false),
                drawn.may_publish(true),
                are_agreed(&drawn)
            ),
            (false, true, false)
        );
        for _ in 0..2 {
            assert_eq!(
                (advice(&drawn, None), are_agreed(&drawn)),
                (Some(message!(wait_for_id_key)), false)
            );
        }
        assert_eq!(
            (advice(&drawn, Some(DRAWN)), are_agreed(&drawn)),
            (None, true)
        );
        assert_eq!(
            (
                advice(&drawn, None),
                are_agreed(&drawn),
                drawn.may_publish(false)
            ),
            (None, true, true)
        );
        assert_eq!(
            advice(&drawn, Some(&right.own)),
            Some(message!(ids_of_all_people_would_change))
        );
        assert_eq!(
            (advice(&drawn, None), are_agreed(&drawn)),
            (Some(message!(ids_of_all_people_would_change)), false)
        );
        assert!(
            !drawn.may_publish(true),
            "others compute user ids, and may not have told the key again yet"
        );
        // A store in memory belongs to one process.
        assert!(
            UserIds::new(None, false, false)
                .agreement
                .may_publish(false)
        );
    }
}
