//! The pages of the repository as HTML, in the look of the demo's page. Whoever calls hands the files in, because a package
//! holds no file of another.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
    mem,
};

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd, html::push_html};

const FRAME: &str = include_str!("page/docs.html");
const EXTENSIONS: Options = Options::ENABLE_TABLES.union(Options::ENABLE_STRIKETHROUGH);

/// What the frame says: `{0}` to `{8}` of docs.html.
type Words = [&'static str; 9];
const ENGLISH: Words =
    ["en", "Skip to the page", "Demo", "API docs", "zh-CN", "中文", "Dark colours", "On this page", "All pages"];
const CHINESE: Words = ["zh-CN", "跳到正文", "演示", "接口文档", "en", "English", "深色", "本页内容", "全部文档"];

/// The files below `/pages/`.
pub struct Docs {
    /// By their paths in the repository.
    files: BTreeMap<String, &'static [u8]>,
    /// Those paths, by the paths below `/pages/`.
    places: BTreeMap<String, String>,
}

impl Docs {
    /// Takes the pages, and the pictures and other files that they link to, each by its path in the repository.
    pub fn new(files: impl IntoIterator<Item = (String, &'static [u8])>) -> Self {
        let files: BTreeMap<_, _> = files.into_iter().collect();
        let places = files.keys().map(|path| (place_of(path), path.clone())).collect();
        Self { files, places }
    }

    /// The paths below `/pages/`.
    pub fn places(&self) -> impl Iterator<Item = &str> {
        self.places.keys().map(String::as_str)
    }

    /// Content type and content of what lies there below `/pages/`.
    pub fn answer(&self, place: &str) -> Option<(&'static str, Cow<'static, [u8]>)> {
        let path = self.places.get(place)?;
        Some(match path.rsplit('.').next() {
            Some("md") => ("text/html; charset=utf-8", self.page(path).into_bytes().into()),
            Some("svg") => ("image/svg+xml", self.files[path].into()),
            _ => ("text/plain; charset=utf-8", self.files[path].into()),
        })
    }

    fn page(&self, path: &str) -> String {
        let is_chinese = path.ends_with(CHINESE_PAGE);
        let (words, ending, other) =
            if is_chinese { (CHINESE, CHINESE_PAGE, PAGE) } else { (ENGLISH, PAGE, CHINESE_PAGE) };
        let translated = format!("{}{other}", path.trim_end_matches(ending));
        // A decision is there in English alone.
        let translated = if self.files.contains_key(&translated) { translated } else { format!("docs/README{other}") };
        let (content, sections) = self.rendered(path);
        let link = |(anchor, title): &(String, String)| format!("<li><a href=\"#{anchor}\">{title}</a></li>");
        let named = [
            ("{title}", self.title(path)),
            ("{other}", place_of(&translated)),
            ("{sections}", sections.iter().map(link).collect()),
            ("{index}", self.index(&format!("docs/README{ending}"), path)),
        ];
        let frame = words
            .iter()
            .enumerate()
            .fold(FRAME.to_owned(), |frame, (n, word)| frame.replace(&format!("{{{n}}}"), word));
        named.iter().fold(frame, |frame, (name, value)| frame.replace(name, value)).replace("{content}", &content)
    }

    /// The page's HTML, and the anchors and titles of its sections.
    fn rendered(&self, path: &str) -> (String, Vec<(String, String)>) {
        // The pages have comments and no other HTML.
        let is_shown = |event: &Event| !matches!(event, Event::Html(_) | Event::InlineHtml(_));
        // The link to the other language is in the frame.
        let is_switch = |line: &str| ["[中文](", "[English]("].iter().any(|link| line.starts_with(link));
        let markdown: Vec<_> = self.text(path).lines().filter(|line| !is_switch(line)).collect();
        let markdown = markdown.join("\n");
        let mut events: Vec<_> = Parser::new_ext(&markdown, EXTENSIONS).filter(is_shown).collect();
        let (mut sections, mut taken, mut in_file) = (Vec::new(), HashMap::new(), false);
        for at in 0..events.len() {
            let (event, rest) = events[at..].split_first_mut().expect("an event at each place");
            match event {
                Event::Start(Tag::Heading { level, id, .. }) => {
                    let title = text_before(rest, TagEnd::Heading(*level));
                    let anchor = anchor_of(&title, &mut taken);
                    *id = Some(anchor.clone().into());
                    if *level == HeadingLevel::H2 {
                        sections.push((anchor, escaped(&title)));
                    }
                }
                Event::Start(Tag::Image { dest_url, .. }) => {
                    *dest_url = self.target(path, dest_url).unwrap_or_default().into();
                }
                Event::Start(Tag::Link { dest_url, .. }) => match self.target(path, dest_url) {
                    Ok(target) => *dest_url = target.into(),
                    Err(file) => {
                        let is_named = file.ends_with(&text_before(rest, TagEnd::Link));
                        let name = if is_named { String::new() } else { format!(" data-file=\"{}\"", escaped(&file)) };
                        *event = Event::InlineHtml(format!("<span class=\"file\"{name}>").into());
                        in_file = true;
                    }
                },
                Event::End(TagEnd::Link) if mem::take(&mut in_file) => *event = Event::InlineHtml("</span>".into()),
                _ => {}
            }
        }
        let mut html = String::new();
        push_html(&mut html, events.into_iter());
        // What is wider than the page scrolls by itself. No text of a page is mistaken for a tag, because `<` is escaped.
        let html = html.replace("<table>", "<div class=\"wide\"><table>").replace("</table>", "</table></div>");
        // A head of nothing is none.
        let html = html.replace("<th></th>", "<td></td>");
        // The page's Content-Security-Policy allows no style attributes.
        (html.replace(" style=\"text-align: ", " class=\""), sections)
    }

    /// The pages by the sections of the index, each where the index first names it.
    fn index(&self, index: &str, current: &str) -> String {
        let item = |path: &str| {
            let here = if path == current { " aria-current=\"page\"" } else { "" };
            format!("<li><a href=\"/pages/{}\"{here}>{}</a></li>", place_of(path), self.title(path))
        };
        // The index stands first, and its link to the other language is no page to read on.
        let mut listed = BTreeSet::from([PAGE, CHINESE_PAGE].map(|ending| format!("docs/README{ending}")));
        let (mut html, mut heading) = (item(index), String::new());
        for line in self.text(index).lines() {
            if let Some(section) = line.strip_prefix("## ") {
                heading = format!("</ul><p>{}</p><ul>", escaped(section));
            }
            for link in line.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
                let path = joined(index, link);
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
        if self.files.contains_key(&path) { Ok(format!("/pages/{}{anchor}", place_of(&path))) } else { Err(path) }
    }

    fn title(&self, path: &str) -> String {
        let first = self.text(path).lines().find_map(|line| line.strip_prefix("# ")).unwrap_or(path);
        escaped(&first.replace('`', ""))
    }

    fn text(&self, path: &str) -> &'static str {
        self.files.get(path).and_then(|content| str::from_utf8(content).ok()).unwrap_or_default()
    }
}

const PAGE: &str = ".md";
const CHINESE_PAGE: &str = ".zh-CN.md";

/// `docs/keys.md` is `keys`, `docs/keys.zh-CN.md` is `zh/keys`, and the index is the folder itself.
fn place_of(path: &str) -> String {
    let (folder, stem) = match (path.strip_suffix(CHINESE_PAGE), path.strip_suffix(PAGE)) {
        (Some(stem), _) => ("zh/", stem),
        (None, Some(stem)) => ("", stem),
        (None, None) => ("", path),
    };
    match stem {
        "README" => format!("{folder}readme"),
        "docs/README" => folder.to_owned(),
        stem => format!("{folder}{}", stem.strip_prefix("docs/").unwrap_or(stem)),
    }
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

/// The anchor that GitHub makes of a heading, whose equals get numbers.
fn anchor_of(title: &str, taken: &mut HashMap<String, usize>) -> String {
    let is_kept = |letter: &char| letter.is_alphanumeric() || ['-', '_', ' '].contains(letter);
    let anchor = title.to_lowercase().chars().filter(is_kept).collect::<String>().replace(' ', "-");
    let count = taken.entry(anchor.clone()).or_default();
    *count += 1;
    if *count == 1 { anchor } else { format!("{anchor}-{}", *count - 1) }
}

fn text_before(events: &[Event], end: TagEnd) -> String {
    let inside = events.iter().take_while(|event| **event != Event::End(end));
    inside.map(|event| if let Event::Text(text) | Event::Code(text) = event { text } else { "" }).collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
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
        ]);
        let (kind, page) = docs.answer("keys").expect("the page");
        assert!(kind.starts_with("text/html") && docs.answer("keys.md").is_none() && docs.answer("zh/").is_some());
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
            "<li><a href=\"/pages/keys\" aria-current=\"page\">Keys</a></li></ul>",
            "<li><a href=\"/pages/\">Pages</a></li></ul><p>Keys</p>",
        ] {
            assert!(page.contains(part), "{part} in {page}");
        }
    }

    #[test]
    fn links_and_pictures_lead_to_what_is_served_and_other_files_are_named() {
        let page = shown(
            "[i](README.md#a) [z](README.zh-CN.md) [x](https://a.b/c) [k](../k8s/README.md#b) [Dockerfile](../Dockerfile) ![p](keys.svg)",
        );
        for part in [
            "href=\"/pages/#a\"",
            "href=\"/pages/zh/\"",
            "href=\"https://a.b/c\"",
            "<span class=\"file\" data-file=\"k8s/README.md\">k</span>",
            "<span class=\"file\">Dockerfile</span>",
            "src=\"/pages/keys.svg\"",
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
