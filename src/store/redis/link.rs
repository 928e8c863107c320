//! A worker's way to Redis: calls with a deadline, which are measured and, where the caller wants it, confirmed by replicas.
//!
//! From here a call goes to the primary of its keys (`route.rs`), then to the connection to that server (`server.rs`), and then
//! to the socket (`connector.rs`). A call may be sent several times, so every call must be
//! idempotent. Only those that count an event for a limit count it more than once then.

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use futures_util::future::join;
use redis::{FromRedisValue, Pipeline, ServerErrorKind, Value, from_redis_value};
use tokio::{task::spawn_local, time::Instant};

use super::{
    super::{Result, StoreError},
    access::{Confirm, RedisAccess},
    failure::{Failure, Problem},
    outage,
    primaries::{Primaries, Primary},
    route::Reply,
    script::Call,
    server::Server,
};
use crate::telemetry::{Metrics, Step};

/// For a call with connecting, looking for the primary, and repetitions. A login waits for two of these and for WeChat, 5 s at
/// most.
pub(super) const DEADLINE: Duration = Duration::from_secs(1);

pub(super) struct Link {
    access: RedisAccess,
    primaries: RefCell<Rc<Primaries>>,
    /// See [`Self::later`].
    later: RefCell<Option<Call>>,
    metrics: Metrics,
}

impl Link {
    pub(super) fn new(access: &RedisAccess, metrics: Metrics) -> Self {
        let primaries = RefCell::new(Primaries::new(access.connector()));
        Self { access: access.clone(), primaries, later: RefCell::default(), metrics }
    }

    /// Makes a call. Of one command `T` is the answer, and of several a tuple of their answers.
    pub(super) async fn run<T: FromRedisValue>(&self, step: &'static str, call: Call) -> Result<T> {
        self.measured(step, async |primaries, deadline| read(answer(&primaries, call, deadline).await?)).await
    }

    /// Makes two calls at the same time, in one round trip if one primary has the keys of both.
    pub(super) async fn run_both<A: FromRedisValue, B: FromRedisValue>(
        &self,
        step: &'static str,
        mut first: Call,
        second: Call,
    ) -> Result<(A, B)> {
        self.measured(step, async |primaries, deadline| {
            if primaries.is_cluster() && first.slot != second.slot {
                let alone = |call| answer(&primaries, call, deadline);
                let (one, other) = Box::pin(join(alone(first), alone(second))).await;
                return Ok((read(one?)?, read(other?)?));
            }
            let count = first.commands.len();
            first.and(second);
            let both = first.commands.len();
            if let Some(later) = self.later.take() {
                first.and(later);
            }
            let Reply { mut values, from } = answer(&primaries, first, deadline).await?;
            values.truncate(both);
            let rest = Reply { values: values.split_off(count), from: Rc::clone(&from) };
            Ok((read(Reply { values, from })?, read(rest)?))
        })
        .await
    }

    /// Makes a call with the next [`Self::run_both`], or at once on a Cluster, where other primaries may have its keys. Nobody
    /// learns what becomes of it. Scripts are sent as text, so that nobody waits for one to be sent again.
    pub(super) fn later(self: &Rc<Self>, mut call: Call) {
        for (place, script) in call.scripts.drain(..) {
            call.commands[place] = script.by_text(&call.commands[place]);
        }
        if self.primaries().is_cluster() {
            return self.unawaited("later", call);
        }
        match &mut *self.later.borrow_mut() {
            Some(waiting) => waiting.and(call),
            none => *none = Some(call),
        }
    }

    /// Makes a call at once. Nobody learns what becomes of it.
    pub(super) fn unawaited(self: &Rc<Self>, step: &'static str, call: Call) {
        let link = Rc::clone(self);
        spawn_local(async move { link.run::<Value>(step, call).await });
    }

    /// Makes a call, and waits until every replica that could take over has all that the primary has written by then.
    pub(super) async fn run_confirmed<T: FromRedisValue>(&self, step: &'static str, call: Call) -> Result<T> {
        self.write(step, call, true).await
    }

