//! The pages about the variables: `.env.example` is written from the declarations, the tables are held against them.

use std::{collections::HashMap, env, fs, path::Path};

use super::{
    Settings,
    variable::{About, Presence},
    variables::{SERVE, SIDECAR},
};

const SIDECAR_HEADING: &str = "\
# The rest is for `wxmint sidecar`, which also reads WXMINT_ISSUER and WXMINT_AUDIENCE (both required), WXMINT_TOKEN_TYP,
# WXMINT_ADMIN_LISTEN, WXMINT_MAX_CONNECTIONS and WXMINT_LOG_FORMAT.\n\n";

fn page(name: &str) -> Option<String> {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).ok()
}

/// The explanation and the line to change. A line that stands for the default begins with `#`.
fn entry(about: &About) -> String {
    let (name, doc) = (about.name, about.doc.iter().map(|line| format!("#{line}\n")).collect::<String>());
    match about.presence {
        Presence::Required(value) => format!("{doc}{name}={value}\n"),
        Presence::Secret(value) => {
            let file = about.file_name;
            format!(
                "{doc}{name}={value}\n# Instead: the path of a file that holds it, such as /run/secrets/…\n# {file}=\n"
            )
        }
        Presence::Default(value) => format!("{doc}# {name}={value}\n"),
        Presence::Optional(value) => format!("{doc}# For example: {value}\n# {name}=\n"),
    }
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

/// The second cell of the row that names the variable, split like the first where a row has several variables.
fn default_in<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let quoted = format!("`{name}`");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" |"));
    let (names, rest) = rows.into_iter().find(|(names, _)| names.contains(&quoted))?;
    let place = names.split([',', '、']).position(|part| part.trim() == quoted)?;
    let default = rest.split('|').next()?.trim();
    default.split([',', '、']).nth(place).or(Some(default)).map(str::trim)
}

#[test]
fn the_tables_of_settings_have_a_row_for_each_variable_with_its_default() {
    for (pages, required) in
        [(["README.md", "docs/settings.md"], "required"), (["README.zh-CN.md", "docs/settings.zh-CN.md"], "必填")]
    {
        let text: String = pages.into_iter().filter_map(page).collect();
        for about in SERVE.iter().chain(SIDECAR) {
            let name = about.name;
            let told = default_in(&text, name).unwrap_or_else(|| panic!("{name} has no row in {pages:?}"));
            match about.default() {
                None => assert!(told.contains(required) || name == "WXMINT_APP_SECRET", "{name} in {pages:?}: {told}"),
                Some("") => assert!(!told.contains('`'), "{name} has no default in {pages:?}: {told}"),
                Some(default) => assert_eq!(told, format!("`{default}`"), "{name} in {pages:?}"),
            }
            assert!(about.file().is_none_or(|file| text.contains(&format!("`{file}`"))), "{name}_FILE in {pages:?}");
        }
    }
}
