//! A Redis in memory, for the demo, for trials and for tests. It knows the commands that this store and the doors send,
//! and runs the same scripts. All of it is lost with the process.

mod keys;
mod scripts;

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, ready};
use parking_lot::Mutex;
use redis::{Pipeline, Value, parse_redis_value};
use wxmint_redis_link::{StandIn, members};

use self::keys::Keys;

/// The answer to a command, or the text of an error.
type Answer = Result<Value, String>;

/// Shared by all workers of one process.
pub(crate) struct Memory(Mutex<Keys>);

impl Memory {
    /// Empty, and tells the time by `clock`.
    pub(crate) fn new(clock: fn() -> DateTime<Utc>) -> Self {
        Self(Mutex::new(Keys::new(clock)))
    }
}

impl StandIn for Memory {
    fn answer<'a>(&'a self, commands: &'a Pipeline) -> LocalBoxFuture<'a, Option<Vec<Value>>> {
        let keys = &mut *self.0.lock();
        let answers = commands.cmd_iter().map(|command| answer(keys, &members(command).collect::<Vec<_>>()));
        ready(Some(answers.collect())).boxed_local()
    }
}

fn answer(keys: &mut Keys, command: &[&[u8]]) -> Value {
    let answer = match command {
        [b"EVALSHA", name, arguments @ ..] => scripts::run_known(keys, name, arguments),
        [b"EVAL", text, arguments @ ..] => scripts::run(keys, text, arguments),
        _ => keys.answer(command),
    };
    answer.unwrap_or_else(|error| error_of(&error))
}

fn error_of(text: &str) -> Value {
    parse_redis_value(format!("-{}\r\n", text.replace(char::is_control, " ")).as_bytes()).unwrap_or_default()
}
