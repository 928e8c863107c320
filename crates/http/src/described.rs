//! The table of a listener's routes: each row serves a method of a path and describes its problems.

use std::collections::BTreeMap;

use actix_web::http::{Method, StatusCode};
use actix_web::{Resource, Route, web};
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, Response, ResponseBuilder};
use utoipa::{Modify, openapi::example::ExampleBuilder};

use super::problem::ProblemCode::{self, *};
use super::speculative::answer_nothing;
use super::{not_allowed, problem::Problem};

pub struct DescribedRoute {
    pub methods: Methods,
    pub path: &'static str,
    /// Makes the route; each worker has one of its own.
    pub route: fn() -> Route,
    pub codes: &'static [&'static [ProblemCode]],
    /// Statuses of `invalid_request` beside 400.
    pub statuses: &'static [u16],
}

/// The methods of a route, and what they do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Methods {
    pub allowed: &'static [Method],
    /// Whether it changes something to be asked for, also by GET: something is spent, ended, counted or begun. Browsers
    /// must not ask for it ahead of time.
    pub changes: bool,
}

const fn changing(allowed: &'static [Method]) -> Methods {
    Methods { allowed, changes: true }
}

/// A resource that is not changed by being asked for, so that it may also be asked for by HEAD.
pub const READ: Methods = Methods { allowed: &[Method::GET, Method::HEAD], changes: false };
/// A page with which something begins.
pub const OPEN: Methods = changing(&[Method::GET, Method::HEAD]);
pub const GET: Methods = changing(&[Method::GET]);
pub const POST: Methods = changing(&[Method::POST]);
pub const PUT: Methods = changing(&[Method::PUT]);
pub const DELETE: Methods = changing(&[Method::DELETE]);

/// The routes of a listener with their description. `routes!` declares them.
pub struct Routes {
    pub rows: &'static [DescribedRoute],
    pub described: fn() -> OpenApi,
}

/// Declares `ROWS`, `ROUTES` and `Described`, to which each handler's `utoipa::path` adds its operation.
#[macro_export]
macro_rules! routes {
    ($(#[$about:meta])+ $($methods:ident $path:literal $module:ident::$handler:ident $codes:expr, $statuses:ident;)+) => {
        const ROWS: &[$crate::described::DescribedRoute] = &[$($crate::described::DescribedRoute {
            methods: $crate::described::$methods,
            path: $path,
            route: || actix_web::web::to($module::$handler),
            codes: &$codes,
            statuses: $statuses,
        }),+];
        pub(super) const ROUTES: $crate::described::Routes =
            $crate::described::Routes { rows: ROWS, described: <Described as utoipa::OpenApi>::openapi };

        #[derive(utoipa::OpenApi)]
        #[openapi(paths($($module::$handler),+), modifiers(&SECURITY, &ROUTES))]
        #[openapi(components(schemas($crate::ProblemDocument)))]
        $(#[$about])+
        struct Described;
    };
}

impl Routes {
    /// Each path once.
    pub fn paths(&self) -> impl Iterator<Item = &'static str> {
        let is_first = |number: usize| self.rows[..number].iter().all(|before| before.path != self.rows[number].path);
        (0..self.rows.len()).filter(move |number| is_first(*number)).map(|number| self.rows[number].path)
    }

    /// The routes of the path `of`, at the path `at`. Other methods get 405, and a request that is sent ahead of time
    /// gets nothing where it would change something.
    pub fn resource(&self, of: &str, at: &str) -> Resource {
        let mut resource = web::resource(at);
        let mut allowed = Vec::new();
        let changes_by_get = |row: &DescribedRoute| row.methods.changes && row.methods.allowed.contains(&Method::GET);
        if self.rows.iter().any(|row| row.path == of && changes_by_get(row)) {
            resource = resource.route(answer_nothing());
        }
        for row in self.rows.iter().filter(|row| row.path == of) {
            for method in row.methods.allowed {
                resource = resource.route((row.route)().method(method.clone()));
                allowed.push(method.as_str());
            }
        }
        allowed.sort_by_key(|method| ["GET", "HEAD", "POST"].iter().position(|first| first == method).unwrap_or(3));
        resource.default_service(not_allowed(allowed.join(", ")))
    }
}

impl Modify for Routes {
    fn modify(&self, api: &mut OpenApi) {
        for row in self.rows {
            let item = api.paths.paths.get_mut(row.path);
            let operation = item.and_then(|item| operation(item, &row.methods.allowed[0]));
            let operation =
                operation.unwrap_or_else(|| panic!("{} {}: not in utoipa::path", row.methods.allowed[0], row.path));
            for (status, problems) in by_status(row.codes, row.statuses) {
                operation.responses.responses.insert(status.to_string(), response(&problems).into());
            }
        }
    }
}

fn operation<'a>(item: &'a mut PathItem, method: &Method) -> Option<&'a mut Operation> {
    match *method {
        Method::GET => item.get.as_mut(),
        Method::POST => item.post.as_mut(),
        Method::PUT => item.put.as_mut(),
        _ => item.delete.as_mut(),
    }
}

/// Describes how a request shows its token or secret, and which requests need none.
pub struct BearerSecurity {
    pub format: &'static str,
    /// The viewer of the API says this beside the field for it.
    pub description: &'static str,
}

impl Modify for BearerSecurity {
    fn modify(&self, api: &mut OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format(self.format);
        let scheme = scheme.description(Some(self.description)).build();
        api.components.get_or_insert_default().add_security_scheme("bearer", SecurityScheme::Http(scheme));
        for item in api.paths.paths.values_mut() {
            let operations = [&mut item.get, &mut item.post, &mut item.put, &mut item.delete].into_iter().flatten();
            operations.for_each(|operation| _ = operation.security.get_or_insert_default());
        }
    }
}

fn by_status(codes: &[&[ProblemCode]], further: &[u16]) -> BTreeMap<u16, Vec<Problem>> {
    let status = |status: &u16| StatusCode::from_u16(*status).expect("a status of the table");
    let further = further.iter().map(status).map(|status| problem(InvalidRequest).with_status(status));
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let has = |code: &&ProblemCode| codes.iter().any(|codes| codes.contains(code));
    let of_doors = codes.iter().copied().flatten().filter(|code| matches!(code, OfDoor(_)));
    let all = ProblemCode::ALL.iter().filter(has).chain(of_doors);
    for problem in all.copied().map(problem).chain(further) {
        found.entry(problem.status.as_u16()).or_default().push(problem);
    }
    found
}

fn problem(code: ProblemCode) -> Problem {
    let problem = Problem::new(code, "What was wrong, and what to do.");
    match problem.status.as_u16() {
        429 | 503 => problem.retry_after(std::time::Duration::from_secs(2)),
        _ if code == BindingRequired => problem.bind_ticket("3q2-7wAAAAAAAAAAAAAAAA"),
        _ => problem,
    }
}

fn response(problems: &[Problem]) -> Response {
    let example = |problem: &Problem| ExampleBuilder::new().value(Some(problem.example()));
    let examples = problems.iter().map(|problem| (problem.code.as_str(), example(problem)));
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).examples_from_iter(examples);
    let titles = problems.iter().map(|problem| problem.code.row());
    let codes: Vec<_> = titles.map(|(code, _, title)| format!("`{code}`: {title}")).collect();
    ResponseBuilder::new().description(codes.join("\n\n")).content("application/problem+json", content.build()).build()
}
