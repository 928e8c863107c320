//! Answers as a table: each route, and the headers that its answers must have and must not have. The rows are held
//! against the routes, and the answers are those of the use cases.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::answer::Answer;
use crate::case::{Prepared, UseCase};
use crate::house::{House, Setup, request};
use crate::laws::{Held, hold};
use crate::store::{self, Fault, with_fault};
use crate::turns::{routes, use_cases};

/// The kind of an answer that is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// JSON for whoever has asked, which no cache may keep.
    Private,
    /// The same with tokens of OAuth 2.0 (RFC 6749 section 5.1).
    Tokens,
    /// Nothing (204).
    Nothing,
    /// A page for browsers, which nobody frames and whose script is its own.
    Page,
    /// A page for sites' browsers, whose opener is the site.
    SitePage,
    /// On to somewhere else.
    Elsewhere,
    /// A document that the pages of all sites may read.
    Document,
    /// A document for services.
    Public,
    /// A picture for one page.
    Picture,
}

const NO_STORE: (&str, &str) = ("cache-control", "no-store");
const JSON: (&str, &str) = ("content-type", "application/json");
const HTML: (&str, &str) = ("content-type", "text/html; charset=utf-8");
const UNSNIFFED: (&str, &str) = ("x-content-type-options", "nosniff");
const UNREFERRED: (&str, &str) = ("referrer-policy", "no-referrer");

impl Kind {
    /// The statuses, and the headers with their values, or the beginnings of these.
    fn must(self) -> (&'static [u16], &'static [(&'static str, &'static str)]) {
        const CLOSED: (&str, &str) = ("content-security-policy", "default-src 'none'");
        match self {
            Self::Private => (&[200], &[NO_STORE, JSON]),
            Self::Tokens => (&[200], &[NO_STORE, JSON, ("pragma", "no-cache")]),
            Self::Nothing => (&[204], &[]),
            Self::Page => (
                &[200],
                &[
                    HTML,
                    UNSNIFFED,
                    UNREFERRED,
                    CLOSED,
                    ("cross-origin-opener-policy", "same-origin"),
                ],
            ),
            Self::SitePage => (&[200], &[HTML, UNSNIFFED, UNREFERRED, CLOSED, NO_STORE]),
            Self::Elsewhere => (&[303], &[NO_STORE, UNREFERRED, ("location", "")]),
            Self::Document => (
                &[200],
                &[
                    ("cache-control", "public, max-age="),
                    ("access-control-allow-origin", "*"),
                ],
            ),
            Self::Public => (&[200], &[("cache-control", "public, max-age=")]),
            Self::Picture => (
                &[200],
                &[
                    ("content-type", "image/jpeg"),
                    ("cache-control", "private, max-age="),
                    UNSNIFFED,
                ],
            ),
        }
    }
}

