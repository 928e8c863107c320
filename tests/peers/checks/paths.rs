//! Paths that mean another path.

use std::collections::BTreeSet;

use super::Asked;
use crate::{example::Example, raw::Request, routers::Routers, scene::Scene};

/// What some back end takes for `orders`, beside what is protected.
const NEAR: &[&str] = &[
    "ORDERS/1",
    "orders%20",
    "orders%20/1",
    "orders%09",
    "%20orders",
    "orders+",
    "orders.",
    "orders./1",
    "orders.json",
    "orders.json/1",
    "orders;x/1",
    "orders:1",
    "orders%3bx",
    "orders%00",
    "orders%2f1",
    "orders%5c1",
    "orders%252f1",
    "orders%C2%A0",
    "or%C2%ADders",
    "order%C5%BF",
    "%EF%BD%8Frders",
    "%C3%B6rders",
    "orders%ff",
    "orders%c0%af1",
    "%6frders",
    "./orders",
    "x/../orders",
    "x/..%20/orders",
    "x/%c0%ae%c0%ae/orders",
    "/orders",
    "(S(x))/orders",
];

/// As they stand in the request line.
const TARGETS: &[&str] = &[
    "/orders",
    "/orders/",
    "/orders/1",
    "/orders?x=/public/hello",
    "//orders",
    "///orders",
    "/./orders",
    "/x/../orders",
    "/%6frders",
    "/%6Frders",
    "/ORDERS",
    "/Orders",
    "/orders;x",
    "/orders;/public/hello",
    "/;/orders",
    "/orders%00",
    "/orders%2f",
    "/orders%20",
    "/public/../orders",
    "/public/./../orders",
    "/public//../orders",
    "/public/../../orders",
    "/public/hello/../../orders",
    "/public/..//orders",
    "/public/%2e%2e/orders",
    "/public/%2E%2E/orders",
    "/public/.%2e/orders",
    "/public/..%2forders",
    "/public/..%2Forders",
    "/public%2f..%2forders",
    "/public/%2e%2e%2forders",
    "/public/%252e%252e/orders",
    "/public/..%252forders",
    "/public/..%5corders",
    r"/public/..\orders",
    r"/public\..\orders",
    r"\orders",
    "/public;/../orders",
    "/public/;/../orders",
    "/public/..;/orders",
    "/public/..;x=y/orders",
    "/public/%2e%2e;/orders",
    "/public/..%3b/orders",
    "/public/hello/..;/..;/orders",
    "/public/%c0%ae%c0%ae/orders",
    "/public/%e0%80%ae%e0%80%ae/orders",
    "/public/%f0%80%80%ae%f0%80%80%ae/orders",
    "/public/%c0%ae%c0%ae%c0%aforders",
    "/public/%ff%fe",
    "/public/..%20/orders",
    "/public/..%09/orders",
    "/public/.../orders",
    "/public/%EF%BC%8E%EF%BC%8E/orders",
    "/public/..%EF%BC%8Forders",
    "/PUBLIC/hello",
    "/Public/../orders",
    "/public%20/hello",
    "/public/hello?/../../orders",
    "/public/hello#/../../orders",
    "/public/hello%23/../../../orders",
    "orders",
    "http://127.0.0.1/orders",
    "http://127.0.0.1/public/../orders",
    "http://127.0.0.1//orders",
    "HTTP://127.0.0.1/%6frders",
];

pub(crate) async fn path_faults(scene: &Scene, example: &Example) -> Vec<String> {
    let routers = Routers::start().await;
    let beside = example.protected.strip_suffix("orders").expect("what is protected are orders");
    let near = NEAR.iter().map(|near| format!("{beside}{near}"));
    let mut faults = Vec::new();
    for target in TARGETS.iter().map(|target| (*target).to_owned()).chain(near) {
        let asked = Asked::send(scene, example, &Request::get(&target)).await;
        let told = asked.reply.as_ref().is_ok_and(|reply| !reply.json()["user_id"].is_null());
        let mut reached = Vec::new();
        for seen in &asked.seen {
            reached.extend(reaches_too_far(&routers, &seen.path, example).await);
        }
        if !reached.is_empty() {
            faults.push(format!("{target} without a token: {}", reached.concat()));
        } else if told {
            faults.push(format!("{target} without a token: {}", asked.told()));
        } else if asked.status() >= 500 {
            faults.push(format!("{target}: {}", asked.told()));
        }
    }
    faults
}

