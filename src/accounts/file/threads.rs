//! Threads that hash passwords and do nothing else, so that the event loops never wait for a hash.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::Duration,
};

use tokio::{sync::oneshot, time::timeout};

use super::{hash::Workspace, users::Candidate};
use crate::{
    accounts::{AccountsError, Password},
    ids::UserId,
};

/// How many passwords may wait. At 12 ms each, a thread is through with them in less than a second.
const WAITING: usize = 64;
/// After which a check is given up, if the machine is that busy.
const PATIENCE: Duration = Duration::from_secs(3);
/// When it is worth asking again.
const PAUSE: Duration = Duration::from_secs(2);
/// Of 19 nicer than usual. Hashing gets a tenth of what a login without a password gets, where both want the same core;
/// at 19 it would get nothing to speak of on a machine that is always busy.
const NICENESS: i32 = 10;
/// However many cores there are: a hash takes memory, and a container sees all cores of its node.
const MOST: usize = 4;

/// The queue to them. The threads end when the last clone of it is gone.
#[derive(Clone)]
pub(super) struct HashThreads {
    queue: SyncSender<Job>,
    /// How many hashes are computed at once.
    pub(super) count: usize,
    patience: Duration,
}

struct Job {
    candidate: Candidate,
    password: Password,
    answer: oneshot::Sender<Option<UserId>>,
}

type Jobs = Arc<Mutex<Receiver<Job>>>;

impl HashThreads {
    /// Half as many threads as cores, so that the other half is never taken.
    pub(super) fn start(cores: usize) -> io::Result<Self> {
        let (threads, jobs) = Self::queue((cores / 2).clamp(1, MOST), WAITING);
        for _ in 0..threads.count {
            let jobs = Arc::clone(&jobs);
            thread::Builder::new().name("passwords".into()).spawn(move || work(&jobs))?;
        }
        Ok(threads)
    }

    fn queue(count: usize, waiting: usize) -> (Self, Jobs) {
        let (queue, jobs) = sync_channel(waiting);
        (Self { queue, count, patience: PATIENCE }, Arc::new(Mutex::new(jobs)))
    }

    /// Waits for the hash. Who goes away meanwhile takes the job along, if it has not begun.
    pub(super) async fn check(
        &self,
        candidate: Candidate,
        password: &Password,
    ) -> Result<Option<UserId>, AccountsError> {
        let answer = self.submit(candidate, password.clone())?;
        let answered =
            timeout(self.patience, answer).await.map_err(|_| busy("a password waited too long to be checked"))?;
        answered.map_err(|_| busy("a password could not be hashed; the log says why"))
    }

    fn submit(
        &self,
        candidate: Candidate,
        password: Password,
    ) -> Result<oneshot::Receiver<Option<UserId>>, AccountsError> {
        let (answer, answered) = oneshot::channel();
        match self.queue.try_send(Job { candidate, password, answer }) {
            Ok(()) => Ok(answered),
            Err(TrySendError::Full(_)) => Err(busy("too many passwords wait to be checked")),
            Err(TrySendError::Disconnected(_)) => Err(busy("the threads that check passwords have ended")),
        }
    }
}

fn busy(reason: &str) -> AccountsError {
    AccountsError { reason: reason.to_owned(), retry_after: PAUSE }
}

fn work(jobs: &Jobs) {
    lower_priority();
    let mut workspace = Workspace::default();
    loop {
        // Released before the hash is computed.
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        if job.is_awaited() {
            job.perform(&mut workspace);
        }
    }
}

impl Job {
    /// Nothing is computed for who has gone.
    fn is_awaited(&self) -> bool {
        !self.answer.is_closed()
    }

    fn perform(self, workspace: &mut Workspace) {
        match self.candidate.hash().matches(&self.password, workspace) {
            // Fails only if nobody waits any more.
            Ok(matches) => drop(self.answer.send(self.candidate.answer(matches))),
            Err(error) => tracing::error!(%error, "a password was not checked"),
        }
    }
}

/// Elsewhere the priority is the whole process's (setpriority(2), "C library/kernel differences").
#[cfg(target_os = "linux")]
fn lower_priority() {
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::debug!(%error, "passwords are checked at the usual priority");
    }
}

#[cfg(not(target_os = "linux"))]
fn lower_priority() {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::file::users::Users;

    const ALICE: &str =
        "alice $argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQxNmJ5dGVzIQ$pGCDROzX6H47uHvxZs2bGTaqTm0MTaXaAqHKUY0Y65s u-1";

    fn candidate(name: &str) -> Candidate {
        Users::parse(ALICE.as_bytes()).expect("a user").candidate(&name.parse().expect("a name"))
    }

    fn password() -> Password {
        "hunter2".parse().expect("a password")
    }

    #[tokio::test]
    async fn the_queue_is_bounded_and_works_on_when_a_thread_comes() {
        let (threads, jobs) = HashThreads::queue(1, 2);
        let submit = |name| threads.submit(candidate(name), password());
        let (alice, bob) = (submit("alice").expect("room"), submit("bob").expect("room"));
        let refused = submit("alice").expect_err("no room");
        assert_eq!((refused.reason.as_str(), refused.retry_after), ("too many passwords wait to be checked", PAUSE));

        thread::spawn(move || work(&jobs));
        assert_eq!(alice.await.expect("an answer").expect("alice").as_str(), "u-1");
        assert_eq!(bob.await.expect("an answer"), None);
        assert!(threads.check(candidate("alice"), &password()).await.expect("an answer").is_some());
    }

    #[test]
    fn who_has_gone_is_not_hashed_for() {
        let (threads, jobs) = HashThreads::queue(1, 2);
        let waits = threads.submit(candidate("alice"), password()).expect("room");
        let job = jobs.lock().expect("ours alone").recv().expect("a job");
        assert!(job.is_awaited());
        drop(waits);
        assert!(!job.is_awaited());
    }

    #[tokio::test]
    async fn a_password_that_waits_too_long_is_given_up() {
        let (mut threads, jobs) = HashThreads::queue(1, 2);
        threads.patience = Duration::ZERO;
        let refused = threads.check(candidate("alice"), &password()).await.expect_err("nobody works");
        assert_eq!(refused.reason, "a password waited too long to be checked");
        drop(jobs);
        let refused = threads.check(candidate("alice"), &password()).await.expect_err("nobody will ever work");
        assert_eq!(refused.reason, "the threads that check passwords have ended");
    }

    #[test]
    fn there_are_half_as_many_threads_as_cores_and_never_many() {
        for (cores, count) in [(1, 1), (2, 1), (3, 1), (4, 2), (8, 4), (64, 4)] {
            assert_eq!(HashThreads::start(cores).expect("threads").count, count, "{cores} cores");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_threads_are_nice_and_the_others_are_not() {
        use rustix::process::getpriority_process;
        let before = getpriority_process(None).expect("a priority");
        let theirs = thread::spawn(|| {
            lower_priority();
            getpriority_process(None).expect("a priority")
        });
        let theirs = theirs.join().expect("a thread");
        assert!(theirs == NICENESS.max(before), "{theirs}");
        assert_eq!(getpriority_process(None).expect("a priority"), before);
    }
}
