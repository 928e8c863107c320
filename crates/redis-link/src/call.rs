//! A call: commands that are sent together, some of which may run Lua scripts, and the slot of
//! their keys.
//!
//! If a server does not know a script, redis-rs' own scripts send `SCRIPT LOAD`, which a proxy may
//! send to another server than the call. Here the text itself is sent as `EVAL`, which needs no
//! second command.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use crc::{CRC_16_XMODEM, Crc};
use redis::{Arg, Cmd, RedisWrite, ToRedisArgs};

/// A Lua script. Servers identify it by the SHA-1 of its text.
pub struct Script {
    text: String,
    sha: String,
}

/// The name of the script with this text at servers: the SHA-1 in hexadecimal digits.
pub fn script_name(text: &[u8]) -> String {
    const_hex::encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, text))
}

/// Commands whose keys lie in one slot.
#[must_use]
pub struct Call {
    pub(crate) slot: u16,
    pub(crate) commands: Vec<Cmd>,
    /// The scripts that are run, each with the index of its command.
    pub(crate) scripts: Vec<(usize, &'static Script)>,
}

impl Script {
    /// The script with this text.
    pub fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            sha: script_name(text.as_bytes()),
        }
    }

    /// A call of the script. Its keys lie in one slot.
    pub fn on(&'static self, keys: &[impl AsRef<str>]) -> Call {
        let keys: Vec<&str> = keys.iter().map(AsRef::as_ref).collect();
        debug_assert!(
            keys.iter()
                .all(|key| slot_of(key.as_bytes()) == slot_of(keys[0].as_bytes())),
            "the keys of a script lie in one slot"
        );
        let call = Call::at(keys.first().unwrap_or(&""))
            .cmd("EVALSHA")
            .arg(&self.sha)
            .arg(keys.len())
            .arg(&keys);
        Call {
            scripts: vec![(0, self)],
            ..call
        }
    }

    /// The command `by_name`, but with the script's text, for a server that does not know the
    /// script.
    pub(crate) fn by_text(&self, by_name: &Cmd) -> Cmd {
        let mut by_text = redis::cmd("EVAL");
        by_text.arg(&self.text);
        for member in members(by_name).skip(2) {
            by_text.write_arg(member);
        }
        by_text
    }
}

impl Call {
    /// A call without commands yet. The keys of its commands must lie in the slot of `key`.
    pub fn at(key: &str) -> Self {
        Self {
            slot: slot_of(key.as_bytes()),
            commands: Vec::with_capacity(8),
            scripts: Vec::new(),
        }
    }

    /// A call with a command on this key. More commands may be added; their keys must lie in the
    /// same slot.
    pub fn of(command: &str, key: impl AsRef<str>) -> Self {
        Self::at(key.as_ref()).cmd(command).arg(key.as_ref())
    }

    /// Begins another command.
    pub fn cmd(mut self, name: &str) -> Self {
        // Large enough for most commands, so that few buffers grow.
        let mut command = Cmd::with_capacity(12, 320);
        command.arg(name);
        self.commands.push(command);
        self
    }

    /// Adds an argument to the last command. Panics if there is no command.
    pub fn arg(mut self, argument: impl ToRedisArgs) -> Self {
        self.commands
            .last_mut()
            .expect("a command was begun")
            .arg(argument);
        self
    }

    /// Adds the commands of another call. Their keys must lie in the same slot.
    pub fn and(mut self, other: Self) -> Self {
        let before = self.commands.len();
        self.scripts.extend(
            other
                .scripts
                .into_iter()
                .map(|(place, script)| (before + place, script)),
        );
        self.commands.extend(other.commands);
        self
    }
}

/// The name of a command, and its arguments. Panics if the command has a cursor of redis-rs.
pub fn members(command: &Cmd) -> impl Iterator<Item = &[u8]> {
    command.args_iter().map(|member| match member {
        Arg::Simple(member) => member,
        _ => unreachable!("no command of a call has a cursor of redis-rs"),
    })
}

/// The number of slots of a Cluster. redis-rs' `cluster_routing::Slot` does not reveal its number.
pub const CLUSTER_SLOTS: usize = 16_384;

static CRC16: Crc<u16> = Crc::<u16>::new(&CRC_16_XMODEM);

/// The slot of a key, computed from its hash tag if it has one.
pub fn slot_of(key: &[u8]) -> u16 {
    CRC16.checksum(hashed(key)) % CLUSTER_SLOTS as u16
}

/// The text between the first `{` and the next `}`, if it is not empty; otherwise the whole key.
fn hashed(key: &[u8]) -> &[u8] {
    tag_of(key).unwrap_or(key)
}

fn tag_of(key: &[u8]) -> Option<&[u8]> {
    let rest = &key[key.iter().position(|byte| *byte == b'{')? + 1..];
    let tag = &rest[..rest.iter().position(|byte| *byte == b'}')?];
    (!tag.is_empty()).then_some(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_sent_by_its_name_or_as_text_with_its_keys_and_arguments() {
        let script: &Script = Box::leak(Box::new(Script::new("return KEYS[1]")));
        let call = script.on(&["{a}1", "{a}2"]).arg(7).arg("x");
        let by_name = call.commands.first().expect("a command");
        let sent = |command: &Cmd| {
            String::from_utf8(command.get_packed_command())
                .expect("UTF-8")
                .replace("\r\n", " ")
        };
        let rest = "$1 2 $4 {a}1 $4 {a}2 $1 7 $1 x ";
        let expected = format!("*7 $7 EVALSHA $40 4a2267357833227dd98abdedb8cf24b15a986445 {rest}");
        assert_eq!(sent(by_name), expected);
        assert_eq!(
            sent(&script.by_text(by_name)),
            format!("*7 $4 EVAL $14 return KEYS[1] {rest}")
        );
    }

    /// The examples of
    /// <https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>.
    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(slot_of(b"123456789"), 0x31C3);
        for (key, hashed) in [
            ("{user1000}.following", "user1000"),
            ("{user1000}.followers", "user1000"),
            ("foo{}{bar}", "foo{}{bar}"),
            ("foo{{bar}}zap", "{bar"),
            ("foo{bar}{zap}", "bar"),
            ("foo{bar", "foo{bar"),
            ("foo}bar{", "foo}bar{"),
            ("", ""),
        ] {
            assert_eq!(super::hashed(key.as_bytes()), hashed.as_bytes(), "{key}");
            assert_eq!(slot_of(key.as_bytes()), slot_of(hashed.as_bytes()), "{key}");
        }
        // As `CLUSTER KEYSLOT` answers.
        assert_eq!(
            [
                slot_of(b"foo"),
                slot_of(b"{user1000}.following"),
                slot_of(b"wxmint:revoked")
            ],
            [12182, 3443, 7394]
        );
    }
}
