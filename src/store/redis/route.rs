//! How a call reaches the primary of its keys, and what is done when it does not.

use std::{borrow::Cow, rc::Rc, time::Duration};

use redis::Cmd;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{
    super::Result,
    answers::{Answers, send, send_asking},
    failure::{Failure, Next, Trouble},
    link::Link,
    node::{Commands, Node, Via},
    primaries::Kind,
    script::{Invocation, both},
};

/// Between two tries of a call whose keys lie on two servers, because their slot is moving.
const SLOT_MOVES: Duration = Duration::from_millis(50);

impl Link {
    /// Runs a script on the primary of its keys. What is seldom awaited is boxed, here and below, because a future has room for
    /// the largest future that it may ever await, and is copied with each call.
    ///
    /// If it is to be `confirmed`, the last answer says how far the primary's data have come.
    pub(super) async fn invoke(
        &self,
        script: &Invocation<'_>,
        confirmed: bool,
        deadline: Instant,
    ) -> Result<Answers, Failure> {
        let slot = self.slot(script);
        let answers = self.call(slot, &commands(script.by_name(), confirmed), deadline).await?;
        match answers.lack_script(0) {
            true => Box::pin(self.call(slot, &commands(&script.by_text(), confirmed), deadline)).await,
            false => Ok(answers),
        }
    }

    /// Runs two scripts, whose keys lie in one slot, in one round trip.
    pub(super) async fn invoke_both(
        &self,
        first: Invocation<'_>,
        second: Invocation<'_>,
        deadline: Instant,
    ) -> Result<Answers, Failure> {
        let slot = self.slot(&first);
        let (scripts, commands) = both(first, second);
        let mut answers = self.call(slot, &Commands::from(&commands), deadline).await?;
        for (at, (script, command)) in scripts.into_iter().zip(commands.cmd_iter()).enumerate() {
            if answers.lack_script(at) {
                let by_text = script.by_text(command);
                let again = Box::pin(self.call(slot, &Commands::One(&by_text), deadline)).await?;
                answers.replace(at, again);
            }
        }
        Ok(answers)
    }

    /// Sends commands to the primary of a slot, and again where that is worth it. See [`Trouble::next`].
    pub(super) async fn call(&self, slot: u16, commands: &Commands<'_>, deadline: Instant) -> Result<Answers, Failure> {
        let node = match self.primaries.of(slot) {
            Some(node) => node,
            None => Box::pin(self.primary(slot, deadline)).await?,
        };
        match send(&node, Via::Prompt, commands, deadline).await {
            Err(failure) => Box::pin(self.call_again(slot, commands, deadline, node, failure)).await,
            answers => answers,
        }
    }

    /// After a failure at `node`.
    async fn call_again(
        &self,
        slot: u16,
        commands: &Commands<'_>,
        deadline: Instant,
        mut node: Rc<Node>,
        mut failure: Failure,
    ) -> Result<Answers, Failure> {
        for repeated in 0.. {
            let mut is_asked = false;
            match failure.trouble.next(repeated, self.is_single()) {
                Next::GiveUp => break,
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
                        None => break,
                    }
                }
            }
            let answers = match is_asked {
                true => send_asking(&node, commands, deadline).await,
                false => send(&node, Via::Prompt, commands, deadline).await,
            };
            match answers {
                Err(again) => failure = again,
                answers => return answers,
            }
        }
        Err(failure)
    }

    pub(super) async fn primary(&self, slot: u16, deadline: Instant) -> Result<Rc<Node>, Failure> {
        if let Some(node) = self.primaries.of(slot) {
            return Ok(node);
        }
        let failure = |reason| Failure { server: self.primaries.name(), trouble: Trouble::Unreachable, reason };
        let looked = timeout_at(deadline, self.primaries.look_again(None)).await;
        let found = looked.map_err(|_| failure("no answer within 1 s".into()))?;
        found.map_err(|error| failure(error.reason))?;
        self.primaries.of(slot).ok_or_else(|| failure(format!("the Cluster has no primary for slot {slot}")))
    }

    /// Where the keys of a script lie; only a Cluster has more than one place.
    pub(super) fn slot(&self, script: &Invocation<'_>) -> u16 {
        match self.primaries.kind() {
            Kind::Cluster => script.slot(),
            Kind::Single | Kind::Sentinel => 0,
        }
    }

    pub(super) fn is_single(&self) -> bool {
        self.primaries.kind() == Kind::Single
    }
}

fn commands(script: &Cmd, confirmed: bool) -> Commands<'_> {
    if !confirmed {
        return Commands::One(script);
    }
    let mut commands = redis::pipe();
    commands.add_command(script.clone()).cmd("INFO").arg("replication");
    Commands::Several(Cow::Owned(commands))
}
