//! The erasure of a person's data. `login::operator` combines the steps.

use std::{collections::HashSet, rc::Rc, time::Duration};

use futures_util::future::try_join_all;
use wxmint_ids::{Person, UnionId, UserId, packed};
use wxmint_redis_link::scan::{Place, Slots};
use wxmint_redis_link::{Call, RedisClient};

use super::{Bindings, DRAWN, name, script, sessions};
use crate::{Result, StoreError};

/// How long the generations of erased bindings are kept, so that a late command of a login that was
/// in progress changes nothing. This is much longer than any request takes.
pub const NUMBERS_KEPT: Duration = Duration::from_mins(10);
/// How long the emptied list of a user without persons is kept, so that `users erase` still finds
/// the persons who have left.
pub const EMPTY_LIST_KEPT: Duration = Duration::from_hours(30 * 24);

/// The numbers of records that were erased for one person.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, derive_more::AddAssign)]
pub struct ErasedPerson {
    /// Records of bindings. The generation stays for [`NUMBERS_KEPT`].
    pub bindings: u64,
    /// Sessions, with all their session keys.
    pub session_keys: u64,
    /// Counters of logins, calls and failures.
    pub counters: u64,
}

/// Erases all kinds of a person's data at once. One script deletes the binding,
/// the session and the counters, so that a login at the same time comes before or after all of it.
/// One scan finds sessions and unionids, because a scan reads the names of all keys.
#[derive(Clone)]
pub struct Erasures {
    link: Rc<RedisClient>,
    bindings: Bindings,
}

impl Erasures {
    pub(super) fn new(link: Rc<RedisClient>, bindings: Bindings) -> Self {
        Self { link, bindings }
    }

    /// Erases the data of a person who is not bound, except the users of [`Bindings::left_by`] that
    /// are not in `struck`, and the person's counters of the kinds `limits`. `None` if the person
    /// is bound, is being bound or unbound, or has a computed user.
    pub async fn erase(
        &self,
        person: &Person,
        struck: &[&UserId],
        limits: &[&str],
    ) -> Result<Option<ErasedPerson>> {
        let keys = [
            name::binding,
            name::session,
            name::logins,
            name::left,
            name::tries,
        ]
        .map(|key| key(person));
        let struck: Vec<_> = struck.iter().map(|user| packed::user(user)).collect();
        let script = script::ERASE_PERSON
            .on(&keys)
            .arg(NUMBERS_KEPT.as_secs())
            .arg(struck);
        let erased: Vec<u64> = self.link.run_confirmed("erase_person", script).await?;
        let [bindings, session_keys, counters] = erased[..] else {
            return Ok(None);
        };
        let cells: Vec<_> = limits
            .iter()
            .map(|kind| name::limit_of_person(person, kind))
            .collect();
        let counted = Call::at(&name::logins(person)).cmd("DEL").arg(cells);
        let others: u64 = if limits.is_empty() {
            0
        } else {
            self.link.run_confirmed("erase_person", counted).await?
        };
        Ok(Some(ErasedPerson {
            bindings,
            session_keys,
            counters: counters + others,
        }))
    }

    /// The persons whose sessions name the user, as those of computed users do, and the unionids
    /// that are linked to the user. The user's list may not name them. Scans all keys. Fails if the
    /// servers or slots of a Cluster change during the scan.
    pub async fn named_elsewhere(
        &self,
        user: &UserId,
    ) -> Result<(HashSet<Person>, HashSet<UnionId>)> {
        let (mut people, mut unionids, mut place) =
            (HashSet::new(), HashSet::new(), Some(Place::default()));
        // If user ids are drawn, no session has an owner, so only unionids are scanned. Otherwise
        // one scan finds both kinds of keys.
        let are_computed = self
            .bindings
            .id_key(None)
            .await?
            .is_some_and(|word| word != DRAWN);
        let pattern = if are_computed {
            "wxmint:*"
        } else {
            "wxmint:union:{*}"
        };
        let unionid = |key: &String| name::unionid_of(key);
        let person = |key: &String| name::person_of(key, "session").ok();
        while let Some(from) = place {
            // A key may have moved from a primary that was not read yet to one that had been read.
            let page = self.link.keys_like(pattern, &from, Slots::AtRest).await?;
            if page.may_miss {
                return Err(StoreError::ChangedDuringScan);
            }
            let keys: Vec<_> = page
                .found
                .iter()
                .filter(|it| unionid(it).is_some() || person(it).is_some())
                .collect();
            let asked = keys
                .iter()
                .map(|key| self.link.run("named_elsewhere", Call::of("GET", key)));
            let values: Vec<Option<Vec<u8>>> = try_join_all(asked).await?;
            for (key, value) in keys
                .into_iter()
                .zip(values.into_iter().map(Option::unwrap_or_default))
            {
                people
                    .extend(person(key).filter(|_| sessions::owner(&value).as_ref() == Some(user)));
                unionids.extend(unionid(key).filter(|_| value == packed::user(user)));
            }
            place = page.next;
        }
        Ok((people, unionids))
    }
}