/// Each route, and the kinds of its answers. The routes of the admin listener are at the end.
const ANSWERS: &[(&str, &[Kind])] = &[
    ("POST /login", &[Kind::Private]),
    ("GET /login", &[Kind::Private]),
    ("POST /wechat/userdata", &[Kind::Private]),
    ("POST /wechat/phone", &[Kind::Private]),
    ("GET /wechat/session", &[Kind::Private]),
    ("POST /wechat/session/reset", &[Kind::Nothing]),
    ("GET /.well-known/jwks.json", &[Kind::Document]),
    ("GET /revocations", &[Kind::Public]),
    ("GET /.well-known/openid-configuration", &[Kind::Document]),
    ("POST /logout", &[Kind::Nothing]),
    ("DELETE /binding", &[Kind::Nothing]),
    ("GET /.well-known/ssf-configuration", &[Kind::Public]),
    ("GET /ssf/stream", &[Kind::Private]),
    ("POST /ssf/stream", &[]),
    ("POST /ssf/poll", &[Kind::Private]),
    ("POST /wechat/platform/{component_appid}", &[]),
    ("POST /device_authorization", &[Kind::Private]),
    ("POST /token", &[Kind::Tokens]),
    ("GET /device", &[Kind::Page]),
    ("GET /device/{user_code}/code.jpg", &[Kind::Picture]),
    ("GET /device/{user_code}", &[Kind::Private]),
    ("POST /device/{user_code}/approve", &[Kind::Nothing]),
    ("POST /device/{user_code}/deny", &[Kind::Nothing]),
    ("GET /authorize", &[Kind::SitePage, Kind::Elsewhere]),
    ("POST /authorize", &[Kind::Elsewhere]),
    ("POST /authorize/scan", &[Kind::Private]),
    ("POST /authorize/poll", &[Kind::Private]),
    ("GET /authorize/web", &[Kind::Elsewhere]),
    ("GET /authorize/wechat", &[Kind::Elsewhere]),
    ("GET /userinfo", &[Kind::Private]),
    ("POST /userinfo", &[Kind::Private]),
    ("GET /end_session", &[Kind::SitePage, Kind::Elsewhere]),
    ("POST /end_session", &[Kind::SitePage, Kind::Elsewhere]),
    ("POST /revoke", &[Kind::Private]),
    ("GET /users/{user_id}", &[Kind::Private]),
    ("GET /users/{user_id}/wechat", &[Kind::Private]),
    ("DELETE /users/{user_id}/wechat/{appid}", &[Kind::Nothing]),
    ("POST /users/{user_id}/revoke", &[Kind::Nothing]),
    ("PUT /users/{user_id}/block", &[Kind::Nothing]),
    ("DELETE /users/{user_id}/block", &[Kind::Nothing]),
    (
        "POST /users/{user_id}/wechat/{appid}/signature",
        &[Kind::Private],
    ),
    (
        "POST /users/{user_id}/wechat/{appid}/payment",
        &[Kind::Private],
    ),
    (
        "GET /users/{user_id}/wechat/{appid}/encrypt-keys",
        &[Kind::Private],
    ),
    ("GET /wechat/{appid}/access-token", &[Kind::Private]),
    ("POST /wechat/{appid}/access-token", &[Kind::Private]),
    ("GET /wechat/{appid}/people/{openid}", &[Kind::Private]),
    (
        "POST /wechat/{appid}/people/{openid}/revoke",
        &[Kind::Nothing],
    ),
    ("DELETE /wechat/{appid}/people/{openid}", &[Kind::Nothing]),
    ("GET /whoami", &[Kind::Private]),
    ("GET /doctor", &[Kind::Private]),
    ("GET /find", &[Kind::Private]),
    ("GET /activity", &[Kind::Private]),
    ("POST /wechat/{appid}/merchant", &[]),
];

/// A page of the client may read the answers of these use cases.
const READ_BY_PAGE: [&str; 4] = [
    "a page asks",
    "a page fetches its token",
    "a device code used twice",
    "a page's logout",
];
const OWN_SITE: &str = "https://shop.example.com";
const OTHER_SITE: &str = "https://evil.example";
/// No answer has these.
const NEVER: [&str; 4] = [
    "server",
    "x-powered-by",
    "access-control-allow-credentials",
    "x-frame-options",
];

fn row(route: &str) -> &'static [Kind] {
    let found = ANSWERS.iter().find(|(of, _)| *of == route);
    found.unwrap_or_else(|| panic!("no row for {route}")).1
}

fn has(answer: &Answer, (name, value): (&str, &str)) -> Held {
    let is_there = answer.headers.contains_key(name) && answer.header(name).starts_with(value);
    hold(is_there, || format!("lacks {name}: {value}"))
}

/// Checks that hold for all answers.
fn is_clean(answer: &Answer) -> Held {
    NEVER
        .into_iter()
        .try_for_each(|name| hold(!answer.headers.contains_key(name), || format!("has {name}")))?;
    has(answer, ("x-request-id", ""))
}

/// Whether a page of this site may read it.
fn is_read_by(answer: &Answer, site: &str) -> bool {
    ["*", site].contains(&answer.header("access-control-allow-origin"))
}

/// Checks that hold for an answer that is done.
fn is_right(answer: &Answer, kinds: &[Kind]) -> Held {
    is_clean(answer)?;
    let of_kind = |kind: &&Kind| kind.must().0.contains(&answer.status);
    let kind = kinds
        .iter()
        .find(of_kind)
        .ok_or_else(|| format!("{} is of none of {kinds:?}", answer.status))?;
    kind.must()
        .1
        .iter()
        .try_for_each(|header| has(answer, *header))?;
    let opens =
        *kind == Kind::SitePage && answer.headers.contains_key("cross-origin-opener-policy");
    hold(!opens, || "parts the site from its page".into())?;
    hold(*kind != Kind::Nothing || answer.body.is_empty(), || {
        "has a body".into()
    })
}

