//! The pages that people see, rendered here: no script, style or picture from elsewhere, and none in the page itself.

use std::fmt;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse};
use wxmint_http::page::{HTML, answer};
use wxmint_http::{ProblemCode, pairs};

use crate::doors::scan::clients::Client;

/// A text in English and Chinese.
type Text = [&'static str; 2];

/// Why a page cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    Client,
    Address,
    Logout,
    LogoutAddress,
    /// WeChat has sent back another browser, or a second time.
    State,
    NoWay,
    Login(ProblemCode),
}

pub(super) enum Page<'a> {
    /// Shows a code, with the way back to the site. `query` leads on to WeChat's own page, where there is one.
    Scan {
        client: &'a Client,
        cancel: String,
        web: Option<&'a str>,
    },
    /// What is to do, and how to begin anew if that can help.
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

const LOG_IN: Text = ["Log in with WeChat", "微信登录"];
const SCAN: Text = [
    "Scan with WeChat on your phone. The mini program opens; confirm there.",
    "请用手机微信扫码，在打开的小程序中确认登录。",
];
const TAP: Text = ["On the phone, tap this number:", "请在手机上点击这个数字："];
const PICTURE: Text = ["Mini-program code to scan with WeChat", "请用微信扫描的小程序码"];
const NO_SCRIPT: Text = [
    "This page needs JavaScript, to learn when your phone has confirmed. Switch it on, then load the page again.",
    "本页需要 JavaScript，才能得知手机已确认。请启用后重新加载。",
];
const AGAIN: Text = ["Try again", "重试"];
const WEB: Text = ["Use WeChat's QR page instead", "改用微信的扫码页面"];
const BACK: Text = ["Back to ", "返回 "];
const NOT_POSSIBLE: Text = ["This login is not possible", "无法登录"];
const LEFT: Text = ["You are logged out", "已退出登录"];
const CLOSE: Text = ["You may close this page.", "可以关闭本页。"];
/// By the states of the page's script.
const STATES: [(&str, Text); 7] = [
    ("loading", ["Getting a code…", "正在获取小程序码…"]),
    ("wait", ["Waiting for your phone…", "等待手机扫码…"]),
    ("scanned", ["Scanned. Confirm on your phone.", "已扫码，请在手机上确认。"]),
    ("going", ["Confirmed. One moment…", "已确认，正在跳转…"]),
    (
        "denied",
        ["The phone has said no, or another number was tapped. Try again.", "手机上已拒绝，或点了另一个数字。请重试。"],
    ),
    ("busy", ["Not reachable, or too many tries. It goes on by itself.", "暂时无法连接或尝试过多，稍后会自动继续。"]),
    ("paused", ["The code has expired. Try again when you are ready.", "小程序码已过期，准备好后请重试。"]),
];

impl Why {
    fn text(self) -> Text {
        match self {
            Self::Client => [
                "The website that has sent you here is not registered (client_id). Go back to it; its operator has to add it to the file of clients.",
                "把您带到这里的网站未登记（client_id）。请返回该网站；其运营者需要把它加入客户端文件。",
            ],
            Self::Address => [
                "The website asks for an answer at an address that is not registered (redirect_uri). Its operator has to add the address, exactly as it is, to the file of clients.",
                "该网站要求返回的地址未登记（redirect_uri）。其运营者需要把这个地址原样加入客户端文件。",
            ],
            Self::Logout => [
                "It is not clear which login is to end, so you are still logged in. Log out on the website again.",
                "无法确定要退出哪一次登录，您仍处于登录状态。请在网站上重新退出。",
            ],
            Self::LogoutAddress => [
                "You are logged out. The website's address after a logout is not registered (post_logout_redirect_uris), so this page stays.",
                "已退出登录。网站的退出后地址未登记（post_logout_redirect_uris），因此停留在本页。",
            ],
            Self::State => [
                "This login was begun in another browser, is older than ten minutes, or is finished. Begin again on the website.",
                "这次登录是在另一个浏览器中开始的，或已超过十分钟，或已经完成。请回到网站重新开始。",
            ],
            Self::NoWay => {
                ["This way to log in is not set up. Scan the code instead.", "未开通这种登录方式，请改用扫码。"]
            }
            Self::Login(ProblemCode::BindingRequired) => [
                "This WeChat is not linked to an account yet. Open the mini program and log in there once, then try again.",
                "这个微信还没有关联账号。请先打开小程序登录一次，再重试。",
            ],
            Self::Login(ProblemCode::UserBlocked) => {
                ["This account is not let in. Ask the business.", "该账号不能登录，请联系商家。"]
            }
            Self::Login(ProblemCode::SnapshotUser) => [
                "WeChat shows this page as a snapshot. Tap “Use full service” at its bottom, then try again.",
                "微信以快照方式打开了本页。请点击页面底部的“使用完整服务”，再重试。",
            ],
            Self::Login(ProblemCode::RateLimited) => {
                ["Too many tries. Wait a few minutes, then try again.", "尝试过多，请几分钟后重试。"]
            }
            Self::Login(_) => [
                "WeChat or this service does not answer as it should. Try again in a moment.",
                "微信或本服务暂时不可用，请稍后重试。",
            ],
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::LogoutAddress => StatusCode::OK,
            Self::Login(ProblemCode::UserBlocked | ProblemCode::BindingRequired) => StatusCode::FORBIDDEN,
            Self::Login(ProblemCode::RateLimited) => StatusCode::TOO_MANY_REQUESTS,
            Self::Login(ProblemCode::StoreUnavailable | ProblemCode::WechatUnavailable) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            _ => StatusCode::BAD_REQUEST,
        }
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
    let color = client.form.color.as_ref().map(|color| format!(" data-color=\"{}\"", Escaped(color)));
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
