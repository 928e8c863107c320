//! What is wrong with the settings, said all at once.

use std::{fmt, str, time::Duration};

use super::{
    LATER, VARIABLES,
    forms::{Form, Span},
    read_secret_file,
};

/// One variable that is missing or wrong. Never holds its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The variable.
    pub variable: &'static str,
    /// `is not set`, `is not valid` and the like.
    pub problem: String,
    /// What would be right, in words.
    pub wanted: &'static str,
    /// A line to copy.
    pub example: &'static str,
}

/// All faults of the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.0 {
            writeln!(f, "{} {}", fault.variable, fault.problem)?;
            writeln!(f, "    wanted:  {}", fault.wanted)?;
            writeln!(f, "    example: {}", fault.example)?;
        }
        write!(f, "Every variable is explained in .env.example.")
    }
}

impl std::error::Error for Faults {}

/// What the Kubernetes manifests have where only the operator knows the value.
const PLACEHOLDER: &str = "REPLACE-ME";

/// Collects faults while fields are read.
#[derive(Default)]
pub(super) struct Reader(Vec<Fault>);

impl Reader {
    pub(super) fn required<T>(
        &mut self,
        variable: &'static str,
        text: Option<String>,
        form: &Form,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        if text.is_none() && !self.0.iter().any(|fault| fault.variable == variable) {
            self.fault(variable, "is not set", form);
        }
        self.optional(variable, text, form, parse)
    }

    pub(super) fn optional<T>(
        &mut self,
        variable: &'static str,
        text: Option<String>,
        form: &Form,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let text = text?;
        let parsed = parse(&text).filter(|_| !text.contains(PLACEHOLDER));
        if parsed.is_none() {
            let problem = if text.contains(PLACEHOLDER) { "still holds its placeholder" } else { "is not valid" };
            self.fault(variable, problem, form);
        }
        parsed
    }

    pub(super) fn or<T>(
        &mut self,
        variable: &'static str,
        text: Option<String>,
        form: &Form,
        default: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        self.optional(variable, Some(text.unwrap_or_else(|| default.to_owned())), form, parse)
    }

    pub(super) fn span(
        &mut self,
        variable: &'static str,
        text: Option<String>,
        span: &Span,
        default: &str,
    ) -> Option<Duration> {
        self.or(variable, text, &span.form, default, |text| span.parse(text))
    }

    /// A secret that is given itself, or by the name of a file; not both, since nobody could say which holds.
    pub(super) fn secret(
        &mut self,
        variable: &'static str,
        value: Option<String>,
        file: Option<String>,
    ) -> Option<String> {
        let form = Form { wanted: "the value itself, or the path of a file that holds it in …_FILE", example: "" };
        match (value, file) {
            (Some(_), Some(_)) => {
                self.fault(variable, "and its …_FILE are both set", &form);
                None
            }
            (None, Some(path)) => read_secret_file(&path)
                .map_err(|error| self.fault(variable, format!("cannot be read from its …_FILE: {error}"), &form))
                .ok(),
            (value, None) => value,
        }
    }

    pub(super) fn fault(&mut self, variable: &'static str, problem: impl Into<String>, form: &Form) {
        let example = if form.example.is_empty() { "see .env.example" } else { form.example };
        self.0.push(Fault { variable, problem: problem.into(), wanted: form.wanted, example });
    }

    pub(super) fn finish<T>(self, settings: Option<T>) -> Result<T, Faults> {
        match settings {
            Some(settings) if self.0.is_empty() => Ok(settings),
            _ => Err(Faults(self.0)),
        }
    }
}

/// The `WXMINT_…` variables that nothing reads, each with what to say of it: that this version does not act on it yet,
/// or the nearest name that something reads.
///
/// Kubernetes injects `WXMINT_SERVICE_HOST`, `WXMINT_PORT` and `WXMINT_PORT_…` beside a Service named wxmint: these are
/// nobody's mistake.
pub fn unknown_variables(names: impl IntoIterator<Item = String>) -> Vec<(String, String)> {
    let injected = |name: &str| {
        ["WXMINT_SERVICE_HOST", "WXMINT_PORT"].contains(&name)
            || ["WXMINT_SERVICE_PORT", "WXMINT_PORT_"].iter().any(|prefix| name.starts_with(prefix))
    };
    names
        .into_iter()
        .filter(|name| name.starts_with("WXMINT_") && !injected(name) && !VARIABLES.contains(&name.as_str()))
        .map(|name| {
            let remark = remark(&name);
            (name, remark)
        })
        .collect()
}

fn remark(name: &str) -> String {
    if LATER.contains(&name) {
        return "this version does not act on it yet".into();
    }
    let distance = |known: &&&str| strsim::damerau_levenshtein(name, known);
    let nearest = VARIABLES.iter().min_by_key(distance).copied().unwrap_or_default();
    format!("nothing reads it; was {nearest} meant?")
}
