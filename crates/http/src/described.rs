//! The table of a listener's routes. Each row serves the methods of a path and describes their
//! problems.

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

/// One route of a listener.
pub struct DescribedRoute {
    /// The methods that the route answers.
    pub methods: Methods,
    /// The path, with `{name}` for each parameter.
    pub path: &'static str,
    /// Makes the route. Each worker makes its own.
    pub route: fn() -> Route,
    /// The problems that the route may answer with, as a list of lists.
    pub codes: &'static [&'static [ProblemCode]],
    /// The statuses other than 400 that the route answers `invalid_request` with.
    pub statuses: &'static [u16],
}

/// The methods of a route, and what they do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Methods {
    pub allowed: &'static [Method],
    /// Whether a request changes something, even a GET: it spends, revokes, counts or begins
    /// something. Browsers must not send such a request ahead of time.
    pub changes: bool,
}

const fn changing(allowed: &'static [Method]) -> Methods {
    Methods {
        allowed,
        changes: true,
    }
}

/// A resource that requests do not change. So HEAD is allowed, too.
pub const READ: Methods = Methods {
    allowed: &[Method::GET, Method::HEAD],
    changes: false,
};
/// A page that begins something when it is opened, such as a login.
pub const OPEN: Methods = changing(&[Method::GET, Method::HEAD]);
pub const GET: Methods = changing(&[Method::GET]);
pub const POST: Methods = changing(&[Method::POST]);
pub const PUT: Methods = changing(&[Method::PUT]);
pub const DELETE: Methods = changing(&[Method::DELETE]);

/// The routes of a listener with their OpenAPI description. `routes!` declares them.
pub struct Routes {
    /// The routes of the listener.
    pub rows: &'static [DescribedRoute],
    /// Makes the OpenAPI document of the routes.
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
    /// Iterates over the paths, each once.
    pub fn paths(&self) -> impl Iterator<Item = &'static str> {
        (0..self.rows.len())
            .filter(|number| {
                let path = self.rows[*number].path;
                self.rows[..*number]
                    .iter()
                    .all(|before| before.path != path)
            })
            .map(|number| self.rows[number].path)
    }

    /// Serves the routes of the path `of` at the path `at`. Other methods get 405. A request that a
    /// browser sends ahead of time gets 204 if a GET of this path changes something.
    pub fn resource(&self, of: &str, at: &str) -> Resource {
        let mut resource = web::resource(at);
        let mut allowed = Vec::new();
        let changes_by_get = self.rows.iter().any(|row| {
            row.path == of && row.methods.changes && row.methods.allowed.contains(&Method::GET)
        });
        if changes_by_get {
            resource = resource.route(answer_nothing());
        }
        for row in self.rows.iter().filter(|row| row.path == of) {
            for method in row.methods.allowed {
                resource = resource.route((row.route)().method(method.clone()));
                allowed.push(method.as_str());
            }
        }
        allowed.sort_by_key(|method| {
            ["GET", "HEAD", "POST"]
                .iter()
                .position(|first| first == method)
                .unwrap_or(3)
        });
        resource.default_service(not_allowed(allowed.join(", ")))
    }
}

impl Modify for Routes {
    fn modify(&self, api: &mut OpenApi) {
        for row in self.rows {
            let item = api.paths.paths.get_mut(row.path);
            let operation = item.and_then(|item| operation(item, &row.methods.allowed[0]));
            let operation = operation.unwrap_or_else(|| {
                panic!(
                    "{} {}: not in utoipa::path",
                    row.methods.allowed[0], row.path
                )
            });
            for (status, problems) in by_status(row.codes, row.statuses) {
                operation
                    .responses
                    .responses
                    .insert(status.to_string(), response(&problems).into());
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

/// Describes in the OpenAPI document how a request authenticates with a bearer token or secret, and
/// which requests need none.
pub struct BearerSecurity {
    /// The `bearerFormat`, a hint for readers.
    pub format: &'static str,
    /// The viewer of `/docs` shows this beside the field for the token.
    pub description: &'static str,
}

impl Modify for BearerSecurity {
    fn modify(&self, api: &mut OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format(self.format);
        let scheme = scheme.description(Some(self.description)).build();
        api.components
            .get_or_insert_default()
            .add_security_scheme("bearer", SecurityScheme::Http(scheme));
        for item in api.paths.paths.values_mut() {
            let operations = [
                &mut item.get,
                &mut item.post,
                &mut item.put,
                &mut item.delete,
            ]
            .into_iter()
            .flatten();
            for operation in operations {
                operation.security.get_or_insert_default();
            }
        }
    }
}

fn by_status(codes: &[&[ProblemCode]], further: &[u16]) -> BTreeMap<u16, Vec<Problem>> {
    let further = further.iter().map(|status| {
        let status = StatusCode::from_u16(*status).expect("a status of the table");
        problem(InvalidRequest).with_status(status)
    });
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let of_doors = codes
        .iter()
        .copied()
        .flatten()
        .filter(|code| matches!(code, OfDoor(_)));
    let of_us = ProblemCode::ALL
        .iter()
        .filter(|code| codes.iter().any(|codes| codes.contains(code)));
    let all = of_us.chain(of_doors);
    for problem in all.copied().map(problem).chain(further) {
        found
            .entry(problem.status.as_u16())
            .or_default()
            .push(problem);
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
    let examples = problems.iter().map(|problem| {
        let example = ExampleBuilder::new().value(Some(problem.example()));
        (problem.code.as_str(), example)
    });
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Problem")))
        .examples_from_iter(examples);
    let titles = problems.iter().map(|problem| problem.code.row());
    let codes: Vec<_> = titles
        .map(|(code, _, title)| format!("`{code}`: {title}"))
        .collect();
    ResponseBuilder::new()
        .description(codes.join("\n\n"))
        .content("application/problem+json", content.build())
        .build()
}
