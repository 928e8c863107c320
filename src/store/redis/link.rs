//! A worker's way to Redis: calls with a deadline, which are measured and, where the caller wants it, confirmed by replicas.
//!
//! From here a call goes to the primary of its keys (`route.rs`), then to the connection to that server (`server.rs`), and then
//! to the socket (`connector.rs`). A call may be sent twice, so every call must be idempotent.

use std::{cell::RefCell, rc::Rc, time::Duration};

use futures_util::future::{join, try_join_all};
use redis::{Cmd, FromRedisValue, Pipeline, ServerErrorKind, Value, from_redis_value};
use tokio::time::Instant;

use super::{
    super::Result,
    access::{Confirm, RedisAccess},
    failure::Failure,
    outage::OUTAGE,
    primaries::{Primaries, Primary},
    route::Reply,
    script::Call,
    server::Server,
    slot::slot_of,
};
use crate::telemetry::Metrics;

/// For a call with connecting, looking for the primary, and repetitions. A login waits for two of these and for WeChat, 5 s at
/// most.
pub(super) const DEADLINE: Duration = Duration::from_secs(1);

pub(super) struct Link {
    access: RedisAccess,
    primaries: RefCell<Rc<Primaries>>,
    metrics: Metrics,
}

impl Link {
    pub(super) fn new(access: &RedisAccess, metrics: Metrics) -> Self {
        Self { access: access.clone(), primaries: RefCell::new(Primaries::new(access)), metrics }
    }

    /// Makes a call. Of one command `T` is the answer, and of several a tuple of their answers.
    pub(super) async fn run<T: FromRedisValue>(&self, step: &'static str, call: Call) -> Result<T> {
        self.measured(step, async |primaries, deadline| read(answer(&primaries, call, false, deadline).await?)).await
    }

    /// Makes two calls at the same time, in one round trip if one primary has the keys of both. If a script of one has to be
    /// repeated, the other call is not, because it would count twice.
    pub(super) async fn run_both<A: FromRedisValue, B: FromRedisValue>(
        &self,
        step: &'static str,
        mut first: Call,
        second: Call,
    ) -> Result<(A, B)> {
        self.measured(step, async |primaries, deadline| {
            if primaries.is_cluster() && first.slot != second.slot {
                let alone = |call| answer(&primaries, call, false, deadline);
                let (one, other) = Box::pin(join(alone(first), alone(second))).await;
                return Ok((read(one?)?, read(other?)?));
            }
            let count = first.len();
            first.and(second);
            let Reply { mut values, from } = answer(&primaries, first, false, deadline).await?;
            let rest = Reply { values: values.split_off(count), from: Rc::clone(&from) };
            Ok((read(Reply { values, from })?, read(rest)?))
        })
        .await
    }

    /// Makes a call, and waits until every replica that could take over has all that the primary has written by then.
    pub(super) async fn run_confirmed<T: FromRedisValue>(&self, step: &'static str, call: Call) -> Result<T> {
        if !self.confirms() {
            return self.run(step, call).await;
        }
        self.measured(step, async |primaries, deadline| {
            let mut reply = answer(&primaries, call, true, deadline).await?;
            let info = reply.values.pop().unwrap_or(Value::Nil);
            let confirmation = primaries.until_confirmed(&reply.from, &info, self.access.confirm(), deadline);
            Box::pin(confirmation).await?;
            read(reply)
        })
        .await
    }

    /// For a write that a later, confirmed write on the same server makes certain too: on a Cluster the later one may be on
    /// another server, so this one is confirmed by itself.
    pub(super) async fn run_confirmed_in_cluster<T: FromRedisValue>(
        &self,
        step: &'static str,
        call: Call,
    ) -> Result<T> {
        match self.primaries().is_cluster() {
            true => self.run_confirmed(step, call).await,
            false => self.run(step, call).await,
        }
    }

    /// Whether replicas may be asked to confirm.
    pub(super) fn confirms(&self) -> bool {
        self.access.confirm() != Confirm::Replicas(0)
    }

