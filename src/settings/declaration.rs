//! The declaration of a setting: a row of `table.rs`.

use super::forms::{time_within, within};
use crate::findings::Message;

/// The process that reads settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// `wxmint serve`, and the commands that share its settings.
    Issuer,
    /// `wxmint sidecar`.
    Sidecar,
}

/// A text in both languages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Texts {
    pub(super) en: &'static str,
    pub(super) zh: &'static str,
}

/// Settings that stand together in the example files and on one page.
pub(super) struct Section {
    /// The comment above them in the example files.
    pub(super) heading: Texts,
    pub(super) settings: &'static [Declaration],
}

/// One setting. An empty text means that the setting has no such text.
pub(super) struct Declaration {
    /// The environment variable.
    pub(super) name: &'static str,
    /// The roles that read it. Empty for a variable that another part of the program reads, and that
    /// only the pages name.
    pub(super) read_by: &'static [Role],
    /// The roles that do not start without it.
    pub(super) required_by: &'static [Role],
    /// The variables of which each makes it unnecessary.
    pub(super) required_unless: &'static [&'static str],
    pub(super) form: Form,
    /// The form in words, if the words of [`Form`] do not say enough.
    pub(super) form_words: Option<Texts>,
    /// The form in words for the sidecar, if it has another one there.
    pub(super) sidecar_form: Option<Texts>,
    /// The value if the variable is not set.
    pub(super) default: &'static str,
    /// The effect of leaving the variable out, if that is no fixed value. In Markdown.
    pub(super) default_words: Option<Texts>,
    /// A valid value, for a setting without a default.
    pub(super) example: &'static str,
    /// Whether the value may also stand in a file that `NAME_FILE` names. Such a value is a secret,
    /// or contains one.
    pub(super) may_be_in_file: bool,
    /// Whether the value is the path of a file by which a door is opened.
    pub(super) opens_door: bool,
    /// The comment in `.env.example`. The Chinese example file has the Chinese meaning in its place.
    pub(super) comment: &'static str,
    /// The cell of the pages, in Markdown, with links relative to `docs`.
    pub(super) meaning: Texts,
}

/// The form of a value.
pub(super) enum Form {
    /// Any form that only the variable's parser knows.
    Words(Texts),
    /// `true` or `false`.
    Switch,
    Number {
        least: u64,
        most: u64,
    },
    /// A number and a unit, such as `30m`.
    Time {
        least: &'static str,
        most: &'static str,
    },
    /// A number of events in a time, such as `600/5m`.
    Rate {
        least: u64,
        most: u64,
        shortest: &'static str,
        longest: &'static str,
    },
}

impl Declaration {
    /// Whether it is read as a setting.
    pub(super) fn is_read(&self) -> bool {
        !self.read_by.is_empty()
    }

    /// The variable that names a file with the value, if there is one.
    pub(super) fn file_variable(&self) -> Option<String> {
        self.may_be_in_file.then(|| format!("{}_FILE", self.name))
    }

    /// A valid value to show.
    pub(super) fn example_value(&self) -> &'static str {
        if self.example.is_empty() {
            self.default
        } else {
            self.example
        }
    }

    /// The value if the variable is not set, which is empty for an optional setting without a
    /// default. `None` if the role requires the variable.
    pub(super) fn default_for(&self, role: Role) -> Option<&'static str> {
        (!self.required_by.contains(&role)).then_some(self.default)
    }

    /// The form of the value, in words.
    pub(super) fn wanted(&self, role: Role) -> Message {
        let of_role = match role {
            Role::Issuer => None,
            Role::Sidecar => self.sidecar_form,
        };
        let words = of_role
            .or(self.form_words)
            .unwrap_or_else(|| self.form.words());
        Message::new(
            format_args!("{}", self.with_bounds(words.en)),
            format_args!("{}", self.with_bounds(words.zh)),
        )
    }

    /// The text with the bounds of the form in place of `{least}`, `{most}`, `{shortest}` and
    /// `{longest}`.
    pub(super) fn with_bounds(&self, text: &str) -> String {
        match self.form {
            Form::Words(_) | Form::Switch => text.to_owned(),
            Form::Number { least, most } => text
                .replace("{least}", &least.to_string())
                .replace("{most}", &most.to_string()),
            Form::Time { least, most } => text.replace("{least}", least).replace("{most}", most),
            Form::Rate {
                least,
                most,
                shortest,
                longest,
            } => text
                .replace("{least}", &least.to_string())
                .replace("{most}", &most.to_string())
                .replace("{shortest}", shortest)
                .replace("{longest}", longest),
        }
    }
}

impl Form {
    /// Whether a value is within the bounds of the form. A form without bounds is checked by the
    /// variable's parser alone.
    pub(super) fn admits(&self, value: &str) -> bool {
        match *self {
            Self::Words(_) | Self::Switch => true,
            Self::Number { least, most } => within(value, least..=most).is_some(),
            Self::Time { least, most } => time_within(value, least, most).is_some(),
            Self::Rate {
                least,
                most,
                shortest,
                longest,
            } => value.split_once('/').is_some_and(|(number, time)| {
                within(number, least..=most).is_some()
                    && time_within(time, shortest, longest).is_some()
            }),
        }
    }

    fn words(&self) -> Texts {
        match self {
            Self::Words(words) => *words,
            Self::Switch => Texts {
                en: "true or false",
                zh: "true 或 false",
            },
            Self::Number { .. } => Texts {
                en: "a number from {least} to {most}",
                zh: "{least} 到 {most} 的整数",
            },
            Self::Time { .. } => Texts {
                en: "one number and one unit, s, m, h or d (90m, not 1h30m), from {least} to {most}",
                zh: "一个数字加一个单位 s、m、h 或 d（写 90m，不写 1h30m），{least} 到 {most}",
            },
            Self::Rate { .. } => Texts {
                en: "a number from {least} to {most}, a slash and a time from {shortest} to {longest} (600/5m): \
                     that many at once, and that many in each such time",
                zh: "次数/时长，例如 600/5m：次数 {least} 到 {most}，时长 {shortest} 到 {longest}；\
                     最多连续这么多次，每段时长内也最多这么多次",
            },
        }
    }
}