/// Checks that hold for an answer that is an error.
fn is_refusal(answer: &Answer) -> Held {
    is_clean(answer)?;
    has(answer, NO_STORE)?;
    let kinds = ["application/problem+json", "application/json", "text/html"];
    let kind = answer.header("content-type");
    hold(kinds.iter().any(|it| kind.starts_with(it)), || {
        format!("is {kind}")
    })?;
    if [429, 503].contains(&answer.status) {
        has(answer, ("retry-after", ""))?;
    }
    if answer.status == 401 && kind == "application/problem+json" {
        has(answer, ("www-authenticate", "Bearer"))?;
    }
    if kind.starts_with("text/html") {
        has(answer, UNSNIFFED)?;
        has(answer, ("content-security-policy", "default-src 'none'"))?;
    }
    Ok(())
}

/// The answer to a use case, asked by a page of this site, with the store away from the first call on or not.
async fn answered(case: &UseCase, site: Option<&'static str>, is_away: bool) -> Answer {
    store::begin_anew();
    let house = House::open(case.setup).await;
    let Prepared { act, .. } = (case.prepare)(house.clone()).await;
    house.is_asked_by(site);
    let fault = is_away.then_some((1, Fault::Before));
    with_fault(fault, None, act(house, 0)).await.0
}

async fn check(case: &UseCase, wrong: &mut Vec<String>) {
    for (site, is_away) in [
        (None, false),
        (Some(OTHER_SITE), false),
        (Some(OWN_SITE), false),
        (None, true),
    ] {
        let answer = answered(case, site, is_away).await;
        let kinds = row(case.route);
        let held = match (case.is_done)(&answer) && answer.is_done() {
            true => is_right(&answer, kinds),
            false => is_refusal(&answer),
        };
        let is_open = kinds.contains(&Kind::Document);
        let may_read = match site {
            Some(OWN_SITE) => is_open || READ_BY_PAGE.contains(&case.name),
            _ => is_open,
        };
        let reads = site.is_some_and(|site| is_read_by(&answer, site));
        let read = hold(reads == (may_read && site.is_some()), || {
            format!("read by the site: {reads}")
        });
        let held = held.and(read).and_then(|()| {
            if reads && !is_open {
                has(&answer, ("vary", "Origin"))
            } else {
                Ok(())
            }
        });
        if let Err(law) = held {
            wrong.push(format!(
                "{} ({}), from {site:?}, away: {is_away}: {law}: {answer:?}",
                case.route, case.name
            ));
        }
    }
}

#[actix_web::test]
async fn every_answer_has_the_headers_of_its_row() {
    let (mut wrong, mut seen) = (Vec::new(), BTreeMap::new());
    for case in &use_cases() {
        // Other setups answer alike.
        if seen.insert(case.name, case.route).is_none() {
            check(case, &mut wrong).await;
        }
    }
    assert!(
        wrong.is_empty(),
        "{} answers:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// Strangers ask each route without anything, and by a method that it does not have.
#[actix_web::test]
async fn every_refusal_of_a_stranger_has_the_headers_of_refusals() {
    store::begin_anew();
    let house = House::open(Setup::Platform).await;
    let public = routes(&house.json("GET", "/openapi.json", Value::Null).await.json());
    let admin = routes(
        &house
            .operate("GET", "/openapi.json", Value::Null)
            .await
            .json(),
    );
    let rows: Vec<_> = ANSWERS
        .iter()
        .map(|(route, _)| (*route).to_owned())
        .collect();
    let unknown: Vec<_> = rows
        .iter()
        .filter(|row| !public.contains(*row) && !admin.contains(*row))
        .collect();
    let lacking: Vec<_> = public
        .iter()
        .chain(&admin)
        .filter(|route| !rows.contains(route))
        .collect();
    assert_eq!(
        (unknown, lacking),
        (vec![], vec![]),
        "rows without a route, and routes without a row"
    );
    house.is_asked_by(Some(OTHER_SITE));
    let mut wrong = Vec::new();
    for route in &rows {
        let (method, path) = route.split_once(' ').expect("a method and a path");
        let path = path.replace(['{', '}'], "");
        for method in [method, "PATCH"] {
            let answer = match public.contains(route) {
                true => house.ask(request(method, &path)).await,
                false => house.operate_as("nobody", method, &path, Value::Null).await,
            };
            let is_open = row(route).contains(&Kind::Document);
            let held = match answer.is_done() {
                true => is_right(&answer, row(route)),
                false => is_refusal(&answer),
            };
            let allowed = hold(
                answer.status != 405 || answer.headers.contains_key("allow"),
                || "lacks Allow".into(),
            );
            let reads = is_read_by(&answer, OTHER_SITE);
            let read = hold(!reads || is_open, || "read by another site".into());
            if let Err(law) = held.and(allowed).and(read) {
                wrong.push(format!("{method} {path}: {law}: {answer:?}"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} answers:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
