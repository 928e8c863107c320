//! How a call reaches the primary of its keys, and what is done where it does not.

use std::{rc::Rc, time::Duration};

use redis::{Pipeline, Value};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{
    super::Result,
    failure::{Failure, Problem},
    primaries::Primaries,
    server::Server,
};

/// Between two tries of a call whose keys lie on two servers, because their slot is moving.
const SLOT_MOVES: Duration = Duration::from_millis(50);

/// How often a call follows a slot that is moving, if its deadline leaves the time.
const FOLLOWED: u32 = 5;

/// The answers to some commands, and the server that gave them.
pub(super) struct Reply {
    pub(super) values: Vec<Value>,
    pub(super) from: Rc<Server>,
}

impl Primaries {
    /// Sends commands to the primary of a slot, and once more if another server has the slot by now or the connection was lost.
    ///
    /// Futures that are seldom awaited are boxed, here and in `link.rs`: each call copies its future, which is as large as the
    /// largest future that it may await.
    pub(super) async fn call(
        self: &Rc<Self>,
        slot: u16,
        commands: &Pipeline,
        deadline: Instant,
    ) -> Result<Reply, Failure> {
        let server = match self.of(slot) {
            Some(server) => server,
            None => Box::pin(self.primary(slot, deadline)).await?,
        };
        match server.send(commands, deadline).await {
            Ok(values) => Ok(Reply { values, from: server }),
            Err(failure) => Box::pin(self.call_again(slot, commands, deadline, server, failure)).await,
        }
    }

    /// After a failure at `server`.
    async fn call_again(
        self: &Rc<Self>,
        slot: u16,
        commands: &Pipeline,
        deadline: Instant,
        mut server: Rc<Server>,
        mut failure: Failure,
    ) -> Result<Reply, Failure> {
        for repeated in 0.. {
            let mut is_asking = false;
            match &failure.problem {
                Problem::Refused | Problem::Unconfirmed => break,
                Problem::Moved(_) | Problem::Asked(_) if self.is_single() => break,
                Problem::Moved(to) if repeated < FOLLOWED => server = self.moved(slot, to),
                Problem::Asked(to) if repeated < FOLLOWED => (server, is_asking) = (self.server(to), true),
                Problem::Split if repeated < FOLLOWED => {
                    sleep_until(deadline.min(Instant::now() + SLOT_MOVES)).await;
                    server = self.primary(slot, deadline).await?;
                }
                _ if repeated > 0 => break,
                problem if self.is_single() => {
                    if !problem.is_of_the_connection() {
                        break;
                    }
                }
                problem => match self.successor(slot, &server, deadline).await {
                    // A server that answers nobody is not asked again.
                    Some(primary) if !Rc::ptr_eq(&primary, &server) || !problem.is_absence() => server = primary,
                    _ => break,
                },
            }
            let answers = match is_asking {
                true => server.send_asking(commands, deadline).await,
                false => server.send(commands, deadline).await,
            };
            match answers {
                Ok(values) => return Ok(Reply { values, from: server }),
                Err(again) => failure = again,
            }
        }
        Err(failure)
    }

    /// The primary of a slot by a new search, because `failing` does not serve.
    async fn successor(self: &Rc<Self>, slot: u16, failing: &Server, deadline: Instant) -> Option<Rc<Server>> {
        timeout_at(deadline, self.look_again(Some(&failing.address))).await.ok()?.ok()?;
        self.of(slot)
    }

    /// The primary of a slot, after a search if it is not known.
    async fn primary(self: &Rc<Self>, slot: u16, deadline: Instant) -> Result<Rc<Server>, Failure> {
        if let Some(server) = self.of(slot) {
            return Ok(server);
        }
        let failure = |reason| Failure { server: self.name(), problem: Problem::Unreachable, reason };
        let looked = timeout_at(deadline, self.look_again(None)).await;
        let found = looked.map_err(|_| failure("no answer within 1 s".into()))?;
        found.map_err(|error| failure(error.reason))?;
        self.of(slot).ok_or_else(|| failure(format!("the Cluster has no primary for slot {slot}")))
    }
}
