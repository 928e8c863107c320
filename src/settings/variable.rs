//! An environment variable: its name and its parser. `table.rs` declares everything else.

use std::path::PathBuf;

use super::declaration::{Declaration, Role};
use super::table::{declaration, declared};
use crate::findings::Message;

/// An environment variable, and how its value is parsed.
pub struct Variable<T> {
    pub(super) name: &'static str,
    /// Parses a value that the declared form admits. The parser of an optional variable accepts the
    /// empty text.
    parser: fn(&str) -> Option<T>,
    /// The form in English words, if it is not that of the declaration.
    own_form: Option<&'static str>,
}

impl<T> Variable<T> {
    pub(super) const fn named(name: &'static str, parser: fn(&str) -> Option<T>) -> Self {
        Self {
            name,
            parser,
            own_form: None,
        }
    }

    /// The same variable, for a command that takes another type.
    pub fn parsed_by<U>(&self, parser: fn(&str) -> Option<U>) -> Variable<U> {
        Variable {
            name: self.name,
            parser,
            own_form: self.own_form,
        }
    }

    /// The same variable, for a command that says the form in other words. In Chinese the declared
    /// words stay.
    pub fn in_form(self, words: &'static str) -> Self {
        Self {
            own_form: Some(words),
            ..self
        }
    }

    pub(super) fn declaration(&self) -> &'static Declaration {
        declaration(self.name)
    }

    /// The value of a text; `None` if it is not valid.
    pub fn parse(&self, text: &str) -> Option<T> {
        if self.declaration().form.admits(text) {
            (self.parser)(text)
        } else {
            None
        }
    }

    /// The form of the value, in words.
    pub fn form(&self, role: Role) -> Message {
        let declared = self.declaration().wanted(role);
        match self.own_form {
            Some(words) => Message::new(format_args!("{words}"), format_args!("{declared:#}")),
            None => declared,
        }
    }

    /// The text for the help of an option that replaces the variable: what holds if the option is
    /// not given.
    pub fn fallback(&self) -> String {
        match self.declaration().default_for(Role::Issuer) {
            None | Some("") => format!("else {}", self.name),
            Some(default) => format!("else {}, else {default}", self.name),
        }
    }
}

/// The files that variables like `WXMINT_APP_SECRET_FILE` name, each behind the name of its
/// variable.
pub fn value_files(vars: impl IntoIterator<Item = (String, String)>) -> Vec<(String, PathBuf)> {
    let names: Vec<_> = declared().filter_map(Declaration::file_variable).collect();
    let named = vars
        .into_iter()
        .filter(|(name, path)| names.contains(name) && !path.is_empty());
    named.map(|(name, path)| (name, path.into())).collect()
}

fn known_names() -> impl Iterator<Item = String> {
    declared()
        .flat_map(|setting| [Some(setting.name.to_owned()), setting.file_variable()])
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
