//! Counts the answers of a route by outcome.

use std::{rc::Rc, time::Instant};

use actix_web::dev::{HttpServiceFactory, Service};
use actix_web::{HttpResponse, Resource};
use wxmint_http::{Problem, ProblemCode};
use wxmint_telemetry::RouteMetrics;

pub(super) fn counted(route: RouteMetrics, resource: Resource) -> impl HttpServiceFactory {
    let route = Rc::new(route);
    resource.wrap_fn(move |request, service| {
        let (route, begun, answering) = (Rc::clone(&route), Instant::now(), service.call(request));
        async move {
            let answer = answering.await?;
            route.answered(outcome(answer.response()), begun);
            Ok(answer)
        }
    })
}

fn outcome<B>(answer: &HttpResponse<B>) -> &'static str {
    if answer.status().as_u16() < 400 {
        return "ok";
    }
    let code = || Problem::code_of(answer).unwrap_or(ProblemCode::InternalError).as_str();
    Problem::of(answer).map_or_else(code, Problem::label)
}
