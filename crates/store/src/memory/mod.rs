//! A Redis in memory, for the demo, for trials and for tests. It knows the commands that this store
//! and the doors send, and runs the same scripts in the same version of Lua as Redis. Its data are
//! lost when the process ends.

mod keys;

use std::cell::RefCell;

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, ready};
use mlua::{Function, Lua, LuaOptions, LuaString, MultiValue, StdLib, Value as Word, Variadic};
use parking_lot::Mutex;
use redis::{Pipeline, Value, parse_redis_value};
use wxmint_redis_link::{StandIn, members, script_name};

use self::keys::Keys;

/// The answer to a command, or the text of an error.
type Answer = Result<Value, String>;

/// The Redis, shared by all workers of one process.
pub(crate) struct Memory(Mutex<Keys>);

impl Memory {
    /// An empty Redis whose clock is `clock`.
    pub(crate) fn new(clock: fn() -> DateTime<Utc>) -> Self {
        Self(Mutex::new(Keys::new(clock)))
    }
}

impl StandIn for Memory {
    fn answer<'a>(&'a self, commands: &'a Pipeline) -> LocalBoxFuture<'a, Option<Vec<Value>>> {
        let keys = &mut *self.0.lock();
        let answers = commands
            .cmd_iter()
            .map(|command| answer(keys, &members(command).collect::<Vec<_>>()));
        ready(Some(answers.collect())).boxed_local()
    }
}

fn answer(keys: &mut Keys, command: &[&[u8]]) -> Value {
    let answer = match command {
        [b"EVALSHA", name, arguments @ ..] => run_known(keys, name, arguments),
        [b"EVAL", text, arguments @ ..] => run(keys, text, arguments),
        _ => keys.answer(command),
    };
    answer.unwrap_or_else(|error| error_of(&error))
}

fn error_of(text: &str) -> Value {
    parse_redis_value(format!("-{}\r\n", text.replace(char::is_control, " ")).as_bytes())
        .unwrap_or_default()
}

thread_local! {
    /// The Lua state of this thread. Its registry has the scripts that the thread has run, by the
    /// SHA-1 of their texts in hexadecimal digits.
    static LUA: Lua = begun().expect("Lua begins with what it is given");
}

fn begun() -> mlua::Result<Lua> {
    let lua = Lua::new_with(
        StdLib::TABLE | StdLib::STRING | StdLib::MATH,
        LuaOptions::default(),
    )?;
    let structs = [
        ("unpack", lua.create_function(unpack)?),
        ("pack", lua.create_function(pack)?),
    ];
    lua.globals()
        .set("struct", lua.create_table_from(structs)?)?;
    Ok(lua)
}

/// Runs a script that was run before, by its SHA-1. `arguments`: the number of keys, the keys, and
/// the other arguments.
fn run_known(keys: &mut Keys, name: &[u8], arguments: &[&[u8]]) -> Answer {
    LUA.with(|lua| {
        let known = lua.named_registry_value::<Function>(&String::from_utf8_lossy(name));
        let script = known.map_err(|_| "NOSCRIPT No matching script")?;
        call(lua, &script, keys, arguments).map_err(|error| format!("ERR {error}"))
    })
}

fn run(keys: &mut Keys, text: &[u8], arguments: &[&[u8]]) -> Answer {
    let name = script_name(text);
    let known =
        LUA.with(|lua| lua.set_named_registry_value(&name, lua.load(text).into_function()?));
    known.map_err(|error| format!("ERR {error}"))?;
    run_known(keys, name.as_bytes(), arguments)
}

