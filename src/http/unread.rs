//! The bytes of long answers that wait until their clients read them. When they fill their room, the client that holds most of
//! it loses the answer that has waited longest, and the newcomer is served.

use std::{
    collections::HashSet,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use actix_web::web::Bytes;
use ipnet::IpNet;

use super::connection::{ClientConnection, longest_of_who_holds_most, reset};
use crate::telemetry::admit_line;

/// The most bytes of one listener: 160 full pages of the feed. On the public listener nothing else takes them, because its other
/// long answers are files of the program.
pub(super) const MOST_UNREAD: usize = 8 * 1024 * 1024;

/// The answers of one listener, of all its workers.
#[derive(Default)]
pub(super) struct Unread(Mutex<Vec<Arc<Answer>>>);

pub(super) struct Answer {
    client: IpNet,
    since: Instant,
    /// Where they lie, and how many they are.
    bytes: (usize, usize),
    socket: Arc<OwnedFd>,
}

impl Unread {
    /// Counts an answer. If there is no room, connections are closed until there is.
    pub(super) fn begin(&self, connection: &ClientConnection, answer: &Bytes) -> Arc<Answer> {
        let newcomer = Arc::new(Answer {
            client: connection.client(),
            since: Instant::now(),
            bytes: (answer.as_ptr() as usize, answer.len().min(MOST_UNREAD)),
            socket: connection.socket(),
        });
        let mut answers = self.answers();
        answers.push(Arc::clone(&newcomer));
        while let Some(longest) = one_too_many(&answers) {
            answers.retain(|answer| !Arc::ptr_eq(answer, &longest));
            reset(&longest.socket);
            if let Some(silent) = admit_line("unread answers") {
                tracing::warn!(
                    silent,
                    "answers that clients do not read fill their room: closed a connection that has not read for longest"
                );
            }
        }
        newcomer
    }

    pub(super) fn end(&self, ended: &Arc<Answer>) {
        self.answers().retain(|answer| !Arc::ptr_eq(answer, ended));
    }

    fn answers(&self) -> MutexGuard<'_, Vec<Arc<Answer>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `None` if there is room for all of them. Bytes that several answers share are in memory once. Each client that has such an answer
/// holds all of them: otherwise two addresses that share what they do not read would hold less than one that reads.
fn one_too_many(answers: &[Arc<Answer>]) -> Option<Arc<Answer>> {
    let copies: HashSet<_> = answers.iter().map(|answer| answer.bytes).collect();
    if copies.iter().map(|(_, bytes)| bytes).sum::<usize>() <= MOST_UNREAD {
        return None;
    }
    let mut seen = HashSet::new();
    let mut amount = |answer: &Answer| if seen.insert((answer.client, answer.bytes)) { answer.bytes.1 } else { 0 };
    let held = answers.iter().map(|answer| (answer.client, amount(answer), answer.since, answer));
    longest_of_who_holds_most(held).cloned()
}
