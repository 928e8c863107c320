//! The pages of the repository as HTML, in the look of the demo's page. Whoever calls hands the files in, because a package
//! holds no file of another.

mod markdown;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    mem,
};

use serde_json::{Value, json};

use self::markdown::{Rendered, escaped, render};

const FRAME: &str = include_str!("../page/docs.html");
const PAGE: &str = ".md";
/// Folders of files to copy, whose pages list what is in them.
const LISTED: &str = "examples/";

/// What the pages of one language share.
struct Language {
    folder: &'static str,
    /// How the names of its files end.
    ending: &'static str,
    /// What the frame says: `{0}` to `{10}` of docs.html, and the heading of a list of files.
    words: [&'static str; 12],
}

#[rustfmt::skip]
const LANGUAGES: [Language; 2] = [
    Language { folder: "en", ending: PAGE, words: ["en", "Skip to the page", "Demo", "API docs", "zh-CN", "中文",
        "Dark colours", "On this page", "All pages", "Search", "Nothing found", "Files"] },
    Language { folder: "zh", ending: ".zh-CN.md", words: ["zh-CN", "跳到正文", "演示", "接口文档", "en", "English",
        "深色", "本页内容", "全部文档", "搜索", "没有找到", "文件"] },
];

/// The language of a page, and the other one.
fn languages(path: &str) -> [&'static Language; 2] {
    let [english, chinese] = &LANGUAGES;
    if path.ends_with(chinese.ending) { [chinese, english] } else { [english, chinese] }
}

/// The files below `/pages/`.
pub struct Docs {
    /// By their paths in the repository.
    files: BTreeMap<String, &'static [u8]>,
    /// Those paths, by the paths below `/pages/`. A folder that is listed has one in each language, of a page or of none.
    places: BTreeMap<String, String>,
}

impl Docs {
    /// Takes the pages, and the pictures and other files that they link to, each by its path in the repository.
    pub fn new(files: impl IntoIterator<Item = (String, &'static [u8])>) -> Self {
        let files: BTreeMap<_, _> = files.into_iter().collect();
        let ends = |path: &String| path.match_indices('/').map(|(at, _)| path[..=at].to_owned()).collect::<Vec<_>>();
        let folders: BTreeSet<_> = files.keys().filter(|path| path.starts_with(LISTED)).flat_map(ends).collect();
        let listed =
            folders.iter().flat_map(|folder| LANGUAGES.each_ref().map(|of| format!("{folder}README{}", of.ending)));
        let places = files.keys().cloned().chain(listed).map(|path| (place_of(&path), path)).collect();
        Self { files, places }
    }

    /// The paths below `/pages/`.
    pub fn places(&self) -> impl Iterator<Item = &str> {
        self.places.keys().map(String::as_str)
    }

    /// Content type and content of what lies there below `/pages/`.
    pub fn answer(&self, place: &str) -> Option<(&'static str, Cow<'static, [u8]>)> {
        if let Some(folder) = place.strip_suffix("/search.json") {
            let language = LANGUAGES.iter().find(|language| language.folder == folder)?;
            return Some(("application/json", self.sections(language).to_string().into_bytes().into()));
        }
        let path = self.places.get(place)?;
        Some(match path.rsplit('.').next() {
            Some("md") => ("text/html; charset=utf-8", self.page(path).into_bytes().into()),
            Some("svg") => ("image/svg+xml", self.files[path].into()),
            _ => ("text/plain; charset=utf-8", self.files[path].into()),
        })
    }

    fn page(&self, path: &str) -> String {
        let [language, other] = languages(path);
        let translated = place_of(&format!("{}{}", path.trim_end_matches(language.ending), other.ending));
        // A decision is there in English alone.
        let translated = if self.places.contains_key(&translated) { translated } else { format!("{}/", other.folder) };
        let Rendered { html, parts } = self.rendered(path);
        let link =
            |(anchor, title): (&String, &String)| format!("<li><a href=\"#{anchor}\">{}</a></li>", escaped(title));
        let sections = parts.iter().skip(1).map(|part| link((&part.anchor, &part.heading))).collect();
        let named = [
            ("{title}", escaped(&self.title(path))),
            ("{other}", translated),
            ("{sections}", sections),
            ("{index}", self.index(language, path)),
        ];
        let words = language.words.iter().enumerate();
        let frame = words.fold(FRAME.to_owned(), |frame, (n, word)| frame.replace(&format!("{{{n}}}"), word));
        let frame = named.iter().fold(frame, |frame, (name, value)| frame.replace(name, value));
        frame.replace("{content}", &(html + &self.listed(language, path)))
    }

    fn rendered(&self, path: &str) -> Rendered {
        // The link to the other language is in the frame.
        let is_switch = |line: &str| ["[中文](", "[English]("].iter().any(|link| line.starts_with(link));
        let markdown: Vec<_> = self.text(path).lines().filter(|line| !is_switch(line)).collect();
        render(&markdown.join("\n"), |link| self.target(path, link))
    }

    /// What the search of a language looks through: each part of each page.
    fn sections(&self, language: &Language) -> Value {
        let is_read = |path: &&String| path.ends_with(PAGE) && languages(path)[0].folder == language.folder;
        let mut paths: Vec<_> = self.files.keys().filter(is_read).collect();
        // The pages for readers stand before those for contributors.
        paths.sort_by_key(|path| !path.starts_with("docs/") || path.contains("/decisions/"));
        let parts = paths.into_iter().flat_map(|path| {
            let (place, page) = (place_of(path), self.title(path));
            let of = move |anchor: &str| if anchor.is_empty() { place.clone() } else { format!("{place}#{anchor}") };
            let parts = self.rendered(path).parts.into_iter();
            parts.map(move |part| json!([of(&part.anchor), page, part.heading, part.text]))
        });
        parts.collect()
    }

    /// The files of a folder that is listed, below what its page says.
    fn listed(&self, language: &Language, path: &str) -> String {
        let folder = path.strip_suffix(language.ending).and_then(|stem| stem.strip_suffix("README"));
        let Some(folder) = folder.filter(|folder| folder.starts_with(LISTED)) else { return String::new() };
        let title =
            if self.files.contains_key(path) { String::new() } else { format!("<h1>{}</h1>", self.title(path)) };
        let inside = self.files.keys().filter_map(|path| Some((path, path.strip_prefix(folder)?)));
        let item = |(path, name): (&String, &str)| {
            format!("<li><a href=\"/pages/{}\">{}</a></li>", place_of(path), escaped(name))
        };
        let items = inside.filter(|(_, name)| !name.ends_with(PAGE)).map(item).collect::<String>();
        format!("{title}<h2>{}</h2><ul>{items}</ul>", language.words[11])
    }

    /// The pages by the sections of the index, each where the index first names it.
    fn index(&self, language: &Language, current: &str) -> String {
        let index = format!("docs/README{}", language.ending);
        let item = |path: &str| {
            let here = if path == current { " aria-current=\"page\"" } else { "" };
            format!("<li><a href=\"/pages/{}\"{here}>{}</a></li>", place_of(path), escaped(&self.title(path)))
        };
        // The index stands first, and its link to the other language is no page to read on.
        let mut listed: BTreeSet<_> =
            LANGUAGES.iter().map(|language| format!("docs/README{}", language.ending)).collect();
        let (mut html, mut heading) = (item(&index), String::new());
        for line in self.text(&index).lines() {
            if let Some(section) = line.strip_prefix("## ") {
                heading = format!("</ul><p>{}</p><ul>", escaped(section));
            }
            for link in line.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
                let path = joined(&index, link);
                if path.ends_with(PAGE) && self.files.contains_key(&path) && listed.insert(path.clone()) {
                    html += &mem::take(&mut heading);
                    html += &item(&path);
                }
            }
        }
        html
    }

