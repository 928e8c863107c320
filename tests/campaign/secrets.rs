//! No output and no answer may contain these texts. They are searched for here.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Mutex;

use crate::support::locked;

/// A session key is 16 bytes in base64: 22 characters and `==`.
const SESSION_KEY_CHARACTERS: usize = 22;

/// Secrets are compared with all that wxmint says. Openids and login codes are kept as hashes, because there are many.
#[derive(Default)]
pub(crate) struct Secrets {
    fixed: Mutex<Vec<(&'static str, String)>>,
    words: Mutex<HashSet<u64>>,
}

impl Secrets {
    /// A secret that is found anywhere in a text.
    pub(crate) fn add(&self, name: &'static str, secret: &str) {
        let mut fixed = locked(&self.fixed);
        if !secret.is_empty() && !fixed.iter().any(|(_, known)| known == secret) {
            fixed.push((name, secret.to_owned()));
        }
    }

    /// An openid, a unionid or a code, which is found as a whole word.
    pub(crate) fn add_word(&self, word: &str) {
        locked(&self.words).insert(hash(word));
    }

    /// The kind of secret that an answer contains.
    pub(crate) fn in_answer(&self, text: &str) -> Option<&'static str> {
        if has_session_key(text) {
            return Some("a session key");
        }
        if let Some((name, _)) = locked(&self.fixed).iter().find(|(_, secret)| text.contains(secret.as_str())) {
            return Some(name);
        }
        let words = locked(&self.words);
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let mut runs = text.split(|c: char| !is_word(c)).filter(|run| (28..=32).contains(&run.len()));
        runs.any(|run| words.contains(&hash(run))).then_some("an openid, a unionid or a code")
    }

    /// The same for a line of a log, which must not contain a token either.
    pub(crate) fn in_log(&self, line: &str) -> Option<&'static str> {
        if line.contains(".eyJ") { Some("a token") } else { self.in_answer(line) }
    }
}

/// Whether the text has something of the form of a session key, in JSON or in a URL.
fn has_session_key(text: &str) -> bool {
    let is_base64 = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let ends = text.match_indices("==").chain(text.match_indices("%3D%3D"));
    ends.map(|(end, _)| &text.as_bytes()[..end]).any(|before| {
        let unescaped = before.iter().rev().filter(|byte| **byte != b'\\');
        unescaped.take_while(is_base64).take(SESSION_KEY_CHARACTERS + 1).count() == SESSION_KEY_CHARACTERS
    })
}

fn hash(word: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    word.hash(&mut hasher);
    hasher.finish()
}
