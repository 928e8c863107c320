//! The store under a scheduler: what a call sends to Redis, a command or several together, is a step, which waits until
//! the scheduler takes it. It can be taken twice, late, or never, and its answer can be lost.

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, ready};
use redis::{Pipeline, Value, parse_redis_value};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;
use wxmint_redis_link::{Confirm, DEADLINE, StandIn, members};
use wxmint_store::{Store, StoreAccess, StoreError};

use crate::DAY;

/// The reason of a call that was told that the store does not answer.
pub(crate) const LOST: &str = "Redis at stand-in:6379: no answer in time";

pub(crate) type Answer<T> = Result<T, StoreError>;

/// The answers to the commands of a step; `None` if they are lost.
pub(crate) type Answers = Option<Vec<Value>>;

/// Commands that read, or wait for replicas.
const LOOKS: [&[u8]; 8] = [
    b"GET", b"HGETALL", b"HLEN", b"HMGET", b"INFO", b"TIME", b"WAIT", b"ZRANGE",
];

/// The commands that a call has sent, and for whose answers it waits.
#[derive(Clone)]
pub(crate) struct Step {
    pub(crate) commands: Pipeline,
    answers: UnboundedSender<Answers>,
}

impl Step {
    /// Lets the call go on.
    pub(crate) fn answer(&self, answers: Answers) {
        // Nobody waits for a step that is late.
        let _ = self.answers.send(answers);
    }

    /// Whether it changes nothing, and no end or binding is decided by it.
    pub(crate) fn only_looks(&self) -> bool {
        let mut names = self
            .commands
            .cmd_iter()
            .filter_map(|command| members(command).next());
        names.all(|name| LOOKS.contains(&name))
    }

    /// The name of a key, the first one; empty if there is none.
    pub(crate) fn key(&self) -> String {
        let mut words = self.commands.cmd_iter().flat_map(members);
        let key = words.find(|word| word.starts_with(b"wxmint:"));
        String::from_utf8_lossy(key.unwrap_or_default()).into_owned()
    }

    /// Whether one of the commands has this word.
    pub(crate) fn has(&self, word: &[u8]) -> bool {
        self.commands
            .cmd_iter()
            .flat_map(members)
            .any(|member| member == word)
    }

    /// The commands in words, without the texts of scripts, which have lines.
    pub(crate) fn text(&self) -> String {
        let words = self
            .commands
            .cmd_iter()
            .flat_map(members)
            .filter(|word| !word.contains(&b'\n'));
        words
            .map(|word| word.escape_ascii().to_string())
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// A request, or a call of the store: it does nothing until the scheduler lets it go on, and stops before its next.
pub(crate) struct Call<T> {
    serving: LocalBoxFuture<'static, T>,
    steps: UnboundedReceiver<Step>,
    next: Option<Step>,
}

impl<T> Call<T> {
    /// Makes a call of a future that takes its steps by these [`Steps`].
    pub(crate) fn new<F: Future<Output = T> + 'static>(serve: impl FnOnce(Steps) -> F) -> Self {
        let (wanted, steps) = unbounded_channel();
        Self {
            serving: serve(Steps(wanted)).boxed_local(),
            steps,
            next: None,
        }
    }

    /// The step that it waits for, the first of two that it has sent together.
    pub(crate) fn step(&self) -> Step {
        self.next.clone().expect("it waits for a step")
    }

    /// Its result, if it does not stop before another step.
    pub(crate) async fn go_on(&mut self) -> Option<T> {
        loop {
            tokio::select! {
                biased;
                done = &mut self.serving => return Some(done),
                Some(step) = self.steps.recv() => {
                    if !step.answers.is_closed() {
                        self.next = Some(step);
                        return None;
                    }
                }
            }
        }
    }
}

/// Stands in for Redis, for one call: whatever is sent there is announced as a step.
#[derive(Clone)]
pub(crate) struct Steps(UnboundedSender<Step>);

impl Steps {
    /// The store, as the call has it on a machine with this clock.
    pub(crate) fn store(&self, clock: fn() -> DateTime<Utc>, confirm: Confirm) -> Store {
        let link = wxmint_redis_link::RedisAccess::to(self.clone(), confirm);
        Store::new(&StoreAccess::new(link), DAY, clock, ())
    }
}

impl StandIn for Steps {
    /// Scripts have to be sent as text: which of them a server knows by name depends on earlier cases.
    fn answer<'a>(&'a self, commands: &'a Pipeline) -> LocalBoxFuture<'a, Answers> {
        if commands
            .cmd_iter()
            .any(|command| members(command).next() == Some(b"EVALSHA"))
        {
            let unknown = parse_redis_value(b"-NOSCRIPT No matching script\r\n").expect("an error");
            return ready(Some(vec![unknown; commands.len()])).boxed_local();
        }
        async {
            let (answers, mut answer) = unbounded_channel();
            // Nobody listens any more once the world of a case is dropped.
            let _ = self.0.send(Step {
                commands: commands.clone(),
                answers,
            });
            answer.recv().await.flatten()
        }
        .boxed_local()
    }
}

/// The answers of a store itself.
pub(crate) async fn answers(store: &Store, commands: &Pipeline) -> Answers {
    let primaries = store
        .link
        .all_primaries()
        .await
        .expect("a single server is known");
    primaries[0]
        .1
        .answers(commands, Instant::now() + DEADLINE)
        .await
        .ok()
}