    /// Where a link of the page leads; the file, if it is none of those that are served.
    fn target(&self, page: &str, link: &str) -> Result<String, String> {
        if link.contains(':') || link.starts_with('#') {
            return Ok(link.to_owned());
        }
        let (file, anchor) = link.split_at(link.find('#').unwrap_or(link.len()));
        let path = joined(page, file);
        let folder = format!("{path}/README{}", languages(page)[0].ending);
        let place = [path.as_str(), &folder].map(place_of).into_iter().find(|place| self.places.contains_key(place));
        place.map(|place| format!("/pages/{place}{anchor}")).ok_or(path)
    }

    fn title(&self, path: &str) -> String {
        let first = self.text(path).lines().find_map(|line| line.strip_prefix("# "));
        first.map_or_else(
            || path.rsplit_once('/').map_or(path, |(folder, _)| folder).to_owned(),
            |title| title.replace('`', ""),
        )
    }

    fn text(&self, path: &str) -> &'static str {
        self.files.get(path).and_then(|content| str::from_utf8(content).ok()).unwrap_or_default()
    }
}

/// `docs/keys.md` is `en/keys`, `docs/keys.zh-CN.md` is `zh/keys`, and a README is its folder. Other files keep their paths.
fn place_of(path: &str) -> String {
    let [Language { folder, ending, .. }, _] = languages(path);
    let Some(stem) = path.strip_suffix(ending) else { return path.to_owned() };
    let place = match stem {
        "README" => "readme",
        stem => stem.strip_prefix("docs/").unwrap_or(stem),
    };
    format!("{folder}/{}", place.strip_suffix("README").unwrap_or(place))
}

