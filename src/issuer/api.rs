//! `/openapi.json`, the same in Chinese, and `/docs`.

use std::sync::OnceLock;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::LOCATION,
    web::{Bytes, Data, Path},
};
use utoipa::{OpenApi, openapi::Server};

use super::{build::IssuerWorker, leave_routes, login_route, metadata, revocations, session_key_routes};
use crate::http::{
    ProblemCode::{self, *},
    ProblemDocument,
    described::{BearerSecurity, Chinese, DELETE, DescribedRoute, GET, POST, RouteProblems},
    not_found, viewer,
};

/// Tells clients that ask for an unknown path where the API is described.
pub(super) const PLACE: &str = "The API is described at /docs.";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "wxmint",
        description = "Turns a WeChat mini-program login into a signed JWT. Errors are application/problem+json with a \
                       stable `code`; 429 and 503 carry Retry-After."
    ),
    modifiers(&SECURITY, &PROBLEMS),
    paths(login_route::login_by_post, login_route::login_by_query, session_key_routes::user_data,
        session_key_routes::phone, session_key_routes::session, session_key_routes::reset, metadata::jwks, revocations::revocations,
        metadata::metadata, leave_routes::logout, leave_routes::dissolve),
    components(schemas(ProblemDocument)),
    tags((name = "login", description = "For mini programs"),
        (name = "wechat", description = "Uses of session_key, which never leaves this service"),
        (name = "keys", description = "For whoever verifies tokens"),
        (name = "older pages", description = "For mini programs that were written for another back end"),
        (name = "leave", description = "To log out, and to end a binding"))
)]
struct ApiDescription;

const SECURITY: BearerSecurity = BearerSecurity {
    format: "JWT",
    description: "The `access_token` of an answer of `POST /login`: the text that begins with eyJ, without the word Bearer. A \
                  login that you send from this page fills it in.",
};
const CHINESE: Chinese = Chinese {
    tags: &[
        ("login", "登录"),
        ("wechat", "微信"),
        ("keys", "验证 token"),
        ("older pages", "旧页面"),
        ("leave", "退出"),
    ],
    paragraphs: include_str!("api/chinese.json"),
};
const PROBLEMS: RouteProblems = RouteProblems(&ROUTES);

/// The problems of every route with a handler that asks the store.
const ANY: &[ProblemCode] = &[InvalidRequest, InternalError, StoreUnavailable];
const STORE: &[ProblemCode] = &[InternalError, StoreUnavailable];
const LOGIN: &[ProblemCode] =
    &[CredentialsInQuery, BindingRequired, InvalidCredentials, AlreadyBound, AccountsUnavailable];
const CODE: &[ProblemCode] = &[CodeInvalid, CodeUsed];
const TOKEN: &[ProblemCode] = &[InvalidToken];
const SESSION_KEY: &[ProblemCode] = &[DataUndecryptable];
const LIMIT: &[ProblemCode] = &[RateLimited];
/// Of a call of WeChat's API for one person.
const WECHAT: &[ProblemCode] = &[UnknownApp, UserBlocked, WechatMisconfigured, WechatUnavailable];

/// Statuses of `invalid_request` beside 400. 431 is possible on every route.
const HEAD: &[u16] = &[431];
const BODY: &[u16] = &[408, 413, 431];
const TYPED_BODY: &[u16] = &[408, 413, 415, 431];

const ROUTES: [DescribedRoute; 11] = [
    ("/login", POST, &[ANY, LOGIN, CODE, LIMIT, WECHAT], TYPED_BODY),
    ("/login", GET, &[ANY, LOGIN, CODE, LIMIT, WECHAT], HEAD),
    ("/wechat/userdata", POST, &[ANY, TOKEN, SESSION_KEY, LIMIT], BODY),
    ("/wechat/phone", POST, &[ANY, TOKEN, CODE, LIMIT, WECHAT], BODY),
    ("/wechat/session", GET, &[ANY, TOKEN, SESSION_KEY, LIMIT, WECHAT], HEAD),
    ("/wechat/session/reset", POST, &[ANY, TOKEN, SESSION_KEY, LIMIT, WECHAT], HEAD),
    ("/.well-known/jwks.json", GET, &[], HEAD),
    ("/.well-known/openid-configuration", GET, &[], HEAD),
    ("/revocations", GET, &[STORE], HEAD),
    ("/logout", POST, &[ANY, TOKEN, LIMIT], BODY),
    ("/binding", DELETE, &[ANY, TOKEN, LIMIT], HEAD),
];

