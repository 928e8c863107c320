//! The client: it sends each call to the primary of its keys, within a deadline, and reports it to
//! an observer.
//!
//! A call may be sent several times, so every call must be idempotent, or harmless if it is
//! repeated.

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use futures_util::future::join;
use redis::{FromRedisValue, Pipeline, ServerErrorKind, Value};
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::failure::{Cause, Failure, Problem, Reason, Result};
use super::primaries::{Primaries, Primary};
use super::server::{Answers, DEADLINE, Server, is, read, usable};
use super::url::Layout;
use super::{access::RedisAccess, call::Call, outage};

/// The pause between two tries of a call whose keys lie on two servers, because their slot is
/// moving.
const SLOT_MOVES: Duration = Duration::from_millis(50);
/// How often a call is sent again at most, if its deadline leaves time.
const FOLLOWED: u32 = 5;
/// How often the Sentinels are asked at most while there are calls. A primary that was replaced may
/// accept writes for some seconds, and only the Sentinels know that it was replaced.
const SENTINELS_ASKED_EVERY: Duration = Duration::from_secs(1);

/// Observes each call, for metrics and traces. `()` ignores them.
pub trait Observer {
    /// A call has ended, after the time `_took`. `_answered`: whether it was answered without an
    /// error.
    fn call_ended(&self, _call: &'static str, _answered: bool, _took: Duration) {}
}

impl Observer for () {}

/// A client of Redis for one thread, which must run its tasks in a `LocalSet`. It connects at the
/// first call.
pub struct RedisClient {
    /// The URL and the settings of the connections.
    pub access: RedisAccess,
    primaries: RefCell<Rc<Primaries>>,
    /// See [`Self::later`].
    later: RefCell<Option<Call>>,
    observer: Box<dyn Observer>,
}

impl RedisClient {
    /// A client that reports its calls to `observer`, which may be `()`.
    pub fn new(access: &RedisAccess, observer: impl Observer + 'static) -> Self {
        let primaries = RefCell::new(Primaries::new(access.connector()));
        Self {
            access: access.clone(),
            primaries,
            later: RefCell::default(),
            observer: Box::new(observer),
        }
    }

    /// Makes a call. `T` is the answer to a single command, or a tuple of the answers to several.
    /// `step` is the call's name for the observer.
    pub async fn run<T: FromRedisValue>(&self, step: &'static str, call: Call) -> Result<T> {
        self.measured(step, async |primaries, deadline| {
            answer(&primaries, call, deadline).await?.read()
        })
        .await
    }

    /// Makes two calls at the same time, in one round trip if one primary has the keys of both.
    pub async fn run_both<A: FromRedisValue, B: FromRedisValue>(
        &self,
        step: &'static str,
        first: Call,
        second: Call,
    ) -> Result<(A, B)> {
        self.measured(step, async |primaries, deadline| {
            if primaries.is_cluster() && first.slot != second.slot {
                let (one, other) = Box::pin(join(
                    answer(&primaries, first, deadline),
                    answer(&primaries, second, deadline),
                ))
                .await;
                return Ok((one?.read()?, other?.read()?));
            }
            let count = first.commands.len();
            let both = first.commands.len() + second.commands.len();
            let call = self
                .later
                .take()
                .into_iter()
                .fold(first.and(second), Call::and);
            let Reply {
                mut values, from, ..
            } = answer(&primaries, call, deadline).await?;
            values.truncate(both);
            let rest = values.split_off(count);
            Ok((read(values, &from.address)?, read(rest, &from.address)?))
        })
        .await
    }

    /// Makes a call together with the next [`Self::run_both`]. On a Cluster it is made at once,
    /// because another primary may have its keys. Its outcome is ignored. Scripts are sent as text,
    /// so that the other calls do not wait for a script to be sent again.
    pub fn later(self: &Rc<Self>, mut call: Call) {
        for (place, script) in call.scripts.drain(..) {
            call.commands[place] = script.by_text(&call.commands[place]);
        }
        if self.primaries().is_cluster() {
            return self.unawaited("later", call);
        }
        let waiting = self.later.take();
        self.later.replace(Some(if let Some(waiting) = waiting {
            waiting.and(call)
        } else {
            call
        }));
    }

