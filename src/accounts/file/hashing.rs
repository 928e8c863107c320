//! Checks passwords on tokio's threads for blocking work, a few at once, so that the event loops
//! never wait for a hash.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

use super::{hash::Workspace, lines::User};
use crate::accounts::{AccountsError, Password, Result};

/// The most passwords of one address that wait. At 12 ms each, they take less than a second, one
/// hashed at a time.
const WAITING: usize = 64;
/// A check that takes longer is given up, because the machine is too busy. In tests the limit is
/// higher, because their machine may be busy.
const PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 600 } else { 3 });
/// When the client may try again.
const PAUSE: Duration = Duration::from_secs(2);
/// The nice value of a thread that hashes, 10 of 19. If both want the same core, hashing gets a
/// tenth of the time of logins without a password. At 19 it would get almost none on a machine that
/// is always busy.
const NICENESS: i32 = 10;
/// The most passwords that are hashed at once, because each takes memory, and a container sees all
/// cores of its node.
const MOST: usize = 4;

pub(super) struct Hashing {
    at_once: usize,
    turns: Arc<Semaphore>,
    /// As many permits for each address whose passwords are being checked. Only a password with a
    /// permit of its address waits for one of `turns`, so that an address with many passwords
    /// delays no other by more than one turn.
    own_turns: Mutex<HashMap<String, Weak<Semaphore>>>,
    /// The workspaces that are not in use at the moment.
    workspaces: Mutex<Vec<Workspace>>,
    patience: Duration,
}

impl Hashing {
    /// Hashes half as many passwords at once as there are cores, so that hashing never takes the
    /// other half.
    pub(super) fn on(cores: usize) -> Self {
        let at_once = (cores / 2).clamp(1, MOST);
        Self {
            at_once,
            turns: Arc::new(Semaphore::new(at_once)),
            own_turns: Mutex::default(),
            workspaces: Mutex::default(),
            patience: PATIENCE,
        }
    }

    /// Whether a password is the user's. If the caller no longer waits when its turn comes, nothing
    /// is hashed.
    pub(super) async fn check(
        self: &Arc<Self>,
        user: Arc<User>,
        password: &Password,
        address: &str,
    ) -> Result<bool> {
        let own = self
            .turns_of(address)
            .ok_or_else(|| busy("too many passwords wait to be checked"))?;
        let hashing = Arc::clone(self);
        let password = password.clone();
        let in_turn = async {
            let own = own.acquire_owned().await.expect("never closed");
            let turn = Arc::clone(&self.turns)
                .acquire_owned()
                .await
                .expect("never closed");
            let hashed = spawn_blocking(move || {
                // Held until the hash is computed, even if the caller has given up.
                let _turns = (own, turn);
                lower_priority();
                let mut workspace = hashing.workspaces.lock().pop().unwrap_or_default();
                let matches = user.hash.matches(&password, &mut workspace);
                hashing.workspaces.lock().push(workspace);
                matches
            });
            hashed
                .await
                .map_err(|error| busy(&error.to_string()))?
                .map_err(busy)
        };
        timeout(self.patience, in_turn)
            .await
            .unwrap_or_else(|_| Err(busy("a password waited too long to be checked")))
    }

    /// The permits of an address. `None` while too many of its passwords wait, each of which holds
    /// a reference to them.
    fn turns_of(&self, address: &str) -> Option<Arc<Semaphore>> {
        let mut all = self.own_turns.lock();
        all.retain(|_, own| own.strong_count() > 0);
        let own = all
            .get(address)
            .and_then(Weak::upgrade)
            .unwrap_or_else(|| Arc::new(Semaphore::new(self.at_once)));
        all.insert(address.to_owned(), Arc::downgrade(&own));
        (Arc::strong_count(&own) <= self.at_once + WAITING).then_some(own)
    }
}

fn busy(reason: &str) -> AccountsError {
    AccountsError {
        reason: reason.into(),
        cure: "wait".into(),
        retry_after: PAUSE,
    }
}

