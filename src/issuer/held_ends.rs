//! Holds the ends that the store has, and makes those again that it has lost: in a failover, or because somebody
//! emptied it.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use wxmint_store::{Ended, Store, StoreError};

use super::Issuer;
use crate::clock::now;

const INTERVAL: Duration = Duration::from_secs(2);
/// The newest ones, in about 15 MB.
const MOST: usize = 100_000;
const PAGE: usize = 1_000;

pub(super) async fn follow(issuer: Arc<Issuer>) {
    let store = issuer.store();
    let mut interval = actix_web::rt::time::interval(INTERVAL);
    let mut held = HeldEnds::default();
    loop {
        interval.tick().await;
        match held.look(&*store).await {
            Ok(0) => {}
            Ok(lost) => {
                tracing::error!(lost, "Redis has lost revocations, and they were made again from this process' memory");
            }
            // The call has said why. The next look goes on.
            Err(_) => {}
        }
    }
}

/// The ends of the stream up to the cursor, in their form there.
#[derive(Default)]
struct HeldEnds {
    ends: VecDeque<Box<str>>,
    cursor: String,
    keep: Duration,
}

impl HeldEnds {
    /// Reads what is new in the stream. If the stream does not know the cursor, the ends that it lacks are made again.
    /// Returns how many.
    async fn look(&mut self, store: &dyn Store) -> Result<usize, StoreError> {
        let mut more = true;
        while more {
            let Some(read) = store.ends_after(&self.cursor, PAGE).await? else { return self.restore(store).await };
            (self.cursor, self.keep, more) = (read.cursor, read.keep, read.more);
            self.hold(read.ends);
        }
        Ok(0)
    }

    fn hold(&mut self, ends: Vec<Ended>) {
        self.ends.extend(ends.iter().map(|ended| ended.to_string().into_boxed_str()));
        self.ends.drain(..self.ends.len().saturating_sub(MOST));
    }

    /// Another process may do the same: an end that is in the stream twice changes nothing.
    async fn restore(&mut self, store: &dyn Store) -> Result<usize, StoreError> {
        let (mut there, now) = (Self::default(), now().timestamp());
        // From the beginning, which every stream has.
        Box::pin(there.look(store)).await?;
        let known: HashSet<&str> = there.ends.iter().map(AsRef::as_ref).collect();
        let lost: Vec<Ended> =
            self.ends.iter().filter(|end| !known.contains(&***end)).filter_map(|end| end.parse().ok()).collect();
        let is_needed = |end: &&Ended| end.needed_until(self.keep).is_none_or(|until| now <= until);
        let mut restored = 0;
        for ended in lost.iter().filter(is_needed) {
            store.restore_end(ended).await?;
            restored += 1;
        }
        *self = there;
        Ok(restored)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use wxmint_store::{Ends, Memory};

    use super::*;

    fn ends(store: &HeldEnds) -> Vec<&str> {
        store.ends.iter().map(AsRef::as_ref).collect()
    }

    #[actix_web::test]
    async fn what_a_store_has_lost_and_is_needed_is_made_again_once() {
        let store = || Memory::new(now, Duration::from_secs(60));
        let (before, after) = (store(), store());
        let (user, second) = ("lin".parse().expect("a user"), now().timestamp());
        let old = (now() - TimeDelta::days(60)).timestamp();
        for ended in [Ended::Key { kid: "one".into() }, Ended::User { user, before: second }] {
            before.restore_end(&ended).await.expect("made");
        }
        before.restore_end(&Ended::User { user: "mei".parse().expect("a user"), before: old }).await.expect("made");
        let mut held = HeldEnds::default();
        assert_eq!(held.look(&before).await, Ok(0));
        let needed = [String::from("kid one"), format!("sub {second} lin")];
        assert_eq!(ends(&held)[..2], needed);

        after.restore_end(&Ended::Key { kid: "other".into() }).await.expect("made");
        assert_eq!(held.look(&after).await, Ok(2), "the one of two months ago names no token that is left");
        assert_eq!(held.look(&after).await, Ok(0));
        assert_eq!(ends(&held), ["kid other", &needed[0], &needed[1]]);
    }
}
