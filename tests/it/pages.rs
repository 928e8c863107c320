//! Every page of docs is there in both languages and in the index of both. tests/it/readme.rs follows the links.

use std::path::Path;

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
    let (_, paced) = performance.split_once("500 a second, 50 ms upstream delay").expect("the paced scenario");
    let cores = a_second * number(paced, "| CPU µs a login | ", " |") / 1e6;
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
