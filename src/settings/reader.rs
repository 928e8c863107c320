//! Reads variables and collects what is wrong with them, so that all faults are reported at once.

use std::{collections::HashMap, fmt, io, path::Path};

use super::declaration::Role;
use super::table::{declaration, declared};
use super::variable::{RENAMED, Variable, nearest_to_unknown};
use crate::findings::Message;
use crate::secret_files::{PLACEHOLDER, one_value, read_file};

/// One variable that is missing or wrong. Never holds its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub variable: &'static str,
    /// The variable, or the file that its `_FILE` names.
    pub subject: Message,
    /// `is not set`, `is not valid` and the like.
    pub problem: Message,
    /// The right form, in words.
    pub wanted: Message,
    pub example: &'static str,
}

/// All faults of the settings, in the order of their declarations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            variable,
            subject,
            problem,
            wanted,
            example,
        } = self;
        if f.alternate() {
            write!(
                f,
                "{subject:#} {problem:#}\n    格式：{wanted:#}\n    例如：{variable}={example}"
            )
        } else {
            write!(
                f,
                "{subject} {problem}\n    wanted:  {wanted}\n    example: {variable}={example}"
            )
        }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.0 {
            fault.fmt(f)?;
            f.write_str("\n")?;
        }
        message!(variables_are_explained).fmt(f)
    }
}

/// Whether the text is in quotation marks. No valid value has such marks at both ends.
fn is_quoted(text: &str) -> bool {
    let marks = [('"', '"'), ('\'', '\''), ('“', '”'), ('‘', '’')];
    marks.iter().any(|&(first, last)| {
        text.strip_prefix(first)
            .is_some_and(|rest| rest.ends_with(last))
    })
}

/// Reads variables, and collects their faults.
pub struct Reader {
    /// The process for which it reads. Some variables are required by one role only.
    role: Role,
    /// The values by their names in lower case, as envy names them.
    values: HashMap<String, String>,
    /// Each name that wxmint does not know, behind the known name that was probably meant.
    unknown: Vec<(String, String)>,
    faults: Vec<Fault>,
}

impl Reader {
    /// Reads for a role from variables, such as [`std::env::vars`]. An empty variable counts as not
    /// set, because shells and manifests cannot always leave a variable out.
    pub fn new(role: Role, vars: impl IntoIterator<Item = (String, String)>) -> Self {
        let vars: Vec<_> = vars
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .collect();
        let unknown = vars
            .iter()
            .filter_map(|(name, _)| Some((nearest_to_unknown(name)?, name.clone())))
            .collect();
        // A name in another case is reported as unknown, so it must not be read.
        let vars = vars
            .into_iter()
            .filter(|(name, _)| *name == name.to_ascii_uppercase());
        let values = envy::from_iter(vars).expect("every text is a value of a map of texts");
        Self {
            role,
            values,
            unknown,
            faults: Vec::new(),
        }
    }

    /// The variable's value, or its default. `None` if it is missing or wrong: then there is a
    /// fault.
    pub fn read<T>(&mut self, variable: &Variable<T>) -> Option<T> {
        match self.find(variable) {
            Ok(value) => Some(value),
            Err(problem) => self.fault(variable, problem),
        }
    }

    /// The variable's value or its default, or what is wrong with it.
    fn find<T>(&self, variable: &Variable<T>) -> Result<T, Message> {
        let text = match (self.value(variable.name), self.secret_file(variable)) {
            (Some(_), Some(_)) => return Err(message!(and_file_are_both_set, variable.name)),
            (Some(value), None) => value.to_owned(),
            (None, Some(path)) => {
                read_secret_file(path).map_err(|error| match is_quoted(path) {
                    true => message!(cannot_be_read_path, message!(stands_in_quotation_marks)),
                    false => message!(cannot_be_read, error),
                })?
            }
            (None, None) => variable
                .declaration()
                .default_for(self.role)
                .ok_or_else(|| self.is_not_set(variable))?
                .to_owned(),
        };
        match text.as_str() {
            "" if self.is_in_file(variable) => Err(message!(is_empty)),
            text if text.contains(PLACEHOLDER) => Err(message!(still_holds_its_placeholder)),
            text if is_quoted(text) => Err(message!(stands_in_quotation_marks)),
            text => variable.parse(text).ok_or_else(|| message!(is_not_valid)),
        }
    }

