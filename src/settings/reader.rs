//! Reads variables and collects what is wrong with them, so that all faults are reported at once.

use std::{collections::HashMap, fmt, fs};

use super::variable::{About, Variable};

/// One variable that is missing or wrong. Never holds its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The variable.
    pub variable: &'static str,
    /// `is not set`, `is not valid` and the like.
    pub problem: String,
    /// The right form, in words.
    pub wanted: &'static str,
    /// A value in the right form.
    pub example: &'static str,
}

/// All faults of the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Fault { variable, problem, wanted, example } in &self.0 {
            writeln!(f, "{variable} {problem}\n    wanted:  {wanted}\n    example: {variable}={example}")?;
        }
        write!(f, "Every variable is explained in .env.example.")
    }
}

impl std::error::Error for Faults {}

const PREFIX: &str = "WXMINT_";

/// What the Kubernetes manifests contain where only the operator knows the value.
const PLACEHOLDER: &str = "REPLACE-ME";

/// Reads one variable after the other.
pub struct Reader {
    values: HashMap<String, String>,
    faults: Vec<Fault>,
}

impl Reader {
    /// Reads from variables, such as [`std::env::vars`]. An empty variable counts as not set, because shells and manifests
    /// cannot always leave a variable out.
    pub fn new(vars: impl IntoIterator<Item = (String, String)>) -> Self {
        let vars = vars.into_iter().filter(|(_, value)| !value.is_empty());
        Self { values: envy::prefixed(PREFIX).from_iter(vars).unwrap_or_default(), faults: Vec::new() }
    }

    /// The variable's value, or its default. `None` if it is missing or wrong: then there is a fault.
    pub fn read<T>(&mut self, variable: &Variable<T>) -> Option<T> {
        let text = self.text(&variable.about)?;
        if text.contains(PLACEHOLDER) {
            return self.fault(&variable.about, "still holds its placeholder");
        }
        (variable.parse)(&text).or_else(|| self.fault(&variable.about, "is not valid"))
    }

    /// The settings, if there was no fault.
    pub fn finish<T>(self, settings: Option<T>) -> Result<T, Faults> {
        settings.filter(|_| self.faults.is_empty()).ok_or(Faults(self.faults))
    }

    pub(super) fn is_set(&self, about: &About) -> bool {
        self.value(about.name).or_else(|| self.file(about)).is_some()
    }

    /// The path in the variable's `_FILE`.
    pub(super) fn file(&self, about: &About) -> Option<&str> {
        self.value(about.file()?)
    }

    /// `None`, to return in place of the value.
    pub(super) fn fault<T>(&mut self, about: &About, problem: impl Into<String>) -> Option<T> {
        let (problem, example) = (problem.into(), about.example());
        self.faults.push(Fault { variable: about.name, problem, wanted: about.wanted, example });
        None
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.values.get(&name.trim_start_matches(PREFIX).to_ascii_lowercase()).map(String::as_str)
    }

    fn text(&mut self, about: &About) -> Option<String> {
        match (self.value(about.name), self.file(about)) {
            (Some(_), Some(_)) => self.fault(about, format!("and {} are both set", about.file_name)),
            (Some(value), None) => Some(value.to_owned()),
            (None, Some(path)) => match read_secret_file(path) {
                Ok(text) => Some(text),
                Err(error) => self.fault(about, format!("cannot be read from {}: {error}", about.file_name)),
            },
            (None, None) => about.default().map(str::to_owned).or_else(|| self.fault(about, "is not set")),
        }
    }
}

/// The content of the file, without the line break that editors add.
fn read_secret_file(path: &str) -> Result<String, std::io::Error> {
    fs::read_to_string(path).map(|text| text.trim_end_matches(['\n', '\r']).to_owned())
}