    /// Makes a call in the background. Its outcome is ignored.
    pub fn unawaited(self: &Rc<Self>, step: &'static str, call: Call) {
        let link = Rc::clone(self);
        spawn_local(async move { link.run::<Value>(step, call).await });
    }

    /// The known primaries of the present URL.
    pub(crate) fn primaries(&self) -> Rc<Primaries> {
        let mut primaries = self.primaries.borrow_mut();
        if !Arc::ptr_eq(&primaries.connector.url, &self.access.current.load()) {
            *primaries = Primaries::new(self.access.connector());
        }
        if primaries.sentinels.is_some()
            && let Some(began) = primaries.last_began()
            && began.elapsed() > SENTINELS_ASKED_EVERY
        {
            drop(primaries.search());
        }
        Rc::clone(&primaries)
    }

    pub(crate) async fn measured<T>(
        &self,
        step: &'static str,
        call: impl AsyncFnOnce(Rc<Primaries>, Instant) -> Result<T, Failure>,
    ) -> Result<T> {
        let started = Instant::now();
        let outcome = call(self.primaries(), started + DEADLINE).await;
        self.observer
            .call_ended(step, outcome.is_ok(), started.elapsed());
        outcome.map_err(|failure| {
            // An error of one command is not logged here, because Redis is available; the caller
            // reports it.
            if !matches!(failure.problem, Problem::Refused | Problem::Split) {
                outage::failed(&failure.server, &failure.reason.to_string());
            }
            failure.into()
        })
    }
}

/// The answers to a call, which may contain errors of single commands. If the server does not know
/// a script, it is sent again as text, together with the commands after it.
pub(crate) async fn answer(
    primaries: &Rc<Primaries>,
    call: Call,
    deadline: Instant,
) -> Result<Reply, Failure> {
    let Call {
        slot,
        commands: sent,
        scripts,
    } = call;
    let mut commands = Pipeline::with_capacity(sent.len());
    for command in sent {
        commands.add_command(command);
    }
    let mut reply = primaries.send(slot, &commands, deadline).await?;
    for (place, script) in scripts {
        if is(ServerErrorKind::NoScript, &reply.values[place]) {
            let mut rest = redis::pipe();
            for (at, command) in commands.cmd_iter().enumerate().skip(place) {
                rest.add_command(if at == place {
                    script.by_text(command)
                } else {
                    command.clone()
                });
            }
            let again = Box::pin(primaries.send(slot, &rest, deadline)).await?;
            (reply.from, reply.other) = (again.from, again.other.or(reply.other));
            drop(reply.values.splice(place.., again.values));
        }
    }
    Ok(reply)
}

/// The answers to some commands, and the server that gave them.
pub(crate) struct Reply {
    pub(crate) values: Vec<Value>,
    pub(crate) from: Rc<Server>,
    /// The server that the slot is moving to, if some of the commands were executed there.
    pub(crate) other: Option<Rc<Server>>,
}

impl Reply {
    pub(crate) fn read<T: FromRedisValue>(self) -> Result<T, Failure> {
        read(self.values, &self.from.address)
    }
}

impl Primary {
    /// Whether this primary has the slot.
    pub fn has(&self, slot: u16) -> bool {
        self.slots.iter().any(|range| range.contains(&slot))
    }
}

/// Futures that are seldom awaited are boxed, because each call copies its future, which is as
/// large as the largest future that it may await.
impl Primaries {
    /// Sends commands to the primary of a slot, and again if another server has the slot or has
    /// become the primary.
    pub(crate) async fn send(
        self: &Rc<Self>,
        slot: u16,
        sent: &Pipeline,
        deadline: Instant,
    ) -> Result<Reply, Failure> {
        let from = match self.of(slot) {
            Some(server) => server,
            None => Box::pin(self.searched(slot, deadline)).await?,
        };
        match from.send(sent, deadline).await {
            Ok(values) => Ok(Reply {
                values,
                from,
                other: None,
            }),
            Err(failure) => Box::pin(self.send_after(failure, from, slot, sent, deadline)).await,
        }
    }

