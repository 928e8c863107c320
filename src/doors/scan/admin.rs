//! `GET /scans` of the admin listener, for the person on duty.

use actix_web::{HttpRequest, web::Data};
use utoipa::OpenApi;
use wxmint_http::described::{DescribedRoute, READ, Routes, routes};
use wxmint_http::{Answer, Problem, ProblemDocument, private};

use super::Scan;
use super::metrics::{LastScans, Scans};
use crate::admin::act::{Act, OperatingData};
use crate::admin::routes::{HEAD, SECRET, SECURITY};
use crate::{admin::tokens::Right, clock::now};

/// Count the scans of the last hour
///
/// Outcomes of the requests of pages for a login by a phone, by client of `WXMINT_CLIENTS_FILE`, as far as this process
/// has answered them. Another process, and this one after a restart, has its own.
#[utoipa::path(get, path = "/scans", operation_id = "scans", tag = "duty", security(("bearer" = ["read"])),
    responses((status = 200, description = "The scans", body = LastScans)))]
async fn scans(request: HttpRequest, operating: OperatingData, scan: Option<Data<Scan>>) -> Answer {
    let act = Act::<()>::begin("scans", Right::Read, &request, operating).await?;
    let counted = scan.map_or_else(|| Scans::default().of_last_hour(now()), |scan| scan.scans.of_last_hour(now()));
    Ok(private(act.done(Ok::<_, Problem>(counted))?))
}

routes! {
    #[openapi()]
    READ "/scans" self::scans [SECRET], HEAD;
}
