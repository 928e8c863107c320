//! The example files, which explain each setting. `wxmint init` writes one of them as `.env`, with
//! values of its own.

use std::collections::BTreeMap;

use super::declaration::{Declaration, Role, Section};
use super::env_file::quoted;
use super::table::SECTIONS;

/// The values of settings by variable.
pub type Values = BTreeMap<&'static str, String>;

/// How wide the English comments are, with their `# `.
const COLUMNS: usize = 120;

/// `.env.example`. With values, each of these settings has its value, and no other one is set.
pub fn english(values: Option<&Values>) -> String {
    file(english_heading, english_comments, values)
}

/// `.env.example.zh-CN`, with or without values as [`english`].
pub fn chinese(values: Option<&Values>) -> String {
    file(chinese_heading, chinese_comments, values)
}

/// Writes a paragraph for the heading of each section, and one for each setting.
fn file(
    heading: fn(&Section) -> Vec<String>,
    comments: fn(&Declaration) -> Comments,
    values: Option<&Values>,
) -> String {
    let mut paragraphs = Vec::new();
    for section in &SECTIONS {
        let lines: Vec<String> = heading(section).iter().map(|line| comment(line)).collect();
        paragraphs.push(lines.join("\n"));
        for setting in section.settings.iter().filter(|setting| setting.is_read()) {
            paragraphs.push(paragraph(setting, comments(setting), values));
        }
    }
    paragraphs.join("\n\n") + "\n"
}

/// The comments on a setting.
struct Comments {
    /// The lines above its line.
    above: Vec<String>,
    /// The line between it and the line of `NAME_FILE`.
    of_file: &'static str,
}

fn english_heading(section: &Section) -> Vec<String> {
    section.heading.en.lines().flat_map(wrapped).collect()
}

fn chinese_heading(section: &Section) -> Vec<String> {
    section.heading.zh.lines().map(str::to_owned).collect()
}

fn english_comments(setting: &Declaration) -> Comments {
    let form = format!("Form: {}", setting.wanted(Role::Issuer));
    let mut above = wrapped(&setting.with_bounds(setting.comment));
    above.extend(wrapped(&form));
    if has_example(setting) {
        above.push(format!("For example: {}", setting.example));
    }
    Comments {
        above,
        of_file: "Instead, the path of a file with the value:",
    }
}

fn chinese_comments(setting: &Declaration) -> Comments {
    let form = format!("{:#}", setting.wanted(Role::Issuer));
    let mut above = chinese_sentences(setting);
    // The meaning of many settings says the form too.
    if !above.contains(&format!("{form}。")) {
        above.push(format!("格式：{form}"));
    }
    if has_example(setting) {
        above.push(format!("例如：{}", setting.example));
    }
    Comments {
        above,
        of_file: "也可以写进文件，这里写文件的路径：",
    }
}

/// Whether the example file sets the variable, because the issuer does not start without it.
fn is_set(setting: &Declaration) -> bool {
    setting.required_by.contains(&Role::Issuer)
}

/// Whether a comment shows the example. A setting that the file sets has it as its value.
fn has_example(setting: &Declaration) -> bool {
    !is_set(setting) && !setting.example.is_empty()
}

/// The comments, and then the lines that set the variable, or would set it without their `#`.
fn paragraph(setting: &Declaration, comments: Comments, values: Option<&Values>) -> String {
    let value = if is_set(setting) {
        setting.example
    } else {
        setting.default
    };
    let mut lines: Vec<String> = comments.above.iter().map(|line| comment(line)).collect();
    lines.push(line(setting.name, value, is_set(setting), values));
    if let Some(file_variable) = setting.file_variable() {
        lines.push(comment(comments.of_file));
        lines.push(line(&file_variable, "", false, values));
    }
    lines.join("\n")
}

/// The line of a variable. It is a comment unless the variable has one of the `values`, or there are
/// no values and the example file sets the variable.
fn line(variable: &str, shown: &str, is_set: bool, values: Option<&Values>) -> String {
    let is_set = is_set && values.is_none();
    match values.and_then(|values| values.get(variable)) {
        Some(value) => format!("{variable}={}", quoted(value)),
        None if is_set => format!("{variable}={shown}"),
        None => format!("# {variable}={shown}"),
    }
}

