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

const LOGIN: &[ProblemCode] = &[
    InvalidRequest,
    CredentialsInQuery,
    UnknownApp,
    CodeInvalid,
    CodeUsed,
    BindingRequired,
    InvalidCredentials,
    UserBlocked,
    AlreadyBound,
    RateLimited,
    InternalError,
    WechatMisconfigured,
    WechatUnavailable,
    StoreUnavailable,
    AccountsUnavailable,
];
const USER_DATA: &[ProblemCode] =
    &[InvalidRequest, InvalidToken, DataUndecryptable, RateLimited, InternalError, StoreUnavailable];
const PHONE: &[ProblemCode] = &[
    InvalidRequest,
    UnknownApp,
    CodeInvalid,
    CodeUsed,
    InvalidToken,
    UserBlocked,
    RateLimited,
    InternalError,
    WechatMisconfigured,
    WechatUnavailable,
    StoreUnavailable,
];
const SESSION: &[ProblemCode] = &[
    InvalidRequest,
    UnknownApp,
    InvalidToken,
    UserBlocked,
    DataUndecryptable,
    RateLimited,
    InternalError,
    WechatMisconfigured,
    WechatUnavailable,
    StoreUnavailable,
];
const LEAVE: &[ProblemCode] = &[InvalidRequest, InvalidToken, InternalError, StoreUnavailable];

/// Statuses of `invalid_request` beside 400. 431 is possible on every route.
const HEAD: &[u16] = &[431];
const BODY: &[u16] = &[408, 413, 431];
const TYPED_BODY: &[u16] = &[408, 413, 415, 431];

type Route = (&'static str, fn(&mut PathItem) -> Option<&mut Operation>, &'static [ProblemCode], &'static [u16]);

const GET: fn(&mut PathItem) -> Option<&mut Operation> = |item| item.get.as_mut();
const POST: fn(&mut PathItem) -> Option<&mut Operation> = |item| item.post.as_mut();
const DELETE: fn(&mut PathItem) -> Option<&mut Operation> = |item| item.delete.as_mut();

const ROUTES: [Route; 10] = [
    ("/login", POST, LOGIN, TYPED_BODY),
    ("/login", GET, LOGIN, HEAD),
    ("/wechat/userdata", POST, USER_DATA, BODY),
    ("/wechat/phone", POST, PHONE, BODY),
    ("/wechat/session", GET, SESSION, HEAD),
    ("/wechat/session/reset", POST, SESSION, HEAD),
    ("/.well-known/jwks.json", GET, &[], HEAD),
    ("/.well-known/openid-configuration", GET, &[], HEAD),
    ("/logout", POST, LEAVE, BODY),
    ("/binding", DELETE, LEAVE, HEAD),
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

fn by_status(codes: &[ProblemCode], further: &[u16]) -> BTreeMap<u16, Vec<Problem>> {
    let further = further.iter().map(|&status| {
        let status = StatusCode::from_u16(status).expect("a status of the table");
        problem(InvalidRequest).with_status(status)
    });
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for problem in codes.iter().copied().map(problem).chain(further) {
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
    let codes: Vec<_> = problems.iter().map(|problem| format!("`{}`", problem.code().as_str())).collect();
    ResponseBuilder::new().description(codes.join(", ")).content("application/problem+json", content).build()
}
