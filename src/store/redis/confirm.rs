//! A write that must survive a failover is answered once every replica that could take over has it.
//!
//! The primary is asked with the write how far its data have come, and then, until a replica that takes over has them, how far
//! each replica has confirmed. Who could take over is for those to say who decide it ([`super::successors`]).

use std::{
    cell::RefCell,
    rc::Rc,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{LocalBoxFuture, Shared},
};
use redis::Value;
use tokio::{
    task::spawn_local,
    time::{Instant, timeout_at},
};

use super::{
    access::Confirm,
    answers::{Answers, send_twice},
    failure::{Failure, Trouble},
    link::{DEADLINE, Link},
    node::{Commands, Node, Via},
    primaries::Kind,
    replication::Replication,
    url::Address,
};

/// A healthy replica confirms within a millisecond.
const CONFIRMED_WITHIN: Duration = Duration::from_millis(400);

/// A server that has not asked its replicas how far they are is asked to wait so long, again and again.
const ASKED_FOR: Duration = Duration::from_millis(5);
const MORE_THAN_ANY_HAS: usize = 255;

/// Whether it has been said that Redis refuses to wait.
static WARNED: AtomicBool = AtomicBool::new(false);

/// What is to have confirmed a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Each of these.
    replicas: Vec<Address>,
    /// And so many in all.
    count: usize,
}

/// The times at which one primary is asked to wait for its replicas. Nothing else is answered on a connection that waits, so
/// all writes that were made before share the next wait.
#[derive(Default)]
pub(super) struct Waits(RefCell<Option<Waiting>>);

/// `None` if the server refuses to wait.
type Waiting = Shared<LocalBoxFuture<'static, Result<Option<Rc<Replication>>, Failure>>>;

impl Link {
    /// Returns once every replica that could take over has what `answers` tells of. See [`Answers::replication`].
    pub(super) async fn until_confirmed(&self, answers: &Answers, deadline: Instant) -> Result<(), Failure> {
        let node = &answers.from;
        let Some(before) = answers.replication() else { return Ok(()) };
        let late = |_| Err("no confirmation within 1 s".to_owned());
        timeout_at(deadline, self.confirmation(node, before)).await.unwrap_or_else(late).map_err(|reason| {
            // Perhaps another server has taken over.
            self.primaries.look_again_later(&node.address);
            Failure { server: node.name.clone(), trouble: Trouble::Unconfirmed, reason }
        })
    }

    /// `before`: what the primary said with the write.
    async fn confirmation(&self, node: &Rc<Node>, before: Replication) -> Result<(), String> {
        let (mut after, mut reason) = (before.clone(), String::new());
        let mut has_waited = false;
        // The second time, the deciders may have noticed that a replica is dead.
        for asked_anew in [false, true] {
            let wanted = self.wanted(node, &before, asked_anew).await?;
            if !has_waited && !wanted.is_met(&before, &after) && before.online().count() >= wanted.count {
                has_waited = true;
                let waited = node.waits.next(node, wanted.count).await.map_err(|failure| failure.reason)?;
                let Some(waited) = waited else { return Ok(()) };
                after = (*waited).clone();
                if !after.is_of_same_primary(&before) {
                    node.reconnect();
                }
            }
            if wanted.is_met(&before, &after) {
                return Ok(());
            }
            reason = wanted.missing(&before, &after);
        }
        Err(reason)
    }

    /// `asked_anew`: the deciders are asked after it in any case.
    async fn wanted(&self, node: &Node, before: &Replication, asked_anew: bool) -> Result<Wanted, String> {
        match (self.confirm(), self.primaries.kind()) {
            (Confirm::Replicas(count), _) => Ok(Wanted { replicas: Vec::new(), count: count.into() }),
            (Confirm::Auto, Kind::Single) => Ok(Wanted::all(before.online().cloned().collect())),
            (Confirm::Auto, kind) => {
                let successors = self.primaries.successors(node, asked_anew).await?;
                Ok(Wanted::for_failover(kind, successors, before))
            }
        }
    }
}

impl Wanted {
    fn all(replicas: Vec<Address>) -> Self {
        Self { count: replicas.len(), replicas }
    }

    /// The successors, and those that follow the primary: the deciders may learn of one that comes back a little later.
    fn for_failover(kind: Kind, successors: Vec<Address>, before: &Replication) -> Self {
        let mut live: Vec<_> = before.live().cloned().collect();
        match kind {
            // A Cluster may announce a replica by another address than its primary knows. One that is copying is not waited for.
            Kind::Cluster => {
                let count = successors.len().saturating_sub(before.copying).max(live.len());
                Self { count, replicas: live }
            }
            Kind::Single | Kind::Sentinel => {
                live.extend(successors.into_iter().filter(|one| !before.live().any(|live| live == one)));
                Self::all(live)
            }
        }
    }

