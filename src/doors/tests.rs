//! The description of the public listener with all doors, against its tables of routes.

use serde_json::Value;
use wxmint_http::{Problem, ProblemCode};

use super::DOORS;
use crate::issuer::{LoginBody, openapi_json};

fn document() -> Value {
    serde_json::from_str(&openapi_json(DOORS)).expect("JSON")
}

/// Method and path of every operation as the viewer shows them: by tag, and below a tag as they stand in the document.
fn operations(document: &Value) -> Vec<(String, &Value)> {
    let text = openapi_json(DOORS);
    let place = |path: &str| text.find(&format!("\"{path}\":{{")).expect("the path");
    let tags = document["tags"].as_array().expect("tags");
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let tag = tags
                .iter()
                .position(|tag| tag["name"] == operation["tags"][0])
                .expect("a tag that is described");
            found.push(((tag, place(path)), (format!("{method} {path}"), operation)));
        }
    }
    found.sort_by_key(|(order, _)| *order);
    found.into_iter().map(|(_, operation)| operation).collect()
}

#[test]
fn the_login_stands_first_and_the_last_door_last() {
    let document = document();
    let operations = operations(&document);
    let name = |operation: Option<&(String, _)>| operation.map(|(name, _)| name.clone());
    assert_eq!(name(operations.first()).as_deref(), Some("post /login"));
    let last = name(operations.last()).expect("an operation");
    let of_last_door = DOORS
        .last()
        .and_then(|row| row.public.paths().last())
        .expect("a path");
    assert!(last.ends_with(of_last_door), "{last}");
}

#[test]
fn every_status_of_every_route_is_described_by_its_number() {
    for (name, operation) in operations(&document()) {
        let responses = operation["responses"].as_object().expect("responses");
        let failures = responses
            .keys()
            .filter(|status| status.parse::<u16>().expect(&name) >= 400);
        assert!(
            failures.count() > 0,
            "{name} has a row in the table of problems"
        );
        for (status, response) in responses {
            let examples = response["content"]["application/problem+json"]["examples"].as_object();
            for (code, example) in examples.into_iter().flatten() {
                let value = &example["value"];
                assert_eq!(
                    (&value["status"].to_string(), &value["code"]),
                    (status, &code.as_str().into()),
                    "{name}"
                );
            }
        }
    }
}

#[test]
fn every_route_says_whether_it_needs_a_token_and_then_that_it_is_limited() {
    for (name, operation) in operations(&document()) {
        let security = operation["security"]
            .as_array()
            .unwrap_or_else(|| panic!("{name} says nothing"));
        let costs_nothing = name.ends_with("/ssf/stream");
        let is_limited = !operation["responses"]["429"].is_null();
        assert!(
            security.is_empty() || costs_nothing || is_limited,
            "{name} answers rate_limited"
        );
        let opens = ["/logout", "/userinfo", "/ssf/stream", "/ssf/poll"]
            .iter()
            .any(|path| name.ends_with(path));
        let is_forbidden = !operation["responses"]["403"].is_null();
        assert!(
            security.is_empty() || opens || is_forbidden,
            "{name} answers forbidden to a token of a page"
        );
    }
}

#[test]
fn where_clients_show_a_secret_a_wrong_one_is_described_and_pages_that_fail_are() {
    for (name, operation) in operations(&document()) {
        let responses = &operation["responses"];
        let form = &operation["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]
            ["$ref"];
        let is_of_client = ["/device_authorization", "/token", "/revoke"]
            .iter()
            .any(|path| name.ends_with(path));
        assert!(
            !is_of_client || form.is_string() && responses["401"].is_object(),
            "{name}"
        );
        let fails = |status: &str| responses[status]["content"]["text/html"].is_object();
        let is_page = [
            "get /authorize",
            "get /authorize/web",
            "get /authorize/wechat",
        ]
        .contains(&name.as_str());
        assert!(!is_page || fails("400"), "{name} fails by a page");
        assert!(
            name != "get /authorize/wechat" || fails("429"),
            "{name} fails by a page"
        );
    }
}

#[test]
fn the_example_of_a_problem_is_one_row_of_the_table() {
    let document = document();
    let schema = document["components"]["schemas"]["Problem"]["properties"]
        .as_object()
        .expect("members");
    let shown: Value = schema
        .iter()
        .filter_map(|(name, member)| Some((name.clone(), member.get("example")?.clone())))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let detail = shown["detail"].as_str().expect("a text");
    assert_eq!(shown, Problem::new(ProblemCode::CodeUsed, detail).example());
}

#[test]
fn every_example_of_a_login_is_one_way_to_log_in_and_the_first_is_a_code_alone() {
    let document = document();
    let content = &document["paths"]["/login"]["post"]["requestBody"]["content"];
    for (kind, content) in content.as_object().expect("media types") {
        let examples = content["examples"].as_object().expect(kind);
        assert_eq!(examples.len(), 5, "{kind}");
        for (name, example) in examples {
            let body = example["value"].to_string();
            let read = LoginBody::from_json(body.as_bytes());
            assert!(read.is_ok(), "{name}: {read:?}");
        }
        let (_, first) = examples.iter().next().expect("an example");
        assert_eq!(
            first["value"]
                .as_object()
                .expect("fields")
                .keys()
                .collect::<Vec<_>>(),
            ["code"]
        );
    }
}
