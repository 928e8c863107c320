//! `/docs/`: Swagger UI in a page of our own, in two languages.

use std::{borrow::Cow, sync::Arc};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderValue},
    web::{Bytes, Path},
};
use utoipa_swagger_ui::Config;

use super::{PLACE, demo_examples, language::Language};
use crate::http::{
    not_found,
    page::{self, CSS, HTML, JS},
};

const PAGE: &str = include_str!("viewer/index.html");

const FILES: [(&str, &str, &str); 5] = [
    ("early.js", JS, include_str!("viewer/early.js")),
    ("look.css", CSS, include_str!("viewer/look.css")),
    ("viewer.css", CSS, include_str!("viewer/viewer.css")),
    ("viewer.js", JS, include_str!("viewer/viewer.js")),
    ("words-zh.js", JS, include_str!("viewer/words-zh.js")),
];

/// Empty until Cargo.toml says where the repository is.
const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");

/// `GET /docs`: redirects to `/docs/`, below which the viewer's files lie. The location is relative, so that it also
/// holds behind a proxy that adds a path prefix.
pub(in crate::issuer) async fn docs_folder(request: HttpRequest) -> HttpResponse {
    let query = request.query_string();
    let place = if query.is_empty() { "docs/".to_owned() } else { format!("docs/?{query}") };
    HttpResponse::PermanentRedirect().insert_header((header::LOCATION, place)).finish()
}

/// `GET /docs/…`: the page and its files. The viewer's own route is not used, because its 404 has no body.
pub(in crate::issuer) async fn docs_file(request: HttpRequest, path: Path<String>) -> HttpResponse {
    match path.as_str() {
        "" | "index.html" => index(&request),
        "swagger-ui.css" => page::answer(CSS, of_swagger_ui(&path)),
        "swagger-ui-bundle.js" => page::answer(JS, of_swagger_ui(&path)),
        path => match FILES.iter().find(|(name, ..)| *name == path) {
            Some((_, kind, content)) => page::answer(kind, *content),
            None => not_found(PLACE)(request).await,
        },
    }
}

/// Borrows the files that are part of the program, because a copy for each client that reads slowly would take 1.5 MB.
fn of_swagger_ui(name: &str) -> Bytes {
    match utoipa_swagger_ui::serve(name, Arc::new(Config::default())) {
        Ok(Some(file)) => match file.bytes {
            Cow::Borrowed(bytes) => Bytes::from_static(bytes),
            Cow::Owned(bytes) => bytes.into(),
        },
        _ => Bytes::new(),
    }
}

fn index(request: &HttpRequest) -> HttpResponse {
    let words = Words::of(Language::of(request));
    let home = if demo_examples(request).is_some() { Home::Demo } else { Home::Repository(REPOSITORY) };
    let mut answer = page::answer(HTML, words.page(&home));
    answer.headers_mut().insert(header::VARY, HeaderValue::from_static("accept-language"));
    answer
}

/// Where the way back leads.
enum Home {
    Demo,
    Repository(&'static str),
}

struct Words {
    lang: &'static str,
    openapi: &'static str,
    title: &'static str,
    demo: &'static str,
    manual: &'static str,
    manual_file: &'static str,
    other: &'static str,
    other_name: &'static str,
    dark: &'static str,
    noscript: &'static str,
}

const ENGLISH: Words = Words {
    lang: "en",
    openapi: "../openapi.json",
    title: "wxmint API",
    demo: "Demo",
    manual: "Manual",
    manual_file: "README.md",
    other: "zh-CN",
    other_name: "中文",
    dark: "Dark",
    noscript: "This page needs JavaScript. The API is also described in",
};

const CHINESE: Words = Words {
    lang: "zh-CN",
    openapi: "../openapi.zh-CN.json",
    title: "wxmint 接口文档",
    demo: "演示",
    manual: "使用手册",
    manual_file: "README.zh-CN.md",
    other: "en",
    other_name: "English",
    dark: "深色",
    noscript: "本页需要 JavaScript。接口的描述也在",
};

impl Words {
    const fn of(language: Language) -> &'static Self {
        match language {
            Language::English => &ENGLISH,
            Language::Chinese => &CHINESE,
        }
    }

    fn page(&self, home: &Home) -> String {
        let here = format!("?lang={}", self.lang);
        let demo = if matches!(home, Home::Demo) { "true" } else { "false" };
        let (home, back) = match home {
            Home::Demo => ("../", link("../", self.demo)),
            Home::Repository("") => (here.as_str(), String::new()),
            Home::Repository(place) => {
                (here.as_str(), link(&format!("{place}/blob/HEAD/docs/{}", self.manual_file), self.manual))
            }
        };
        [
            ("{lang}", self.lang),
            ("{openapi}", self.openapi),
            ("{demo}", demo),
            ("{title}", self.title),
            ("{home}", home),
            ("{back}", &back),
            ("{other}", self.other),
            ("{other_name}", self.other_name),
            ("{dark}", self.dark),
            ("{noscript}", self.noscript),
        ]
        .into_iter()
        .fold(PAGE.to_owned(), |page, (place, words)| page.replace(place, words))
    }
}

fn link(place: &str, words: &str) -> String {
    format!(r#"<a class="quiet" id="back" href="{place}">{words}</a>"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_page_is_served() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/issuer/api/viewer");
        for entry in std::fs::read_dir(folder).expect("the page's folder") {
            let name = entry.expect("an entry").file_name().into_string().expect("UTF-8");
            assert!(name == "index.html" || FILES.iter().any(|(served, ..)| *served == name), "{name}");
        }
        for name in ["swagger-ui.css", "swagger-ui-bundle.js"] {
            assert!(of_swagger_ui(name).len() > 100_000, "{name}");
        }
    }

    #[test]
    fn the_page_has_its_words_and_a_way_back() {
        for (language, words) in [(Language::English, "中文"), (Language::Chinese, "English")] {
            let page = Words::of(language).page(&Home::Demo);
            assert!(page.contains(words) && page.contains(r#"id="back" href="../""#), "{page}");
            assert!(!page.contains('{'), "a place without words: {page}");
        }
        let repository = Home::Repository("https://git.example/wxmint");
        let page = CHINESE.page(&repository);
        assert!(page.contains(r#"href="https://git.example/wxmint/blob/HEAD/docs/README.zh-CN.md""#), "{page}");
        assert!(!ENGLISH.page(&Home::Repository("")).contains(r#"id="back""#));
    }
}
