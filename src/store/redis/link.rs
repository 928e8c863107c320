//! One worker's way to Redis: sends a call to the primary that has its keys, and repeats it once where another one has them by
//! now, all within a deadline. Every script is idempotent.

use std::{rc::Rc, time::Duration};

use futures_util::future::join;
use redis::{Cmd, FromRedisValue, Pipeline, from_redis_value};
use tokio::time::Instant;

use super::{
    super::Result,
    access::{Confirm, RedisAccess},
    answers::{Answers, send_twice},
    connector::Connector,
    failure::Failure,
    layout::Found,
    node::{Commands, Node, Via},
    outage::OUTAGE,
    primaries::{Kind, Primaries},
    script::Invocation,
    slot::slot_of,
};
use crate::telemetry::Metrics;

/// For a call with connecting, looking for the primary, and repetitions. A login waits for two of these and for WeChat, 5 s at
/// most.
pub(super) const DEADLINE: Duration = Duration::from_secs(1);

pub(super) struct Link {
    pub(super) primaries: Primaries,
    confirm: Confirm,
    metrics: Metrics,
}

impl Link {
    pub(super) fn new(access: &RedisAccess, metrics: Metrics) -> Self {
        let connector = Connector::new(access);
        Self { confirm: connector.confirm(), primaries: Primaries::new(connector), metrics }
    }

    /// Runs a script on the primary of its keys.
    pub(super) async fn run<T: FromRedisValue>(&self, step: &'static str, script: &Invocation<'_>) -> Result<T> {
        self.measured(step, async |deadline| self.invoke(script, false, deadline).await?.only()).await
    }

    /// Runs two scripts at the same time, in one round trip if one primary has the keys of both. If one script has to be repeated,
    /// the other one is not, because it would count twice.
    pub(super) async fn run_both<A: FromRedisValue, B: FromRedisValue>(
        &self,
        step: &'static str,
        first: Invocation<'_>,
        second: Invocation<'_>,
    ) -> Result<(A, B)> {
        self.measured(step, async |deadline| match self.slot(&first) == self.slot(&second) {
            true => self.invoke_both(first, second, deadline).await?.all(),
            false => {
                let run = |script| self.invoke(script, false, deadline);
                let (one, other) = Box::pin(join(run(&first), run(&second))).await;
                Ok((one?.only()?, other?.only()?))
            }
        })
        .await
    }

    /// Runs a script, and waits until every replica that could take over has all writes up to this one.
    pub(super) async fn run_confirmed<T: FromRedisValue>(
        &self,
        step: &'static str,
        script: &Invocation<'_>,
    ) -> Result<T> {
        self.measured(step, async |deadline| {
            let answers = self.invoke(script, self.confirms(), deadline).await?;
            if self.confirms() {
                Box::pin(self.until_confirmed(&answers, deadline)).await?;
            }
            answers.only()
        })
        .await
    }

    /// Whether replicas may be asked to confirm.
    pub(super) fn confirms(&self) -> bool {
        self.confirm != Confirm::Replicas(0)
    }

    /// Sends a command whose answer nobody needs, if there is a connection.
    pub(super) async fn tell(&self, key: &str, command: Cmd) {
        if let Some(node) = self.primaries.of(slot_of(key.as_bytes())) {
            node.tell(command).await;
        }
    }

    /// For a write that a later, confirmed write on the same server makes certain too: on a Cluster the later one may be on
    /// another server, so this one is confirmed by itself.
    pub(super) async fn run_confirmed_in_cluster<T: FromRedisValue>(
        &self,
        step: &'static str,
        script: &Invocation<'_>,
    ) -> Result<T> {
        match self.primaries.kind() {
            Kind::Cluster => self.run_confirmed(step, script).await,
            Kind::Single | Kind::Sentinel => self.run(step, script).await,
        }
    }

    /// Runs reading commands, whose keys lie in the slot of `key`, in one round trip.
    pub(super) async fn query<T: FromRedisValue>(
        &self,
        step: &'static str,
        key: &str,
        commands: &Pipeline,
    ) -> Result<T> {
        let slot = slot_of(key.as_bytes());
        self.measured(step, async |deadline| self.call(slot, &commands.into(), deadline).await?.all()).await
    }

    /// Runs reading commands on one server.
    pub(super) async fn query_at<T: FromRedisValue>(
        &self,
        step: &'static str,
        node: &Rc<Node>,
        commands: &Pipeline,
    ) -> Result<T> {
        let commands = Commands::from(commands);
        self.measured(step, async |deadline| send_twice(node, Via::Prompt, &commands, deadline).await?.all()).await
    }

    /// Runs a command for each key on one server, in one round trip. A key that it does not have any more is asked for where it
    /// is now.
    pub(super) async fn query_each<T: FromRedisValue>(
        &self,
        step: &'static str,
        node: &Rc<Node>,
        commands: Vec<(&str, Cmd)>,
    ) -> Result<Vec<T>> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        self.measured(step, async |deadline| {
            let mut together = redis::pipe();
            commands.iter().for_each(|(_, command)| _ = together.add_command(command.clone()));
            let mut values = node.send(Via::Prompt, &(&together).into(), deadline).await?;
            for (value, (key, command)) in values.iter_mut().zip(&commands) {
                if Failure::of(value, &node.address).is_some_and(|failure| failure.trouble.is_about_a_slot()) {
                    let (slot, alone) = (slot_of(key.as_bytes()), Commands::One(command));
                    *value = self.call(slot, &alone, deadline).await?.only()?;
                }
            }
            Answers { values, from: Rc::clone(node) }.all()
        })
        .await
    }

    /// The primaries as far as they are known, or after they have been looked up.
    pub(super) async fn primaries(&self) -> Result<(Found, Vec<Rc<Node>>)> {
        self.primaries.keep_up();
        if self.primaries.all().1.is_empty() {
            self.primaries.look_again(None).await?;
        }
        Ok(self.primaries.all())
    }

    /// The primaries after they have been looked up.
    pub(super) async fn primaries_now(&self) -> Result<(Found, Vec<Rc<Node>>)> {
        self.primaries.keep_up();
        self.primaries.look_again(None).await?;
        Ok(self.primaries.all())
    }

    pub(super) fn confirm(&self) -> Confirm {
        self.confirm
    }

    pub(super) fn kind(&self) -> Kind {
        self.primaries.kind()
    }

    /// `CONFIG GET parameter`; `None` where Redis refuses to tell. Alone, because no other command may fail so.
    pub(super) async fn configured(&self, node: &Rc<Node>, parameter: &str) -> Result<Option<String>> {
        let mut get = redis::cmd("CONFIG");
        get.arg("GET").arg(parameter);
        let get = Commands::One(&get);
        let found = self.measured("config", async |deadline| node.send(Via::Prompt, &get, deadline).await);
        let pair = found.await?.pop().and_then(|answer| from_redis_value::<Vec<String>>(answer).ok());
        Ok(pair.and_then(|pair| pair.into_iter().nth(1)))
    }

    async fn measured<T>(
        &self,
        step: &'static str,
        call: impl AsyncFnOnce(Instant) -> Result<T, Failure>,
    ) -> Result<T> {
        let started = Instant::now();
        self.primaries.keep_up();
        let outcome = call(started + DEADLINE).await;
        self.metrics.redis_answered(step, outcome.is_ok(), started.elapsed());
        outcome.map_err(|failure| {
            // An error that concerns one command is told by whoever asked: Redis is there.
            if failure.trouble.is_outage() {
                OUTAGE.failed(&failure.server, &failure.reason);
            }
            failure.described()
        })
    }
}
