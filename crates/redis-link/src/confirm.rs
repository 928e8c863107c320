//! Confirmed writes: a write that must survive a failover is answered once every replica that could
//! take over has it.
//!
//! Together with the write, the primary is asked for its replication offset. Then it is told to
//! wait for its replicas (`WAIT`), and asked for the offset that each of them has confirmed. The
//! Sentinels, or the other primaries of a Cluster, decide which replica takes over; here they are
//! called deciders. They are asked which replicas could. With `redis://`, the primary itself is
//! asked.

use std::{rc::Rc, time::Duration};

use redis::{FromRedisValue, Value};
use tokio::time::{Instant, timeout_at};

use super::failure::{Cause, Failure, Problem, Reason, Result};
use super::info::{Replication, not_refused, replication};
use super::link::{RedisClient, answer};
use super::primaries::{Primaries, Successors};
use super::server::{DEADLINE, Server, in_background};
use super::{access::Confirm, call::Call, cluster::newcomers, url::Address};

/// How long to wait for replicas. A healthy replica confirms within a millisecond.
const CONFIRMED_WITHIN: Duration = Duration::from_millis(400);
/// The deciders are asked again if their last answer is older than this. They need longer to hold a
/// primary for dead.
const FRESH: Duration = Duration::from_secs(1);
/// How long the last answer of the deciders counts while they do not answer. A replica that was
/// added meanwhile is not waited for.
const HOLDS: Duration = Duration::from_secs(30);

/// The replicas that must confirm a write: each of `replicas`, and `count` replicas in all.
#[derive(Debug)]
struct Required {
    replicas: Vec<Address>,
    count: usize,
}

struct Write<'a> {
    primaries: &'a Rc<Primaries>,
    primary: &'a Rc<Server>,
    /// The primary's replication state, as it was read with the write.
    said: Replication,
}

impl Primaries {
    /// Returns once every replica that could take over has all data that the primary had when it
    /// answered with `info`.
    async fn confirm(
        self: &Rc<Self>,
        primary: &Rc<Server>,
        info: &Value,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let Some(said) = replication(primary, info) else {
            return Ok(());
        };
        let confirmed = timeout_at(
            deadline,
            Write {
                primaries: self,
                primary,
                said,
            }
            .is_confirmed(),
        )
        .await;
        confirmed
            .unwrap_or_else(|_| Err(Cause::Unconfirmed.because("no confirmation within 1 s")))
            .map_err(|reason| {
                // Another server may have taken over.
                drop(self.search());
                Failure {
                    server: primary.name.clone(),
                    problem: Problem::Refused,
                    reason,
                }
            })
    }
}

impl RedisClient {
    /// Makes a call, and waits until every replica that could take over has all data that the
    /// primary has written by then.
    pub async fn run_confirmed<T: FromRedisValue>(
        &self,
        step: &'static str,
        call: Call,
    ) -> Result<T> {
        self.write(step, call, true).await
    }

    /// As [`Self::run_confirmed`], but waits only if `confirmed`.
    pub async fn write<T: FromRedisValue>(
        &self,
        step: &'static str,
        call: Call,
        confirmed: bool,
    ) -> Result<T> {
        if !confirmed || !self.confirms() {
            return self.run(step, call).await;
        }
        let call = call.cmd("INFO").arg("replication");
        self.measured(step, async |primaries, deadline| {
            let mut reply = answer(&primaries, call, deadline).await?;
            let info = reply.values.pop().unwrap_or(Value::Nil);
            Box::pin(primaries.confirm(&reply.from, &info, deadline)).await?;
            // The replicas of both servers must confirm: a key that an earlier call deleted at the
            // first server is looked up at the other.
            if let Some(other) = &reply.other {
                let info =
                    Box::pin(other.send(redis::pipe().cmd("INFO").arg("replication"), deadline))
                        .await?
                        .pop();
                Box::pin(primaries.confirm(other, &info.unwrap_or(Value::Nil), deadline)).await?;
            }
            reply.read()
        })
        .await
    }

    /// Whether replicas are asked to confirm writes.
    pub fn confirms(&self) -> bool {
        self.access.confirm != Confirm::Replicas(0)
    }
}

