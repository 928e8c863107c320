//! The pages that people see, rendered here: no script, style or picture from elsewhere, and none in the page itself.

use std::fmt;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse};
use wxmint_http::page::{HTML, answer};
use wxmint_http::pairs;

use super::texts::*;
use crate::doors::scan::clients::Client;

pub(super) enum Page<'a> {
    /// Shows a code, with the way back to the site. `query` leads on to WeChat's own page, where there is one.
    Scan {
        client: &'a Client,
        cancel: String,
        web: Option<&'a str>,
    },
    /// Says what to do, and how to begin anew if that can help.
    Failed {
        why: Why,
        again: Option<String>,
    },
    Left(Option<&'a Client>),
}

impl Page<'_> {
    pub(super) fn failed(why: Why) -> Self {
        Page::Failed { why, again: None }
    }
}

/// A text of anybody, in HTML.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|letter| match letter {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            other => write!(f, "{other}"),
        })
    }
}

/// Whether the browser, or the site, wants Chinese: `ui_locales` first, then what the browser likes best of the two.
fn is_chinese(request: &HttpRequest) -> bool {
    let of_site = pairs(request.query_string()).into_iter().find(|(name, _)| name == "ui_locales");
    let liked =
        request.headers().get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let liked = liked.split(',').map(|tag| tag.trim().to_owned());
    let tags = of_site.iter().flat_map(|(_, tags)| tags.split(' ').map(str::to_owned)).chain(liked);
    let known = |tag: String| match tag.get(..2)?.to_ascii_lowercase().as_str() {
        "zh" => Some(true),
        "en" => Some(false),
        _ => None,
    };
    tags.into_iter().find_map(known).unwrap_or(false)
}

/// `root` is the path of the issuer, below which the files of the page are.
pub(super) fn page(request: &HttpRequest, root: &str, page: &Page<'_>) -> HttpResponse {
    let language = usize::from(is_chinese(request));
    let t = |text: Text| text[language];
    let (title, body, status) = match page {
        Page::Scan { client, cancel, web } => {
            (format!("{} · {}", t(LOG_IN), client.name), scan(client, cancel, *web, root, t), StatusCode::OK)
        }
        Page::Failed { why, again } => {
            let again =
                again.iter().map(|to| format!("<p><a class=\"go\" href=\"{}\">{}</a></p>", Escaped(to), t(AGAIN)));
            let again: String = again.collect();
            let title = t(if *why == Why::LogoutAddress { LEFT } else { NOT_POSSIBLE });
            (title.to_owned(), format!("<h1>{title}</h1><p>{}</p>{again}", t(why.text())), why.status())
        }
        Page::Left(client) => {
            let name =
                client.map(|client| format!("<p class=\"site\">{}</p>", Escaped(&client.name))).unwrap_or_default();
            let body = format!("{name}<h1>{}</h1><p>{}</p>", t(LEFT), t(CLOSE));
            (t(LEFT).to_owned(), body, StatusCode::OK)
        }
    };
    let html = format!(
        "<!doctype html><html lang=\"{}\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"robots\" content=\"noindex\"><title>{}</title><link rel=\"stylesheet\" href=\"{root}/docs/look.css\">\
         <link rel=\"stylesheet\" href=\"{root}/authorize/page.css\"><main>{body}</main></html>\n",
        ["en", "zh-CN"][language],
        Escaped(&title),
    );
    let mut page = answer(HTML, html);
    *page.status_mut() = status;
    page.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    page.headers_mut().insert(header::VARY, header::HeaderValue::from_static("Accept-Language, User-Agent"));
    page
}

fn scan(client: &Client, cancel: &str, web: Option<&str>, root: &str, t: impl Fn(Text) -> &'static str) -> String {
    let states: String = STATES.iter().map(|(state, text)| format!(" data-{state}=\"{}\"", t(*text))).collect();
    let color = client.site.color.as_ref().map(|color| format!(" data-color=\"{}\"", Escaped(color)));
    let web = web
        .map(|query| format!("<p><a class=\"go\" href=\"{root}/authorize/web?{}\">{}</a></p>", Escaped(query), t(WEB)));
    format!(
        "<script type=\"module\" src=\"{root}/authorize/page.js\"></script><p class=\"site\">{name}</p><h1>{}</h1>\
         <noscript><p class=\"notice\">{}</p></noscript>\
         <div id=\"scan\" data-root=\"{root}\"{color} hidden><p>{}</p><img id=\"code\" width=\"240\" height=\"240\" alt=\"{}\">\
         <p id=\"match\">{} <strong id=\"number\"></strong></p></div>\
         <p id=\"status\" role=\"status\"{states}></p><p><button id=\"again\" class=\"go\" hidden>{}</button></p>{web}\
         <p><a href=\"{}\">{}{name}</a></p>",
        t(LOG_IN),
        t(NO_SCRIPT),
        t(SCAN),
        t(PICTURE),
        t(TAP),
        t(AGAIN),
        Escaped(cancel),
        t(BACK),
        name = Escaped(&client.name),
        color = color.unwrap_or_default(),
        web = web.unwrap_or_default(),
    )
}