/// The path in the repository that a link of the page means.
fn joined(page: &str, link: &str) -> String {
    let mut parts: Vec<_> = page.split('/').collect();
    parts.pop();
    for part in link.split('/').filter(|part| !part.is_empty() && *part != ".") {
        match part {
            ".." => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(markdown: &'static str) -> String {
        let index: &[u8] = b"# Pages\n\n[z](README.zh-CN.md)\n\n## Keys\n\n- [keys](keys.md), [more](keys.md#x)";
        let docs = Docs::new([
            ("docs/keys.md".to_owned(), markdown.as_bytes()),
            ("docs/keys.svg".to_owned(), b"<svg/>".as_slice()),
            ("docs/README.md".to_owned(), index),
            ("docs/README.zh-CN.md".to_owned(), "# 文档".as_bytes()),
            ("examples/peers/app.mjs".to_owned(), b"run()".as_slice()),
            ("examples/peers/node/README.md".to_owned(), b"# Node".as_slice()),
        ]);
        for (place, has) in [
            ("examples/peers/app.mjs", "run()"),
            ("en/examples/", "<a href=\"/pages/examples/peers/app.mjs\">peers/app.mjs</a>"),
            ("en/examples/peers/node/", "<h1 id=\"node\">Node</h1>"),
            ("zh/examples/peers/node/", "<h1>examples/peers/node</h1>"),
            ("en/search.json", "[\"en/examples/peers/node/\",\"Node\",\"\",\"Node \"]"),
        ] {
            let (_, found) = docs.answer(place).unwrap_or_else(|| panic!("{place}"));
            assert!(String::from_utf8_lossy(&found).contains(has), "{place}");
        }
        let (kind, page) = docs.answer("en/keys").expect("the page");
        assert!(
            kind.starts_with("text/html")
                && docs.answer("keys.md").is_none()
                && docs.answer("keys").is_none()
                && docs.answer("zh/").is_some()
        );
        String::from_utf8(page.into_owned()).expect("UTF-8")
    }

    #[test]
    fn a_heading_has_the_anchor_that_github_makes() {
        let page = shown("# Keys\n\n## The `kid`, again!\n\n## 密钥 轮换\n\n## 密钥 轮换\n");
        for part in [
            "<title>Keys · wxmint</title>",
            "<h2 id=\"the-kid-again\">The <code>kid</code>, again!</h2>",
            "<h2 id=\"密钥-轮换-1\">",
            "<li><a href=\"#密钥-轮换\">密钥 轮换</a></li>",
            "<li><a href=\"/pages/en/keys\" aria-current=\"page\">Keys</a></li></ul>",
            "<li><a href=\"/pages/en/\">Pages</a></li></ul><p>Keys</p>",
        ] {
            assert!(page.contains(part), "{part} in {page}");
        }
    }

    #[test]
    fn links_and_pictures_lead_to_what_is_served_and_other_files_are_named() {
        let page = shown(
            "[i](README.md#a) [z](README.zh-CN.md) [x](https://a.b/c) [k](../k8s/README.md#b) [Dockerfile](../Dockerfile) ![p](keys.svg) [e](../examples/peers/node) [m](../examples/peers/app.mjs) note[^n]\n\n[^n]: Said.",
        );
        for part in [
            "href=\"/pages/en/#a\"",
            "href=\"/pages/zh/\"",
            "href=\"https://a.b/c\"",
            "<span class=\"file\" data-file=\"k8s/README.md\">k</span>",
            "<span class=\"file\">Dockerfile</span>",
            "src=\"/pages/docs/keys.svg\"",
            "href=\"/pages/en/examples/peers/node/\"",
            "href=\"/pages/examples/peers/app.mjs\"",
            "<sup class=\"footnote-reference\"><a href=\"#n\">1</a></sup>",
            "<div class=\"footnote-definition\" id=\"n\">",
        ] {
            assert!(page.contains(part), "{part} in {page}");
        }
    }

    #[test]
    fn html_of_a_page_is_left_out_and_text_stays_text() {
        let page =
            shown("# A <b>\n\n<!-- test: x\nsecond line -->\n\n<script>alert(1)</script>\n\nb <img src=x> `<i>`\n");
        let content = page.split("<article").nth(1).expect("an article");
        assert!(
            !["<script", "<img", "<b>", "alert", "test: x", "second"].iter().any(|html| content.contains(html)),
            "{content}"
        );
        assert!(content.contains("<code>&lt;i&gt;</code>"), "{content}");
    }
}
