//! How a variable is declared. Everything else follows from the declarations in `variables.rs`: the typed reading, the text
//! of a fault, the list of known names, `.env.example` and the defaults of commands.

use super::variables::{SERVE, SIDECAR};

/// A variable whose value becomes a `T`.
pub struct Variable<T> {
    pub(super) about: About,
    pub(super) parse: fn(&str) -> Option<T>,
}

/// What is said of a variable.
#[derive(Debug, Clone, Copy)]
pub(super) struct About {
    pub(super) name: &'static str,
    pub(super) presence: Presence,
    /// The right form, in words, with the range.
    pub(super) wanted: &'static str,
    /// The lines that explain the variable in `.env.example`.
    #[cfg(test)]
    pub(super) doc: &'static [&'static str],
}

/// What holds if the variable is not set. Each text can stand for the value in an example.
#[derive(Debug, Clone, Copy)]
pub(super) enum Presence {
    /// Not setting the variable is a fault.
    Required(&'static str),
    /// As `Required`; the value may also stand in a file that `NAME_FILE` names.
    Secret(&'static str),
    /// This text is the value.
    Default(&'static str),
    /// The value is empty.
    Optional(&'static str),
}

/// What a value must look like: in words, and as a parser. The parser of an optional variable accepts the empty text.
pub(super) struct Form<T> {
    pub(super) wanted: &'static str,
    pub(super) parse: fn(&str) -> Option<T>,
}

/// `NAME: TYPE, PRESENCE, FORM;` for each variable, below its explanation. The name comes without `WXMINT_`.
macro_rules! variables {
    ($table:ident: $($(#[doc = $doc:literal])+ $name:ident: $type:ty, $presence:ident($text:literal), $form:expr;)+) => {
        $(
            $(#[doc = $doc])+
            pub const $name: Variable<$type> = {
                let form: Form<$type> = $form;
                Variable {
                    about: About {
                        name: concat!("WXMINT_", stringify!($name)),
                        presence: Presence::$presence($text),
                        wanted: form.wanted,
                        #[cfg(test)]
                        doc: &[$($doc),+],
                    },
                    parse: form.parse,
                }
            };
        )+
        pub(super) const $table: &[About] = &[$($name.about),+];
    };
}
pub(super) use variables;

impl<T> Variable<T> {
    /// The same variable, for a command that cannot do without it.
    pub(super) fn required(&self) -> Self {
        let presence = Presence::Required(self.about.example());
        Self { about: About { presence, ..self.about }, parse: self.parse }
    }

    /// The same variable in another form, for a command that takes another type.
    pub(super) fn taking<U>(&self, form: Form<U>) -> Variable<U> {
        Variable { about: About { wanted: form.wanted, ..self.about }, parse: form.parse }
    }

    /// What holds if an option that can replace the variable is not given: for the option's help.
    pub fn fallback(&self) -> String {
        match self.about.default() {
            None | Some("") => format!("else {}", self.about.name),
            Some(default) => format!("else {}, else {default}", self.about.name),
        }
    }
}

impl About {
    pub(super) fn example(&self) -> &'static str {
        match self.presence {
            Presence::Required(text) | Presence::Secret(text) | Presence::Default(text) | Presence::Optional(text) => {
                text
            }
        }
    }

    pub(super) fn default(&self) -> Option<&'static str> {
        match self.presence {
            Presence::Required(_) | Presence::Secret(_) => None,
            Presence::Default(text) => Some(text),
            Presence::Optional(_) => Some(""),
        }
    }

    /// The name of the variable that names a file with the value.
    pub(super) fn file_variable(&self) -> Option<String> {
        matches!(self.presence, Presence::Secret(_)).then(|| format!("{}_FILE", self.name))
    }
}

fn known_names() -> impl Iterator<Item = String> {
    let all = [SERVE, SIDECAR].into_iter().flatten();
    all.flat_map(|about| [Some(about.name.to_owned()), about.file_variable()]).flatten()
}

/// The `WXMINT_…` variables that wxmint does not know, each with a remark that has the most similar name.
///
/// Beside a Service named wxmint, Kubernetes sets `WXMINT_SERVICE_HOST`, `WXMINT_PORT` and `WXMINT_PORT_…` by itself, so
/// these are not reported.
pub fn unknown_variables(names: impl IntoIterator<Item = String>) -> Vec<(String, String)> {
    let remark = |name: String| Some((nearest_to_unknown(&name)?, name));
    let known = names.into_iter().filter_map(remark);
    known.map(|(nearest, name)| (name, format!("unknown variable; did you mean {nearest}?"))).collect()
}

/// The known name that is most similar to an unknown one; `None` if the name is known, or is not ours.
pub(super) fn nearest_to_unknown(name: &str) -> Option<String> {
    let is_injected = ["WXMINT_SERVICE_HOST", "WXMINT_PORT"].contains(&name)
        || ["WXMINT_SERVICE_PORT", "WXMINT_PORT_"].iter().any(|prefix| name.starts_with(prefix));
    let upper = name.to_ascii_uppercase();
    if !upper.starts_with("WXMINT_") || is_injected || known_names().any(|known| known == name) {
        return None;
    }
    known_names().min_by_key(|known| {
        let distance = strsim::damerau_levenshtein(&upper, known);
        // WXMINT_REDIS is meant to be WXMINT_REDIS_URL, although WXMINT_KEYS is nearer.
        let is_part = known.starts_with(&upper) || upper.starts_with(known.as_str());
        (if is_part { distance.min(2) } else { distance }, distance)
    })
}
