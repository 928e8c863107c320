//! The form in which clouds want Lua scripts: every call names its command and its keys literally, the keys as `KEYS[n]`, so that
//! a proxy knows them without running the script.
//!
//! Alibaba Cloud refuses a script of another form: "bad lua script for redis cluster, all the keys that the script uses should
//! be passed using the KEYS array, and KEYS should not be in expression"
//! (<https://help.aliyun.com/zh/redis/support/usage-of-lua-scripts>).

/// Which arguments of a command are keys. A command that is not here is refused.
const COMMANDS: &[(&str, Keys)] = &[
    ("DEL", Keys::All),
    ("EXPIRE", Keys::First),
    ("GET", Keys::First),
    ("HDEL", Keys::First),
    ("HEXISTS", Keys::First),
    ("HGET", Keys::First),
    ("HGETALL", Keys::First),
    ("HINCRBY", Keys::First),
    ("HLEN", Keys::First),
    ("HMGET", Keys::First),
    ("HSET", Keys::First),
    ("HSETNX", Keys::First),
    ("PERSIST", Keys::First),
    ("PEXPIRE", Keys::First),
    ("PEXPIREAT", Keys::First),
    ("SET", Keys::First),
    ("TIME", Keys::None),
    ("TTL", Keys::First),
    ("XADD", Keys::First),
];

#[derive(Clone, Copy)]
enum Keys {
    None,
    First,
    All,
}

/// What would give a script the library, or code that is not in its text, under a name that no proxy sees.
const HIDDEN: [&str; 6] = ["_G", "getfenv", "load", "loadstring", "dofile", "require"];

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Name(String),
    Text(String),
    /// A number, or one character of any other kind.
    Sign(String),
}

impl Token {
    fn is(&self, wanted: &str) -> bool {
        matches!(self, Self::Name(text) | Self::Sign(text) if text == wanted)
    }
}

/// Why a proxy would refuse the script.
pub(crate) fn refused(script: &str) -> Result<(), String> {
    let tokens = tokens(script)?;
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        at = match token {
            Token::Name(name) if name == "redis" => call(&tokens, at)?,
            Token::Name(name) if name == "KEYS" => {
                return Err(format!("KEYS in an expression: {}", shown(&tokens, at)));
            }
            Token::Name(name) if HIDDEN.contains(&name.as_str()) => return Err(format!("{name} hides what is called")),
            _ => at + 1,
        };
    }
    Ok(())
}

/// Checks the call that begins at `at`, and answers where its arguments that are not keys begin.
fn call(tokens: &[Token], at: usize) -> Result<usize, String> {
    let is = |offset: usize, wanted: &str| tokens.get(at + offset).is_some_and(|token| token.is(wanted));
    if !is(1, ".") || !(is(2, "call") || is(2, "pcall")) || !is(3, "(") {
        return Err(format!("neither redis.call( nor redis.pcall(: {}", shown(tokens, at)));
    }
    let Some(Token::Text(command)) = tokens.get(at + 4) else {
        return Err(format!("the command is not a literal: {}", shown(tokens, at)));
    };
    let known = COMMANDS.iter().find(|(name, _)| name == command);
    let (_, keys) = known.ok_or_else(|| format!("a command whose keys are not known: {command}"))?;
    let (mut at, mut found) = (at + 5, 0);
    let wanted = match keys {
        Keys::None => 0,
        Keys::First => 1,
        Keys::All => usize::MAX,
    };
    while found < wanted && tokens.get(at).is_some_and(|token| token.is(",")) {
        let ends = tokens.get(at + 5).is_some_and(|token| token.is(",") || token.is(")"));
        if !ends || !is_key(&tokens[at + 1..at + 5]) {
            return Err(format!("a key of {command} is not KEYS[n]: {}", shown(tokens, at)));
        }
        (at, found) = (at + 5, found + 1);
    }
    match found {
        0 if wanted > 0 => Err(format!("{command} has no key")),
        _ => Ok(at),
    }
}

fn is_key(tokens: &[Token]) -> bool {
    let [name, open, Token::Sign(number), close] = tokens else { return false };
    name.is("KEYS") && open.is("[") && number.parse::<u8>().is_ok_and(|number| number > 0) && close.is("]")
}

