//! The table of settings, held against the code that reads them and against what is written from it:
//! the example files, and the tables of the pages. `WXMINT_TEST_WRITE=1` writes these again.

use std::collections::{BTreeSet, HashMap};
use std::{env, fs, path::PathBuf};

use super::declaration::{Declaration, Role, Texts};
use super::table::{SECTIONS, declaration, declared};
use super::{KEY_PREPUBLISH, Settings, SidecarSettings, example};
use super::{parse_duration, reader::Fault, variables::own_names};

const LANGUAGES: [Language; 2] = [Language::En, Language::Zh];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Language {
    En,
    Zh,
}

impl Language {
    fn of(self, texts: Texts) -> &'static str {
        match self {
            Self::En => texts.en,
            Self::Zh => texts.zh,
        }
    }

    /// The file of a page of docs.
    fn page(self, name: &str) -> String {
        match self {
            Self::En => format!("docs/{name}.md"),
            Self::Zh => format!("docs/{name}.zh-CN.md"),
        }
    }
}

fn place(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn content(file: &str) -> String {
    fs::read_to_string(place(file)).expect(file)
}

/// Compares a file with what the table says, after writing it if `WXMINT_TEST_WRITE` asks for that.
fn assert_written(file: &str, expected: &str) {
    if env::var_os("WXMINT_TEST_WRITE").is_some() {
        fs::write(place(file), expected).expect(file);
    }
    assert!(
        content(file) == expected,
        "{file} differs from src/settings/table.rs: run this test with WXMINT_TEST_WRITE=1"
    );
}

/// The faults of this variable if it alone is set.
fn faults_of(role: Role, setting: &Declaration, name: &str, value: &str) -> Vec<Fault> {
    let vars = [(name.to_owned(), value.to_owned())];
    let faults = match role {
        Role::Issuer => Settings::from_vars(vars).expect_err("more is required"),
        Role::Sidecar => SidecarSettings::from_vars(vars).expect_err("more is required"),
    };
    faults
        .0
        .into_iter()
        .filter(|fault| fault.variable == setting.name)
        .collect()
}

#[test]
fn each_variable_is_declared_once_and_each_declaration_is_complete() {
    for name in own_names() {
        let declarations = declared().filter(|setting| setting.name == name);
        assert_eq!(declarations.count(), 1, "{name}");
    }
    for setting in declared() {
        let name = setting.name;
        assert_ne!(setting.opens_door, own_names().contains(&name), "{name}");
        assert_ne!(
            setting.default.is_empty(),
            setting.example.is_empty(),
            "{name} has either a default or an example"
        );
        let is_reader = |role: &Role| setting.read_by.contains(role);
        assert!(setting.required_by.iter().all(is_reader), "{name}");
        let are_known = setting
            .required_unless
            .iter()
            .all(|other| declared().any(|setting| setting.name == *other));
        assert!(are_known, "{name}");
        let mut texts = vec![
            setting.with_bounds(setting.comment),
            setting.with_bounds(setting.meaning.en),
            setting.with_bounds(setting.meaning.zh),
        ];
        for role in [Role::Issuer, Role::Sidecar] {
            let form = setting.wanted(role);
            assert!(!form.contains('#'), "{name}: {form}");
            texts.extend([form.to_string(), format!("{form:#}")]);
        }
        for text in texts {
            assert!(!text.is_empty(), "{name}");
            for bound in ["{least}", "{most}", "{shortest}", "{longest}"] {
                assert!(!text.contains(bound), "{name}: {text}");
            }
        }
    }
}

#[test]
fn the_example_file_changes_nothing_until_it_is_changed() {
    let example = content(".env.example");
    let pairs = |text: &str| {
        text.split_once('=')
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    let set: HashMap<_, _> = example
        .lines()
        .filter(|line| line.starts_with("WXMINT_"))
        .filter_map(pairs)
        .collect();
    let defaults = declared().filter_map(|setting| {
        let default = setting.default_for(Role::Issuer)?;
        Some((setting.name.to_owned(), default.to_owned()))
    });
    let all = set.clone().into_iter().chain(defaults);
    let [explicit, implicit] =
        [all.collect(), set].map(|vars: HashMap<_, _>| format!("{:?}", Settings::from_vars(vars)));
    assert!(
        explicit.starts_with("Ok") && explicit == implicit,
        "{explicit}\n{implicit}"
    );
}

#[test]
fn every_variable_is_read_by_its_roles_and_refused_while_it_holds_its_placeholder_or_stands_in_quotes()
 {
    for setting in declared() {
        for role in [Role::Issuer, Role::Sidecar] {
            let placeholder = faults_of(role, setting, setting.name, "REPLACE-ME");
            if !setting.read_by.contains(&role) {
                assert_eq!(placeholder, [], "{role:?} does not read {}", setting.name);
                continue;
            }
            let refuses = |name: &str, value: &str, words: &str| {
                let faults = faults_of(role, setting, name, value);
                assert!(
                    faults.iter().any(|fault| fault.problem.contains(words)),
                    "{role:?} {name}={value}: {faults:?}"
                );
                assert!(!format!("{faults:?}").contains("hunter2"), "{faults:?}");
            };
            refuses(setting.name, "REPLACE-ME", "still holds its placeholder");
            for quoted in ["\"hunter2\"", "'hunter2'", "“hunter2”", "\"\""] {
                [Some(setting.name.to_owned()), setting.file_variable()]
                    .iter()
                    .flatten()
                    .for_each(|name| {
                        refuses(
                            name,
                            quoted,
                            "stands in quotation marks, which `docker --env-file` keeps: remove them",
                        );
                    });
            }
        }
    }
}

#[test]
fn the_range_in_words_is_the_range_that_holds() {
    let beyond = |text: &str, by: i64| match parse_duration(text) {
        Some(span) => format!("{}s", span.as_secs() as i64 + by),
        None => (text.parse::<i64>().expect("a number") + by).to_string(),
    };
    let mut ranges = 0;
    for setting in declared() {
        let form = setting.wanted(Role::Issuer);
        if form.contains("a slash and a time") {
            continue;
        }
        let Some((_, range)) = form.split_once(" from ") else {
            continue;
        };
        let words: Vec<_> = range.split([' ', ',', ';']).collect();
        let [least, "to", most, ..] = words[..] else {
            panic!("{}: {range}", setting.name)
        };
        ranges += 1;
        for (value, is_good) in [
            (least.to_owned(), true),
            (most.to_owned(), true),
            (beyond(least, -1), false),
            (beyond(most, 1), false),
        ] {
            for role in setting.read_by {
                assert_eq!(
                    faults_of(*role, setting, setting.name, &value).is_empty(),
                    is_good,
                    "{}={value}",
                    setting.name
                );
            }
        }
    }
    assert!(ranges > 8, "{ranges}");
}

#[test]
fn a_variable_that_a_role_requires_is_missed_by_that_role_alone() {
    for setting in declared() {
        let faults = |role| {
            let problem = "is not set";
            let faults = faults_of(role, setting, "PATH", "/bin");
            faults.iter().any(|fault| *fault.problem == *problem)
        };
        for role in [Role::Issuer, Role::Sidecar] {
            let is_required = setting.required_by.contains(&role);
            assert_eq!(faults(role), is_required, "{role:?} {}", setting.name);
        }
        for other in setting.required_unless {
            let unless = declaration(other);
            let vars = [(unless.name.to_owned(), unless.example_value().to_owned())];
            let faults = Settings::from_vars(vars).expect_err("more is required");
            let is_missed = faults.0.iter().any(|fault| fault.variable == setting.name);
            assert!(!is_missed, "{} beside {other}", setting.name);
        }
    }
}

#[test]
fn the_example_files_are_written_from_the_table() {
    assert_written(".env.example", &example::english(None));
    assert_written(".env.example.zh-CN", &example::chinese(None));
}

#[test]
fn the_tables_of_the_pages_are_written_from_the_table() {
    let pages = [(Role::Issuer, "settings"), (Role::Sidecar, "sidecar")];
    for language in LANGUAGES {
        for (section, (role, name)) in SECTIONS.iter().zip(pages) {
            let rows = section
                .settings
                .iter()
                .map(|setting| row(setting, role, language));
            let file = language.page(name);
            assert_written(&file, &with_rows(&content(&file), rows, language));
        }
    }
}

/// The page with these rows in its table of settings.
fn with_rows(page: &str, rows: impl Iterator<Item = String>, language: Language) -> String {
    let head = match language {
        Language::En => "| variable | default | meaning |",
        Language::Zh => "| 变量 | 默认值 | 说明 |",
    };
    let head = format!("{head}\n|---|---|---|\n");
    let (before, table) = page.split_once(&head).expect("a table of settings");
    let is_row = |line: &&str| line.starts_with('|');
    let after: String = table.split_inclusive('\n').skip_while(is_row).collect();
    let rows: String = rows.collect();
    format!("{before}{head}{rows}{after}")
}

fn row(setting: &Declaration, role: Role, language: Language) -> String {
    let meaning = setting.with_bounds(language.of(setting.meaning));
    let default = default_cell(setting, role, language);
    format!("| `{}` | {default} | {meaning} |\n", setting.name)
}

fn default_cell(setting: &Declaration, role: Role, language: Language) -> String {
    if setting.required_by.contains(&role) {
        required_cell(setting, language)
    } else if let Some(words) = setting.default_words {
        language.of(words).to_owned()
    } else if setting.default.is_empty() {
        let none = Texts {
            en: "none",
            zh: "无",
        };
        language.of(none).to_owned()
    } else {
        format!("`{}`", setting.default)
    }
}

fn required_cell(setting: &Declaration, language: Language) -> String {
    let unless: Vec<_> = setting
        .required_unless
        .iter()
        .map(|name| format!("`{name}`"))
        .collect();
    match language {
        Language::En if unless.is_empty() => "required".to_owned(),
        Language::En => format!("required, unless {} is set", unless.join(" or ")),
        Language::Zh if unless.is_empty() => "必填".to_owned(),
        Language::Zh => format!("必填，除非设置了 {}", unless.join(" 或 ")),
    }
}

#[test]
fn the_pages_name_each_variable_of_a_file() {
    for language in LANGUAGES {
        let page = content(&language.page("settings"));
        for variable in declared().filter_map(Declaration::file_variable) {
            assert!(page.contains(&format!("`{variable}`")), "{variable}");
        }
    }
}

/// The variables that a text names.
fn variables_in(text: &str) -> BTreeSet<&str> {
    text.split(|letter: char| !letter.is_ascii_uppercase() && letter != '_')
        .filter(|word| word.starts_with("WXMINT_"))
        .collect()
}

#[test]
fn the_texts_about_the_sidecar_name_the_settings_of_the_issuer_that_it_reads() {
    let shared: BTreeSet<_> = SECTIONS[0]
        .settings
        .iter()
        .filter(|setting| setting.read_by.contains(&Role::Sidecar))
        .map(|setting| setting.name)
        .collect();
    for language in LANGUAGES {
        let heading = language.of(SECTIONS[1].heading);
        assert_eq!(variables_in(heading), shared);
        let page = content(&language.page("sidecar"));
        let is_about_them = |line: &&str| line.starts_with("`WXMINT_ISSUER`");
        let sentences = page.lines().find(is_about_them).expect("sentences");
        assert_eq!(variables_in(sentences), shared);
    }
}

#[test]
fn the_chart_has_the_default_of_the_time_before_a_key_signs() {
    let setting = KEY_PREPUBLISH.declaration();
    let chart = content("k8s/chart/templates/_refusals.tpl");
    let lead = format!("\"{}\" | default \"{}\"", setting.name, setting.default);
    assert!(chart.contains(&lead), "{lead}");
}