/// Lowers the priority of this thread. Only on Linux, because elsewhere the call changes the
/// priority of the whole process (setpriority(2), "C library/kernel differences"). The thread keeps
/// the priority; besides passwords, it only looks up names of hosts.
fn lower_priority() {
    use rustix::process::{getpriority_process, setpriority_process};
    // A call by root would raise a priority that is already lower.
    let present = getpriority_process(None).unwrap_or_default();
    if cfg!(target_os = "linux")
        && let Err(error) = setpriority_process(None, NICENESS.max(present))
    {
        tracing::debug!(%error, "passwords are checked at the usual priority");
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::yield_now;

    use super::*;

    const ALICE: &str = "alice $argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQxNmJ5dGVzIQ$pGCDROzX6H47uHvxZs2bGTaqTm0MTaXaAqHKUY0Y65s u-1";

    fn password() -> Password {
        "hunter2".parse().expect("a password")
    }

    fn check(
        hashing: &Arc<Hashing>,
        address: &'static str,
    ) -> impl Future<Output = Result<bool>> + use<> {
        let (hashing, user) = (
            Arc::clone(hashing),
            Arc::new(User::parse(ALICE).expect("a user")),
        );
        async move { hashing.check(user, &password(), address).await }
    }

    #[tokio::test]
    async fn an_address_with_many_passwords_holds_up_no_other_and_is_refused_once_too_many_wait() {
        let hashing = Arc::new(Hashing::on(1));
        let turn = Arc::clone(&hashing.turns)
            .acquire_owned()
            .await
            .expect("a turn");
        let many: Vec<_> = (0..=WAITING)
            .map(|_| tokio::spawn(check(&hashing, "192.0.2.1")))
            .collect();
        while hashing
            .own_turns
            .lock()
            .get("192.0.2.1")
            .is_none_or(|own| own.strong_count() <= WAITING)
        {
            yield_now().await;
        }
        let refused = check(&hashing, "192.0.2.1").await.expect_err("no place");
        assert_eq!(
            (&*refused.reason, refused.retry_after),
            ("too many passwords wait to be checked", PAUSE)
        );
        let other = tokio::spawn(check(&hashing, "192.0.2.2"));
        while hashing.own_turns.lock().len() < 2 {
            yield_now().await;
        }
        drop(turn);
        assert_eq!(other.await.expect("no panic"), Ok(true));
        let done = many.iter().filter(|one| one.is_finished()).count();
        assert!(done <= 2, "{done} of the other address came first");
        for one in many {
            assert_eq!(one.await.expect("no panic"), Ok(true));
        }
        assert_eq!(hashing.workspaces.lock().len(), 1, "one was enough for all");
        drop(hashing.turns_of("192.0.2.1"));
        assert_eq!(
            hashing.own_turns.lock().len(),
            1,
            "what is over is forgotten"
        );
    }

    #[tokio::test]
    async fn a_password_that_waits_too_long_is_given_up_and_never_hashed() {
        let hashing = Arc::new(Hashing {
            patience: Duration::ZERO,
            ..Hashing::on(1)
        });
        let turn = Arc::clone(&hashing.turns)
            .acquire_owned()
            .await
            .expect("a turn");
        let refused = check(&hashing, "192.0.2.1")
            .await
            .expect_err("not its turn");
        assert_eq!(&*refused.reason, "a password waited too long to be checked");
        drop(turn);
        yield_now().await;
        assert_eq!(
            (
                hashing.turns.available_permits(),
                hashing.workspaces.lock().len()
            ),
            (1, 0)
        );
        assert_eq!(
            hashing
                .turns_of("192.0.2.1")
                .expect("turns")
                .available_permits(),
            1
        );
    }

    #[test]
    fn half_as_many_are_hashed_at_once_as_there_are_cores_and_at_most_four() {
        for (cores, at_once) in [(1, 1), (2, 1), (3, 1), (4, 2), (8, 4), (64, 4)] {
            assert_eq!(
                Hashing::on(cores).turns.available_permits(),
                at_once,
                "{cores} cores"
            );
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn only_the_hashing_threads_have_a_lower_priority() {
        use rustix::process::getpriority_process;
        let before = getpriority_process(None).expect("a priority");
        let theirs = std::thread::spawn(|| {
            lower_priority();
            getpriority_process(None).expect("a priority")
        });
        let theirs = theirs.join().expect("a thread");
        assert!(theirs == NICENESS.max(before), "{theirs}");
        assert_eq!(getpriority_process(None).expect("a priority"), before);
    }
}
