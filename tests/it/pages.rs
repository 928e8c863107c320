//! Every page of docs is there in both languages and in the index of both, and what files other than pages call a page is one.
//! tests/it/readme.rs follows the links.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use wxmint::http::ProblemCode;

use crate::{readme::pages, support::repository};

#[test]
fn every_page_of_docs_is_there_in_both_languages_and_in_both_indexes() {
    let (pages, docs) = (pages(), repository("docs"));
    for ending in [".md", ".zh-CN.md"] {
        let index = &pages[&docs.join(format!("README{ending}"))];
        let names = pages.keys().filter_map(|path| path.strip_prefix(&docs).ok()?.to_str());
        let english = names.filter(|name| !name.contains(".zh-CN.") && !name.contains('/') && *name != "README.md");
        for name in english.map(|name| name.replace(".md", ending)) {
            assert!(pages.contains_key(&docs.join(&name)), "{name} is missing");
            assert!(index.contains(&format!("]({name}")), "{name} is not in docs/README{ending}");
        }
    }
}

#[test]
fn every_variable_that_a_page_names_is_in_the_example_file() {
    let known = fs::read_to_string(repository(".env.example")).expect("our own file");
    for (path, page) in pages() {
        for (start, _) in page.match_indices("WXMINT_") {
            let rest = &page[start..];
            let name = rest.split(|letter: char| !letter.is_ascii_uppercase() && letter != '_').next().unwrap_or(rest);
            let is_ours = name.starts_with("WXMINT_TEST_") || name.ends_with('_');
            assert!(is_ours || known.contains(&format!("{name}=")), "{name} in {}", path.display());
        }
    }
}

#[test]
fn the_table_of_errors_names_every_code_and_no_other() {
    let known: BTreeSet<_> = ProblemCode::ALL.iter().map(|code| code.as_str()).collect();
    let pages = pages();
    for name in ["api.md", "api.zh-CN.md"] {
        let (_, table) = pages[&repository("docs").join(name)].rsplit_once("\n| `code` |").expect("a table of errors");
        let codes = table.lines().skip(2).map_while(|row| row.strip_prefix("| ")?.split(" | ").next());
        let named: BTreeSet<_> = codes.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
        assert_eq!(named, known, "{name}");
    }
}

/// A comment that says where a rule is written leads nobody astray.
#[test]
fn every_page_that_a_file_names_is_in_the_repository() {
    let listed = Command::new("git").arg("ls-files").current_dir(repository("")).output().expect("git");
    let (pages, mut named) = (pages(), 0);
    for file in String::from_utf8(listed.stdout).expect("names").lines().filter(|name| !name.ends_with(".md")) {
        // A picture, or a file that is being removed, names no page.
        let text = fs::read_to_string(repository(file)).unwrap_or_default();
        let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && !"_./-".contains(letter));
        let words = words.map(|word| word.trim_end_matches('.').trim_start_matches("../"));
        // Not an ending alone, and not a URL.
        for word in words.filter(|word| word.ends_with(".md") && !word.starts_with('.') && !word.starts_with("//")) {
            assert!(pages.keys().any(|page: &PathBuf| page.ends_with(word)), "{file}: there is no page {word}");
            named += 1;
        }
    }
    assert!(named > 0, "git lists no file that names a page");
}

/// The number that stands between two texts of a page.
fn number(page: &str, before: &str, after: &str) -> f64 {
    let rest = page.split_once(before).unwrap_or_else(|| panic!("no {before:?}")).1;
    let number = rest.split_once(after).unwrap_or_else(|| panic!("no {after:?} after {before:?}")).0;
    number.replace(',', "").parse().unwrap_or_else(|_| panic!("{number} after {before:?}"))
}

#[test]
fn what_capacity_says_follows_from_what_was_measured() {
    let pages = pages();
    let page = |name: &str| pages[&repository("docs").join(Path::new(name))].as_str();
    let (scale, performance) = (page("scale.md"), page("performance.md"));
    let each = |key: &str| number(scale, &format!("| `{key}` | "), " |");
    let person = each("…:binding") + each("wxmint:user:…") + each("wxmint:union:…");
    let end = each("…:ends") + number(scale, "| `wxmint:ended`, each end | ", " |");
    let (a_second, gb) = (number(scale, "there are ", " logins a second"), number(scale, "| together | | | ", " |"));
    let (saturated, paced) = performance.split_once("500 a second, 50 ms upstream delay").expect("the paced scenario");
    let [least, most] = [saturated, paced].map(|scenario| number(scenario, "| CPU µs a login | ", " |"));
    let cores = a_second * most / 1e6;
    assert!(scale.contains(&format!("[{least:.0} to {most:.0} µs a login]")), "of docs/performance.md");
    for name in ["capacity.md", "capacity.zh-CN.md"] {
        let page = page(name);
        for bytes in [format!("{person} × "), format!("{} × ", each("…:session")), format!("{end} × ")] {
            assert!(page.contains(&bytes), "{bytes} in {name}");
        }
        let rows: Vec<_> = page.lines().filter(|line| line.starts_with("| 1")).take(4).collect();
        for (row, part) in rows.iter().zip([1e-5, 1e-3, 0.1, 1.0]) {
            let mut cells =
                row.split(" | ").skip(1).map(|cell| cell.replace(',', "").parse::<f64>().expect("a number"));
            for value in [a_second, cores, gb] {
                let shown = cells.next().expect("a cell");
                assert!((shown / (value * part) - 1.0).abs() < 0.1, "{shown} instead of {} in {row}", value * part);
            }
        }
        assert_eq!(rows.len(), 4, "{name}");
    }
}
