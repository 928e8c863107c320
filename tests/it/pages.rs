//! Every page of docs is there in both languages and in the index of both. tests/it/readme.rs follows the links.

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