/// What is wrong with a stranger's path at the back end: it must be below the public one as it is written, and neither a
/// real router nor our own reading may take it for what is protected.
async fn reaches_too_far(routers: &Routers, path: &str, example: &Example) -> Option<String> {
    let takers = routers.that_take(path, example.protected).await;
    let is_public = example
        .public
        .and_then(|public| public.rsplit_once('/'))
        .is_some_and(|(open, _)| path.strip_prefix(open).is_some_and(|rest| rest.starts_with('/')));
    let is_harmless = is_public && takers.is_empty() && !may_mean(path, example.protected);
    (!is_harmless).then(|| format!("the back end sees {path}; taken for {} by {takers:?}", example.protected))
}

/// Whether some back end takes `path` for one at or below `protected`: normalised by any of the ways there are, in any
/// order, and decoded at most once.
fn may_mean(path: &str, protected: &str) -> bool {
    let mut forms = BTreeSet::new();
    // A query begins at the first `?`, whoever reads it.
    let path = path.split('?').next().unwrap_or_default();
    let mut open = vec![(path.to_owned(), false)];
    while let Some((form, decoded)) = open.pop() {
        if !forms.insert((form.clone(), decoded)) {
            continue;
        }
        let forms_of = [
            without_origin,
            without_query,
            with_slashes,
            without_parameters,
            without_endings,
            merged,
            resolved,
            lower_case,
        ];
        open.extend(forms_of.iter().map(|normalised| (normalised(&form), decoded)));
        if !decoded {
            open.push((percent_decoded(&form), true));
        }
    }
    forms.iter().any(|(form, _)| below(form, protected))
}

fn below(path: &str, protected: &str) -> bool {
    path.strip_prefix(protected).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '\0', ' ']))
}

fn without_origin(path: &str) -> String {
    let rest = path.split_once("://").map_or(path, |(_, rest)| rest.find('/').map_or("/", |slash| &rest[slash..]));
    format!("/{}", rest.strip_prefix('/').unwrap_or(rest))
}

fn without_query(path: &str) -> String {
    path.split(['?', '#']).next().unwrap_or_default().to_owned()
}

fn with_slashes(path: &str) -> String {
    path.replace('\\', "/")
}

fn without_parameters(path: &str) -> String {
    let segments = path.split('/').map(|segment| segment.split(';').next().unwrap_or_default());
    segments.collect::<Vec<_>>().join("/")
}

/// `orders.json`, `orders.`, `orders:1`, `orders+`, and blanks around.
fn without_endings(path: &str) -> String {
    let is_ending = |at: usize, char: char| at > 0 && ['.', ':', '+'].contains(&char);
    let cut = |segment: &str| {
        let end = segment.char_indices().find(|(at, char)| is_ending(*at, *char) && !segment.starts_with(".."));
        segment[..end.map_or(segment.len(), |(at, _)| at)].trim().to_owned()
    };
    path.split('/').map(cut).collect::<Vec<_>>().join("/")
}

fn merged(path: &str) -> String {
    let mut merged = path.to_owned();
    while merged.contains("//") {
        merged = merged.replace("//", "/");
    }
    merged
}

/// RFC 3986, section 5.2.4.
fn resolved(path: &str) -> String {
    let mut resolved: Vec<&str> = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => drop(resolved.pop()),
            segment => resolved.push(segment),
        }
    }
    format!("/{}", resolved.join("/"))
}

fn lower_case(path: &str) -> String {
    path.to_ascii_lowercase()
}

fn percent_decoded(path: &str) -> String {
    let (mut decoded, mut rest) = (Vec::new(), path.as_bytes());
    while let Some((&first, tail)) = rest.split_first() {
        let hex = (first == b'%').then(|| tail.get(..2)).flatten();
        let byte = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        decoded.push(byte.unwrap_or(first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[test]
fn what_a_path_may_mean_is_told() {
    let tricks = ["orders", r"\orders", "/orders", "/public/../orders", "/public/..%2forders", r"/public\..\orders"];
    let more = [
        "/public/..;x/orders",
        "//orders",
        "/ORDERS/1",
        "/%6frders",
        "http://a//orders?x",
        "/;/orders",
        "/a/..//orders;b",
        "/orders.json/1",
        "/Orders%20",
        "/public/..%20/orders",
    ];
    for path in tricks.into_iter().chain(more) {
        assert!(may_mean(path, "/orders"), "{path}");
    }
    let harmless = ["/public/hello", "/", "/ordersx", "/public/orders", "/public/%252e%252e/orders", "/orders-of-mine"];
    for path in harmless.into_iter().chain(["/public/hello?/../../orders"]) {
        assert!(!may_mean(path, "/orders"), "{path}");
    }
}
