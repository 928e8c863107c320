//! The form in which clouds want Lua scripts: every call names its command and its keys literally, the keys as
//! `KEYS[n]`, so that a proxy knows them without running the script.
//!
//! Alibaba Cloud refuses a script of another form: "bad lua script for redis cluster, all the keys that the script uses
//! should be passed using the KEYS array, and KEYS should not be in expression"
//! (<https://help.aliyun.com/zh/redis/support/usage-of-lua-scripts>).

use regex_lite::Regex;

/// A call of a command that has no key, one, or nothing else. A command that is not here is refused.
const CALL: &str = r"(?x) redis \. p?call \( '
    (?: TIME'
    |   (?: EXPIRE|GET|HDEL|HEXISTS|HGET|HGETALL|HINCRBY|HLEN|HMGET|HSET|HSETNX|PERSIST|PEXPIRE|PEXPIREAT|SET|TTL
          |XADD|ZADD|ZCARD|ZRANGE|ZREM|ZREMRANGEBYSCORE|ZSCORE )',\ KEYS\[[1-9]\][,)]
    |   DEL' (?: ,\ KEYS\[[1-9]\] )+ \) )";
/// Nothing of this may remain without such calls. The words behind the first two would give a script the library, or
/// code that is not in its text, under a name that no proxy sees.
const HIDDEN: &str = r"redis|KEYS|\b(?:_G|getfenv|load|loadstring|dofile|require)\b";

/// Why a proxy would refuse the script. Strings of ours hold neither these words nor `--`.
pub(crate) fn refused(script: &str) -> Option<String> {
    let found = |pattern: &str, text: &str| {
        Regex::new(pattern)
            .expect("a pattern")
            .find(text)
            .map(|it| it.as_str().into())
    };
    let code: String = script
        .lines()
        .flat_map(|line| [line.split("--").next().unwrap_or_default(), " "])
        .collect();
    let code = code.split_whitespace().collect::<Vec<_>>().join(" ");
    let rest = Regex::new(CALL).expect("a pattern").replace_all(&code, "");
    // Long brackets are not read here.
    found(r"\[=*\[", script).or(found(HIDDEN, &rest))
}

#[test]
fn a_script_that_hides_a_key_or_a_command_is_refused() {
    for (script, found) in [
        (
            "local call = redis.call return call('GET', KEYS[1])",
            "redis",
        ),
        ("return _G['redis'].call('GET', KEYS[1])", "_G"),
        ("return loadstring(ARGV[1])()", "loadstring"),
        ("local key = KEYS[1] return redis.call('GET', key)", "KEYS"),
        (
            "local function get(key) return redis.call('GET', key) end return get(ARGV[1])",
            "redis",
        ),
        ("return redis.call('GET', KEYS[1] .. ':x')", "redis"),
        ("return redis.call('GET', KEYS[0])", "redis"),
        ("return redis.call('DEL', KEYS[1], ARGV[1])", "redis"),
        ("return redis.call('HSET', KEYS[1], 'of', KEYS[2])", "KEYS"),
        ("return redis.call('RENAME', KEYS[1], KEYS[2])", "redis"),
        ("--[[ redis ]] return redis.call('GET', KEYS[1])", "[["),
    ] {
        assert_eq!(refused(script).as_deref(), Some(found), "{script}");
    }
}