impl Write<'_> {
    async fn is_confirmed(&self) -> Result<(), Reason> {
        let mut required = self.required(false).await?;
        let count = required.count.min(self.said.online().count());
        let mut now = None;
        if count > 0 {
            let waited = next_wait(self.primary, count)
                .await
                .map_err(|failure| failure.reason)?;
            let Some(waited) = waited else { return Ok(()) };
            if waited.id != self.said.id {
                self.primary.reconnect();
            }
            now = Some(waited);
        }
        let confirmed: Vec<_> = now
            .as_deref()
            .unwrap_or(&self.said)
            .confirmed(&self.said)
            .collect();
        let is_met = |by: &Required| {
            by.replicas.iter().all(|one| confirmed.contains(&one)) && confirmed.len() >= by.count
        };
        if !is_met(&required) {
            // Meanwhile the deciders may have noticed that a replica is dead.
            required = self.required(true).await?;
        }
        let met = confirmed.len();
        let count = required.count;
        is_met(&required).then_some(()).ok_or_else(|| {
            let setting = self.primaries.connector.access.program.confirm;
            Cause::Unconfirmed.because(format!(
                "{met} of {count} replicas that could take over have confirmed the write in time; {setting} says how many must"
            ))
        })
    }

    /// Finds the replicas that must confirm the write. `is_asked_anew`: see [`Self::successors`].
    async fn required(&self, is_asked_anew: bool) -> Result<Required, Reason> {
        if let Confirm::Replicas(count) = self.primaries.connector.access.confirm {
            return Ok(Required {
                replicas: Vec::new(),
                count: count.into(),
            });
        }
        if self.primaries.is_single() {
            let replicas: Vec<_> = self.said.online().cloned().collect();
            return Ok(Required {
                count: replicas.len(),
                replicas,
            });
        }
        let mut successors = self.successors(is_asked_anew).await?;
        // The live replicas must confirm too, because the deciders notice later than the primary
        // that a replica is back.
        let mut replicas: Vec<_> = self.said.live().cloned().collect();
        if self.primaries.is_cluster() {
            // A replica that is still copying the data is not waited for. But if the Cluster
            // announces it by another address than its primary knows, it is waited for until the
            // other primaries have heard that it has no data.
            successors.retain(|one| {
                self.said
                    .copying
                    .iter()
                    .all(|copying| copying.address != *one)
            });
            return Ok(Required {
                count: successors.len().max(replicas.len()),
                replicas,
            });
        }
        replicas.extend(
            successors
                .into_iter()
                .filter(|one| !self.said.live().any(|live| live == one)),
        );
        Ok(Required {
            count: replicas.len(),
            replicas,
        })
    }

    /// Finds the replicas that could take over.
    ///
    /// If all known replicas must confirm the write, an older answer of the deciders is enough: a
    /// replica that has been promoted since does not confirm. If a replica is left out, or none is
    /// known, the deciders must say after the write that no replica has been promoted.
    /// `is_asked_anew`: the deciders are asked in any case.
    async fn successors(&self, is_asked_anew: bool) -> Result<Vec<Address>, Reason> {
        let primaries = self.primaries;
        let primary = self.primary;
        let written = Instant::now();
        if !is_asked_anew {
            if !primaries.are_known_since(written - FRESH) {
                // If the deciders do not answer, their last answer counts for a while.
                _ = primaries.search_since(written - FRESH).await;
            }
            if let Some(Successors::EveryReplica(replicas)) =
                primaries.successors_of(&primary.address)
                && primaries.are_known_since(written - HOLDS)
            {
                return Ok(replicas);
            }
        }
        primaries.search_since(written).await?;
        match primaries.successors_of(&primary.address) {
            Some(Successors::EveryReplica(replicas)) => {
                primary.newcomers.borrow_mut().clear();
                Ok(replicas)
            }
            Some(Successors::NoneBut(_)) if primaries.is_cluster() => {
                newcomers(primary, Instant::now() + DEADLINE).await
            }
            Some(Successors::NoneBut(replicas)) => Ok(replicas),
            Some(Successors::Unknown) => Err(Cause::Unconfirmed.because(format!(
                "too few of the servers that decide who takes over from {} answer",
                primary.name
            ))),
            None => {
                Err(Cause::Unconfirmed.because(format!("{} is no primary any more", primary.name)))
            }
        }
    }
}

/// The outcome of a wait that begins after this call. A connection that waits answers nothing else,
/// so all writes that were made before share the next wait.
async fn next_wait(
    primary: &Rc<Server>,
    replicas: usize,
) -> Result<Option<Rc<Replication>>, Failure> {
    let running = primary.last_wait.borrow().clone();
    if let Some(running) = &running {
        _ = running.clone().await;
    }
    let next = {
        let mut last = primary.last_wait.borrow_mut();
        // Another write may already have begun the next wait.
        let begun = last
            .take()
            .filter(|last| running.as_ref().is_none_or(|running| !running.ptr_eq(last)));
        let next = begun.unwrap_or_else(|| {
            let primary = Rc::clone(primary);
            in_background(async move { wait(&primary, replicas).await })
        });
        last.insert(next).clone()
    };
    next.await
}

