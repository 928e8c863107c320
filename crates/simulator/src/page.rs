//! The demo's page, which plays the phone. It is served at the issuer's own origin, and loads nothing from elsewhere.

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// Path, content type and content.
pub type PageFile = (&'static str, &'static str, &'static str);

macro_rules! files {
    ($($path:literal, $kind:ident, $file:literal;)*) => {
        const FILES: &[PageFile] = &[$(($path, $kind, include_str!(concat!("page/", $file)))),*];
    };
}

/// Files of services that verify tokens, as `examples` has them and tests run them.
macro_rules! peers {
    ($($file:literal)*) => {
        const PEERS: &[PageFile] = &[$((
            concat!("/demo/peers/", $file),
            TEXT,
            include_str!(concat!("../shown/peers/", $file)),
        )),*];
    };
}

/// Pages of docs, in both languages.
macro_rules! pages {
    ($($name:literal)*) => {
        const PAGES: &[PageFile] = &[$(
            (concat!("/demo/pages/", $name, ".md"), TEXT, include_str!(concat!("../shown/docs/", $name, ".md"))),
            (
                concat!("/demo/pages/", $name, ".zh-CN.md"),
                TEXT,
                include_str!(concat!("../shown/docs/", $name, ".zh-CN.md")),
            ),
        )*];
    };
}

files! {
    "/", HTML, "index.html";
    "/demo/page.css", CSS, "page.css";
    "/demo/panels.css", CSS, "panels.css";
    "/demo/accounts.js", JS, "accounts.js";
    "/demo/appearance.js", JS, "appearance.js";
    "/demo/asking.js", JS, "asking.js";
    "/demo/curl.js", JS, "curl.js";
    "/demo/diagram.js", JS, "diagram.js";
    "/demo/dom.js", JS, "dom.js";
    "/demo/faults.js", JS, "faults.js";
    "/demo/kept.js", JS, "kept.js";
    "/demo/keys.js", JS, "keys.js";
    "/demo/page.js", JS, "page.js";
    "/demo/peer.js", JS, "peer.js";
    "/demo/peers.js", JS, "peers.js";
    "/demo/people.js", JS, "people.js";
    "/demo/phone.js", JS, "phone.js";
    "/demo/screens.js", JS, "screens.js";
    "/demo/scrolling.js", JS, "scrolling.js";
    "/demo/sidecar.js", JS, "sidecar.js";
    "/demo/steps-en.js", JS, "steps-en.js";
    "/demo/steps-zh.js", JS, "steps-zh.js";
    "/demo/steps.js", JS, "steps.js";
    "/demo/token.js", JS, "token.js";
    "/demo/verify.js", JS, "verify.js";
    "/demo/words-en.js", JS, "words-en.js";
    "/demo/words-zh.js", JS, "words-zh.js";
    "/demo/words.js", JS, "words.js";
    "/demo/yours.js", JS, "yours.js";
    "/demo/mini-program/utils/login.js", JS, "../../shown/mini-program/utils/login.js";
}

peers! {
    "java-spring/src/main/java/com/example/orders/SecurityConfig.java" "go/token.go" "node/app.mjs" "python/app.py" "rust/actix.rs"
}

pages! {
    "verify" "ends" "keys" "sidecar" "mini-program" "accounts" "api" "settings" "redis" "operation"
}

/// The page at `/` and its parts below `/demo/`.
pub fn page_files() -> impl Iterator<Item = &'static PageFile> {
    [FILES, PEERS, PAGES].into_iter().flatten()
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
        there.push("login.js".into());
        there.sort();
        served.sort();
        assert_eq!(there, served);
    }
}
