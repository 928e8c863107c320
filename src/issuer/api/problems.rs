//! The problems of each route: a response for each status, with an example for each code.

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use utoipa::{
    Modify,
    openapi::{
        ContentBuilder, OpenApi, Ref, Response, ResponseBuilder,
        example::ExampleBuilder,
        path::{Operation, PathItem},
    },
};

use crate::http::{
    Problem,
    ProblemCode::{self, *},
};

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

type Route =
    (&'static str, fn(&mut PathItem) -> Option<&mut Operation>, &'static [&'static [ProblemCode]], &'static [u16]);

const GET: fn(&mut PathItem) -> Option<&mut Operation> = |item| item.get.as_mut();
const POST: fn(&mut PathItem) -> Option<&mut Operation> = |item| item.post.as_mut();
const DELETE: fn(&mut PathItem) -> Option<&mut Operation> = |item| item.delete.as_mut();

const ROUTES: [Route; 11] = [
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

pub(super) struct Problems;

impl Modify for Problems {
    fn modify(&self, api: &mut OpenApi) {
        for (path, method, codes, further) in ROUTES {
            let operation = api.paths.paths.get_mut(path).and_then(method).expect("a route that is described");
            for (status, problems) in by_status(codes, further) {
                operation.responses.responses.insert(status.to_string(), response(&problems).into());
            }
        }
    }
}

fn by_status(codes: &[&[ProblemCode]], further: &[u16]) -> BTreeMap<u16, Vec<Problem>> {
    let further = further.iter().map(|&status| {
        let status = StatusCode::from_u16(status).expect("a status of the table");
        problem(InvalidRequest).with_status(status)
    });
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let has = |code: &&ProblemCode| codes.iter().any(|codes| codes.contains(code));
    for problem in ProblemCode::ALL.iter().filter(has).copied().map(problem).chain(further) {
        found.entry(problem.status().as_u16()).or_default().push(problem);
    }
    found
}

fn problem(code: ProblemCode) -> Problem {
    let problem = Problem::new(code, "What was wrong, and what to do.");
    match problem.status().as_u16() {
        429 | 503 => problem.retry_after(std::time::Duration::from_secs(2)),
        _ if code == BindingRequired => problem.bind_ticket("3q2-7wAAAAAAAAAAAAAAAA"),
        _ => problem,
    }
}

fn response(problems: &[Problem]) -> Response {
    let examples = problems.iter().map(|problem| {
        let example = ExampleBuilder::new().value(Some(problem.example()));
        (problem.code().as_str(), example)
    });
    let content =
        ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).examples_from_iter(examples).build();
    let codes: Vec<_> =
        problems.iter().map(|problem| format!("`{}`: {}", problem.code().as_str(), problem.title())).collect();
    ResponseBuilder::new().description(codes.join("\n\n")).content("application/problem+json", content).build()
}
