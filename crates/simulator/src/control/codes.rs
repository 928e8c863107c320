//! The routes that mint codes for phones and pages.

use actix_web::web::{Data, Json};
use chrono::TimeDelta;
use serde::Deserialize;
use serde_json::json;

use super::{Mistake, Shown, app_of};
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
    /// How many codes; one by default.
    count: Option<usize>,
    #[serde(default)]
    age_seconds: u32,
    #[serde(default)]
    distinct_people: bool,
    /// The scope of a code of OAuth2: `snsapi_base`, `snsapi_userinfo` or `snsapi_login`.
    scope: Option<String>,
    /// Whether the page of an OAuth2 code is a snapshot.
    #[serde(default)]
    snapshot: bool,
}

impl LoginCodes {
    fn purpose(&self, kind: Kind) -> Option<Purpose> {
        match Scope::of(kind, self.scope.as_deref()) {
            Some(_) if self.snapshot => Some(Purpose::Oauth2(Scope::Snapshot)),
            Some(scope) => Some(Purpose::Oauth2(scope)),
            None => {
                let has_logins = kind == Kind::MiniProgram || kind.is_of_other_platform();
                (has_logins && self.scope.is_none() && !self.snapshot).then_some(Purpose::Login)
            }
        }
    }
}

pub(super) async fn mint_login_codes(world: Data<World>, Json(wanted): Json<LoginCodes>) -> Shown {
    let (app, count) = (
        app_of(&world, &wanted.person, wanted.appid.as_deref())?,
        wanted.count.unwrap_or(1),
    );
    if !(1..=MOST_CODES).contains(&count) {
        return Err(Mistake::new(format!(
            "count must be from 1 to {MOST_CODES}"
        )));
    }
    let name = |number| match wanted.distinct_people {
        true => format!("{}-{number}", wanted.person),
        false => wanted.person.clone(),
    };
    let names: Vec<String> = (0..count).map(name).collect();
    let minted = now() - TimeDelta::seconds(wanted.age_seconds.into());
    let misplaced = || Mistake::new("the app is of a kind that has no such scope, or no snapshots");
    let purpose = wanted.purpose(world.apps[app].kind).ok_or_else(misplaced)?;
    let codes = world.mint_codes(purpose, &names, app, minted);
    Ok(Json(json!({"codes": codes})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PhoneCode {
    person: String,
    appid: Option<String>,
    #[serde(default)]
    age_seconds: u32,
}

pub(super) async fn mint_phone_code(world: Data<World>, Json(wanted): Json<PhoneCode>) -> Shown {
    let app = app_of(&world, &wanted.person, wanted.appid.as_deref())?;
    let minted = now() - TimeDelta::seconds(wanted.age_seconds.into());
    let codes = world.mint_codes(Purpose::Phone, &[wanted.person], app, minted);
    Ok(Json(json!({"code": codes.first()})))
}
