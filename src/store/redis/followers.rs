//! The replicas of a primary that Sentinels watch.
//!
//! Sentinels promote one replica while the others follow the old primary for a second longer. One of the others would confirm
//! what the old primary takes then, and it would be lost. So all replicas confirm a write; if one does not, it must not have
//! become a primary.

use std::{cell::RefCell, collections::BTreeSet, time::Duration};

use tokio::time::Instant;

use super::url::Address;

/// After a replica was too slow, writes do not wait for it for this time.
const SLOW_FOR: Duration = Duration::from_secs(5);
/// A replica that has not answered for so long is no primary, because the Sentinels, which are asked every second, would have
/// named it.
const SILENT_FOR: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(super) struct Followers(RefCell<State>);

#[derive(Default)]
struct State {
    /// Including those that have gone, until it is clear that they have not become primaries.
    known: BTreeSet<Address>,
    /// How many confirm in time, and until when no more than these are waited for.
    prompt: Option<(u8, Instant)>,
    /// Since when one that has gone does not answer.
    silent_since: Option<Instant>,
}

impl Followers {
    /// They follow the primary, too.
    pub(super) fn add(&self, found: &[Address]) {
        self.0.borrow_mut().known.extend(found.iter().cloned());
    }

    pub(super) fn all(&self) -> BTreeSet<Address> {
        self.0.borrow().known.clone()
    }

    /// How many are to confirm a write: at least one.
    pub(super) fn wanted(&self, now: Instant) -> u8 {
        let state = self.0.borrow();
        let all = state.known.len().max(1) as u8;
        state.prompt.filter(|(_, until)| now < *until).map_or(all, |(prompt, _)| all.min(prompt))
    }

    /// Whether as many as are wanted have confirmed, and all follow the primary still. Also while a slow one is not waited for,
    /// because it may be promoted once it has caught up.
    pub(super) fn are_there(&self, left: &[Address], confirmed: u8, now: Instant) -> bool {
        confirmed >= self.wanted(now) && self.0.borrow().known.iter().all(|one| left.contains(one))
    }

    /// Whether one that has gone and does not answer may have become a primary.
    pub(super) fn may_be_primary(&self, is_silent: bool, now: Instant) -> bool {
        let mut state = self.0.borrow_mut();
        state.silent_since = is_silent.then(|| state.silent_since.unwrap_or(now));
        state.silent_since.is_some_and(|since| now < since + SILENT_FOR)
    }

    /// None of them has become a primary. These are left, and so many of them have confirmed a write.
    pub(super) fn are(&self, left: Vec<Address>, confirmed: u8, now: Instant) {
        let prompt = (usize::from(confirmed) < left.len()).then_some((confirmed, now + SLOW_FOR));
        *self.0.borrow_mut() = State { known: left.into_iter().collect(), prompt, silent_since: None };
    }
}

/// By `INFO replication`, those that have all the data. One that is still copying confirms nothing.
pub(super) fn online(info: &str) -> Vec<Address> {
    let follower = |line: &str| {
        let (name, members) = line.strip_prefix("slave")?.split_once(':')?;
        let member = |name| members.split(',').find_map(|member| member.trim().strip_prefix(name));
        let is_online = name.parse::<u32>().is_ok() && member("state=") == Some("online");
        let address = Address { host: member("ip=")?.to_owned(), port: member("port=")?.parse().ok()? };
        is_online.then_some(address)
    };
    info.lines().filter_map(follower).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> Address {
        Address { host: "10.0.0.1".into(), port }
    }

    #[test]
    fn only_replicas_that_are_online_confirm() {
        let info = "role:master\r\nconnected_slaves:2\r\n\
                    slave0:ip=10.0.0.1,port=6379,state=online,offset=14,lag=0\r\n\
                    slave1:ip=10.0.0.2,port=6379,state=wait_bgsave,offset=0,lag=0\r\n\
                    slave_read_repl_offset:14\r\n";
        assert_eq!(online(info), [address(6379)]);
    }

    #[test]
    fn all_replicas_confirm_and_for_a_while_not_the_slow_ones() {
        let (followers, now) = (Followers::default(), Instant::now());
        assert_eq!(followers.wanted(now), 1, "never none because there are none");
        followers.add(&[address(1), address(2)]);
        followers.add(&[address(1)]);
        assert_eq!(followers.wanted(now), 2, "one that is not there any more may have become a primary");
        followers.are(vec![address(1), address(2)], 1, now);
        assert_eq!((followers.wanted(now), followers.wanted(now + SLOW_FOR)), (1, 2));
        assert!(followers.are_there(&[address(1), address(2)], 1, now));
        assert!(!followers.are_there(&[address(1)], 1, now), "the slow one has caught up and may be the primary");
        followers.are(vec![address(1)], 1, now);
        assert_eq!(followers.wanted(now), 1);
    }

    #[test]
    fn one_that_does_not_answer_may_be_the_primary_for_a_while() {
        let (followers, now) = (Followers::default(), Instant::now());
        let at = |seconds| now + Duration::from_secs(seconds);
        assert!(!followers.may_be_primary(false, at(0)));
        assert!(followers.may_be_primary(true, at(1)) && followers.may_be_primary(true, at(5)));
        assert!(!followers.may_be_primary(true, at(6)), "the Sentinels would have named it");
        assert!(!followers.may_be_primary(false, at(7)));
        assert!(followers.may_be_primary(true, at(8)), "silent again");
    }
}