    /// Sends the commands again after a failure at `server`: to the server that has the slot now,
    /// or to the new primary after a failover. Fails while no new primary has been elected; the
    /// program's client then repeats its request.
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
                Problem::Asked(to, all) if self.is_cluster() => {
                    asked = Some((self.server(to), Rc::clone(all)));
                }
                Problem::Split => {
                    sleep_until(deadline.min(Instant::now() + SLOT_MOVES)).await;
                    server = self.of(slot).unwrap_or(server);
                }
                Problem::BadConnection | Problem::Silent if !has_searched => {
                    has_searched = true;
                    match timeout_at(deadline, self.search())
                        .await
                        .map(|_| self.of(slot))
                    {
                        // A server that does not answer is not asked again.
                        Ok(Some(found))
                            if failure.problem != Problem::Silent
                                || !Rc::ptr_eq(&found, &server) =>
                        {
                            server = found;
                        }
                        _ => break,
                    }
                }
                _ => break,
            }
            let answers = match &asked {
                Some((other, all)) => send_asking(other, sent, all.to_vec(), deadline).await,
                None => server.send(sent, deadline).await,
            };
            match answers {
                Ok(values) => {
                    return Ok(Reply {
                        values,
                        from: server,
                        other: asked.map(|(other, _)| other),
                    });
                }
                Err(again) => failure = again,
            }
            // The slot has moved on from there.
            if asked.is_some() && matches!(failure.problem, Problem::Asked(..)) {
                failure.problem = Problem::Split;
            }
        }
        Err(failure)
    }

    /// Searches for the primary of a slot.
    async fn searched(
        self: &Rc<Self>,
        slot: u16,
        deadline: Instant,
    ) -> Result<Rc<Server>, Failure> {
        let searched = match timeout_at(deadline, self.search()).await {
            Ok(searched) => searched,
            Err(_) => Err(Cause::NoAnswer.because("no answer within 1 s")),
        };
        let found = searched.and_then(|()| {
            self.of(slot)
                .ok_or_else(|| Reason::from(format!("the Cluster has no primary for slot {slot}")))
        });
        found.map_err(|reason| Failure {
            server: self.name(),
            problem: Problem::Silent,
            reason,
        })
    }

    /// The known primary of a slot; `None` if it is not known.
    pub(crate) fn of(&self, slot: u16) -> Option<Rc<Server>> {
        self.table
            .borrow()
            .iter()
            .find(|(primary, _)| primary.has(slot))
            .map(|(_, server)| Rc::clone(server))
    }

    pub(crate) fn is_cluster(&self) -> bool {
        matches!(self.connector.url.layout, Layout::Cluster(_))
    }
}

/// Sends the commands that were answered with ASK to the server that their slot is moving to: that
/// server has their keys, but not the slot yet. The other `answers` stay, because at that server
/// their keys would count as missing.
async fn send_asking(
    server: &Server,
    sent: &Pipeline,
    mut answers: Vec<Value>,
    deadline: Instant,
) -> Answers {
    let mut asking = redis::pipe();
    for (command, _) in sent
        .cmd_iter()
        .zip(&answers)
        .filter(|(_, answer)| is(ServerErrorKind::Ask, answer))
    {
        asking.cmd("ASKING").add_command(command.clone());
    }
    let told = server
        .send(&asking, deadline)
        .await?
        .into_iter()
        .skip(1)
        .step_by(2);
    let asked = answers
        .iter_mut()
        .filter(|answer| is(ServerErrorKind::Ask, answer));
    for (answer, told) in asked.zip(told) {
        *answer = told;
    }
    usable(answers, &server.address)
}
