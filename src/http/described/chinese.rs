//! The description of an API in Chinese, by its English paragraphs.

use std::collections::HashMap;

use serde_json::Deserializer;

pub struct Chinese {
    /// Names of tags, in the order of the document.
    pub tags: &'static [(&'static str, &'static str)],
    /// A JSON object with the Chinese of each English paragraph.
    pub paragraphs: &'static str,
}

impl Chinese {
    /// The document as text, because a parsed one would lose the order of its paths.
    pub fn of(&self, json: &str) -> String {
        let mut text = json.to_owned();
        for (english, chinese) in self.tags {
            text = text
                .replace(&format!(r#""tags":["{english}"]"#), &format!(r#""tags":["{chinese}"]"#))
                .replace(&format!(r#"{{"name":"{english}","desc"#), &format!(r#"{{"name":"{chinese}","desc"#));
        }
        let said: HashMap<_, _> = serde_json::from_str(self.paragraphs).expect("our own file");
        let members = [r#""info":{"title":"#, r#""summary":"#, r#""description":"#];
        members.into_iter().fold(text, |text, member| with_chinese(&text, member, &said))
    }
}

/// The text with each string that follows `member` in Chinese. A quotation mark within a string is escaped, so `member` is
/// found only where it is one.
fn with_chinese(text: &str, member: &str, said: &HashMap<String, String>) -> String {
    let mut parts = text.split(member);
    let mut written = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut strings = Deserializer::from_str(part).into_iter::<String>();
        let words = strings.next().and_then(Result::ok).map(|english| serde_json::Value::from(chinese(&english, said)));
        let rest = if words.is_some() { &part[strings.byte_offset()..] } else { part };
        written.push_str(member);
        written.extend(words.map(|words| words.to_string()));
        written.push_str(rest);
    }
    written
}

/// A paragraph may begin with a problem's code. What is not in the table stays, which a test refuses.
fn chinese(english: &str, said: &HashMap<String, String>) -> String {
    let paragraph = |paragraph: &str| {
        let paragraph = paragraph.replace('\n', " ");
        let (code, words) = coded(&paragraph);
        let found = said.get(words);
        found.map_or_else(|| paragraph.clone(), |chinese| format!("{}{chinese}", code.replace(": ", "：")))
    };
    english.split("\n\n").map(paragraph).collect::<Vec<_>>().join("\n\n")
}

/// "`code_used`: " and what follows.
fn coded(paragraph: &str) -> (&str, &str) {
    let end = paragraph.strip_prefix('`').and_then(|rest| rest.find("`: ")).map_or(0, |end| end + "``: ".len());
    paragraph.split_at(end)
}

/// What the tests of a document call.
#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    fn parsed(json: &str) -> Value {
        serde_json::from_str(json).expect("JSON")
    }

    /// Takes the words out of a document, in the order of their places.
    fn words(value: &mut Value) -> Vec<String> {
        match value {
            Value::Array(items) => items.iter_mut().flat_map(words).collect(),
            Value::Object(members) => {
                let is_info = members.contains_key("license");
                let said = ["title", "summary", "description"][usize::from(!is_info)..]
                    .iter()
                    .filter_map(|&name| members.get_mut(name).filter(|said| said.is_string()).map(Value::take))
                    .map(|said| said.as_str().expect("a string").to_owned())
                    .collect::<Vec<_>>();
                said.into_iter().chain(members.values_mut().flat_map(words)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn paragraphs(words: &[String]) -> BTreeSet<String> {
        let paragraphs = words.iter().flat_map(|words| words.split("\n\n"));
        paragraphs.map(|paragraph| coded(&paragraph.replace('\n', " ")).1.to_owned()).collect()
    }

    /// Every word is said in Chinese too, and no Chinese is left over.
    pub(crate) fn says_everything(json: &str, chinese: &Chinese) {
        let table: HashMap<String, String> = serde_json::from_str(chinese.paragraphs).expect("JSON");
        let (wanted, said) = (paragraphs(&words(&mut parsed(json))), table.keys().cloned().collect::<BTreeSet<_>>());
        let (lacking, left_over): (Vec<_>, Vec<_>) =
            (wanted.difference(&said).collect(), said.difference(&wanted).collect());
        assert!(
            lacking.is_empty() && left_over.is_empty(),
            "chinese.json lacks {lacking:#?}, and does not need {left_over:#?}"
        );
        let is_han = |c: char| ('\u{4e00}'..='\u{9fff}').contains(&c);
        for paragraph in paragraphs(&words(&mut parsed(&chinese.of(json)))) {
            assert!(paragraph.contains(is_han) || paragraph == "JWK Set", "{paragraph}");
        }
    }

    /// The two documents differ in words and names of tags alone.
    pub(crate) fn changes_nothing_else(json: &str, chinese: &Chinese) {
        let mut other = parsed(&chinese.of(json));
        let mut english = parsed(json);
        words(&mut english);
        words(&mut other);
        let named = chinese.tags.iter().fold(english.to_string(), |text, (english, chinese)| {
            let as_tag = |name: &str| [format!(r#""name":"{name}"}}"#), format!(r#""tags":["{name}"]"#)];
            let pairs = as_tag(english).into_iter().zip(as_tag(chinese));
            pairs.fold(text, |text, (english, chinese)| text.replace(&english, &chinese))
        });
        let named = parsed(&named);
        assert_eq!(named["tags"].as_array().expect("tags").len(), chinese.tags.len());
        for (tag, (_, name)) in other["tags"].as_array().expect("tags").iter().zip(chinese.tags) {
            assert_eq!(tag["name"], *name);
        }
        assert_eq!(named["paths"], other["paths"]);
        assert_eq!(named["components"], other["components"]);
    }
}
