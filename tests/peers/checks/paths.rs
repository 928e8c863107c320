//! Paths that mean another path.

use super::Asked;
use crate::{example::Example, raw::Request, routers::Routers, scene::Scene};

/// Some back end takes these for `orders`.
const NEAR: &str = "
    ORDERS/1 orders%20 orders%20/1 orders%09 %20orders orders+ orders. orders./1 orders.json orders.json/1 orders;x/1
    orders:1 orders%3bx orders%00 orders%2f1 orders%5c1 orders%252f1 orders%C2%A0 or%C2%ADders order%C5%BF
    %EF%BD%8Frders %C3%B6rders orders%ff orders%c0%af1 %6frders ./orders x/../orders x/..%20/orders
    x/%c0%ae%c0%ae/orders /orders (S(x))/orders";

/// As they stand in the request line.
const TARGETS: &str = r"
    /orders /orders/ /orders/1 /orders?x=/public/hello //orders ///orders /./orders /x/../orders /%6frders /%6Frders
    /ORDERS /Orders /orders;x /orders;/public/hello /;/orders /orders%00 /orders%2f /orders%20 /public/../orders
    /public/./../orders /public//../orders /public/../../orders /public/hello/../../orders /public/..//orders
    /public/%2e%2e/orders /public/%2E%2E/orders /public/.%2e/orders /public/..%2forders /public/..%2Forders
    /public%2f..%2forders /public/%2e%2e%2forders /public/%252e%252e/orders /public/..%252forders /public/..%5corders
    /public/..\orders /public\..\orders \orders /public;/../orders /public/;/../orders /public/..;/orders
    /public/..;x=y/orders /public/%2e%2e;/orders /public/..%3b/orders /public/hello/..;/..;/orders
    /public/%c0%ae%c0%ae/orders /public/%e0%80%ae%e0%80%ae/orders /public/%f0%80%80%ae%f0%80%80%ae/orders
    /public/%c0%ae%c0%ae%c0%aforders /public/%ff%fe /public/..%20/orders /public/..%09/orders /public/.../orders
    /public/%EF%BC%8E%EF%BC%8E/orders /public/..%EF%BC%8Forders /PUBLIC/hello /Public/../orders /public%20/hello
    /public/hello?/../../orders /public/hello#/../../orders /public/hello%23/../../../orders orders
    http://127.0.0.1/orders http://127.0.0.1/public/../orders http://127.0.0.1//orders HTTP://127.0.0.1/%6frders";

pub(crate) async fn path_faults(scene: &Scene, example: &Example) -> Vec<String> {
    let routers = Routers::start().await;
    let near = NEAR.split_whitespace().map(|near| format!("/{near}"));
    let mut faults = Vec::new();
    for target in TARGETS.split_whitespace().map(str::to_owned).chain(near) {
        let asked = Asked::send(scene, example, &Request::get(&target)).await;
        let told = asked
            .reply
            .as_ref()
            .is_ok_and(|reply| !reply.json()["user_id"].is_null());
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

/// Says what is wrong with a stranger's path at the back end: it must be below the public one as it is written, and no
/// router may take it for what is protected.
async fn reaches_too_far(routers: &Routers, path: &str, example: &Example) -> Option<String> {
    let takers = routers.that_take(path).await;
    let is_public = example
        .public
        .and_then(|public| public.rsplit_once('/'))
        .is_some_and(|(open, _)| {
            path.strip_prefix(open)
                .is_some_and(|rest| rest.starts_with('/'))
        });
    let is_harmless = is_public && takers.is_empty();
    (!is_harmless).then(|| format!("the back end sees {path}; taken for /orders by {takers:?}"))
}
