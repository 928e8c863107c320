//! The handlers of what the process remembers of late, and the search for a user, for the person on duty.

use actix_web::HttpRequest;
use serde::Serialize;
use utoipa::ToSchema;
use wxmint_http::{Answer, Fields, Problem, private, to_the_end};
use wxmint_ids::{AppId, UserId};
use wxmint_telemetry::recent::{LastHour, UserEvent, UserEvents, Whose};

use super::act::{Act, Operating, OperatingData};
use super::tokens::Right;
use crate::clock::now;
use crate::login::{FoundUser, LoginError, LoginWorker};

/// Count the logins of the last hour
///
/// Those that this process has answered, by outcome and minute. Another process, and this one after a restart, has its
/// own.
#[utoipa::path(get, path = "/activity", operation_id = "activity", tag = "duty", security(("bearer" = ["read"])),
    params(("appid" = Option<String>, Query, description = "Only the logins of this mini program")),
    responses((status = 200, description = "The logins", body = LastHour)))]
pub(super) async fn activity(request: HttpRequest, operating: OperatingData) -> Answer {
    let act = Act::<()>::begin("activity", Right::Read, &request, operating).await?;
    let read = |worker: &LoginWorker| {
        let app: Option<AppId> = Fields::from_form(request.query_string().as_bytes(), &["appid"])?.parse("appid")?;
        app.iter().try_for_each(|app| worker.check_app(app, false))?;
        Ok::<_, Problem>(worker.metrics.recent().last_hour(app.as_ref(), now()))
    };
    Ok(private(act.done(read(&act.operating.worker))?))
}

/// List the last events of a user
///
/// Logins, refusals, logouts and what operators did on this listener, as far as this process knows them: other
/// processes have seen others, and commands (`wxmint users …`) are seen by none. A refusal before the person was bound
/// is among them.
#[utoipa::path(get, path = "/users/{user_id}/events", operation_id = "events", tag = "users", security(("bearer" = ["read"])),
    params(("user_id" = String, Path)), responses((status = 200, description = "The events", body = UserEvents)))]
pub(super) async fn events(request: HttpRequest, operating: OperatingData) -> Answer {
    let act = Act::begin("events", Right::Read, &request, operating).await?;
    act.show(async |operating, user: &UserId| {
        let people = operating.operator().people_of(user).await?;
        Ok::<_, LoginError>(operating.worker.metrics.recent().events_of(user, &people, now()))
    })
    .await
}

/// The answer of `GET /find`.
#[derive(Serialize, ToSchema)]
pub(super) struct FoundUsers {
    /// Usually one. Empty if nobody is known by this text.
    found: Vec<FoundUser>,
    /// Empty if this process knows no request with this id.
    requests: Vec<FoundRequest>,
}

/// The outcome of a request.
#[derive(Serialize, ToSchema)]
struct FoundRequest {
    #[serde(flatten)]
    event: UserEvent,
    /// Null if WeChat has not named the person, or the person is bound to nobody.
    #[schema(required, value_type = Option<String>)]
    user_id: Option<UserId>,
}

/// Find a user by user id, openid, unionid or request id
///
/// An openid is looked for in every mini program that is configured. A request id, which a failed login shows on the
/// phone, is looked for among the last logins, logouts and acts of this process: another process, and this one after a
/// restart, has its own.
#[utoipa::path(get, path = "/find", operation_id = "find", tag = "duty", security(("bearer" = ["read"])),
    params(("q" = String, Query, description = "A user id, an openid, a unionid or a request id")),
    responses((status = 200, description = "Who was found, and by what", body = FoundUsers)))]
pub(super) async fn find(request: HttpRequest, operating: OperatingData) -> Answer {
    let mut act = Act::<()>::begin("find", Right::Read, &request, operating).await?;
    let asked = Fields::from_form(request.query_string().as_bytes(), &["q"]).and_then(|fields| fields.parse("q"));
    let missing = || Problem::invalid("The query lacks `q`: a user id, an openid, a unionid or a request id.");
    let id = act.may_go_on(asked.map_err(Problem::from).and_then(|id| id.ok_or_else(missing)))?;
    let finding = async move {
        let searched = search(&act.operating, &id).await;
        let found = searched.as_ref().ok().and_then(|it| it.found.first());
        act.event.user = found.map(|found| found.user_id.clone());
        act.done(searched)
    };
    Ok(private(to_the_end(finding).await?))
}

async fn search(operating: &Operating, id: &UserId) -> Result<FoundUsers, LoginError> {
    let (operator, worker) = (operating.operator(), &operating.worker);
    let mut requests = Vec::new();
    for (whose, event) in worker.metrics.recent().of_request(id.as_str()) {
        let user_id = match whose {
            Whose::User(user) => Some(user),
            Whose::Person(person) => operator.store.binding(&person).await?.map(|binding| binding.user),
            Whose::Nobody => None,
        };
        requests.push(FoundRequest { event, user_id });
    }
    Ok(FoundUsers { found: operator.find(id, &worker.apps.all()).await?, requests })
}
