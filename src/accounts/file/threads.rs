//! Threads that only hash passwords, so that the event loops never wait for a hash.

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

/// The most passwords that wait in the queue. At 12 ms each, one thread checks them all in less than a second.
const WAITING: usize = 64;
/// A check that takes longer is given up, because the machine is too busy. A test's machine may be.
const PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 60 } else { 3 });
/// When the client may try again.
const PAUSE: Duration = Duration::from_secs(2);
/// The nice value of the threads, 10 of 19. If both want the same core, hashing gets a tenth of the time of logins
/// without a password. At 19 it would get almost none on a machine that is always busy.
const NICENESS: i32 = 10;
/// The most threads, because each hash takes memory, and a container sees all cores of its node.
const MOST: usize = 4;

/// The queue to the threads. They end when its last clone is dropped.
#[derive(Clone)]
pub(super) struct HashThreads {
    queue: SyncSender<Job>,
    /// The number of threads.
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
    /// Starts half as many threads as there are cores, so that hashing never takes the other half.
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

    /// Checks a password. If nobody waits any more when its turn comes, nothing is hashed.
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
        // The lock is released before the hash is computed.
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        if job.is_awaited() {
            job.perform(&mut workspace);
        }
    }
}

impl Job {
    /// Whether somebody still waits for the result.
    fn is_awaited(&self) -> bool {
        !self.answer.is_closed()
    }

    fn perform(self, workspace: &mut Workspace) {
        match self.candidate.hash().matches(&self.password, workspace) {
            // Sending fails only if nobody waits any more.
            Ok(matches) => drop(self.answer.send(self.candidate.answer(matches))),
            Err(error) => tracing::error!(%error, "a password was not checked"),
        }
    }
}

/// Only on Linux, because elsewhere the call changes the priority of the whole process (setpriority(2), "C
/// library/kernel differences").
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
    async fn a_full_queue_refuses_and_its_jobs_are_done_once_a_thread_is_free() {
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
    fn nothing_is_hashed_if_nobody_waits_any_more() {
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
    fn there_are_half_as_many_threads_as_cores_and_at_most_four() {
        for (cores, count) in [(1, 1), (2, 1), (3, 1), (4, 2), (8, 4), (64, 4)] {
            assert_eq!(HashThreads::start(cores).expect("threads").count, count, "{cores} cores");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn only_the_hashing_threads_have_a_lower_priority() {
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
