//! One worker's way to Redis: sends a call to the primary that has its keys, and repeats it once where another one has them by
//! now, all within a deadline. Every script is idempotent.

use std::{rc::Rc, time::Duration};

use futures_util::future::join;
use redis::{Cmd, FromRedisValue, Pipeline, from_redis_value};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{
    super::Result,
    access::{Confirm, RedisAccess},
    answers::{Answers, send},
    confirm::{confirmed, wanted},
    connector::Connector,
    failure::{Failure, Next, Trouble},
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
const DEADLINE: Duration = Duration::from_secs(1);
/// Between two tries of a call whose keys lie on two servers, because their slot is moving.
const SLOT_MOVES: Duration = Duration::from_millis(50);

pub(super) struct Link {
    primaries: Primaries,
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
        self.measured(step, async |deadline| self.invoke(script, Some(0), deadline).await?.only()).await
    }

    /// Runs two scripts at the same time. Their keys may lie in different slots: if one primary has both, in one round trip, and
    /// in this order. If one script has to be repeated, the other one is not, because it would count twice.
    pub(super) async fn run_both<A: FromRedisValue, B: FromRedisValue>(
        &self,
        step: &'static str,
        first: &Invocation<'_>,
        second: &Invocation<'_>,
    ) -> Result<(A, B)> {
        self.measured(step, async |deadline| {
            let (one, other) = self.both(first, second, deadline).await?;
            Ok((one.only()?, other.only()?))
        })
        .await
    }

    /// Runs a script, and waits until as many replicas as are wanted have all writes up to this one, because a replica that
    /// takes over must not have lost them.
    pub(super) async fn run_confirmed<T: FromRedisValue>(
        &self,
        step: &'static str,
        script: &Invocation<'_>,
    ) -> Result<T> {
        let wanted = wanted(self.confirm, self.primaries.kind());
        self.measured(step, async |deadline| {
            let primary = self.primary(script.slot(), deadline).await?;
            if wanted != Some(0) && !primary.doubt.admits(Instant::now()) {
                return Err(self.unconfirmed(&primary));
            }
            let answers = self.invoke(script, wanted, deadline).await?;
            let server = &answers.from;
            let is_confirmed = answers.are_confirmed(wanted);
            server.doubt.note(is_confirmed, Instant::now());
            if is_confirmed { answers.only() } else { Err(self.unconfirmed(server)) }
        })
        .await
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
        let (slot, commands) = (slot_of(key.as_bytes()), Commands::new(commands.clone()));
        self.measured(step, async |deadline| self.call(slot, Via::Prompt, &commands, deadline).await?.all()).await
    }

    /// Runs reading commands on one server.
    pub(super) async fn query_at<T: FromRedisValue>(
        &self,
        step: &'static str,
        node: &Rc<Node>,
        commands: &Pipeline,
    ) -> Result<T> {
        let commands = Commands::new(commands.clone());
        self.measured(step, async |deadline| self.call_at(node, &commands, deadline).await?.all()).await
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
            let mut values = node.send(Via::Prompt, &Commands::new(together), deadline).await?;
            for (value, (key, command)) in values.iter_mut().zip(&commands) {
                if Failure::of(value, &node.address).is_some_and(|failure| failure.trouble.is_about_a_slot()) {
                    let mut alone = redis::pipe();
                    alone.add_command(command.clone());
                    let slot = slot_of(key.as_bytes());
                    *value = self.call(slot, Via::Prompt, &Commands::new(alone), deadline).await?.only()?;
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

    /// `INFO section`.
    pub(super) async fn info(&self, node: &Rc<Node>, section: &str) -> Result<String> {
        let mut info = redis::pipe();
        info.cmd("INFO").arg(section);
        let (info,): (String,) = self.query_at("info", node, &info).await?;
        Ok(info)
    }

    /// `CONFIG GET parameter`; `None` where Redis refuses to tell.
    pub(super) async fn configured(&self, node: &Rc<Node>, parameter: &str) -> Result<Option<String>> {
        let mut get = redis::pipe();
        get.cmd("CONFIG").arg("GET").arg(parameter).ignore_errors();
        let found =
            self.measured("config", async |deadline| node.send(Via::Prompt, &Commands::new(get), deadline).await);
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

    async fn both(
        &self,
        first: &Invocation<'_>,
        second: &Invocation<'_>,
        deadline: Instant,
    ) -> Result<(Answers, Answers), Failure> {
        let [one, other] = [first, second].map(|script| self.primaries.of(script.slot()));
        if let (Some(node), Some(other)) = (one, other)
            && Rc::ptr_eq(&node, &other)
        {
            let mut both = redis::pipe();
            both.add_command(first.by_name()).add_command(second.by_name());
            match node.send(Via::Prompt, &Commands::new(both), deadline).await {
                Ok(values) => {
                    let mut values =
                        values.into_iter().map(|value| Answers { values: vec![value], from: Rc::clone(&node) });
                    let mut next = || values.next().expect("as many answers as commands");
                    let (one, other) = (next(), next());
                    let done = join(self.or_again(one, first, deadline), self.or_again(other, second, deadline)).await;
                    return Ok((done.0?, done.1?));
                }
                Err(failure) if failure.trouble.next(0, self.is_single()) == Next::GiveUp => return Err(failure),
                Err(_) => {}
            }
        }
        let (one, other) = join(self.invoke(first, Some(0), deadline), self.invoke(second, Some(0), deadline)).await;
        Ok((one?, other?))
    }

    /// The answers of a script, or those to its repetition where this server could not run it.
    async fn or_again(&self, answers: Answers, script: &Invocation<'_>, deadline: Instant) -> Result<Answers, Failure> {
        match answers.failure() {
            Some(failure) if failure.trouble.next(0, self.is_single()) == Next::GiveUp => Err(failure),
            None if !answers.lacks_script() => Ok(answers),
            _ => self.invoke(script, Some(0), deadline).await,
        }
    }

    async fn invoke(&self, script: &Invocation<'_>, wanted: Option<u8>, deadline: Instant) -> Result<Answers, Failure> {
        let via = if wanted == Some(0) { Via::Prompt } else { Via::Waiting };
        let answers = self.call(script.slot(), via, &confirmed(script.by_name(), wanted), deadline).await?;
        // Where replicas do not confirm even nothing, the write need not be tried.
        match answers.lacks_script() && answers.are_confirmed(wanted) {
            true => self.call(script.slot(), via, &confirmed(script.by_text(), wanted), deadline).await,
            false => Ok(answers),
        }
    }

    /// Sends commands to the primary of a slot, and again where that is worth it. See [`Trouble::next`].
    async fn call(&self, slot: u16, via: Via, commands: &Commands, deadline: Instant) -> Result<Answers, Failure> {
        let (mut node, mut is_asked, mut repeated) = (self.primary(slot, deadline).await?, false, 0);
        loop {
            let failure = match send(&node, via, commands, is_asked, deadline).await {
                Ok(answers) => return Ok(answers),
                // It stands behind others that wait in vain for replicas.
                Err(_) if via == Via::Waiting && node.doubt.exists() => return Err(self.unconfirmed(&node)),
                Err(failure) => failure,
            };
            is_asked = false;
            match failure.trouble.next(repeated, self.is_single()) {
                Next::GiveUp => return Err(failure),
                Next::Reconnect => {}
                Next::Follow(address) => node = self.primaries.moved(slot, &address),
                Next::Ask(address) => (node, is_asked) = (self.primaries.at(&address), true),
                Next::Wait => {
                    sleep_until(deadline.min(Instant::now() + SLOT_MOVES)).await;
                    node = self.primary(slot, deadline).await?;
                }
                Next::LookAgain => {
                    let found = timeout_at(deadline, self.primaries.look_again(Some(&node.address))).await;
                    let primary = self.primaries.of(slot).filter(|_| matches!(found, Ok(Ok(()))));
                    let is_new = |primary: &Rc<Node>| !Rc::ptr_eq(primary, &node);
                    match primary.filter(|primary| is_new(primary) || failure.trouble.may_be_over()) {
                        Some(primary) => node = primary,
                        None => return Err(failure),
                    }
                }
            }
            repeated += 1;
        }
    }

    fn unconfirmed(&self, node: &Node) -> Failure {
        // Perhaps another server has taken over, and this one has lost its replicas.
        self.primaries.look_again_later(&node.address);
        let reason =
            "no replica has confirmed the write in time; if it has none on purpose, set WXMINT_REDIS_CONFIRM=0";
        Failure { server: node.name.clone(), trouble: Trouble::Unconfirmed, reason: reason.into() }
    }

    /// The same at one server.
    async fn call_at(&self, node: &Rc<Node>, commands: &Commands, deadline: Instant) -> Result<Answers, Failure> {
        match send(node, Via::Prompt, commands, false, deadline).await {
            Err(failure) if failure.trouble.next(0, true) == Next::Reconnect => {
                send(node, Via::Prompt, commands, false, deadline).await
            }
            outcome => outcome,
        }
    }

    async fn primary(&self, slot: u16, deadline: Instant) -> Result<Rc<Node>, Failure> {
        if let Some(node) = self.primaries.of(slot) {
            return Ok(node);
        }
        let failure = |reason| Failure { server: self.primaries.name(), trouble: Trouble::Unreachable, reason };
        let looked = timeout_at(deadline, self.primaries.look_again(None)).await;
        let found = looked.map_err(|_| failure("no answer within 1 s".into()))?;
        found.map_err(|error| failure(error.reason))?;
        self.primaries.of(slot).ok_or_else(|| failure(format!("the Cluster has no primary for slot {slot}")))
    }

    fn is_single(&self) -> bool {
        self.primaries.kind() == Kind::Single
    }
}
