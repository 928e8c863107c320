//! The demo's page, which plays the phone. It is served at the issuer's own origin, whose `/docs` has the look and the
//! theme of all pages, and loads nothing from elsewhere.

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

/// Path, content type and content.
pub type PageFile = (&'static str, &'static str, &'static str);

macro_rules! files {
    ($($path:literal, $kind:ident, $file:literal;)*) => {
        const FILES: &[PageFile] = &[$(($path, $kind, include_str!(concat!("page/", $file)))),*];
    };
}

files! {
    "/", HTML, "index.html";
    "/demo/page.css", CSS, "page.css";
    "/demo/panels.css", CSS, "panels.css";
    "/demo/appearance.js", JS, "appearance.js";
    "/demo/asking.js", JS, "asking.js";
    "/demo/diagram.js", JS, "diagram.js";
    "/demo/dom.js", JS, "dom.js";
    "/demo/held.js", JS, "held.js";
    "/demo/kept.js", JS, "kept.js";
    "/demo/laptop.js", JS, "laptop.js";
    "/demo/login.js", JS, "login.js";
    "/demo/page.js", JS, "page.js";
    "/demo/people.js", JS, "people.js";
    "/demo/phone.js", JS, "phone.js";
    "/demo/problem.js", JS, "problem.js";
    "/demo/scan.js", JS, "scan.js";
    "/demo/screens.js", JS, "screens.js";
    "/demo/services.js", JS, "services.js";
    "/demo/state.js", JS, "state.js";
    "/demo/steps-en.js", JS, "steps-en.js";
    "/demo/steps-zh.js", JS, "steps-zh.js";
    "/demo/steps.js", JS, "steps.js";
    "/demo/tabs.js", JS, "tabs.js";
    "/demo/token.js", JS, "token.js";
    "/demo/verdict.js", JS, "verdict.js";
    "/demo/verify.js", JS, "verify.js";
    "/demo/words-en.js", JS, "words-en.js";
    "/demo/words-zh.js", JS, "words-zh.js";
    "/demo/words.js", JS, "words.js";
}

/// The page at `/` and its parts below `/demo/`.
pub fn page_files() -> &'static [PageFile] {
    FILES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_page_is_served() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/page");
        let mut there: Vec<_> = std::fs::read_dir(folder)
            .expect("the page's folder")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
            .collect();
        let mut served: Vec<_> = FILES
            .iter()
            .map(|(path, ..)| {
                path.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("index.html").to_owned()
            })
            .collect();
        there.sort();
        served.sort();
        assert_eq!(there, served);
    }
}
