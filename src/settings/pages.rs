//! `.env.example` and the tables of settings, held against what the program reads.

use std::{collections::HashMap, fs, path::Path};

use super::{Settings, SidecarSettings, parse_duration, reader::Fault, variable::ENTRIES, variables::NAMES};

fn page(name: &str) -> Option<String> {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).ok()
}

/// The faults of both commands if this variable alone is set.
fn faults(name: &str, value: &str) -> Vec<Fault> {
    let vars = [(name.to_owned(), value.to_owned())];
    let serve = Settings::from_vars(vars.clone()).expect_err("more is required");
    let sidecar = SidecarSettings::from_vars(vars).expect_err("more is required");
    serve.0.into_iter().chain(sidecar.0).filter(|fault| fault.variable == name).collect()
}

#[test]
fn the_example_file_has_an_entry_for_each_variable_in_their_order() {
    assert_eq!(NAMES, ENTRIES.iter().map(|entry| entry.name).collect::<Vec<_>>());
    for entry in ENTRIES.iter() {
        assert!(!entry.form.is_empty() && !entry.form.contains('#') && !entry.example.is_empty(), "{}", entry.name);
    }
}

#[test]
fn the_example_file_changes_nothing_until_it_is_changed() {
    let example = page(".env.example").expect("our own .env.example");
    let pairs = |text: &str| text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let set: HashMap<_, _> = example.lines().filter(|line| line.starts_with("WXMINT_")).filter_map(pairs).collect();
    let defaults = ENTRIES.iter().filter_map(|entry| Some((entry.name.to_owned(), entry.default?.to_owned())));
    let all = set.clone().into_iter().chain(defaults);
    let [explicit, implicit] =
        [all.collect(), set].map(|vars: HashMap<_, _>| format!("{:?}", Settings::from_vars(vars)));
    assert!(explicit.starts_with("Ok") && explicit == implicit, "{explicit}\n{implicit}");
}

#[test]
fn every_variable_is_read_by_a_command_and_refused_while_it_holds_its_placeholder() {
    for name in NAMES {
        let faults = faults(name, "REPLACE-ME");
        assert!(faults.iter().any(|fault| fault.problem == "still holds its placeholder"), "{name}: {faults:?}");
    }
}

#[test]
fn the_range_in_words_is_the_range_that_holds() {
    let beyond = |text: &str, by: i64| match parse_duration(text) {
        Some(span) => format!("{}s", span.as_secs() as i64 + by),
        None => (text.parse::<i64>().expect("a number") + by).to_string(),
    };
    let mut ranges = 0;
    for entry in ENTRIES.iter().filter(|entry| !entry.form.contains("a slash and a time")) {
        let Some((_, range)) = entry.form.split_once(" from ") else { continue };
        let words: Vec<_> = range.split([' ', ',', ';']).collect();
        let [least, "to", most, ..] = words[..] else { panic!("{}: {range}", entry.name) };
        ranges += 1;
        for (value, is_good) in
            [(least.to_owned(), true), (most.to_owned(), true), (beyond(least, -1), false), (beyond(most, 1), false)]
        {
            assert_eq!(faults(entry.name, &value).is_empty(), is_good, "{}={value}", entry.name);
        }
    }
    assert!(ranges > 8, "{ranges}");
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
fn the_tables_of_settings_have_a_row_for_each_variable_with_its_default() {
    for (file, required) in [(".md", "required"), (".zh-CN.md", "必填")] {
        let [serve, sidecar] = ["settings", "sidecar"].map(|name| page(&format!("docs/{name}{file}")).expect(name));
        let text = serve + &sidecar;
        for entry in ENTRIES.iter() {
            let name = entry.name;
            let (cell, told) = default_in(&text, name).unwrap_or_else(|| panic!("{name} has no row in {file}"));
            match entry.default {
                None => assert!(cell.contains(required), "{name} in {file}: {cell}"),
                Some("") => assert!(!told.starts_with('`'), "{name} has no default in {file}: {told}"),
                Some(default) => assert_eq!(told, format!("`{default}`"), "{name} in {file}"),
            }
            let is_named = |other: String| text.contains(&format!("`{other}`"));
            assert!(entry.file_variable().is_none_or(is_named), "{name}_FILE in {file}");
        }
    }
}
