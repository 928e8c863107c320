//! The pages that people see, rendered on the server. Scripts, styles and pictures come only from
//! this origin, and none is inline.

use actix_web::http::header::{self, AcceptLanguage};
use actix_web::{HttpRequest, HttpResponse};
use wxmint_http::page::{HTML, answer};
use wxmint_http::{Answer, Problem, ProblemCode, pairs};

use super::root;
use crate::findings::{Catalog, catalog_entry};
use crate::{issuer::state::IssuerWorker, oauth::clients::Client};

/// The texts of the pages by code, in English and Chinese.
const TEXTS: Catalog = &include!("page.json");
/// The states of the page's script.
const STATES: [&str; 8] = [
    "loading",
    "wait",
    "scanned",
    "going",
    "denied",
    "busy",
    "paused",
    "no_answer",
];
pub(super) const NOT_POSSIBLE: &str = "not_possible";

/// The reason that a page gives the person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Why {
    /// The codes of the page's title and of its text.
    title: &'static str,
    code: &'static str,
    /// The problem that the page reports. It sets the status.
    problem: Option<ProblemCode>,
}

impl Why {
    pub(super) const CLIENT: Self = Self::of_request(NOT_POSSIBLE, "no_client");
    pub(super) const ADDRESS: Self = Self::of_request(NOT_POSSIBLE, "no_address");
    pub(super) const LOGOUT: Self = Self::of_request("not_left", "no_logout");
    pub(super) const LOGOUT_ADDRESS: Self = Self {
        title: "left",
        code: "no_logout_address",
        problem: None,
    };
    /// WeChat's redirect came in another browser than the login began in, or came a second time.
    pub(super) const STATE: Self = Self::of_request(NOT_POSSIBLE, "no_state");
    /// There are no scans here, and the site has no app of WeChat's for this browser.
    pub(super) const NO_LOGIN: Self = Self::of_request(NOT_POSSIBLE, "no_login");
    pub(super) const NO_WAY: Self = Self::of_request(NOT_POSSIBLE, "no_way");

    const fn of_request(title: &'static str, code: &'static str) -> Self {
        Self {
            title,
            code,
            problem: Some(ProblemCode::InvalidRequest),
        }
    }

    pub(super) fn of(title: &'static str, problem: ProblemCode) -> Self {
        let code = match problem {
            ProblemCode::BindingRequired => "not_linked",
            ProblemCode::UserBlocked
            | ProblemCode::UnionidMissing
            | ProblemCode::UnionidChanged => "not_let_in",
            ProblemCode::SnapshotUser => "snapshot",
            ProblemCode::RateLimited => "too_many",
            _ => "no_answer",
        };
        Self {
            title,
            code,
            problem: Some(problem),
        }
    }
}

pub(super) enum Page<'a> {
    /// Shows a mini-program code, and a link back to the site. If there is a query, also a link to
    /// WeChat's own page.
    Scan(&'a Client, String, Option<&'a str>),
    /// Says what to do. If beginning anew can help, links to the address for it.
    Failed(Why, Option<String>),
    /// Says that the person is logged out of the site.
    Left(Option<&'a Client>),
}

fn escaped(text: &str) -> String {
    let letters = [
        ("&", "&amp;"),
        ("<", "&lt;"),
        (">", "&gt;"),
        ("\"", "&quot;"),
        ("'", "&#39;"),
    ];
    let mut escaped = text.to_owned();
    for (letter, written) in letters {
        escaped = escaped.replace(letter, written);
    }
    escaped
}

/// The languages that the browser accepts. An unreadable entry is skipped alone.
fn liked(request: &HttpRequest) -> AcceptLanguage {
    let fields = request
        .headers()
        .get_all(header::ACCEPT_LANGUAGE)
        .map(header::HeaderValue::as_bytes);
    let languages = fields.flat_map(|field| field.split(|byte| *byte == b','));
    let readable =
        languages.filter_map(|language| str::from_utf8(language).ok()?.trim().parse().ok());
    AcceptLanguage(readable.collect())
}

