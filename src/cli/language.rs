//! The language of questions, of `.env`, of what the doctor finds and of what is wrong with settings. The log and JSON
//! are in English, because people and programs search for their words.

use std::{env, fmt::Display};

use clap::ValueEnum;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Language {
    En,
    Zh,
}

impl Language {
    pub(super) fn of_locale() -> Self {
        Self::of(|name| env::var(name).ok())
    }

    /// By the first of these variables that is set, as POSIX has it. Our texts are in UTF-8, which a terminal with
    /// another encoding cannot show.
    fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().find_map(set).unwrap_or_default().to_lowercase();
        let encoding = locale.split('.').nth(1).and_then(|rest| rest.split('@').next()).unwrap_or_default();
        if locale.starts_with("zh") && ["utf8", "utf-8"].contains(&encoding) { Self::Zh } else { Self::En }
    }

    pub(super) fn tell(self, text: impl Display) -> String {
        self.pick([format!("{text}"), format!("{text:#}")])
    }

    pub(super) fn pick<T>(self, [english, chinese]: [T; 2]) -> T {
        if self == Self::Zh { chinese } else { english }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_variable_that_is_set_decides() {
        for (all, messages, lang, language) in [
            ("", "", "zh_CN.UTF-8", Language::Zh),
            ("", "", "zh_TW.utf8@stroke", Language::Zh),
            ("", "", "zh_CN", Language::En),
            ("", "", "zh_CN@utf8", Language::En),
            ("", "zh_CN.UTF-8", "en_US.UTF-8", Language::Zh),
            ("C.UTF-8", "zh_CN.UTF-8", "zh_CN.UTF-8", Language::En),
            ("", "", "zh_CN.GB18030", Language::En),
            ("", "", "en_US.UTF-8", Language::En),
            ("", "", "", Language::En),
        ] {
            let value = |name: &str| {
                let value = if name == "LC_ALL" {
                    all
                } else if name == "LANG" {
                    lang
                } else {
                    messages
                };
                Some(value.to_owned())
            };
            assert_eq!(Language::of(value), language, "{all:?} {messages:?} {lang:?}");
        }
    }
}