    /// The same, or without waiting.
    pub(super) async fn write<T: FromRedisValue>(
        &self,
        step: &'static str,
        mut call: Call,
        confirmed: bool,
    ) -> Result<T> {
        if !confirmed || !self.confirms() {
            return self.run(step, call).await;
        }
        call.cmd("INFO").arg("replication");
        self.measured(step, async |primaries, deadline| {
            let mut reply = answer(&primaries, call, deadline).await?;
            let info = reply.values.pop().unwrap_or(Value::Nil);
            let confirmation = primaries.until_confirmed(&reply.from, &info, self.access.confirm(), deadline);
            Box::pin(confirmation).await?;
            read(reply)
        })
        .await
    }

    /// Whether replicas may be asked to confirm.
    pub(super) fn confirms(&self) -> bool {
        self.access.confirm() != Confirm::Replicas(0)
    }

    /// Runs reading commands on one server.
    pub(super) async fn query_at<T: FromRedisValue>(
        &self,
        step: &'static str,
        server: &Rc<Server>,
        commands: &Pipeline,
    ) -> Result<T> {
        self.measured(step, async |_, deadline| {
            read(Reply { values: server.send(commands, deadline).await?, from: Rc::clone(server) })
        })
        .await
    }

    /// The primaries as far as they are known, or after a search. In the order of their addresses.
    pub(super) async fn all_primaries(&self) -> Result<Vec<(Primary, Rc<Server>)>> {
        let primaries = self.primaries();
        if primaries.all().is_empty() {
            primaries.search().await.map_err(|reason| StoreError { reason })?;
        }
        Ok(primaries.all())
    }

    /// What is known of the primaries of the present URL.
    pub(super) fn primaries(&self) -> Rc<Primaries> {
        let mut primaries = self.primaries.borrow_mut();
        if !Arc::ptr_eq(&primaries.connector.url, &self.access.url()) {
            *primaries = Primaries::new(self.access.connector());
        }
        primaries.keep_up();
        Rc::clone(&primaries)
    }

    async fn measured<T>(
        &self,
        step: &'static str,
        call: impl AsyncFnOnce(Rc<Primaries>, Instant) -> Result<T, Failure>,
    ) -> Result<T> {
        let (span, started) = (Step::call("redis", step), Instant::now());
        let outcome = call(self.primaries(), started + DEADLINE).await;
        self.metrics.redis_answered(step, outcome.is_ok(), started.elapsed());
        span.end(outcome.is_err().then_some("unanswered"));
        outcome.map_err(|Failure { server, problem, reason }| {
            // An error that concerns one command is told by whoever asked: Redis is there.
            if !matches!(problem, Problem::Refused | Problem::Split) {
                outage::failed(&server, &reason);
            }
            StoreError { reason: format!("Redis at {server}: {reason}") }
        })
    }
}

/// The answers to a call, which may contain errors that concern one command. A script that the server does not know is sent
/// again as text, with the commands behind it.
async fn answer(primaries: &Rc<Primaries>, call: Call, deadline: Instant) -> Result<Reply, Failure> {
    let Call { slot, commands: sent, scripts } = call;
    let mut commands = redis::pipe();
    sent.into_iter().for_each(|command| _ = commands.add_command(command));
    let mut reply = primaries.call(slot, &commands, deadline).await?;
    for (place, script) in scripts {
        if is_unknown_script(&reply.values[place]) {
            let mut rest = redis::pipe();
            for (at, command) in commands.cmd_iter().enumerate().skip(place) {
                rest.add_command(if at == place { script.by_text(command) } else { command.clone() });
            }
            let again = Box::pin(primaries.call(slot, &rest, deadline)).await?;
            reply.from = again.from;
            reply.values.truncate(place);
            reply.values.extend(again.values);
        }
    }
    Ok(reply)
}

fn is_unknown_script(answer: &Value) -> bool {
    matches!(answer, Value::ServerError(error) if error.kind() == Some(ServerErrorKind::NoScript))
}

/// The answers as `T`. One that says that a key holds another type is left to `T`: another version of wxmint has written it.
fn read<T: FromRedisValue>(Reply { values, from }: Reply) -> Result<T, Failure> {
    let is_other_type = |value: &Value| matches!(value, Value::ServerError(error) if error.code() == "WRONGTYPE");
    let checked = |value: Value| if is_other_type(&value) { Ok(value) } else { value.extract_error() };
    let read = values.into_iter().map(checked).collect::<Result<Vec<_>, _>>().and_then(|mut values| {
        let value = if values.len() == 1 { values.remove(0) } else { Value::Array(values) };
        Ok(from_redis_value(value)?)
    });
    read.map_err(|error| Failure::from_error(&error, &from.address))
}
