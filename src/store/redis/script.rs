//! A Lua script and one call of it.
//!
//! redis-rs' own sends `SCRIPT LOAD` where a server does not know a script, and a proxy may send that to another server than
//! the call. This one sends the text itself, as `EVAL`, which needs no second command.

use std::fmt::{Display, Write};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use redis::{Arg, Cmd, Pipeline, RedisWrite, ToRedisArgs};

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
    by_name: Cmd,
}

/// Members and bytes of a login's command, so that few commands have to grow.
const CAPACITY: (usize, usize) = (16, 512);

impl Script {
    pub(super) fn new(text: &str) -> Self {
        let mut sha = String::with_capacity(40);
        for byte in digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()).as_ref() {
            write!(sha, "{byte:02x}").expect("a String takes all text");
        }
        Self { text: text.to_owned(), sha }
    }

    /// The keys lie in one slot.
    pub(super) fn on(&self, keys: &[&dyn Display]) -> Invocation<'_> {
        let mut by_name = Cmd::with_capacity(CAPACITY.0, CAPACITY.1);
        by_name.arg("EVALSHA").arg(&self.sha).arg(keys.len());
        keys.iter().for_each(|key| by_name.write_arg_fmt(key));
        let slots = || members(&by_name).skip(3).map(slot_of);
        debug_assert!(slots().all(|slot| Some(slot) == slots().next()), "the keys of a script lie in one slot");
        Invocation { script: self, by_name }
    }

    /// The same call as `by_name`, for a server that does not know the script.
    pub(super) fn by_text(&self, by_name: &Cmd) -> Cmd {
        let mut by_text = redis::cmd("EVAL");
        by_text.arg(&self.text);
        members(by_name).skip(2).for_each(|member| by_text.write_arg(member));
        by_text
    }
}

impl Invocation<'_> {
    pub(super) fn arg(&mut self, argument: impl ToRedisArgs) -> &mut Self {
        self.by_name.arg(argument);
        self
    }

    /// An argument as it is displayed.
    pub(super) fn text(&mut self, argument: impl Display) -> &mut Self {
        self.by_name.write_arg_fmt(argument);
        self
    }

    /// The slot of all its keys.
    pub(super) fn slot(&self) -> u16 {
        members(&self.by_name).nth(3).map_or(0, slot_of)
    }

    /// By its name, which a server knows after it has seen the text.
    pub(super) fn by_name(&self) -> &Cmd {
        &self.by_name
    }

    pub(super) fn by_text(&self) -> Cmd {
        self.script.by_text(&self.by_name)
    }
}

/// The commands of two calls, which are sent together, and their scripts.
pub(super) fn both<'a>(first: Invocation<'a>, second: Invocation<'a>) -> ([&'a Script; 2], Pipeline) {
    let mut commands = Pipeline::with_capacity(2);
    commands.add_command(first.by_name).add_command(second.by_name);
    ([first.script, second.script], commands)
}

fn members(command: &Cmd) -> impl Iterator<Item = &[u8]> {
    command.args_iter().map(|member| match member {
        Arg::Simple(member) => member,
        _ => unreachable!("a cursor is no member of a script's command"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_sent_by_its_name_or_as_text_with_its_keys_and_arguments() {
        let script = Script::new("return KEYS[1]");
        let mut call = script.on(&[&"{a}1", &"{a}2"]);
        call.arg(7).text("x");
        let sent = |command: &Cmd| String::from_utf8(command.get_packed_command()).expect("UTF-8").replace("\r\n", " ");
        let rest = "$1 2 $4 {a}1 $4 {a}2 $1 7 $1 x ";
        let by_name = format!("*7 $7 EVALSHA $40 4a2267357833227dd98abdedb8cf24b15a986445 {rest}");
        assert_eq!(sent(call.by_name()), by_name);
        assert_eq!(sent(&call.by_text()), format!("*7 $4 EVAL $14 return KEYS[1] {rest}"));
    }
}