fn comment(line: &str) -> String {
    format!("# {line}").trim_end().to_owned()
}

/// The text in lines that fit into the columns of a comment.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let width = "# ".len() + line.chars().count() + " ".len() + word.chars().count();
        if line.is_empty() {
            line.push_str(word);
        } else if width <= COLUMNS {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(line);
            line = String::from(word);
        }
    }
    lines.push(line);
    lines
}

/// The effect of leaving the setting out, its meaning, a sentence a line, and the pages to which the
/// meaning links.
fn chinese_sentences(setting: &Declaration) -> Vec<String> {
    let default = match setting.default_words {
        _ if is_set(setting) => String::new(),
        Some(words) => format!("默认值：{}。", words.zh),
        None if setting.required_by.is_empty() => String::new(),
        None => "必填。".to_owned(),
    };
    let meaning = Unlinked::read(&setting.with_bounds(setting.meaning.zh));
    let text = without_code_marks(&format!("{default}{}。", meaning.text));
    let mut sentences: Vec<String> = text.split_inclusive('。').map(str::to_owned).collect();
    if !meaning.pages.is_empty() {
        sentences.push(format!("详见 {}。", meaning.pages.join("、")));
    }
    sentences
}

/// A text in Markdown without its links.
struct Unlinked {
    text: String,
    /// The pages to which it links, each once.
    pages: Vec<String>,
}

impl Unlinked {
    fn read(markdown: &str) -> Self {
        let mut pieces = markdown.split('[');
        let mut text = pieces.next().unwrap_or_default().to_owned();
        let mut pages = Vec::new();
        for piece in pieces {
            let link = piece
                .split_once("](")
                .and_then(|(words, rest)| Some((words, rest.split_once(')')?)));
            let Some((words, (target, rest))) = link else {
                text.push('[');
                text.push_str(piece);
                continue;
            };
            let page = target.split('#').next().unwrap_or_default();
            let page = format!("docs/{page}");
            if !pages.contains(&page) {
                pages.push(page);
            }
            text.push_str(words);
            text.push_str(rest);
        }
        Self { text, pages }
    }
}

/// The text without the marks around code. Code with a blank keeps them.
fn without_code_marks(text: &str) -> String {
    let mut plain = String::new();
    for (number, piece) in text.split('`').enumerate() {
        let is_code = number % 2 == 1;
        if is_code && piece.contains(' ') {
            plain.push_str(&format!("`{piece}`"));
        } else {
            plain.push_str(piece);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines that set a variable.
    fn set_lines(file: &str) -> Vec<&str> {
        file.lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .collect()
    }

    #[test]
    fn with_values_these_variables_are_set_and_no_other_is() {
        let values = [
            ("WXMINT_APPS_DIR", "apps"),
            ("WXMINT_REDIS_URL_FILE", "/run/redis url"),
            ("WXMINT_TOKEN_TTL", "1h"),
        ];
        let values = Values::from(values.map(|(name, value)| (name, value.to_owned())));
        for file in [english, chinese] {
            assert_eq!(
                set_lines(&file(Some(&values))),
                [
                    "WXMINT_APPS_DIR=apps",
                    "WXMINT_REDIS_URL_FILE='/run/redis url'",
                    "WXMINT_TOKEN_TTL=1h",
                ]
            );
            assert_eq!(set_lines(&file(None)).len(), 6, "what is required");
        }
    }

    #[test]
    fn english_comments_stay_within_their_columns_and_lose_no_word() {
        let file = english(None);
        for line in file.lines() {
            assert!(line.chars().count() <= COLUMNS, "{line}");
        }
        let text = "a word ".repeat(50);
        assert_eq!(wrapped(text.trim_end()).join(" "), text.trim_end());
        assert_eq!(wrapped(""), [""]);
    }

    #[test]
    fn a_comment_names_the_pages_to_which_the_meaning_links() {
        let meaning = Unlinked::read("[一](keys.md#b)、`x[:y]`、[二](keys.md) 和 [三](redis.md)");
        assert_eq!(meaning.text, "一、`x[:y]`、二 和 三");
        assert_eq!(meaning.pages, ["docs/keys.md", "docs/redis.md"]);
        let text = without_code_marks("`one` 和 `two words`");
        assert_eq!(text, "one 和 `two words`");
    }
}
