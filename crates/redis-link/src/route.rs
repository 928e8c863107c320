//! How a call reaches the primary of its keys, and what is done where it does not.

use std::{rc::Rc, time::Duration};

use redis::{FromRedisValue, Pipeline, Value};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::failure::{Cause, Failure, Problem, Reason};
use super::primaries::Primaries;
use super::server::{Server, read};

/// Between two tries of a call whose keys lie on two servers, because their slot is moving.
const SLOT_MOVES: Duration = Duration::from_millis(50);

/// How often a call follows a slot that is moving, if its deadline leaves the time.
const FOLLOWED: u32 = 5;

/// The answers to some commands, and the server that gave them.
pub(crate) struct Reply {
    pub(crate) values: Vec<Value>,
    pub(crate) from: Rc<Server>,
    /// The server that the slot is moving to, if some of the commands were done there.
    pub(crate) other: Option<Rc<Server>>,
}

impl Reply {
    pub(crate) fn read<T: FromRedisValue>(self) -> Result<T, Failure> {
        read(self.values, &self.from.address)
    }
}

/// Futures that are seldom awaited are boxed, here and in `link.rs`: each call copies its future, which is as large as
/// the largest future that it may await.
impl Primaries {
    /// Sends commands to the primary of a slot, and again if another server has the slot by now or does the primary's
    /// work.
    pub(crate) async fn send(self: &Rc<Self>, slot: u16, sent: &Pipeline, deadline: Instant) -> Result<Reply, Failure> {
        let from = match self.of(slot) {
            Some(server) => server,
            None => Box::pin(self.searched(slot, deadline)).await?,
        };
        match from.send(sent, deadline).await {
            Ok(values) => Ok(Reply { values, from, other: None }),
            Err(failure) => Box::pin(self.send_after(failure, from, slot, sent, deadline)).await,
        }
    }

    /// Sends the commands again after a failure at `server`: where another has the slot now, or after a failover. While
    /// no new primary is elected it fails, and the client repeats the request.
    async fn send_after(
        self: &Rc<Self>,
        mut failure: Failure,
        mut server: Rc<Server>,
        slot: u16,
        sent: &Pipeline,
        deadline: Instant,
    ) -> Result<Reply, Failure> {
        let mut has_searched = self.is_single();
        for _ in 0..FOLLOWED {
            let mut asked = None;
            match &failure.problem {
                Problem::Moved(to) if self.is_cluster() => {
                    drop(self.search());
                    server = self.server(to);
                }
                Problem::Asked(to, all) if self.is_cluster() => asked = Some((self.server(to), Rc::clone(all))),
                Problem::Split => {
                    sleep_until(deadline.min(Instant::now() + SLOT_MOVES)).await;
                    server = self.of(slot).unwrap_or(server);
                }
                Problem::BadConnection | Problem::Silent if !has_searched => {
                    has_searched = true;
                    match timeout_at(deadline, self.search()).await.map(|_| self.of(slot)) {
                        // A server that answers nobody is not asked again.
                        Ok(Some(found)) if failure.problem != Problem::Silent || !Rc::ptr_eq(&found, &server) => {
                            server = found;
                        }
                        _ => break,
                    }
                }
                _ => break,
            }
            let answers = match &asked {
                Some((other, all)) => other.send_asking(sent, all.to_vec(), deadline).await,
                None => server.send(sent, deadline).await,
            };
            match answers {
                Ok(values) => return Ok(Reply { values, from: server, other: asked.map(|(other, _)| other) }),
                Err(again) => failure = again,
            }
            // The slot has gone on from there.
            if asked.is_some() && matches!(failure.problem, Problem::Asked(..)) {
                failure.problem = Problem::Split;
            }
        }
        Err(failure)
    }

    /// The primary of a slot that was not known.
    async fn searched(self: &Rc<Self>, slot: u16, deadline: Instant) -> Result<Rc<Server>, Failure> {
        let late = |_| Err(Cause::NoAnswer.because("no answer within 1 s"));
        let searched = timeout_at(deadline, self.search()).await.unwrap_or_else(late);
        let unknown = || Reason::from(format!("the Cluster has no primary for slot {slot}"));
        let found = searched.and_then(|()| self.of(slot).ok_or_else(unknown));
        found.map_err(|reason| Failure { server: self.name(), problem: Problem::Silent, reason })
    }
}
