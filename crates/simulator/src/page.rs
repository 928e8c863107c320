//! The demo's page, which plays the phone. It is served at the issuer's own origin, where `/docs`
//! has the style and the theme of all pages. It loads nothing from other origins.

/// Path, content type and content.
pub type PageFile = (&'static str, &'static str, &'static str);

macro_rules! files {
    ($($name:literal)*) => {
        const PARTS: &[PageFile] = &[$((concat!("/demo/", $name), kind($name), include_str!(concat!("page/", $name)))),*];
    };
}

const INDEX: &[PageFile] = &[(
    "/",
    "text/html; charset=utf-8",
    include_str!("page/index.html"),
)];
files! {
    "page.css" "panels.css" "asking.js" "diagram.js" "dom.js" "held.js" "laptop.js" "login.js" "page.js"
    "people.js" "phone.js" "problem.js" "scan.js" "screens.js" "services.js" "state.js" "steps-en.js"
    "steps-zh.js" "steps.js" "tabs.js" "token.js" "verify.js" "words-en.js" "words-zh.js" "words.js"
}

const fn kind(name: &str) -> &'static str {
    match name.as_bytes() {
        [.., b'c', b's', b's'] => "text/css; charset=utf-8",
        _ => "text/javascript; charset=utf-8",
    }
}

/// The page at `/` and its parts below `/demo/`.
pub fn page_files() -> impl Iterator<Item = &'static PageFile> {
    INDEX.iter().chain(PARTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_page_is_served() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/page");
        let mut there: Vec<_> = std::fs::read_dir(folder)
            .expect("the page's folder")
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .into_string()
                    .expect("UTF-8")
            })
            .collect();
        let mut served: Vec<_> = page_files()
            .map(|(path, ..)| {
                path.rsplit('/')
                    .next()
                    .filter(|name| !name.is_empty())
                    .unwrap_or("index.html")
                    .to_owned()
            })
            .collect();
        there.sort();
        served.sort();
        assert_eq!(there, served);
    }
}
