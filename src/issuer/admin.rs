//! The admin listener's own handlers.

use actix_web::{HttpResponse, web};

use super::Issuer;
use crate::http::now;

/// `GET /metrics`: OpenMetrics text.
pub(super) async fn metrics(issuer: web::Data<Issuer>) -> HttpResponse {
    let now = now();
    HttpResponse::Ok()
        .content_type("application/openmetrics-text; version=1.0.0; charset=utf-8")
        .body(issuer.metrics.exposition(issuer.keys.at(now).set().lives(), now))
}