/// Whether the page is in Chinese. The first English or Chinese tag decides: first of the site's
/// `ui_locales`, then of the browser's languages by preference.
fn is_chinese(request: &HttpRequest, query: &str) -> bool {
    let of_site = pairs(query)
        .into_iter()
        .find(|(name, _)| name == "ui_locales");
    let liked = liked(request).ranked();
    let tags = of_site
        .iter()
        .flat_map(|(_, tags)| tags.split(' ').map(str::to_owned));
    let mut tags = tags
        .chain(liked.iter().map(ToString::to_string))
        .map(|tag| tag.to_ascii_lowercase());
    tags.find(|tag| tag.starts_with("zh") || tag.starts_with("en"))
        .is_some_and(|tag| tag.starts_with("zh"))
}

/// Renders a page. `query` is the query of the site's request, or the site's form.
pub(super) fn page(
    request: &HttpRequest,
    query: &str,
    worker: &IssuerWorker,
    page: &Page<'_>,
) -> HttpResponse {
    let language = usize::from(is_chinese(request, query));
    let root = &root(worker);
    let t = |code: &str| catalog_entry(TEXTS, code, 0)[language];
    let (title, body, problem) = match page {
        Page::Scan(client, cancel, web) => (
            format!("{} · {}", t("log_in"), client.name),
            scan(client, cancel, *web, root, t),
            None,
        ),
        Page::Failed(why, again) => {
            let again = match again {
                Some(to) => format!(
                    "<p><a class=\"go\" href=\"{}\">{}</a></p>",
                    escaped(to),
                    t("again")
                ),
                None => String::new(),
            };
            let title = t(why.title);
            (
                title.to_owned(),
                format!("<h1>{title}</h1><p>{}</p>{again}", t(why.code)),
                why.problem,
            )
        }
        Page::Left(client) => {
            let name = match client {
                Some(client) => format!("<p class=\"site\">{}</p>", escaped(&client.name)),
                None => String::new(),
            };
            (
                t("left").to_owned(),
                format!("{name}<h1>{}</h1><p>{}</p>", t("left"), t("close")),
                None,
            )
        }
    };
    let html = format!(
        "<!doctype html><html lang=\"{}\" class=\"plain\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"robots\" content=\"noindex\"><link rel=\"icon\" href=\"data:,\"><title>{}</title><link rel=\"stylesheet\" href=\"{root}/docs/look.css\">\
         <link rel=\"stylesheet\" href=\"{root}/authorize/page.css\"><main>{body}</main></html>\n",
        ["en", "zh-CN"][language],
        escaped(&title),
    );
    let mut page = answer(HTML, html);
    if let Some(code) = problem {
        *page.status_mut() = Problem::new(code, "").status;
        page.extensions_mut().insert(code);
    }
    // A site may have opened this window and wait for it.
    page.headers_mut().remove("cross-origin-opener-policy");
    page.headers_mut().insert(
        header::CACHE_CONTROL,
        header::HeaderValue::from_static("no-store"),
    );
    page.headers_mut().insert(
        header::VARY,
        header::HeaderValue::from_static("Accept-Language, User-Agent"),
    );
    page
}

#[expect(clippy::unnecessary_wraps, reason = "it is the answer of handlers")]
pub(super) fn refused(
    request: &HttpRequest,
    query: &str,
    worker: &IssuerWorker,
    why: Why,
) -> Answer {
    Ok(page(request, query, worker, &Page::Failed(why, None)))
}