/// Sends `WAIT`. Redis waits for the data that it had written at the last command on this
/// connection. Valkey waits only for data that this connection itself has written, which is none,
/// so it answers at once. In that case the next `WAIT` asks for more replicas than any server has,
/// for a moment, which makes Valkey ask its replicas for their offsets.
async fn wait(primary: &Server, replicas: usize) -> Result<Option<Rc<Replication>>, Failure> {
    let begun = Instant::now();
    let mut wanted = replicas;
    let mut within = CONFIRMED_WITHIN;
    loop {
        let mut commands = redis::pipe();
        commands
            .cmd("INFO")
            .arg("replication")
            .cmd("WAIT")
            .arg(wanted)
            .arg(within.as_millis() as u64);
        commands.cmd("INFO").arg("replication");
        let answers = primary
            .for_waits()
            .send(&commands, Instant::now() + DEADLINE)
            .await?;
        let [before, waited, now] = &answers[..] else {
            return Ok(None);
        };
        let (Some(before), Some(_), Some(now)) = (
            replication(primary, before),
            not_refused(primary, waited),
            replication(primary, now),
        ) else {
            return Ok(None);
        };
        if now.confirmed(&before).count() >= replicas || begun.elapsed() >= CONFIRMED_WITHIN {
            return Ok(Some(Rc::new(now)));
        }
        (wanted, within) = (255, Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::LocalSet;

    use super::super::{access::RedisAccess, primaries::Primary};
    use super::*;

    /// The deciders are unreachable. They have said before that every replica that could take over
    /// is known, and all have the write.
    #[tokio::test]
    async fn what_the_deciders_said_holds_for_half_a_minute() {
        let is_confirmed_after = async |seconds| {
            let url = "redis+sentinel://127.0.0.1:1/m".parse().expect("a URL");
            let mut access = RedisAccess::fixed(url);
            access.confirm = Confirm::Auto;
            let primaries = Primaries::new(access.connector());
            let address = Address {
                host: "a".into(),
                port: 1,
            };
            let said = Instant::now()
                .checked_sub(Duration::from_secs(seconds))
                .expect("the machine runs for longer");
            let primary = Primary {
                successors: Successors::EveryReplica(Vec::new()),
                ..Primary::alone(&address)
            };
            primaries.put_in_use(vec![primary], Some(said));
            let info = Value::SimpleString("master_replid:x\r\nmaster_repl_offset:1\r\n".into());
            let deadline = Instant::now() + Duration::from_secs(10);
            primaries
                .confirm(&primaries.server(&address), &info, deadline)
                .await
                .is_ok()
        };
        let confirmed = async { [is_confirmed_after(25).await, is_confirmed_after(31).await] };
        assert_eq!(LocalSet::new().run_until(confirmed).await, [true, false]);
    }

    /// A Cluster whose other primaries name two replicas, b and c.
    #[tokio::test]
    async fn a_replica_that_copies_is_not_waited_for_and_takes_the_place_of_no_other() {
        let mut access = RedisAccess::fixed("redis+cluster://127.0.0.1:1".parse().expect("a URL"));
        access.confirm = Confirm::Auto;
        let primaries = Primaries::new(access.connector());
        let [address, b, c] = ["a", "b", "c"].map(|host| Address {
            host: host.into(),
            port: 1,
        });
        let successors = Successors::EveryReplica(vec![b, c]);
        primaries.put_in_use(
            vec![Primary {
                successors,
                ..Primary::alone(&address)
            }],
            Some(Instant::now()),
        );
        for (replicas, count) in [
            (&[("b", 1, "online"), ("c", 1, "online")][..], 2),
            (&[("b", 1, "online"), ("c", 1, "wait_bgsave")], 1),
            (&[("b", 1, "online"), ("d", 1, "wait_bgsave")], 2),
            (&[("b", 1, "online"), ("10.0.0.1", 0, "send_bulk")], 2),
            (&[("d", 1, "send_bulk")], 2),
        ] {
            let line = |(ip, port, state): &_| {
                format!("slave0:ip={ip},port={port},state={state},offset=1,lag=0\r\n")
            };
            let lines: String = replicas.iter().map(line).collect();
            let said = Replication::parse(&format!(
                "master_replid:x\r\nmaster_repl_offset:1\r\n{lines}"
            ));
            let primary = &primaries.server(&address);
            let write = Write {
                primaries: &primaries,
                primary,
                said: said.expect("readable"),
            };
            assert_eq!(
                write.required(false).await.expect("known").count,
                count,
                "{lines}"
            );
        }
    }
}
