//! The handlers of the paths about people, whom the business's receiver of WeChat's pushes names by openid.

use actix_web::{HttpRequest, HttpResponse, web};

use super::{
    act::{Act, OperatingData},
    tokens::Right,
};
use crate::{
    http::{Answer, Problem, ProblemCode, private, to_the_end},
    ids::Person,
    login::ShownPerson,
};

type PersonPath = web::Path<(String, String)>;

/// Find the user of an openid
#[utoipa::path(get, path = "/wechat/{appid}/people/{openid}", operation_id = "look_up_person",
    tag = "people", security(("bearer" = ["read"])),
    params(("appid" = String, Path), ("openid" = String, Path)),
    responses((status = 200, description = "The person", body = ShownPerson)))]
pub(super) async fn look_up(request: HttpRequest, path: PersonPath, operating: OperatingData) -> Answer {
    let act = Act::<Person>::begin("look_up_person", Right::Read, &request, path, &operating)?;
    let unknown = || Problem::new(ProblemCode::UnknownPerson, "This openid is bound to no user in this app.");
    let reading = async move {
        let found = operating.operator().look_up(&act.target).await.map_err(Problem::from);
        act.done(found.and_then(|person| person.ok_or_else(unknown)))
    };
    Ok(private(to_the_end(reading).await?))
}

/// End the tokens of a person's user in this mini program
///
/// For WeChat's push `user_authorization_revoke`. Tokens of this very second are ended, too.
#[utoipa::path(post, path = "/wechat/{appid}/people/{openid}/end", operation_id = "end_person",
    tag = "people", security(("bearer" = ["operate"])),
    params(("appid" = String, Path), ("openid" = String, Path)), responses((status = 204, description = "Ended")))]
pub(super) async fn end(request: HttpRequest, path: PersonPath, operating: OperatingData) -> Answer {
    let act = Act::<Person>::begin("end_person", Right::Operate, &request, path, &operating)?;
    to_the_end(async move { act.done(operating.operator().end_person(&act.target).await) }).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Dissolve a person's binding, and erase what is kept of the person
///
/// For WeChat's push `user_authorization_cancellation`.
#[utoipa::path(delete, path = "/wechat/{appid}/people/{openid}", operation_id = "erase_person",
    tag = "people", security(("bearer" = ["operate"])),
    params(("appid" = String, Path), ("openid" = String, Path)), responses((status = 204, description = "Erased")))]
pub(super) async fn erase(request: HttpRequest, path: PersonPath, operating: OperatingData) -> Answer {
    let act = Act::<Person>::begin("erase_person", Right::Operate, &request, path, &operating)?;
    to_the_end(async move { act.done(operating.operator().erase(&act.target).await) }).await?;
    Ok(HttpResponse::NoContent().finish())
}
