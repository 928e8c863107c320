//! Runs the scripts, in the Lua that Redis has.

use std::collections::{HashMap, hash_map::Entry};
use std::{cell::RefCell, mem, rc::Rc};

use chrono::DateTime;
use mlua::{Function, Lua, LuaOptions, LuaString, MultiValue, StdLib, Value as Word, Variadic};
use redis::Value;
use wxmint_redis_link::script_name;

use super::{Answer, error_of, keys::Keys};

thread_local! {
    static SCRIPTS: RefCell<Scripts> = RefCell::new(Scripts::new().expect("Lua begins with what it is given"));
}

/// Those that a thread has run.
struct Scripts {
    lua: Lua,
    /// By the SHA-1 of their texts, in hexadecimal digits.
    known: HashMap<Vec<u8>, Function>,
    /// The keys, while a script runs.
    keys: Rc<RefCell<Keys>>,
}

/// `arguments`: how many keys there are, the keys, and the rest.
pub(super) fn run_known(keys: &mut Keys, name: &[u8], arguments: &[&[u8]]) -> Answer {
    SCRIPTS.with_borrow(|scripts| {
        let script = scripts.known.get(name).ok_or("NOSCRIPT No matching script")?;
        mem::swap(keys, &mut scripts.keys.borrow_mut());
        let answer = scripts.call(script, arguments);
        mem::swap(keys, &mut scripts.keys.borrow_mut());
        answer.map_err(|error| format!("ERR {error}"))
    })
}

pub(super) fn run(keys: &mut Keys, text: &[u8], arguments: &[&[u8]]) -> Answer {
    let name = script_name(text);
    SCRIPTS.with_borrow_mut(|Scripts { lua, known, .. }| {
        if let Entry::Vacant(unknown) = known.entry(name.clone().into()) {
            unknown.insert(lua.load(text).into_function().map_err(|error| format!("ERR {error}"))?);
        }
        Ok::<_, String>(())
    })?;
    run_known(keys, name.as_bytes(), arguments)
}

impl Scripts {
    fn new() -> mlua::Result<Self> {
        let lua = Lua::new_with(StdLib::TABLE | StdLib::STRING | StdLib::MATH, LuaOptions::default())?;
        let (redis, structs) = (lua.create_table()?, lua.create_table()?);
        let none = Rc::new(RefCell::new(Keys::new(|| DateTime::UNIX_EPOCH)));
        for (name, raises) in [("call", true), ("pcall", false)] {
            let keys = Rc::clone(&none);
            let call = move |lua: &Lua, command: Variadic<Word>| {
                let command: Vec<_> = command.iter().map(bytes).collect();
                match keys.borrow_mut().answer(&command.iter().map(Vec::as_slice).collect::<Vec<_>>()) {
                    Err(error) if raises => Err(mlua::Error::runtime(error)),
                    Err(error) => lua.create_table_from([("err", error)]).map(Word::Table),
                    Ok(answer) => word(lua, answer),
                }
            };
            redis.set(name, lua.create_function(call)?)?;
        }
        structs.set("unpack", lua.create_function(unpack)?)?;
        structs.set("pack", lua.create_function(pack)?)?;
        lua.globals().set("redis", redis)?;
        lua.globals().set("struct", structs)?;
        Ok(Self { lua, known: HashMap::new(), keys: none })
    }

    fn call(&self, script: &Function, arguments: &[&[u8]]) -> mlua::Result<Value> {
        let [keys, rest @ ..] = arguments else { return Err(mlua::Error::runtime("no number of keys")) };
        let keys = str::from_utf8(keys).ok().and_then(|keys| keys.parse().ok()).unwrap_or_default();
        let (keys, rest) = rest.split_at_checked(keys).unwrap_or_default();
        for (name, words) in [("KEYS", keys), ("ARGV", rest)] {
            let words = words.iter().map(|word| self.lua.create_string(word)).collect::<mlua::Result<Vec<_>>>()?;
            self.lua.globals().set(name, words)?;
        }
        Ok(value(&script.call(())?))
    }
}

/// An argument of a command.
fn bytes(word: &Word) -> Vec<u8> {
    match word {
        Word::String(text) => text.as_bytes().to_vec(),
        Word::Integer(number) => number.to_string().into(),
        Word::Number(number) => number.to_string().into(),
        _ => Vec::new(),
    }
}

/// An answer, as a script has it.
fn word(lua: &Lua, answer: Value) -> mlua::Result<Word> {
    Ok(match answer {
        Value::Int(number) => Word::Integer(number),
        Value::BulkString(bytes) => Word::String(lua.create_string(bytes)?),
        Value::Array(values) => {
            let words = values.into_iter().map(|value| word(lua, value)).collect::<mlua::Result<Vec<_>>>()?;
            Word::Table(lua.create_sequence_from(words)?)
        }
        Value::Okay => Word::Table(lua.create_table_from([("ok", "OK")])?),
        _ => Word::Boolean(false),
    })
}

/// The answer of a script.
fn value(word: &Word) -> Value {
    match word {
        Word::Integer(number) => Value::Int(*number),
        Word::Number(number) => Value::Int(*number as i64),
        Word::Boolean(true) => Value::Int(1),
        Word::String(text) => Value::BulkString(text.as_bytes().to_vec()),
        Word::Table(table) => match table.get::<Option<String>>("err") {
            Ok(Some(error)) => error_of(&error),
            _ => Value::Array(table.sequence_values().map_while(Result::ok).map(|word| value(&word)).collect()),
        },
        _ => Value::Nil,
    }
}

/// The fields of a format of Lua's library `struct`, as far as the scripts have them: unsigned numbers of so many
/// bytes, the highest first (`I4`), and bytes that are of no interest (`x`).
fn fields(format: &str) -> impl Iterator<Item = (bool, usize)> {
    let digit = |text: &str| text.chars().next().and_then(|letter| letter.to_digit(10)).unwrap_or(1) as usize;
    format.char_indices().filter_map(move |(at, letter)| match letter {
        'I' => Some((true, digit(&format[at + 1..]))),
        'x' => Some((false, 1)),
        _ => None,
    })
}

/// The numbers in `bytes` from a place on, which Lua counts from 1.
fn unpack(_: &Lua, (format, bytes, from): (String, LuaString, Option<usize>)) -> mlua::Result<MultiValue> {
    let (bytes, mut at, mut numbers) = (bytes.as_bytes(), from.unwrap_or(1) - 1, MultiValue::new());
    for (is_number, length) in fields(&format) {
        let field = bytes.get(at..at + length).ok_or_else(|| mlua::Error::runtime("data string too short"))?;
        if is_number {
            numbers.push_back(Word::Integer(field.iter().fold(0, |number, byte| number << 8 | i64::from(*byte))));
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
