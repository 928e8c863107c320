//! Markdown as GitHub has it, to HTML.

use std::{collections::HashMap, mem};

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd, html::push_html};

const EXTENSIONS: Options =
    Options::ENABLE_TABLES.union(Options::ENABLE_STRIKETHROUGH).union(Options::ENABLE_FOOTNOTES);

/// A page's HTML, and its parts: what stands above the first section, and each section.
pub(super) struct Rendered {
    pub html: String,
    pub parts: Vec<Part>,
}

/// A section of a page as text.
#[derive(Default)]
pub(super) struct Part {
    pub anchor: String,
    pub heading: String,
    pub text: String,
}

/// `target` says where a link leads, or which file it means, if that is not served.
pub(super) fn render(markdown: &str, target: impl Fn(&str) -> Result<String, String>) -> Rendered {
    // The pages have comments and no other HTML.
    let is_shown = |event: &Event| !matches!(event, Event::Html(_) | Event::InlineHtml(_));
    let mut events: Vec<_> = Parser::new_ext(markdown, EXTENSIONS).filter(is_shown).collect();
    let (mut parts, mut anchors) = (vec![Part::default()], HashMap::new());
    for at in 0..events.len() {
        let (event, rest) = events[at..].split_first_mut().expect("an event at each place");
        if let Event::Start(Tag::Heading { level, id, .. }) = event {
            let heading = text_before(rest, TagEnd::Heading(*level));
            let anchor = anchor_of(&heading, &mut anchors);
            *id = Some(anchor.clone().into());
            if *level == HeadingLevel::H2 {
                parts.push(Part { anchor, heading, text: String::new() });
            }
        }
        parts.last_mut().expect("the first part").text.push_str(match &*event {
            Event::Text(text) | Event::Code(text) => text,
            Event::SoftBreak
            | Event::End(TagEnd::TableCell | TagEnd::Paragraph | TagEnd::Item | TagEnd::Heading(_)) => " ",
            _ => "",
        });
    }
    lead(&mut events, target);
    let mut html = String::new();
    push_html(&mut html, events.into_iter());
    // What is wider than the page scrolls by itself. No text of a page is mistaken for a tag, because `<` is escaped.
    let html = html.replace("<table>", "<div class=\"wide\"><table>").replace("</table>", "</table></div>");
    // A head of nothing is none.
    let html = html.replace("<th></th>", "<td></td>");
    // The page's Content-Security-Policy allows no style attributes.
    Rendered { html: html.replace(" style=\"text-align: ", " class=\""), parts }
}

/// Has links and pictures lead to what is served, and names other files beside their links' texts.
fn lead(events: &mut [Event], target: impl Fn(&str) -> Result<String, String>) {
    let mut in_file = false;
    for at in 0..events.len() {
        let (event, rest) = events[at..].split_first_mut().expect("an event at each place");
        match event {
            Event::Start(Tag::Image { dest_url, .. }) => *dest_url = target(dest_url).unwrap_or_default().into(),
            Event::Start(Tag::Link { dest_url, .. }) => match target(dest_url) {
                Ok(place) => *dest_url = place.into(),
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

pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}
