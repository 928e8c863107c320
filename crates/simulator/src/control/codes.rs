//! The codes that phones and pages are given.

use actix_web::HttpResponse;
use actix_web::web::{Data, Json};
use chrono::TimeDelta;
use serde::Deserialize;
use serde_json::json;

use super::{Mistake, app, check_name};
use crate::apps::Kind;
use crate::now;
use crate::people::{Purpose, Scope};
use crate::world::World;

const MOST_CODES: usize = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LoginCodes {
    person: String,
    appid: Option<String>,
    #[serde(default = "one")]
    count: usize,
    #[serde(default)]
    age_seconds: u32,
    #[serde(default)]
    distinct_people: bool,
    /// The scope of a code of OAuth2: `snsapi_base`, `snsapi_userinfo` or `snsapi_login`.
    scope: Option<String>,
    /// Says of a code of OAuth2 whether the page is a snapshot.
    #[serde(default)]
    snapshot: bool,
}

impl LoginCodes {
    fn purpose(&self, kind: Kind) -> Option<Purpose> {
        match Scope::of(kind, self.scope.as_deref()) {
            Some(_) if self.snapshot => Some(Purpose::Oauth2(Scope::Snapshot)),
            Some(scope) => Some(Purpose::Oauth2(scope)),
            None => (kind == Kind::MiniProgram && self.scope.is_none() && !self.snapshot).then_some(Purpose::Login),
        }
    }
}

fn one() -> usize {
    1
}

pub(super) async fn mint_login_codes(
    world: Data<World>,
    Json(wanted): Json<LoginCodes>,
) -> Result<HttpResponse, Mistake> {
    check_name(&wanted.person)?;
    if !(1..=MOST_CODES).contains(&wanted.count) {
        return Err(Mistake::new(format!("count must be from 1 to {MOST_CODES}")));
    }
    let app = app(&world, wanted.appid.as_deref())?;
    let name = |number| match wanted.distinct_people {
        true => format!("{}-{number}", wanted.person),
        false => wanted.person.clone(),
    };
    let names: Vec<String> = (0..wanted.count).map(name).collect();
    let minted = now() - TimeDelta::seconds(wanted.age_seconds.into());
    let purpose = wanted.purpose(world.apps[app].kind);
    let purpose =
        purpose.ok_or_else(|| Mistake::new("the app is of a kind that has no such scope, or no snapshots"))?;
    let codes = world.mint_codes(purpose, &names, app, minted);
    Ok(HttpResponse::Ok().json(json!({"codes": codes})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PhoneCode {
    person: String,
    appid: Option<String>,
    #[serde(default)]
    age_seconds: u32,
}

pub(super) async fn mint_phone_code(
    world: Data<World>,
    Json(wanted): Json<PhoneCode>,
) -> Result<HttpResponse, Mistake> {
    check_name(&wanted.person)?;
    let app = app(&world, wanted.appid.as_deref())?;
    let minted = now() - TimeDelta::seconds(wanted.age_seconds.into());
    let codes = world.mint_codes(Purpose::Phone, &[wanted.person], app, minted);
    Ok(HttpResponse::Ok().json(json!({"code": codes.first()})))
}
