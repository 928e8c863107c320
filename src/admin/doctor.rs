//! `GET /doctor`: what `wxmint doctor` finds, of the running process.

use std::time::{Duration, Instant};
use std::{sync::Arc, thread};

use actix_web::{HttpRequest, web::Data};
use serde::Serialize;
use tokio::sync::{Mutex, Semaphore, oneshot};
use utoipa::ToSchema;
use wxmint_findings::{Doctor, Finding};
use wxmint_http::{Answer, Problem, ProblemCode, private};

use super::act::{Act, OperatingData};
use super::tokens::Right;
use crate::clock::now;

/// How long an answer is given again: the checks cost Redis, WeChat and the account service some requests each.
const KEPT: Duration = Duration::from_secs(10);

/// How many may wait for an examination, which takes up to 15 s and holds their connections.
const MOST_WAITING: usize = 8;
/// When to ask again.
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

/// The doctor, and the latest diagnosis. One examination runs at a time, and some who ask meanwhile wait for it.
pub(super) struct LatestDiagnosis {
    doctor: Doctor,
    latest: Mutex<Option<(Instant, Arc<Diagnosis>)>>,
    room: Semaphore,
}

impl LatestDiagnosis {
    pub(super) fn of(doctor: Doctor) -> Self {
        Self { doctor, latest: Mutex::new(None), room: Semaphore::new(MOST_WAITING) }
    }

    async fn diagnosis(&self) -> Result<Arc<Diagnosis>, Problem> {
        let busy = "Others are waiting for this examination. Wait, then ask again.";
        let refused = |_| Problem::new(ProblemCode::RateLimited, busy).retry_after(BUSY);
        let _place = self.room.try_acquire().map_err(refused)?;
        let mut latest = self.latest.lock().await;
        if let Some((at, diagnosis)) = &*latest
            && at.elapsed() < KEPT
        {
            return Ok(Arc::clone(diagnosis));
        }
        let (doctor, (tells, told)) = (Arc::clone(&self.doctor), oneshot::channel());
        // Not of the runtime's own, for which the end of the process would wait.
        thread::spawn(move || tells.send(doctor()));
        let checks = told.await.unwrap_or_else(|_| {
            let found = said!(check_has_failed);
            vec![Finding::fault("doctor", found, said!(read_why_in_log))]
        });
        let checks_zh = checks.iter().map(Finding::in_chinese).collect();
        let diagnosis = Arc::new(Diagnosis { checks, checks_zh, examined_at: now().timestamp() });
        *latest = Some((Instant::now(), Arc::clone(&diagnosis)));
        Ok(diagnosis)
    }
}

/// Examine the configuration of the running process
///
/// The checks of `wxmint doctor`, in its order, with the files as they are now. They take up to 15 s, in which
/// few may wait, and an answer is given again for 10 s.
#[utoipa::path(get, path = "/doctor", operation_id = "doctor", tag = "duty", security(("bearer" = ["read"])),
    responses((status = 200, description = "What was found", body = Diagnosis)))]
pub(super) async fn doctor(request: HttpRequest, operating: OperatingData, latest: Data<LatestDiagnosis>) -> Answer {
    let act = Act::<()>::begin("doctor", Right::Read, &request, operating).await?;
    Ok(private(&*act.find(async move |_, ()| latest.diagnosis().await).await?))
}
