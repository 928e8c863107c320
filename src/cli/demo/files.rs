//! The repository's own files that the demo shows: its pages, and examples to copy. They are part of this package.

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{ACCEPT_LANGUAGE, AcceptLanguage, Header, LOCATION, VARY},
    web,
};
use include_dir::{Dir, include_dir};
use wxmint_simulator::Docs;

use crate::{
    http::{not_found, page},
    issuer::Routes,
};

static FOLDERS: [(&str, Dir); 2] =
    [("docs", include_dir!("$CARGO_MANIFEST_DIR/docs")), ("examples", include_dir!("$CARGO_MANIFEST_DIR/examples"))];

macro_rules! files {
    ($($path:literal)*) => {
        /// Path and content.
        const FILES: &[(&str, &str)] = &[$(($path, include_str!(concat!("../../../", $path)))),*];
    };
}

files! {
    "README.md" "README.zh-CN.md" "CHANGELOG.md" "SECURITY.md" "CONTRIBUTING.md" "CONTRIBUTING.zh-CN.md" "k8s/README.md" "k8s/README.zh-CN.md"
}

pub(super) fn routes() -> Routes {
    let docs = Arc::new(docs());
    Arc::new(move |config| {
        let docs = Arc::clone(&docs);
        let answer =
            move |request: HttpRequest, place: web::Path<String>| shown(Arc::clone(&docs), request, place.into_inner());
        config.route("/pages/{place:.*}", web::get().to(answer));
        let index = || async { HttpResponse::PermanentRedirect().insert_header((LOCATION, "/pages/")).finish() };
        config.route("/pages", web::get().to(index));
    })
}

/// What lies there. Where an address names no language, the browser's decides.
async fn shown(docs: Arc<Docs>, request: HttpRequest, place: String) -> HttpResponse {
    if let Some((kind, content)) = docs.answer(&place) {
        return page::answer(kind, content.into_owned());
    }
    let place = format!("{}/{place}", language(&request));
    if docs.answer(&place).is_none() {
        return HttpResponse::from_error(not_found("The pages are at /pages/."));
    }
    let mut found = HttpResponse::Found();
    found.insert_header((LOCATION, format!("/pages/{place}"))).insert_header((VARY, ACCEPT_LANGUAGE.as_str())).finish()
}

/// The folder of the language that the browser prefers.
fn language(request: &HttpRequest) -> &'static str {
    let preferred = AcceptLanguage::parse(request).map(|languages| languages.ranked()).unwrap_or_default();
    let mut tags = preferred.iter().filter_map(|range| range.item()).map(|tag| tag.primary_language());
    tags.find_map(|tag| ["en", "zh"].into_iter().find(|known| *known == tag)).unwrap_or("en")
}

fn docs() -> Docs {
    let single = FILES.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes()));
    Docs::new(single.chain(FOLDERS.iter().flat_map(|(name, folder)| files_of(name, folder))))
}

/// Not what somebody who has tried an example here has left in its folder: hidden files, and what was installed.
fn files_of(name: &'static str, folder: &'static Dir) -> Vec<(String, &'static [u8])> {
    let files = folder.files().map(|file| (format!("{name}/{}", file.path().display()), file.contents()));
    let is_ours = |(path, _): &(String, _)| {
        !path.contains("/.") && !path.contains("/node_modules/") && !path.contains("/target/")
    };
    files.chain(folder.dirs().flat_map(|folder| files_of(name, folder))).filter(is_ours).collect()
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
            let place = match (name.strip_suffix(".zh-CN.md"), name.strip_suffix(".md")) {
                (Some(stem), _) => format!("zh/{stem}"),
                (None, Some(stem)) => format!("en/{stem}"),
                (None, None) => format!("docs/{name}"),
            };
            let is_index = name.starts_with("README.") || name == "decisions";
            assert!(is_index || docs.answer(&place).is_some(), "{name}; cargo clean -p wxmint reads the folder again");
        }
        for place in
            ["zh/", "zh/readme", "en/examples/peers/", "zh/examples/peers/node/", "examples/peers/node/app.mjs"]
        {
            assert!(docs.answer(place).is_some(), "{place}");
        }
    }

    /// tests/it/readme.rs follows the anchors.
    #[test]
    fn what_a_page_links_to_below_pages_is_served() {
        let docs = docs();
        let mut followed = 0;
        for place in docs.places() {
            let (kind, page) = docs.answer(place).expect("a page or a file");
            // The pages of a mini program have links too.
            if kind != page::HTML {
                continue;
            }
            let page = String::from_utf8_lossy(&page);
            for link in page.split("=\"/pages/").skip(1).filter_map(|rest| rest.split(['"', '#']).next()) {
                assert!(docs.answer(link).is_some(), "{place} links to /pages/{link}");
                followed += 1;
            }
        }
        assert!(followed > 1_000, "only {followed} links");
    }
}