    /// Sends a command whose answer nobody needs, if there is a connection.
    pub(super) async fn tell(&self, key: &str, command: Cmd) {
        if let Some(server) = self.primaries().of(slot_of(key.as_bytes())) {
            server.tell(command).await;
        }
    }

    /// Runs reading commands on one server.
    pub(super) async fn query_at<T: FromRedisValue>(
        &self,
        step: &'static str,
        server: &Rc<Server>,
        commands: &Pipeline,
    ) -> Result<T> {
        self.measured(step, async |_, deadline| {
            read(Reply { values: server.send_twice(commands, deadline).await?, from: Rc::clone(server) })
        })
        .await
    }

    /// Makes calls at the same time, each at the primary of its keys.
    pub(super) async fn run_each<T: FromRedisValue>(
        &self,
        step: &'static str,
        calls: impl Iterator<Item = Call>,
    ) -> Result<Vec<T>> {
        try_join_all(calls.map(|call| self.run(step, call))).await
    }

    /// The primaries as far as they are known, or after they have been looked up. In the order of their addresses.
    pub(super) async fn all_primaries(&self) -> Result<Vec<(Primary, Rc<Server>)>> {
        let primaries = self.primaries();
        if primaries.all().is_empty() {
            primaries.look_again(None).await?;
        }
        Ok(primaries.all())
    }

    /// What is known of the primaries of the present URL.
    pub(super) fn primaries(&self) -> Rc<Primaries> {
        let mut primaries = self.primaries.borrow_mut();
        if primaries.generation != self.access.generation() {
            *primaries = Primaries::new(&self.access);
        }
        primaries.keep_up();
        Rc::clone(&primaries)
    }

    async fn measured<T>(
        &self,
        step: &'static str,
        call: impl AsyncFnOnce(Rc<Primaries>, Instant) -> Result<T, Failure>,
    ) -> Result<T> {
        let started = Instant::now();
        let outcome = call(self.primaries(), started + DEADLINE).await;
        self.metrics.redis_answered(step, outcome.is_ok(), started.elapsed());
        outcome.map_err(|failure| {
            // An error that concerns one command is told by whoever asked: Redis is there.
            if failure.problem.is_outage() {
                OUTAGE.failed(&failure.server, &failure.reason);
            }
            failure.described()
        })
    }
}

/// The answers to a call, which may contain errors that concern one command. If replicas are to confirm it, the last one says how
/// far the primary has come. A script that the server does not know is sent again as text.
async fn answer(
    primaries: &Rc<Primaries>,
    call: Call,
    is_confirmed: bool,
    deadline: Instant,
) -> Result<Reply, Failure> {
    let (slot, scripts, mut commands) = call.into_parts();
    let ask_how_far = |commands: &mut Pipeline| {
        if is_confirmed {
            commands.cmd("INFO").arg("replication");
        }
    };
    ask_how_far(&mut commands);
    let mut reply = primaries.call(slot, &commands, deadline).await?;
    for (place, script) in scripts {
        if is_unknown_script(&reply.values[place])
            && let Some(by_name) = commands.cmd_iter().nth(place)
        {
            let mut by_text = redis::pipe();
            ask_how_far(by_text.add_command(script.by_text(by_name)));
            let again = Box::pin(primaries.call(slot, &by_text, deadline)).await?;
            reply.from = again.from;
            let mut values = again.values.into_iter();
            reply.values[place] = values.next().unwrap_or(Value::Nil);
            if let (Some(how_far), Some(last)) = (values.next(), reply.values.last_mut()) {
                *last = how_far;
            }
        }
    }
    Ok(reply)
}

fn is_unknown_script(answer: &Value) -> bool {
    matches!(answer, Value::ServerError(error) if error.kind() == Some(ServerErrorKind::NoScript))
}

fn read<T: FromRedisValue>(Reply { mut values, from }: Reply) -> Result<T, Failure> {
    let value = if values.len() == 1 { values.remove(0) } else { Value::Array(values) };
    let read = value.extract_error().and_then(|value| Ok(from_redis_value(value)?));
    read.map_err(|error| Failure::from_error(&error, &from.address))
}