fn scan(
    client: &Client,
    cancel: &str,
    web: Option<&str>,
    root: &str,
    t: impl Fn(&str) -> &'static str,
) -> String {
    let states: String = STATES
        .iter()
        .map(|state| format!(" data-{state}=\"{}\"", t(state)))
        .collect();
    let color = client
        .color
        .as_ref()
        .map(|color| format!(" data-color=\"{}\"", escaped(color)));
    let web = web.map(|query| {
        format!(
            "<p><a class=\"go\" href=\"{root}/authorize/web?{}\">{}</a></p>",
            escaped(query),
            t("web")
        )
    });
    let log_in = t("log_in");
    let too_old = t("too_old");
    let scan = t("scan");
    let picture = t("picture");
    let tap = t("tap");
    let again = t("again");
    let back = t("back");
    let name = escaped(&client.name);
    let cancel = escaped(cancel);
    let color = color.unwrap_or_default();
    let web = web.unwrap_or_default();
    format!(
        "<script type=\"module\" src=\"{root}/authorize/page.js\"></script><p class=\"site\">{name}</p><h1>{log_in}</h1>\
         <p id=\"blank\" class=\"notice\">{too_old}</p>\
         <div id=\"scan\" data-root=\"{root}\"{color} hidden><p>{scan}</p><img id=\"code\" width=\"240\" height=\"240\" alt=\"{picture}\">\
         <p id=\"match\">{tap} <strong id=\"number\"></strong></p></div>\
         <p id=\"status\" role=\"status\"{states}></p><p><button id=\"again\" class=\"go\" hidden>{again}</button></p>{web}\
         <p><a href=\"{cancel}\">{back}{name}</a></p>"
    )
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_page_speaks_the_language_of_the_site_or_else_of_the_browser() {
        for (liked, locales, language) in [
            ("", "", "en"),
            ("fr, zh-TW;q=0.9, en;q=0.8", "", "zh-CN"),
            ("de,en-US;q=0.7,zh;q=0.3", "", "en"),
            ("zh-CN", "en", "en"),
            ("en", "fr+zh-CN", "zh-CN"),
            ("en;q=0,zh", "", "zh-CN"),
            ("*, en-US;q=0.2, xx_1, zh-Hant-TW;q=0.25", "", "zh-CN"),
            ("zh-CN, 中文, en;q=0.5", "", "zh-CN"),
        ] {
            let request = TestRequest::get()
                .insert_header((header::ACCEPT_LANGUAGE, liked))
                .to_http_request();
            let query = format!("ui_locales={locales}");
            assert_eq!(
                is_chinese(&request, &query),
                language == "zh-CN",
                "{liked} {locales}"
            );
        }
    }

    #[test]
    fn a_text_of_anybody_is_no_html() {
        assert_eq!(
            escaped("<a b='&amp;' c=\"1\">"),
            "&lt;a b=&#39;&amp;amp;&#39; c=&quot;1&quot;&gt;"
        );
    }

    #[test]
    fn whatever_a_page_says_is_there_in_both_languages() {
        let (pages, _) = include_str!("page.rs")
            .split_once("#[cfg(test)]")
            .expect("these tests");
        let pages = pages
            .split("t(\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next());
        let whys = [
            Why::CLIENT,
            Why::ADDRESS,
            Why::LOGOUT,
            Why::LOGOUT_ADDRESS,
            Why::STATE,
            Why::NO_LOGIN,
            Why::NO_WAY,
        ]
        .into_iter();
        let logins = ProblemCode::ALL
            .iter()
            .map(|code| Why::of(NOT_POSSIBLE, *code));
        let whys = whys.chain(logins).flat_map(|why| [why.title, why.code]);
        let said: Vec<_> = pages.chain(STATES).chain(whys).collect();
        for code in &said {
            assert!(
                catalog_entry(TEXTS, code, 0)
                    .iter()
                    .all(|text| !text.is_empty()),
                "{code}"
            );
        }
        for code in [
            ProblemCode::UserBlocked,
            ProblemCode::UnionidMissing,
            ProblemCode::UnionidChanged,
        ] {
            assert_eq!(
                Why::of(NOT_POSSIBLE, code).code,
                "not_let_in",
                "no later try can help"
            );
        }
        let idle: Vec<_> = TEXTS
            .iter()
            .map(|[code, ..]| code)
            .filter(|code| !said.contains(code))
            .collect();
        assert!(idle.is_empty() && said.len() > TEXTS.len(), "{idle:?}");
    }
}
