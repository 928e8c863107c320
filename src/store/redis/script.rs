//! A Lua script and one call of it.
//!
//! redis-rs' own sends `SCRIPT LOAD` where a server does not know a script, and a proxy may send that to another server than
//! the call. This one sends the text itself, as `EVAL`, which needs no second command.

use std::fmt::Write;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use redis::{Cmd, ToRedisArgs};

use super::slot::slot_of;

/// A script with the shared functions in front of it.
macro_rules! script {
    ($($name:literal),+) => {
        LazyLock::new(|| Script::new(concat!($(include_str!(concat!("lua/", $name, ".lua"))),+)))
    };
}
pub(super) use script;

pub(super) struct Script {
    text: String,
    /// SHA-1 in hexadecimal digits: the name by which servers know a script.
    sha: String,
}

/// A script with its keys, which lie in one slot, and its arguments.
pub(super) struct Invocation<'a> {
    script: &'a Script,
    keys: Vec<Vec<u8>>,
    arguments: Vec<Vec<u8>>,
}

impl Script {
    pub(super) fn new(text: &str) -> Self {
        let mut sha = String::with_capacity(40);
        for byte in digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()).as_ref() {
            write!(sha, "{byte:02x}").expect("a String takes all text");
        }
        Self { text: text.to_owned(), sha }
    }

    pub(super) fn key(&self, key: impl ToRedisArgs) -> Invocation<'_> {
        Invocation { script: self, keys: key.to_redis_args(), arguments: Vec::new() }
    }
}

impl Invocation<'_> {
    pub(super) fn key(&mut self, key: impl ToRedisArgs) -> &mut Self {
        key.write_redis_args(&mut self.keys);
        self
    }

    pub(super) fn arg(&mut self, argument: impl ToRedisArgs) -> &mut Self {
        argument.write_redis_args(&mut self.arguments);
        self
    }

    /// The slot of all its keys.
    pub(super) fn slot(&self) -> u16 {
        let slot = self.keys.first().map_or(0, |key| slot_of(key));
        debug_assert!(self.keys.iter().all(|key| slot_of(key) == slot), "the keys of a script lie in one slot");
        slot
    }

    /// By its name, which a server knows after it has seen the text.
    pub(super) fn by_name(&self) -> Cmd {
        self.command("EVALSHA", &self.script.sha)
    }

    pub(super) fn by_text(&self) -> Cmd {
        self.command("EVAL", &self.script.text)
    }

    fn command(&self, name: &str, script: &str) -> Cmd {
        let members = || self.keys.iter().chain(&self.arguments);
        let bytes = name.len() + script.len() + 4 + members().map(Vec::len).sum::<usize>();
        let mut command = Cmd::with_capacity(3 + members().count(), bytes);
        command.arg(name).arg(script).arg(self.keys.len());
        members().for_each(|member| _ = command.arg(&member[..]));
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_sent_by_its_name_or_as_text_with_its_keys_and_arguments() {
        let script = Script::new("return KEYS[1]");
        let mut call = script.key("{a}1");
        call.key("{a}2").arg(7).arg("x");
        let sent = |command: Cmd| String::from_utf8(command.get_packed_command()).expect("UTF-8").replace("\r\n", " ");
        let rest = "$1 2 $4 {a}1 $4 {a}2 $1 7 $1 x ";
        let by_name = format!("*7 $7 EVALSHA $40 4a2267357833227dd98abdedb8cf24b15a986445 {rest}");
        assert_eq!(sent(call.by_name()), by_name);
        assert_eq!(sent(call.by_text()), format!("*7 $4 EVAL $14 return KEYS[1] {rest}"));
    }
}