    fn is_met(&self, before: &Replication, after: &Replication) -> bool {
        let have = |one: &Address| after.confirmed(before).any(|other| other == one);
        self.replicas.iter().all(have) && after.confirmed(before).count() >= self.count
    }

    fn missing(&self, before: &Replication, after: &Replication) -> String {
        let confirmed = after.confirmed(before).count();
        let names: Vec<_> = self.replicas.iter().map(Address::to_string).collect();
        format!(
            "{confirmed} of {} replicas that could take over have confirmed the write in time ({}); WXMINT_REDIS_CONFIRM says \
             how many must",
            self.count,
            names.join(", ")
        )
    }
}

impl Waits {
    /// The outcome of a wait that begins after this call.
    async fn next(&self, node: &Rc<Node>, replicas: usize) -> Result<Option<Rc<Replication>>, Failure> {
        let running = self.0.borrow().clone();
        if let Some(running) = &running {
            _ = running.clone().await;
        }
        self.after(running.as_ref(), node, replicas).await
    }

    /// The wait that has begun since `last` was over, or a new one.
    fn after(&self, last: Option<&Waiting>, node: &Rc<Node>, replicas: usize) -> Waiting {
        let mut latest = self.0.borrow_mut();
        let begun = latest.take().filter(|latest| last.is_none_or(|last| !last.ptr_eq(latest)));
        let begin = || {
            let node = Rc::clone(node);
            let waiting = async move { wait(&node, replicas).await }.boxed_local().shared();
            // Goes on in a task of its own, because all callers may give up.
            spawn_local(waiting.clone());
            waiting
        };
        latest.insert(begun.unwrap_or_else(begin)).clone()
    }
}

async fn wait(node: &Rc<Node>, replicas: usize) -> Result<Option<Rc<Replication>>, Failure> {
    let begun = Instant::now();
    let (mut wanted, mut within) = (replicas, CONFIRMED_WITHIN);
    loop {
        let answers = ask_to_wait(node, wanted, within).await?;
        let Some((waited, before, after)) = answers.waited() else { return Ok(None) };
        let has_asked = waited < replicas || after.confirmed(&before).count() >= replicas;
        if has_asked || begun.elapsed() >= CONFIRMED_WITHIN {
            return Ok(Some(Rc::new(after)));
        }
        // Redis waits for what it had written when the last command came on this connection, but Valkey only for what this
        // connection itself has written. Valkey asks its replicas how far they are if it is to wait for more than it has.
        (wanted, within) = (MORE_THAN_ANY_HAS, ASKED_FOR);
    }
}

async fn ask_to_wait(node: &Rc<Node>, replicas: usize, within: Duration) -> Result<Answers, Failure> {
    let mut commands = redis::pipe();
    commands
        .cmd("INFO")
        .arg("replication")
        .cmd("WAIT")
        .arg(replicas)
        .arg(within.as_millis() as u64)
        .cmd("INFO")
        .arg("replication");
    send_twice(node, Via::Waiting, &Commands::from(&commands), Instant::now() + DEADLINE).await
}

impl Answers {
    /// What the last command, `INFO replication`, was answered. `None` if Redis refuses to tell.
    fn replication(&self) -> Option<Replication> {
        self.replication_at(self.values.len().checked_sub(1)?)
    }

    fn replication_at(&self, command: usize) -> Option<Replication> {
        let info = self.values.get(command).filter(|answer| !self.refuses(answer))?;
        Replication::parse(&redis::from_redis_value_ref::<String>(info).ok()?)
    }

    /// How many replicas the server says that it has waited for, and what it said before and after. `None` if it refuses.
    fn waited(&self) -> Option<(usize, Replication, Replication)> {
        let waited = self.values.get(1).filter(|answer| !self.refuses(answer))?;
        let waited = redis::from_redis_value_ref(waited).ok()?;
        Some((waited, self.replication_at(0)?, self.replication_at(2)?))
    }

    fn refuses(&self, answer: &Value) -> bool {
        let Value::ServerError(error) = answer else { return false };
        if !WARNED.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                redis = self.from.name,
                code = error.code(),
                "Redis refuses the command WAIT (or INFO), so replicas cannot confirm a binding, a logout or an unbinding \
                 before it is answered: a failover may lose the last of them; WXMINT_REDIS_CONFIRM=0 says that this is meant"
            );
        }
        true
    }
}
