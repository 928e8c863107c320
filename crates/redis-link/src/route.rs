//! How a call reaches the primary of its keys, and what is done where it does not.

use std::{rc::Rc, time::Duration};

use redis::{FromRedisValue, Pipeline, Value};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::failure::{Failure, Problem, read};
use super::reason::{Cause, Reason};
use super::{primaries::Primaries, server::Server};

/// Between two tries of a call whose keys lie on two servers, because their slot is moving.
const SLOT_MOVES: Duration = Duration::from_millis(50);

/// How often a call follows a slot that is moving, if its deadline leaves the time.
const FOLLOWED: u32 = 5;

/// The answers to some commands, and the server that gave them.
pub(crate) struct Reply {
    pub(crate) values: Vec<Value>,
    pub(crate) from: Rc<Server>,
}

impl Reply {
    pub(crate) fn read<T: FromRedisValue>(self) -> Result<T, Failure> {
        read(self.values, &self.from.address)
    }
}

/// Sends commands to the primary of a slot, and again if another server has the slot by now or does the primary's work.
///
/// Futures that are seldom awaited are boxed, here and in `link.rs`: each call copies its future, which is as large as
/// the largest future that it may await.
pub(crate) async fn send(
    primaries: &Rc<Primaries>,
    slot: u16,
    commands: &Pipeline,
    deadline: Instant,
) -> Result<Reply, Failure> {
    let server = match primaries.of(slot) {
        Some(server) => server,
        None => Box::pin(primary(primaries, slot, deadline)).await?,
    };
    match server.send(commands, deadline).await {
        Ok(values) => Ok(Reply { values, from: server }),
        Err(failure) => Box::pin(send_after_failure(primaries, slot, commands, deadline, server, failure)).await,
    }
}

/// Sends the commands again after a failure at `server`: where another has the slot now, or after a failover. While no
/// new primary is elected it fails, and the client repeats the request.
async fn send_after_failure(
    primaries: &Rc<Primaries>,
    slot: u16,
    commands: &Pipeline,
    deadline: Instant,
    mut server: Rc<Server>,
    mut failure: Failure,
) -> Result<Reply, Failure> {
    let mut has_searched = primaries.is_single();
    for _ in 0..FOLLOWED {
        let mut is_asking = false;
        match &failure.problem {
            Problem::Moved(to) if primaries.is_cluster() => {
                drop(primaries.search());
                server = primaries.server(to);
            }
            Problem::Asked(to) if primaries.is_cluster() => (server, is_asking) = (primaries.server(to), true),
            Problem::Split => {
                sleep_until(deadline.min(Instant::now() + SLOT_MOVES)).await;
                server = primary(primaries, slot, deadline).await?;
            }
            Problem::BadConnection | Problem::Silent if !has_searched => {
                has_searched = true;
                match timeout_at(deadline, primaries.search()).await.map(|_| primaries.of(slot)) {
                    // A server that answers nobody is not asked again.
                    Ok(Some(found)) if failure.problem != Problem::Silent || !Rc::ptr_eq(&found, &server) => {
                        server = found;
                    }
                    _ => break,
                }
            }
            _ => break,
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

/// The primary of a slot, after a search if it is not known.
async fn primary(primaries: &Rc<Primaries>, slot: u16, deadline: Instant) -> Result<Rc<Server>, Failure> {
    if let Some(server) = primaries.of(slot) {
        return Ok(server);
    }
    let searched = timeout_at(deadline, primaries.search())
        .await
        .unwrap_or_else(|_| Err(Cause::NoAnswer.because("no answer within 1 s")));
    let unknown = || Reason::from(format!("the Cluster has no primary for slot {slot}"));
    let found = searched.and_then(|()| primaries.of(slot).ok_or_else(unknown));
    found.map_err(|reason| Failure { server: primaries.name(), problem: Problem::Silent, reason })
}
