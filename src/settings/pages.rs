//! The pages about the variables: `.env.example` is written from the declarations, the tables are held against them.

use std::{collections::HashMap, env, fs, mem, path::Path};

use super::{
    Settings, SidecarSettings,
    variable::{About, Presence},
    variables::{SERVE, SIDECAR},
};

const SIDECAR_HEADING: &str = "\
# The rest is for `wxmint sidecar`, which also reads WXMINT_ISSUER and WXMINT_AUDIENCE (both required), WXMINT_TOKEN_TYP,
# WXMINT_ADMIN_LISTEN, WXMINT_MAX_CONNECTIONS and WXMINT_LOG_FORMAT.\n\n";

fn page(name: &str) -> Option<String> {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).ok()
}

/// The explanation, the form, and the line to change. A line that shows a default is commented out.
fn entry(about: &About) -> String {
    let (name, doc) = (about.name, about.doc.concat());
    let text = wrapped(&doc) + &wrapped(&format!("Form: {}", about.wanted));
    match about.presence {
        Presence::Required(value) => format!("{text}{name}={value}\n"),
        Presence::Secret(value) => {
            format!("{text}{name}={value}\n# Instead, the path of a file with the value:\n# {name}_FILE=\n")
        }
        Presence::Default(value) => format!("{text}# {name}={value}\n"),
        Presence::Optional(value) => format!("{text}# For example: {value}\n# {name}=\n"),
    }
}

/// Comment lines of at most 120 characters.
fn wrapped(text: &str) -> String {
    let (mut lines, mut line) = (String::new(), "#".to_owned());
    for word in text.split_whitespace() {
        if line.len() + word.len() >= 120 {
            lines += &(mem::replace(&mut line, "#".to_owned()) + "\n");
        }
        line = line + " " + word;
    }
    lines + &line + "\n"
}

/// `wxmint serve` loads the file, so what only the sidecar requires is not set there.
fn sidecar_entry(about: &About) -> String {
    match about.presence {
        Presence::Required(value) => entry(&About { presence: Presence::Optional(value), ..*about }),
        _ => entry(about),
    }
}

fn entries() -> String {
    let serve: Vec<_> = SERVE.iter().map(entry).collect();
    let sidecar: Vec<_> = SIDECAR.iter().map(sidecar_entry).collect();
    format!("{}\n{SIDECAR_HEADING}{}", serve.join("\n"), sidecar.join("\n"))
}

#[test]
fn the_example_file_is_written_from_the_declarations() {
    let old = page(".env.example").expect("our own .env.example");
    let head = old.split("\n\n").next().expect("a head");
    let new = format!("{head}\n\n{}", entries());
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(".env.example"), &new).expect("our own file");
    } else {
        assert_eq!(old, new, "write it anew with: UPDATE_DOCS=1 cargo test --lib settings");
    }
}

#[test]
fn the_example_file_changes_nothing_until_it_is_changed() {
    let example = entries();
    let pairs = |text: &str| text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let set: HashMap<_, _> = example.lines().filter(|line| line.starts_with("WXMINT_")).filter_map(pairs).collect();
    let commented =
        example.lines().filter_map(|line| line.strip_prefix("# ")).filter(|line| line.starts_with("WXMINT_"));
    let all = set.clone().into_iter().chain(commented.filter_map(pairs));
    let [explicit, implicit] =
        [all.collect(), set].map(|vars: HashMap<_, _>| format!("{:?}", Settings::from_vars(vars)));
    assert!(explicit.starts_with("Ok") && explicit == implicit, "{explicit}\n{implicit}");
}

/// The second cell of the row that names the variable, and the variable's part of it if the row has several variables.
fn default_in<'a>(text: &'a str, name: &str) -> Option<(&'a str, &'a str)> {
    let quoted = format!("`{name}`");
    let mut rows = text.lines().filter_map(|line| line.strip_prefix("| ")?.split_once('|'));
    let (names, rest) = rows.find(|(names, _)| names.contains(&quoted))?;
    let place = names.split([',', '、']).position(|part| part.trim() == quoted)?;
    let cell = rest.split('|').next()?.trim();
    Some((cell, cell.split([',', '、']).nth(place).unwrap_or(cell).trim()))
}

#[test]
fn every_variable_is_read_by_a_command_and_refused_while_it_holds_its_placeholder() {
    let with = |name: &str| [(name.to_owned(), "REPLACE-ME".to_owned())];
    let refused = |faults: String, name: &str| {
        assert!(faults.contains(&format!("{name} still holds its placeholder")), "{faults}")
    };
    for About { name, .. } in SERVE {
        refused(Settings::from_vars(with(name)).expect_err(name).to_string(), name);
    }
    for About { name, .. } in SIDECAR {
        refused(SidecarSettings::from_vars(with(name)).expect_err(name).to_string(), name);
    }
}

#[test]
fn the_tables_of_settings_have_a_row_for_each_variable_with_its_default() {
    for (file, required) in [("docs/settings.md", "required"), ("docs/settings.zh-CN.md", "必填")] {
        let text = page(file).expect(file);
        for about in SERVE.iter().chain(SIDECAR) {
            let name = about.name;
            let (cell, told) = default_in(&text, name).unwrap_or_else(|| panic!("{name} has no row in {file}"));
            match about.default() {
                None => assert!(cell.contains(required), "{name} in {file}: {cell}"),
                Some("") => assert!(!told.starts_with('`'), "{name} has no default in {file}: {told}"),
                Some(default) => assert_eq!(told, format!("`{default}`"), "{name} in {file}"),
            }
            let is_named = |other: String| text.contains(&format!("`{other}`"));
            assert!(about.file_variable().is_none_or(is_named), "{name}_FILE in {file}");
        }
    }
}
