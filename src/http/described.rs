//! What the descriptions of both listeners say of every route: who may ask, and a response for each status of a problem, with an
//! example for each code.

mod chinese;

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use utoipa::{
    Modify,
    openapi::{
        ContentBuilder, OpenApi, Ref, Response, ResponseBuilder,
        example::ExampleBuilder,
        path::{Operation, PathItem},
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

pub use self::chinese::Chinese;
#[cfg(test)]
pub(crate) use self::chinese::tests as chinese_tests;
use super::problem::{
    Problem,
    ProblemCode::{self, *},
};

/// A path, the operation of one method, the codes that it answers, and the statuses of `invalid_request` beside 400.
pub type DescribedRoute = (&'static str, OperationOf, &'static [&'static [ProblemCode]], &'static [u16]);
pub type OperationOf = fn(&mut PathItem) -> Option<&mut Operation>;

pub const GET: OperationOf = |item| item.get.as_mut();
pub const POST: OperationOf = |item| item.post.as_mut();
pub const PUT: OperationOf = |item| item.put.as_mut();
pub const DELETE: OperationOf = |item| item.delete.as_mut();

/// Describes the problems of these routes.
pub struct RouteProblems(pub &'static [DescribedRoute]);

impl Modify for RouteProblems {
    fn modify(&self, api: &mut OpenApi) {
        for (path, method, codes, further) in self.0 {
            let operation = api.paths.paths.get_mut(*path).and_then(method).expect("a route that is described");
            for (status, problems) in by_status(codes, further) {
                operation.responses.responses.insert(status.to_string(), response(&problems).into());
            }
        }
    }
}

/// Describes how a request shows its token or secret, and which requests need none.
pub struct BearerSecurity {
    pub format: &'static str,
    /// What the viewer of the API says beside the field for it.
    pub description: &'static str,
}

impl Modify for BearerSecurity {
    fn modify(&self, api: &mut OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format(self.format);
        let scheme = scheme.description(Some(self.description)).build();
        let components = api.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
        for item in api.paths.paths.values_mut() {
            for operation in [GET, POST, PUT, DELETE] {
                operation(item).map(|operation| operation.security.get_or_insert_default());
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
