//! `/console`: a page for the person on duty. The page has no rights of its own: for everything
//! that it shows and does, it sends the secret that the person types, to the routes that every
//! holder of a secret may use.
//!
//! `GET /doctor`: the findings of `wxmint doctor`, for the running process.

use std::time::{Duration, Instant};
use std::{future::ready, sync::Arc};

use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderValue};
use actix_web::web::{Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, body::MessageBody};
use serde::Serialize;
use tokio::sync::{Mutex, Semaphore};
use utoipa::ToSchema;
use wxmint_http::page::{CSS, HTML, JS, SHARED, answer};
use wxmint_http::{Answer, Problem, ProblemCode, private, readable};

use super::admin_request::{AdminRequest, OperatingData};
use super::tokens::Right;
use crate::clock::now;
use crate::findings::{Doctor, Finding};

const FILES: [(&str, &str, &str); 5] = [
    ("console.css", CSS, include_str!("console/console.css")),
    ("console.js", JS, include_str!("console/console.js")),
    ("user.js", JS, include_str!("console/user.js")),
    ("watch.js", JS, include_str!("console/watch.js")),
    ("words.js", JS, include_str!("console/words.js")),
];

/// Added to the policy of every page: no script turns a text into markup or code.
const TRUSTED_TYPES: &str = "require-trusted-types-for 'script'; trusted-types 'none'";

/// The name of a script with a panel of the console, and the script.
pub type Panel = (&'static str, &'static str);

pub(super) fn pages(config: &mut ServiceConfig, panels: &[Panel]) {
    config.service(readable("/console", || {
        ready(page(HTML, include_str!("console/index.html")))
    }));
    for (name, kind, content) in FILES.into_iter().chain(SHARED) {
        config.service(readable(&format!("/console/{name}"), move || {
            ready(page(kind, content))
        }));
    }
    let mut imports = String::new();
    let mut names = Vec::new();
    for &(name, script) in panels {
        config.service(readable(&format!("/console/{name}.js"), move || {
            ready(page(JS, script))
        }));
        imports += &format!("import * as {name} from \"./{name}.js\";\n");
        names.push(name);
    }
    let doors = format!("{imports}export const doors = [{}];\n", names.join(", "));
    config.service(readable("/console/doors.js", move || {
        ready(page(JS, doors.clone()))
    }));
}

/// A page that no cache keeps, so that a browser does not show it again as it was left, with its
/// data.
fn page(kind: &'static str, content: impl MessageBody + 'static) -> HttpResponse {
    let mut page = answer(kind, content);
    page.headers_mut().append(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(TRUSTED_TYPES),
    );
    page.headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    page
}

/// The answer of `GET /whoami`.
#[derive(Serialize, ToSchema)]
pub(super) struct SecretHolder {
    name: String,
    rights: Vec<String>,
}

/// Say whose secret this is
///
/// The console asks when somebody signs in.
#[utoipa::path(get, path = "/whoami", tag = "duty", security(("bearer" = [])),
    responses((status = 200, description = "The holder", body = SecretHolder)))]
pub(super) async fn whoami(request: HttpRequest, operating: OperatingData) -> Answer {
    let act = AdminRequest::<()>::begin("whoami", None::<Right>, &request, operating).await?;
    let holder = SecretHolder {
        name: act.by.name.clone(),
        rights: act.by.rights.iter().map(Right::to_string).collect(),
    };
    Ok(private(act.done(Ok::<_, Problem>(holder))?))
}

/// How long an answer is reused, because the checks cost Redis, WeChat and the account service some
/// requests each.
const KEPT: Duration = Duration::from_secs(10);
/// How many requests may wait for an examination, which takes up to 15 s and holds their
/// connections.
const MOST_WAITING: usize = 8;
/// The `Retry-After` of a request that finds too many others waiting.
const BUSY: Duration = Duration::from_secs(5);

/// The findings of the checks.
#[derive(Serialize, ToSchema)]
pub(super) struct Diagnosis {
    checks: Vec<Finding>,
    /// The same in Chinese.
    checks_zh: Vec<Finding>,
    /// When they ended.
    examined_at: i64,
}

/// The doctor, and the latest diagnosis. One examination runs at a time, and some requests that
/// come meanwhile wait for it.
pub(super) struct LatestDiagnosis {
    doctor: Doctor,
    latest: Mutex<Option<(Instant, Arc<Diagnosis>)>>,
    room: Semaphore,
}

impl LatestDiagnosis {
    pub(super) fn of(doctor: Doctor) -> Self {
        Self {
            doctor,
            latest: Mutex::new(None),
            room: Semaphore::new(MOST_WAITING),
        }
    }

    async fn diagnosis(&self) -> Result<Arc<Diagnosis>, Problem> {
        let busy = "Others are waiting for this examination. Wait, then ask again.";
        let _place = self
            .room
            .try_acquire()
            .map_err(|_| Problem::new(ProblemCode::RateLimited, busy).retry_after(BUSY))?;
        let mut latest = self.latest.lock().await;
        if let Some((_, diagnosis)) = latest.as_ref().filter(|(at, _)| at.elapsed() < KEPT) {
            return Ok(Arc::clone(diagnosis));
        }
        let checks = (self.doctor)().await;
        let checks_zh = checks.iter().map(Finding::in_chinese).collect();
        let diagnosis = Arc::new(Diagnosis {
            checks,
            checks_zh,
            examined_at: now().timestamp(),
        });
        *latest = Some((Instant::now(), Arc::clone(&diagnosis)));
        Ok(diagnosis)
    }
}

/// Examine the configuration of the running process
///
/// The checks of `wxmint doctor`, in its order, with the files as they are now. They take up to
/// 15 s, in which few may wait, and an answer is given again for 10 s.
#[utoipa::path(get, path = "/doctor", tag = "duty", security(("bearer" = ["read"])),
    responses((status = 200, description = "What was found", body = Diagnosis)))]
pub(super) async fn doctor(
    request: HttpRequest,
    operating: OperatingData,
    latest: Data<LatestDiagnosis>,
) -> Answer {
    let act = AdminRequest::<()>::begin("doctor", Right::Read, &request, operating).await?;
    Ok(private(
        &*act.run(async move |_, ()| latest.diagnosis().await).await?,
    ))
}
