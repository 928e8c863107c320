//! The form in which clouds want Lua scripts: every call names its command and its keys literally, the keys as
//! `KEYS[n]`, so that a proxy knows them without running the script.
//!
//! Alibaba Cloud refuses a script of another form: "bad lua script for redis cluster, all the keys that the script uses
//! should be passed using the KEYS array, and KEYS should not be in expression"
//! (<https://help.aliyun.com/zh/redis/support/usage-of-lua-scripts>).

/// Commands by which of their arguments are keys. A command that is not here is refused.
const COMMANDS: [(Keys, &str); 3] = [
    (Keys::None, "TIME"),
    (
        Keys::First,
        "EXPIRE GET HDEL HEXISTS HGET HGETALL HINCRBY HLEN HMGET HSET HSETNX PERSIST PEXPIRE PEXPIREAT SET TTL XADD ZADD \
         ZRANGE ZREMRANGEBYSCORE ZSCORE",
    ),
    (Keys::All, "DEL"),
];

#[derive(Clone, Copy)]
enum Keys {
    None,
    First,
    All,
}

/// These would give a script the library, or code that is not in its text, under a name that no proxy sees.
const HIDDEN: [&str; 6] = ["_G", "getfenv", "load", "loadstring", "dofile", "require"];

/// Why a proxy would refuse the script. Strings of ours hold neither these words nor `--`.
pub(crate) fn refused(script: &str) -> Result<(), String> {
    if script.contains("[[") || script.contains("[=") {
        return Err("long brackets are not read here".into());
    }
    let code: String = script.lines().flat_map(|line| [line.split("--").next().unwrap_or_default(), " "]).collect();
    let code = code.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut words = code.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    if let Some(hidden) = words.find(|word| HIDDEN.contains(word)) {
        return Err(format!("{hidden} hides what is called"));
    }
    let named = code.split("redis").skip(1).map(keys_named).sum::<Result<usize, _>>()?;
    if code.matches("KEYS").count() > named { Err("KEYS in an expression".into()) } else { Ok(()) }
}

/// How many keys the call names whose text follows `redis`.
fn keys_named(rest: &str) -> Result<usize, String> {
    let shown: String = rest.chars().take(40).collect();
    let call = rest.strip_prefix(".call('").or(rest.strip_prefix(".pcall('"));
    let call = call.ok_or_else(|| format!("neither redis.call(' nor redis.pcall(': {shown}"))?;
    let (command, mut arguments) = call.split_once('\'').ok_or("a string without an end")?;
    let known = COMMANDS.iter().find(|(_, names)| names.split(' ').any(|name| name == command));
    let (keys, _) = known.ok_or_else(|| format!("a command whose keys are not known: {command}"))?;
    let mut named = 0;
    while let Some(after) = arguments.strip_prefix(", KEYS[").filter(|_| matches!(keys, Keys::All) || named == 0) {
        let (number, after) = after.split_once(']').unwrap_or_default();
        if !number.parse::<u8>().is_ok_and(|number| number > 0) || !after.starts_with([',', ')']) {
            break;
        }
        (arguments, named) = (after, named + 1);
    }
    let is_named = match keys {
        Keys::None => true,
        Keys::First => named == 1,
        Keys::All => named > 0 && arguments.starts_with(')'),
    };
    if is_named { Ok(named) } else { Err(format!("a key of {command} is not KEYS[n]: {shown}")) }
}

#[test]
fn a_script_that_hides_a_key_or_a_command_is_refused() {
    for (script, reason) in [
        ("local call = redis.call return call('GET', KEYS[1])", "neither redis.call("),
        ("return _G['redis'].call('GET', KEYS[1])", "_G hides"),
        ("return loadstring(ARGV[1])()", "loadstring hides"),
        ("local key = KEYS[1] return redis.call('GET', key)", "GET is not KEYS[n]"),
        ("local function get(key) return redis.call('GET', key) end return get(ARGV[1])", "GET is not KEYS[n]"),
        ("return redis.call('GET', KEYS[1] .. ':x')", "GET is not KEYS[n]"),
        ("return redis.call('GET', KEYS[0])", "GET is not KEYS[n]"),
        ("return redis.call('DEL', KEYS[1], ARGV[1])", "DEL is not KEYS[n]"),
        ("return redis.call('HSET', KEYS[1], 'of', KEYS[2])", "KEYS in an expression"),
        ("return redis.call('RENAME', KEYS[1], KEYS[2])", "not known: RENAME"),
        ("--[[ redis ]] return redis.call('GET', KEYS[1])", "long brackets"),
    ] {
        let said = refused(script).expect_err(script);
        assert!(said.contains(reason), "{script}: {said}");
    }
}