fn call(lua: &Lua, script: &Function, keys: &mut Keys, arguments: &[&[u8]]) -> mlua::Result<Value> {
    let [count, words @ ..] = arguments else {
        return Err(mlua::Error::runtime("no number of keys"));
    };
    let count = str::from_utf8(count)
        .ok()
        .and_then(|count| count.parse().ok())
        .unwrap_or_default();
    let (named, rest) = words.split_at_checked(count).unwrap_or_default();
    for (name, words) in [("KEYS", named), ("ARGV", rest)] {
        let words = words
            .iter()
            .map(|word| lua.create_string(word))
            .collect::<mlua::Result<Vec<_>>>()?;
        lua.globals().set(name, words)?;
    }
    let keys = &RefCell::new(keys);
    lua.scope(|scope| {
        let redis = lua.create_table()?;
        for (name, raises) in [("call", true), ("pcall", false)] {
            let call = move |lua: &Lua, command: Variadic<Word>| {
                let command: Vec<_> = command.iter().map(bytes).collect();
                match keys
                    .borrow_mut()
                    .answer(&command.iter().map(Vec::as_slice).collect::<Vec<_>>())
                {
                    Err(error) if raises => Err(mlua::Error::runtime(error)),
                    Err(error) => lua.create_table_from([("err", error)]).map(Word::Table),
                    Ok(answer) => word(lua, answer),
                }
            };
            redis.set(name, scope.create_function(call)?)?;
        }
        lua.globals().set("redis", redis)?;
        Ok(value(&script.call(())?))
    })
}

/// Converts a Lua value to an argument of a command.
fn bytes(word: &Word) -> Vec<u8> {
    match word {
        Word::String(text) => text.as_bytes().to_vec(),
        Word::Integer(number) => number.to_string().into(),
        Word::Number(number) => number.to_string().into(),
        _ => Vec::new(),
    }
}

/// Converts the answer of a command to a Lua value.
fn word(lua: &Lua, answer: Value) -> mlua::Result<Word> {
    Ok(match answer {
        Value::Int(number) => Word::Integer(number),
        Value::BulkString(bytes) => Word::String(lua.create_string(bytes)?),
        Value::Array(values) => {
            let words = values
                .into_iter()
                .map(|value| word(lua, value))
                .collect::<mlua::Result<Vec<_>>>()?;
            Word::Table(lua.create_sequence_from(words)?)
        }
        Value::Okay => Word::Table(lua.create_table_from([("ok", "OK")])?),
        _ => Word::Boolean(false),
    })
}

/// Converts the result of a script to an answer.
fn value(word: &Word) -> Value {
    match word {
        Word::Integer(number) => Value::Int(*number),
        Word::Number(number) => Value::Int(*number as i64),
        Word::Boolean(true) => Value::Int(1),
        Word::String(text) => Value::BulkString(text.as_bytes().to_vec()),
        Word::Table(table) => match table.get::<Option<String>>("err") {
            Ok(Some(error)) => error_of(&error),
            _ => Value::Array(
                table
                    .sequence_values()
                    .map_while(Result::ok)
                    .map(|word| value(&word))
                    .collect(),
            ),
        },
        _ => Value::Nil,
    }
}

/// Parses a format of Lua's library `struct`, as far as the scripts use it: big-endian unsigned
/// numbers of so many bytes (`I4`), and bytes to skip (`x`).
fn fields(format: &str) -> impl Iterator<Item = (bool, usize)> {
    let digit = |text: &str| {
        text.chars()
            .next()
            .and_then(|letter| letter.to_digit(10))
            .unwrap_or(1) as usize
    };
    format
        .char_indices()
        .filter_map(move |(at, letter)| match letter {
            'I' => Some((true, digit(&format[at + 1..]))),
            'x' => Some((false, 1)),
            _ => None,
        })
}

/// `struct.unpack`: the numbers in `bytes`, beginning at `from`, which counts from 1.
fn unpack(
    _: &Lua,
    (format, bytes, from): (String, LuaString, Option<usize>),
) -> mlua::Result<MultiValue> {
    let (bytes, mut at, mut numbers) = (bytes.as_bytes(), from.unwrap_or(1) - 1, MultiValue::new());
    for (is_number, length) in fields(&format) {
        let field = bytes
            .get(at..at + length)
            .ok_or_else(|| mlua::Error::runtime("data string too short"))?;
        if is_number {
            numbers.push_back(Word::Integer(
                field
                    .iter()
                    .fold(0, |number, byte| number << 8 | i64::from(*byte)),
            ));
        }
        at += length;
    }
    Ok(numbers)
}

fn pack(lua: &Lua, (format, numbers): (String, Variadic<i64>)) -> mlua::Result<LuaString> {
    let mut bytes = Vec::new();
    for ((_, length), number) in fields(&format).zip(numbers) {
        bytes.extend_from_slice(&number.to_be_bytes()[8 - length..]);
    }
    lua.create_string(bytes)
}
