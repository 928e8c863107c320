//! A variable gets its name and parser from a macro. Everything else is read from `.env.example`,
//! which is part of the program. So the text of a fault, the defaults and the list of known names
//! are what users read there.

use std::{path::PathBuf, sync::LazyLock};

/// An environment variable, and how its value is parsed.
pub struct Variable<T> {
    pub(super) name: &'static str,
    /// Parses the value. The parser of an optional variable accepts the empty text.
    pub parse: fn(&str) -> Option<T>,
    /// The form in words, if it is not that of `.env.example`.
    form: Option<&'static str>,
    /// Whether a missing variable is a fault even if `.env.example` has it as optional.
    is_required: bool,
}

/// The entry of `.env.example` about a variable.
pub(super) struct VariableEntry {
    pub(super) name: &'static str,
    /// The right form, in words, with the range.
    pub(super) form: String,
    pub(super) example: &'static str,
    /// The value if the variable is not set; `None` if it must be set.
    pub(super) default: Option<&'static str>,
    /// Whether the value may also stand in a file that `NAME_FILE` names.
    pub(super) may_be_in_file: bool,
    /// Whether the variable opens a door that brings apps, so that people can log in although no
    /// app is configured.
    pub(super) brings_apps: bool,
}

pub(super) static ENTRIES: LazyLock<Vec<VariableEntry>> = LazyLock::new(|| {
    include_str!("../../.env.example")
        .split("\n\n")
        .filter_map(VariableEntry::read)
        .collect()
});
const FORM: &str = "# Form: ";
pub(super) const EXAMPLE: &str = "# For example: ";
const BRINGS_APPS: &str = "Beside it no app of your own is required.";
pub(super) const IN_FILE: &str = "# Instead, the path of a file with the value:";

impl VariableEntry {
    /// Reads a paragraph of `.env.example`. A paragraph about a variable has its form, and then its
    /// line: `NAME=value` if it must be set, `# NAME=default`, or `# NAME=` below an example.
    pub(super) fn read(paragraph: &'static str) -> Option<Self> {
        let mut lines: Vec<_> = paragraph.lines().collect();
        let may_be_in_file = lines.iter().rev().nth(1) == Some(&IN_FILE);
        lines.truncate(lines.len() - if may_be_in_file { 2 } else { 0 });
        let line = lines.pop()?;
        let (name, value) = line.strip_prefix("# ").unwrap_or(line).split_once('=')?;
        let example = lines
            .last()
            .copied()
            .and_then(|line| line.strip_prefix(EXAMPLE));
        lines.truncate(lines.len() - usize::from(example.is_some()));
        let form = lines.iter().position(|line| line.starts_with(FORM))?;
        let words: Vec<_> = lines[form..]
            .iter()
            .map(|line| line.trim_start_matches(FORM).trim_start_matches("# "))
            .collect();
        let default = line.starts_with('#').then_some(value);
        let (form, example, brings_apps) = (
            words.join(" "),
            example.unwrap_or(value),
            paragraph.contains(BRINGS_APPS),
        );
        Some(Self {
            name,
            form,
            example,
            default,
            may_be_in_file,
            brings_apps,
        })
    }

    pub(super) fn file_variable(&self) -> Option<String> {
        self.may_be_in_file.then(|| format!("{}_FILE", self.name))
    }
}

impl<T> Variable<T> {
    pub(super) const fn named(name: &'static str, parse: fn(&str) -> Option<T>) -> Self {
        Self {
            name,
            parse,
            form: None,
            is_required: false,
        }
    }

    /// The same variable, for a command that cannot do without it.
    pub(super) fn required(&self) -> Self {
        Self {
            is_required: true,
            ..*self
        }
    }

    /// The same variable in another form, for a command that takes another type.
    pub fn taking<U>(&self, form: &'static str, parse: fn(&str) -> Option<U>) -> Variable<U> {
        Variable {
            name: self.name,
            parse,
            form: Some(form),
            is_required: self.is_required,
        }
    }

    pub(super) fn entry(&self) -> &'static VariableEntry {
        ENTRIES
            .iter()
            .find(|entry| entry.name == self.name)
            .expect("tests hold `.env.example` against the variables")
    }

    /// The form of the value, in words.
    pub fn form(&self) -> &'static str {
        self.form.unwrap_or(self.entry().form.as_str())
    }

    pub(super) fn default(&self) -> Option<&'static str> {
        self.entry().default.filter(|_| !self.is_required)
    }

    /// The text for the help of an option that replaces the variable: what holds if the option is
    /// not given.
    pub fn fallback(&self) -> String {
        match self.default() {
            None | Some("") => format!("else {}", self.name),
            Some(default) => format!("else {}, else {default}", self.name),
        }
    }
}

/// The files that variables like `WXMINT_APP_SECRET_FILE` name, each behind the name of its
/// variable.
pub fn value_files(vars: impl IntoIterator<Item = (String, String)>) -> Vec<(String, PathBuf)> {
    let names: Vec<_> = ENTRIES
        .iter()
        .filter_map(VariableEntry::file_variable)
        .collect();
    let named = vars
        .into_iter()
        .filter(|(name, path)| names.contains(name) && !path.is_empty());
    named.map(|(name, path)| (name, path.into())).collect()
}

fn known_names() -> impl Iterator<Item = String> {
    ENTRIES
        .iter()
        .flat_map(|entry| [Some(entry.name.to_owned()), entry.file_variable()])
        .flatten()
}

/// The former names of variables, each with today's name. A setting under a former name is a fault,
/// because ignoring it silently would undo it.
pub(super) const RENAMED: [(&str, &str); 3] = [
    ("WXMINT_KEYS_LEAD", "WXMINT_KEY_PREPUBLISH"),
    ("WXMINT_ONE_LOGIN", "WXMINT_SINGLE_SESSION"),
    ("WXMINT_WATERMARK_MAX_AGE", "WXMINT_USER_DATA_MAX_AGE"),
];

/// The known name most similar to a `WXMINT_…` variable that wxmint does not know; `None` if it is
/// known, or not ours.
///
/// Beside a Service named wxmint, Kubernetes sets `WXMINT_SERVICE_HOST`, `WXMINT_PORT` and
/// `WXMINT_PORT_…` by itself, so these are not reported. A former name is a fault, which
/// [`super::Reader::finish`] reports.
pub fn nearest_to_unknown(name: &str) -> Option<String> {
    let is_injected = ["WXMINT_SERVICE_HOST", "WXMINT_PORT"].contains(&name)
        || ["WXMINT_SERVICE_PORT", "WXMINT_PORT_"]
            .iter()
            .any(|prefix| name.starts_with(prefix));
    let upper = name.to_ascii_uppercase();
    let is_former = RENAMED.iter().any(|(former, _)| *former == name);
    if !upper.starts_with("WXMINT_")
        || is_injected
        || is_former
        || known_names().any(|known| known == name)
    {
        return None;
    }
    known_names().min_by_key(|known| {
        let distance = strsim::damerau_levenshtein(&upper, known);
        // WXMINT_REDIS is meant to be WXMINT_REDIS_URL, although WXMINT_KEYS is nearer.
        let is_part = known.starts_with(&upper) || upper.starts_with(known.as_str());
        (if is_part { distance.min(2) } else { distance }, distance)
    })
}