    /// The value of a variable whose parser says itself what is wrong.
    pub(super) fn read_checked<T, E: Into<Message>>(
        &mut self,
        variable: &Variable<Result<T, E>>,
    ) -> Option<T> {
        match self.read(variable)? {
            Ok(value) => Some(value),
            Err(problem) => self.fault(variable, problem.into()),
        }
    }

    /// The value, unless it contradicts another setting: then there is a fault with the reason that
    /// `why` gives.
    pub(super) fn read_beside<T>(
        &mut self,
        variable: &Variable<T>,
        why: impl FnOnce(&T) -> Option<Message>,
    ) -> Option<T> {
        let value = self.read(variable)?;
        if let Some(problem) = why(&value) {
            self.fault(variable, problem)
        } else {
            Some(value)
        }
    }

    /// The settings, or all faults. A variable that is set by its former name is a fault.
    pub fn finish<T>(mut self, settings: Option<T>) -> Result<T, Faults> {
        for (former, name) in RENAMED {
            if self.value(former).is_some() {
                let setting = declaration(name);
                self.faults.push(Fault {
                    variable: name,
                    subject: former.into(),
                    problem: message!(is_called_otherwise_now, name),
                    wanted: setting.wanted(self.role),
                    example: setting.example_value(),
                });
            }
        }
        self.faults
            .sort_by_key(|fault| declared().position(|setting| setting.name == fault.variable));
        settings
            .filter(|_| self.faults.is_empty())
            .ok_or(Faults(self.faults))
    }

    pub(super) fn is_set<T>(&self, variable: &Variable<T>) -> bool {
        self.value(variable.name).is_some() || self.secret_file(variable).is_some()
    }

    /// The path that the variable's `_FILE` names.
    pub(super) fn secret_file<T>(&self, variable: &Variable<T>) -> Option<&str> {
        self.value(&variable.declaration().file_variable()?)
    }

    /// Records a fault. Returns `None`, to return in place of the value. A variable that is read
    /// twice has one fault.
    pub(super) fn fault<T, U>(&mut self, variable: &Variable<T>, problem: Message) -> Option<U> {
        let name = variable.name;
        let subject = if self.is_in_file(variable) {
            message!(content_of_file, name)
        } else {
            name.into()
        };
        self.faults.retain(|fault| fault.variable != name);
        self.faults.push(Fault {
            variable: name,
            subject,
            problem,
            wanted: variable.form(self.role),
            example: variable.declaration().example_value(),
        });
        None
    }

    fn is_in_file<T>(&self, variable: &Variable<T>) -> bool {
        self.value(variable.name).is_none() && self.secret_file(variable).is_some()
    }

    /// `is not set`, and which variable was perhaps meant to be this one.
    fn is_not_set<T>(&self, variable: &Variable<T>) -> Message {
        let file_variable = variable.declaration().file_variable();
        let meant =
            |nearest: &String| nearest == variable.name || file_variable.as_ref() == Some(nearest);
        match self.unknown.iter().find(|(nearest, _)| meant(nearest)) {
            Some((nearest, unknown)) => message!(is_not_set_but_misspelt, unknown, nearest),
            None => message!(is_not_set),
        }
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.values
            .get(&name.to_ascii_lowercase())
            .map(String::as_str)
    }
}

/// The content of the file, without what editors add around it.
pub(super) fn read_secret_file(path: impl AsRef<Path>) -> io::Result<String> {
    let content = read_file(path.as_ref(), u64::MAX)?;
    str::from_utf8(&content)
        .map(|text| one_value(text).to_owned())
        .map_err(io::Error::other)
}
