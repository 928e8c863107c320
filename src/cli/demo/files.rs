//! The repository's own files that the demo shows: its pages, and examples to copy. They are part of this package.

use std::sync::Arc;

use actix_web::{HttpResponse, http::header, web};
use include_dir::{Dir, include_dir};
use wxmint_simulator::Docs;

use crate::{http::page, issuer::Routes};

static DOCS: Dir = include_dir!("$CARGO_MANIFEST_DIR/docs");
const README: [(&str, &str); 2] =
    [("README.md", include_str!("../../../README.md")), ("README.zh-CN.md", include_str!("../../../README.zh-CN.md"))];

macro_rules! examples {
    ($($path:literal)*) => {
        /// Path below `examples`, and content.
        const EXAMPLES: &[(&str, &str)] = &[$(($path, include_str!(concat!("../../../examples/", $path)))),*];
    };
}

// Those that the page's code.js shows.
examples! {
    "mini-program/utils/login.js" "peers/java-spring/src/main/java/com/example/orders/SecurityConfig.java" "peers/java-spring/src/main/resources/application.yml" "peers/go/token.go" "peers/go/main.go" "peers/node/app.mjs"
    "peers/python/app.py" "peers/rust/actix.rs"
}

/// The pages below `/pages/`, and the examples below `/demo/examples/`.
pub(super) fn routes() -> Routes {
    let docs = Arc::new(docs());
    Arc::new(move |config| {
        for &(path, content) in EXAMPLES {
            let answer = move || async move { page::answer("text/plain; charset=utf-8", content) };
            config.route(&format!("/demo/examples/{path}"), web::get().to(answer));
        }
        for place in docs.places().map(str::to_owned) {
            let docs = Arc::clone(&docs);
            let path = format!("/pages/{place}");
            let answer = move || {
                let answer = docs.answer(&place).map(|(kind, content)| page::answer(kind, content.into_owned()));
                async move { answer }
            };
            config.route(&path, web::get().to(answer));
        }
        let index = || async { HttpResponse::Found().insert_header((header::LOCATION, "/pages/")).finish() };
        config.route("/pages", web::get().to(index));
    })
}

fn docs() -> Docs {
    let readme = README.map(|(path, text)| (path.to_owned(), text.as_bytes()));
    Docs::new(readme.into_iter().chain(files_of(&DOCS)))
}

fn files_of(folder: &'static Dir) -> Vec<(String, &'static [u8])> {
    let files = folder.files().map(|file| (format!("docs/{}", file.path().display()), file.contents()));
    files.chain(folder.dirs().flat_map(files_of)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The compiler does not see that a file was added to the folder.
    #[test]
    fn every_page_of_docs_is_served() {
        let docs = docs();
        for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/docs")).expect("the folder") {
            let name = entry.expect("an entry").file_name().into_string().expect("UTF-8");
            let place = match name.strip_suffix(".zh-CN.md") {
                Some(stem) => format!("zh/{stem}"),
                None => name.strip_suffix(".md").unwrap_or(&name).to_owned(),
            };
            let is_index = name.starts_with("README.") || name == "decisions";
            assert!(is_index || docs.answer(&place).is_some(), "{name}; cargo clean -p wxmint reads the folder again");
        }
        assert!(docs.answer("zh/").is_some() && docs.answer("zh/readme").is_some());
    }

    /// tests/it/readme.rs follows the anchors.
    #[test]
    fn what_a_page_links_to_below_pages_is_served() {
        let docs = docs();
        let mut followed = 0;
        for place in docs.places() {
            let (_, page) = docs.answer(place).expect("a page or a file");
            let page = String::from_utf8_lossy(&page);
            for link in page.split("=\"/pages/").skip(1).filter_map(|rest| rest.split(['"', '#']).next()) {
                assert!(docs.answer(link).is_some(), "{place} links to /pages/{link}");
                followed += 1;
            }
        }
        assert!(followed > 1_000, "only {followed} links");
    }
}
