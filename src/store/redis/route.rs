//! How a call reaches the primary of its keys, and what is done when it does not.

use std::{rc::Rc, time::Duration};

use tokio::time::{Instant, sleep_until, timeout_at};

use super::{
    super::Result,
    answers::{Answers, send, send_asking},
    confirm::{Confirmation, UNCONFIRMED, Wanted, confirmed},
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
    pub(super) async fn invoke(
        &self,
        script: &Invocation<'_>,
        wanted: Wanted,
        deadline: Instant,
    ) -> Result<Answers, Failure> {
        let via = if wanted == UNCONFIRMED { Via::Prompt } else { Via::Waiting };
        let slot = self.slot(script);
        let answers = self.call(slot, via, &confirmed(script.by_name(), wanted), deadline).await?;
        // Where replicas do not confirm even nothing, the write need not be tried.
        match answers.lack_script(0) && answers.confirmation(wanted) != Confirmation::Missing {
            true => Box::pin(self.call(slot, via, &confirmed(&script.by_text(), wanted), deadline)).await,
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
        let mut answers = self.call(slot, Via::Prompt, &Commands::from(&commands), deadline).await?;
        for (at, (script, command)) in scripts.into_iter().zip(commands.cmd_iter()).enumerate() {
            if answers.lack_script(at) {
                let by_text = script.by_text(command);
                let again = Box::pin(self.call(slot, Via::Prompt, &Commands::One(&by_text), deadline)).await?;
                answers.replace(at, again);
            }
        }
        Ok(answers)
    }

    /// Sends commands to the primary of a slot, and again where that is worth it. See [`Trouble::next`].
    pub(super) async fn call(
        &self,
        slot: u16,
        via: Via,
        commands: &Commands<'_>,
        deadline: Instant,
    ) -> Result<Answers, Failure> {
        let node = match self.primaries.of(slot) {
            Some(node) => node,
            None => Box::pin(self.primary(slot, deadline)).await?,
        };
        match send(&node, via, commands, deadline).await {
            Err(failure) => Box::pin(self.call_again(slot, via, commands, deadline, node, failure)).await,
            answers => answers,
        }
    }

    /// After a failure at `node`.
    async fn call_again(
        &self,
        slot: u16,
        via: Via,
        commands: &Commands<'_>,
        deadline: Instant,
        mut node: Rc<Node>,
        mut failure: Failure,
    ) -> Result<Answers, Failure> {
        for repeated in 0.. {
            // It stands behind others that wait in vain for replicas.
            if via == Via::Waiting && node.doubt.exists() && !failure.trouble.is_about_a_slot() {
                return Err(self.unconfirmed(&node));
            }
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
                true => send_asking(&node, via, commands, deadline).await,
                false => send(&node, via, commands, deadline).await,
            };
            match answers {
                Err(again) => failure = again,
                answers => return answers,
            }
        }
        Err(failure)
    }

    pub(super) fn unconfirmed(&self, node: &Node) -> Failure {
        // Perhaps another server has taken over, and this one has lost its replicas.
        self.primaries.look_again_later(&node.address);
        let reason =
            "no replica has confirmed the write in time; if it has none on purpose, set WXMINT_REDIS_CONFIRM=0";
        Failure { server: node.name.clone(), trouble: Trouble::Unconfirmed, reason: reason.into() }
    }

    /// The same at one server.
    pub(super) async fn call_at(
        &self,
        node: &Rc<Node>,
        commands: &Commands<'_>,
        deadline: Instant,
    ) -> Result<Answers, Failure> {
        match send(node, Via::Prompt, commands, deadline).await {
            Err(failure) if failure.trouble.next(0, true) == Next::Reconnect => {
                send(node, Via::Prompt, commands, deadline).await
            }
            outcome => outcome,
        }
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