/// The documents of one issuer, in English and in Chinese.
#[derive(Default)]
pub(super) struct Documents {
    english: OnceLock<Bytes>,
    chinese: OnceLock<Bytes>,
}

/// What marks the demo, in which `/docs` can get codes that work. It is data of the app.
pub struct InDemo;

pub fn openapi_json() -> String {
    described("https://login.example.com")
}

fn described(issuer: &str) -> String {
    let mut api = ApiDescription::openapi();
    api.servers = Some(vec![Server::new(issuer)]);
    api.to_json().expect("a description that is known when compiling serializes")
}

/// `GET /openapi.json`
pub(super) async fn openapi(worker: Data<IssuerWorker>) -> HttpResponse {
    let issuer = &worker.issuer;
    document(issuer.documents.english.get_or_init(|| described(issuer.settings.issuer.as_str()).into()))
}

/// `GET /openapi.zh-CN.json`
pub(super) async fn openapi_in_chinese(worker: Data<IssuerWorker>) -> HttpResponse {
    let issuer = &worker.issuer;
    let translated = || CHINESE.of(&described(issuer.settings.issuer.as_str())).into();
    document(issuer.documents.chinese.get_or_init(translated))
}

/// `GET /`: leads to the viewer, because nothing else is to be seen here. Temporary, because that may change.
pub(super) async fn root() -> HttpResponse {
    HttpResponse::TemporaryRedirect().insert_header((LOCATION, "docs/")).finish()
}

/// `GET /docs/…`
pub(super) async fn docs_file(request: HttpRequest, path: Path<String>) -> HttpResponse {
    let place = if request.app_data::<InDemo>().is_some() { "demo" } else { "issuer" };
    match viewer::file(&path, place) {
        Some(file) => file,
        None => not_found(PLACE)(request).await,
    }
}

fn document(json: &Bytes) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(json.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::{
        http::{Problem, ProblemCode, described::chinese_tests},
        issuer::LoginFields,
    };

    fn document() -> Value {
        serde_json::from_str(&openapi_json()).expect("JSON")
    }

    /// Method and path of every operation as the viewer shows them: by tag, and below a tag as they stand in the document.
    fn operations(document: &Value) -> Vec<(String, &Value)> {
        let text = openapi_json();
        let place = |path: &str| text.find(&format!("\"{path}\":{{")).expect("the path");
        let tags = document["tags"].as_array().expect("tags");
        let mut found = Vec::new();
        for (path, item) in document["paths"].as_object().expect("paths") {
            for (method, operation) in item.as_object().expect("operations") {
                let tag =
                    tags.iter().position(|tag| tag["name"] == operation["tags"][0]).expect("a tag that is described");
                found.push(((tag, place(path)), (format!("{method} {path}"), operation)));
            }
        }
        found.sort_by_key(|(order, _)| *order);
        found.into_iter().map(|(_, operation)| operation).collect()
    }

    #[test]
    fn every_word_is_said_in_chinese_too_and_nothing_else_differs() {
        chinese_tests::says_everything(&openapi_json(), &CHINESE);
        chinese_tests::changes_nothing_else(&openapi_json(), &CHINESE);
    }

    #[test]
    fn the_login_stands_first_and_the_end_of_a_binding_last() {
        let document = document();
        let operations = operations(&document);
        let name = |operation: Option<&(String, _)>| operation.map(|(name, _)| name.clone());
        assert_eq!(name(operations.first()).as_deref(), Some("post /login"));
        assert_eq!(name(operations.last()).as_deref(), Some("delete /binding"));
    }

    #[test]
    fn every_status_of_every_route_is_described_by_its_number() {
        for (name, operation) in operations(&document()) {
            let responses = operation["responses"].as_object().expect("responses");
            let failures = responses.keys().filter(|status| status.parse::<u16>().expect(&name) >= 400);
            assert!(failures.count() > 0, "{name} has a row in the table of problems");
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
            let security = operation["security"].as_array().unwrap_or_else(|| panic!("{name} says nothing"));
            assert!(security.is_empty() || !operation["responses"]["429"].is_null(), "{name} answers rate_limited");
        }
    }

    #[test]
    fn the_example_of_a_problem_is_one_row_of_the_table() {
        let document = document();
        let schema = document["components"]["schemas"]["Problem"]["properties"].as_object().expect("members");
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
                let read = LoginFields::from_json(body.as_bytes()).and_then(LoginFields::into_request);
                assert!(read.is_ok(), "{name}: {read:?}");
            }
            let (_, first) = examples.iter().next().expect("an example");
            assert_eq!(first["value"].as_object().expect("fields").keys().collect::<Vec<_>>(), ["code"]);
        }
    }
}
