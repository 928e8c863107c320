//! The routes of the third-party platform: its tickets, its merchants and its tokens.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::web::{self, Data, Json, Path, Query, ServiceConfig};
use serde::Deserialize;
use serde_json::json;

use super::{Mistake, Nothing, Shown, app, resource};
use crate::access_tokens::Bad;
use crate::now;
use crate::platform::Component;
use crate::platform::login_page::can_authorize;
use crate::platform::pushes::{Push, Received, is_receiver};
use crate::world::World;

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .service(resource(
            "/platform",
            "GET, PUT",
            [web::get().to(show), web::put().to(change)],
        ))
        .service(resource(
            "/platform/ticket",
            "POST",
            [web::post().to(push_ticket)],
        ))
        .service(resource(
            "/platform/merchants",
            "POST",
            [web::post().to(authorize)],
        ))
        .service(resource(
            "/platform/merchants/{appid}",
            "DELETE",
            [web::delete().to(leave)],
        ))
        .service(resource(
            "/platform/end_tokens",
            "POST",
            [web::post().to(end_tokens)],
        ));
}

fn component(world: &World) -> Result<&Arc<Component>, Mistake> {
    let missing =
        || not_found("the simulator plays no third-party platform; start it with --platform");
    world.component.as_ref().ok_or_else(missing)
}

fn not_found(said: &str) -> Mistake {
    Mistake {
        status: StatusCode::NOT_FOUND,
        said: said.into(),
    }
}

async fn show(world: Data<World>) -> Shown {
    Ok(Json(component(&world)?.show()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    /// The receiver of pushes. The empty text removes it.
    push_to: Option<String>,
    pushing: Option<bool>,
}

async fn change(world: Data<World>, Json(wanted): Json<Change>) -> Shown {
    if !wanted
        .push_to
        .as_deref()
        .is_none_or(|url| url.is_empty() || is_receiver(url))
    {
        return Err(Mistake::new(
            "push_to must be a URL with http or https, or empty",
        ));
    }
    component(&world)?.change(wanted.push_to, wanted.pushing);
    show(world).await
}

async fn push_ticket(world: Data<World>, _: Json<Nothing>) -> Result<Json<Received>, Mistake> {
    Ok(Json(component(&world)?.push_ticket().await))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Authorize {
    appid: String,
    push: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Leave {
    push: Option<bool>,
}

/// Sends a push unless it is to be lost, and returns the receiver's answer.
async fn sent(component: &Component, wanted: Option<bool>, push: Push) -> Option<Received> {
    if wanted.unwrap_or(true) {
        Some(component.push(push).await)
    } else {
        None
    }
}

async fn authorize(world: Data<World>, Json(wanted): Json<Authorize>) -> Shown {
    let (component, app) = (component(&world)?, app(&world, Some(&wanted.appid))?);
    if !can_authorize(world.apps[app].kind, "") {
        return Err(Mistake::new(
            "only mini programs and official accounts can authorise a platform",
        ));
    }
    let (push, code) = component.authorize(app, &wanted.appid, "preauthcode@@@control", now());
    let pushed = sent(component, wanted.push, push).await;
    Ok(Json(json!({"authorization_code": code, "push": pushed})))
}

async fn leave(world: Data<World>, appid: Path<String>, wanted: Query<Leave>) -> Shown {
    let (component, app) = (component(&world)?, app(&world, Some(&appid))?);
    let push = component
        .leave(app, now())
        .ok_or_else(|| not_found("the app has not authorised the platform"))?;
    Ok(Json(
        json!({"push": sent(component, wanted.push, push).await}),
    ))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    what: What,
    how: Bad,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum What {
    Component,
    Merchants,
}

async fn end_tokens(world: Data<World>, Json(wanted): Json<End>) -> Shown {
    let ended = component(&world)?.end_tokens(wanted.what == What::Merchants, wanted.how, now());
    Ok(Json(json!({"ended": ended})))
}
