//! A Redis in memory, for the demo, for trials and for tests. It knows the commands that this store and the doors send,
//! and runs the same scripts. All of it is lost with the process.

mod keys;
mod scripts;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use redis::{Value, parse_redis_value};
use wxmint_redis_link::StandIn;

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
    fn answer(&self, command: &[&[u8]]) -> Value {
        let keys = &mut *self.0.lock();
        let answer = match command {
            [b"EVALSHA", name, arguments @ ..] => scripts::run_known(keys, name, arguments),
            [b"EVAL", text, arguments @ ..] => scripts::run(keys, text, arguments),
            _ => keys.answer(command),
        };
        answer.unwrap_or_else(|error| error_of(&error))
    }
}

fn error_of(text: &str) -> Value {
    parse_redis_value(format!("-{}\r\n", text.replace(char::is_control, " ")).as_bytes()).unwrap_or_default()
}