fn shown(tokens: &[Token], at: usize) -> String {
    let near = &tokens[at..tokens.len().min(at + 8)];
    near.iter().map(|(Token::Name(text) | Token::Text(text) | Token::Sign(text))| text.as_str()).collect()
}

fn tokens(script: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = script;
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            _ if rest.starts_with("--[") || rest.starts_with("[[") || rest.starts_with("[=") => {
                return Err("long brackets are not read here".into());
            }
            _ if rest.starts_with("--") => (None, rest.find('\n').unwrap_or(rest.len())),
            _ if first.is_whitespace() => (None, first.len_utf8()),
            '\'' | '"' => {
                let (text, length) = literal(rest, first)?;
                (Some(Token::Text(text)), length)
            }
            _ if is_of_a_word(first) => {
                let length = rest.find(|letter| !is_of_a_word(letter)).unwrap_or(rest.len());
                let word = rest[..length].to_owned();
                (Some(if first.is_ascii_digit() { Token::Sign(word) } else { Token::Name(word) }), length)
            }
            _ => (Some(Token::Sign(first.into())), first.len_utf8()),
        };
        tokens.extend(token);
        rest = &rest[length..];
    }
    Ok(tokens)
}

fn is_of_a_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

/// A string and its length with the quotes. No command or key of ours has an escape, so what one stands for does not matter.
fn literal(rest: &str, quote: char) -> Result<(String, usize), String> {
    let mut escaped = false;
    for (index, letter) in rest.char_indices().skip(1) {
        if letter == quote && !escaped {
            return Ok((rest[1..index].to_owned(), index + 1));
        }
        escaped = letter == '\\' && !escaped;
    }
    Err("a string without an end".into())
}

#[test]
fn a_script_that_hides_a_key_or_a_command_is_refused() {
    for (script, reason) in [
        ("local call = redis.call return call('GET', KEYS[1])", "neither redis.call("),
        ("local r = redis return r.call('GET', KEYS[1])", "neither redis.call("),
        ("return redis['call']('GET', KEYS[1])", "neither redis.call("),
        ("return redis.call 'PING'", "neither redis.call("),
        ("return _G['redis'].call('GET', KEYS[1])", "_G hides"),
        ("return loadstring(ARGV[1])()", "loadstring hides"),
        ("local key = KEYS[1] return redis.call('GET', key)", "KEYS in an expression"),
        ("local function get(key) return redis.call('GET', key) end return get(ARGV[1])", "GET is not KEYS[n]"),
        ("return redis.call('GET', KEYS[1] .. ':x')", "GET is not KEYS[n]"),
        ("return redis.call('GET', 'wxmint:' .. ARGV[1])", "GET is not KEYS[n]"),
        ("return redis.call('GET', KEYS[n])", "GET is not KEYS[n]"),
        ("return redis.call('GET', KEYS[0])", "GET is not KEYS[n]"),
        ("return redis.call('GET', (KEYS[1]))", "GET is not KEYS[n]"),
        ("return redis.call('DEL', KEYS[1], ARGV[1])", "DEL is not KEYS[n]"),
        ("return redis.call('DEL', unpack(KEYS))", "DEL is not KEYS[n]"),
        ("return redis.call('HSET', KEYS[1], 'of', KEYS[2])", "KEYS in an expression"),
        ("return redis.call('GET')", "GET has no key"),
        ("return redis.call('RENAME', KEYS[1], KEYS[2])", "not known: RENAME"),
        ("return redis.call(ARGV[1], KEYS[1])", "not a literal"),
        ("--[[ redis ]] return redis.call('GET', KEYS[1])", "long brackets"),
        ("return redis.call('GET, KEYS[1])", "without an end"),
    ] {
        let said = refused(script).expect_err(script);
        assert!(said.contains(reason), "{script}: {said}");
    }
}

#[test]
fn a_script_that_names_its_keys_is_taken() {
    for script in [
        "return redis.call('GET', KEYS[1]) -- not redis.call('GET', key)",
        "if redis.pcall(\"DEL\", KEYS[2], KEYS[10]) == 0 then return redis.call('TIME')[1] end",
        "redis.call('HSET', KEYS[1], 'a\\'b', math.max(tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or '0'), 1))",
    ] {
        assert_eq!(refused(script), Ok(()), "{script}");
    }
}
