//! The description of the API in Chinese, by its English paragraphs, which stand in chinese.json.

use std::{collections::HashMap, sync::LazyLock};

use serde_json::Deserializer;

/// Names of tags, in the order of the document.
const TAGS: [(&str, &str); 5] =
    [("login", "登录"), ("wechat", "微信"), ("keys", "验证 token"), ("older pages", "旧页面"), ("leave", "退出")];

/// The Chinese of each English paragraph.
static PARAGRAPHS: LazyLock<HashMap<String, String>> =
    LazyLock::new(|| serde_json::from_str(include_str!("chinese.json")).expect("our own file"));

/// The document as text, because a parsed one would lose the order of its paths.
pub(super) fn translated(json: &str) -> String {
    let mut text = json.to_owned();
    for (english, chinese) in TAGS {
        text = text
            .replace(&format!(r#""tags":["{english}"]"#), &format!(r#""tags":["{chinese}"]"#))
            .replace(&format!(r#"{{"name":"{english}","desc"#), &format!(r#"{{"name":"{chinese}","desc"#));
    }
    [r#""summary":"#, r#""description":"#].into_iter().fold(text, |text, member| with_chinese(&text, member))
}

/// The text with each string that follows `member` in Chinese. A quotation mark within a string is escaped, so `member` is
/// found only where it is one.
fn with_chinese(text: &str, member: &str) -> String {
    let mut parts = text.split(member);
    let mut written = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut strings = Deserializer::from_str(part).into_iter::<String>();
        let said = strings.next().and_then(Result::ok).map(|english| serde_json::Value::from(chinese(&english)));
        let rest = if said.is_some() { &part[strings.byte_offset()..] } else { part };
        written.push_str(member);
        written.extend(said.map(|said| said.to_string()));
        written.push_str(rest);
    }
    written
}

/// A paragraph may begin with a problem's code. What is not in the table stays, which a test refuses.
fn chinese(english: &str) -> String {
    let paragraph = |paragraph: &str| {
        let paragraph = paragraph.replace('\n', " ");
        let (code, words) = coded(&paragraph);
        let found = PARAGRAPHS.get(words);
        found.map_or_else(|| paragraph.clone(), |chinese| format!("{}{chinese}", code.replace(": ", "：")))
    };
    english.split("\n\n").map(paragraph).collect::<Vec<_>>().join("\n\n")
}

/// "`code_used`: " and what follows.
fn coded(paragraph: &str) -> (&str, &str) {
    let end = paragraph.strip_prefix('`').and_then(|rest| rest.find("`: ")).map_or(0, |end| end + "``: ".len());
    paragraph.split_at(end)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::{super::openapi_json, *};

    fn in_english() -> Value {
        serde_json::from_str(&openapi_json()).expect("JSON")
    }

    fn in_chinese() -> Value {
        serde_json::from_str(&translated(&openapi_json())).expect("JSON")
    }

    /// Takes the words out of a document, in the order of their places.
    fn words(value: &mut Value) -> Vec<String> {
        match value {
            Value::Array(items) => items.iter_mut().flat_map(words).collect(),
            Value::Object(members) => {
                let said = ["summary", "description"]
                    .into_iter()
                    .filter_map(|name| members.get_mut(name).filter(|said| said.is_string()).map(Value::take))
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

    #[test]
    fn every_word_is_said_in_chinese_too_and_no_chinese_is_left_over() {
        let english = words(&mut in_english());
        let said = paragraphs(&english);
        assert_eq!(said, PARAGRAPHS.keys().cloned().collect());
        let is_han = |c: char| ('\u{4e00}'..='\u{9fff}').contains(&c);
        for paragraph in paragraphs(&words(&mut in_chinese())) {
            assert!(paragraph.contains(is_han) || paragraph == "JWK Set", "{paragraph}");
        }
    }

    #[test]
    fn the_two_documents_differ_in_words_and_names_of_tags_alone() {
        let (mut english, mut chinese) = (in_english(), in_chinese());
        words(&mut english);
        words(&mut chinese);
        let named = TAGS.iter().fold(english.to_string(), |text, (english, chinese)| {
            let as_tag = |name: &str| [format!(r#""name":"{name}"}}"#), format!(r#""tags":["{name}"]"#)];
            let pairs = as_tag(english).into_iter().zip(as_tag(chinese));
            pairs.fold(text, |text, (english, chinese)| text.replace(&english, &chinese))
        });
        let named: Value = serde_json::from_str(&named).expect("JSON");
        assert_eq!(named["tags"].as_array().expect("tags").len(), TAGS.len());
        for (tag, (_, name)) in chinese["tags"].as_array().expect("tags").iter().zip(TAGS) {
            assert_eq!(tag["name"], name);
        }
        assert_eq!(named["paths"], chinese["paths"]);
        assert_eq!(named["components"], chinese["components"]);
    }
}
