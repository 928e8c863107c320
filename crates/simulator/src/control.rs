//! The control API, `/_simulator/…`: JSON, for tests and for curl.

mod codes;
mod platform;

use std::sync::Arc;

use actix_web::error::JsonPayloadError;
use actix_web::http::{Method, StatusCode, header};
use actix_web::web::{self, Data, Json, JsonConfig, Path, PathConfig, QueryConfig, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, Resource, ResponseError, Route};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::codes::{mint_login_codes, mint_phone_code};
use super::access_tokens::Bad;
use super::apps::AppChange;
use super::faults::Fault;
use super::mini_program_codes::is_page_path;
use super::now;
use super::user_data::{Handed, Wanted};
use super::virtual_payment::Payment;
use super::world::World;

const LONGEST_NAME: usize = 64;
const LONGEST_SECRET: usize = 128;

/// An error of the caller, with what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{said}")]
struct Mistake {
    status: StatusCode,
    said: String,
}

impl Mistake {
    fn new(said: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            said: said.into(),
        }
    }
}

type Shown = Result<Json<Value>, Mistake>;

impl ResponseError for Mistake {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        HttpResponse::build(self.status).json(json!({"error": self.said}))
    }
}

/// The routes of the control API.
pub fn control_routes(world: Arc<World>) -> impl FnOnce(&mut ServiceConfig) + Clone {
    move |config| {
        let all_faults = [
            web::get().to(faults),
            web::put().to(put_faults),
            web::delete().to(delete_faults),
        ];
        let people = async |world: Data<World>| Json(json!({"people": world.people()}));
        let scope = web::scope("/_simulator")
            .app_data(Data::from(world))
            .app_data(
                JsonConfig::default()
                    .limit(64 * 1024)
                    .error_handler(|error, _| bad_json(&error).into()),
            )
            .app_data(
                QueryConfig::default()
                    .error_handler(|error, _| Mistake::new(error.to_string()).into()),
            )
            .app_data(
                PathConfig::default()
                    .error_handler(|error, _| Mistake::new(error.to_string()).into()),
            )
            .service(resource(
                "/codes",
                "POST",
                [web::post().to(mint_login_codes)],
            ))
            .service(resource(
                "/phone-codes",
                "POST",
                [web::post().to(mint_phone_code)],
            ))
            .service(resource(
                "/user-data",
                "POST",
                [web::post().to(hand_user_data)],
            ))
            .service(resource("/user-key", "POST", [web::post().to(user_key)]))
            .service(resource("/virtual-payment", "POST", [web::post().to(pay)]))
            .service(resource("/apps", "POST", [web::post().to(change_app)]))
            .service(resource(
                "/alipay/{appid}",
                "GET",
                [web::get().to(alipay_file)],
            ))
            .service(resource("/people", "GET", [web::get().to(people)]))
            .service(resource(
                "/people/{name}",
                "PUT",
                [web::put().to(change_person)],
            ))
            .service(resource(
                "/access-tokens",
                "POST",
                [web::post().to(end_access_tokens)],
            ))
            .service(resource("/faults", "GET, PUT, DELETE", all_faults))
            .service(resource("/journal", "GET", [web::get().to(journal)]))
            .service(resource(
                "/stats",
                "GET",
                [web::get().to(async |world: Data<World>| Json(world.stats()))],
            ))
            .service(resource("/reset", "POST", [web::post().to(reset)]))
            .configure(platform::routes)
            .default_service(web::to(no_such_path));
        config.service(scope);
    }
}

/// A path of the control API. Other methods get 405 with `Allow`, which actix-web itself leaves
/// out.
fn resource<const N: usize>(path: &str, allow: &'static str, routes: [Route; N]) -> Resource {
    let refuse = move |method: Method| async move {
        HttpResponse::MethodNotAllowed()
            .insert_header((header::ALLOW, allow))
            .json(json!({"error": format!("{method} is not answered here; use {allow}")}))
    };
    routes
        .into_iter()
        .fold(web::resource(path), Resource::route)
        .default_service(web::to(refuse))
}

pub(super) async fn no_such_path(request: HttpRequest) -> HttpResponse {
    let said = format!(
        "{} is not a path of the simulator; the control API has /_simulator/codes, phone-codes, user-data, \
         user-key, virtual-payment, apps, alipay, people, access-tokens, faults, journal, stats, platform and reset",
        request.path()
    );
    HttpResponse::NotFound().json(json!({"error": said}))
}

fn bad_json(error: &JsonPayloadError) -> Mistake {
    match error {
        JsonPayloadError::ContentType => Mistake {
            status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
            said: "send Content-Type: application/json (with curl: -H 'Content-Type: application/json')".into(),
        },
        JsonPayloadError::OverflowKnownLength { .. } | JsonPayloadError::Overflow { .. } => {
            Mistake { status: StatusCode::PAYLOAD_TOO_LARGE, said: "the body is larger than 64 KiB; send less".into() }
        }
        JsonPayloadError::Deserialize(error) => Mistake::new(format!("the body is not as expected: {error}")),
        error => Mistake::new(error.to_string()),
    }
}

async fn hand_user_data(
    world: Data<World>,
    Json(wanted): Json<Wanted>,
) -> Result<Json<Handed>, Mistake> {
    let app = app_of(&world, &wanted.person, wanted.appid.as_deref())?;
    world
        .user_data(app, &wanted, now())
        .map(Json)
        .map_err(Mistake::new)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserKey {
    person: String,
    appid: Option<String>,
    #[serde(default)]
    renew: bool,
}

async fn user_key(world: Data<World>, Json(wanted): Json<UserKey>) -> Shown {
    let app = app_of(&world, &wanted.person, wanted.appid.as_deref())?;
    Ok(Json(world.latest_user_key(
        &wanted.person,
        app,
        wanted.renew,
        now(),
    )))
}

async fn pay(world: Data<World>, Json(payment): Json<Payment>) -> Shown {
    let app = app(&world, payment.appid.as_deref())?;
    Ok(Json(world.virtual_payment(app, &payment)))
}

fn check_name(name: &str) -> Result<(), Mistake> {
    let length = name.chars().count();
    if (1..=LONGEST_NAME).contains(&length) && !name.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Mistake::new(format!(
        "a person's name must be 1 to {LONGEST_NAME} characters, none of them a control character"
    )))
}

/// The app with this AppID; the first app if no AppID is given.
fn app(world: &World, appid: Option<&str>) -> Result<usize, Mistake> {
    let Some(appid) = appid else { return Ok(0) };
    world.app(appid).ok_or_else(|| {
        let known: Vec<&str> = world.apps.iter().map(|app| app.id.as_str()).collect();
        Mistake::new(format!(
            "no such appid here; the simulator was started with {}",
            known.join(", ")
        ))
    })
}

/// Like [`app`], but also checks the person's name.
fn app_of(world: &World, person: &str, appid: Option<&str>) -> Result<usize, Mistake> {
    check_name(person)?;
    app(world, appid)
}

/// The content of wxmint's file of an app of Alipay, with its keys.
async fn alipay_file(world: Data<World>, id: Path<String>) -> Shown {
    let file = world.alipay_file(&id);
    let none = || Mistake::new("there is no app of Alipay with this AppID");
    file.map(Json).ok_or_else(none)
}

async fn change_app(world: Data<World>, Json(wanted): Json<AppChange>) -> Shown {
    let app = app(&world, wanted.appid.as_deref())?;
    let fits = |text: &String| {
        (1..=LONGEST_SECRET).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
    };
    if !wanted.secret.as_ref().is_none_or(fits) {
        return Err(Mistake::new(format!(
            "secret must be 1 to {LONGEST_SECRET} visible ASCII characters"
        )));
    }
    if wanted.unionid == Some(true) && !world.apps[app].kind.has_unionids() {
        return Err(Mistake::new("the app's platform has no unionids"));
    }
    let is_page = |page: &String| fits(page) && is_page_path(page);
    if !wanted.pages.iter().flatten().all(is_page) {
        return Err(Mistake::new(
            "pages must be a list of paths without a leading / or a ?, such as \"pages/index/index\"",
        ));
    }
    Ok(Json(world.change_app(app, wanted)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PersonChange {
    blocked: Option<bool>,
    phone: Option<String>,
}

async fn change_person(
    world: Data<World>,
    name: Path<String>,
    Json(change): Json<PersonChange>,
) -> Shown {
    check_name(&name)?;
    if let Some(phone) = &change.phone
        && !(phone.len() == 11 && phone.bytes().all(|byte| byte.is_ascii_digit()))
    {
        return Err(Mistake::new(
            "phone must be 11 digits, for example \"13800138000\"",
        ));
    }
    Ok(Json(world.change_person(
        &name,
        change.blocked,
        change.phone,
    )))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokensEnd {
    appid: Option<String>,
    #[serde(default)]
    revoke: bool,
    #[serde(default)]
    expire: bool,
}

async fn end_access_tokens(world: Data<World>, Json(wanted): Json<TokensEnd>) -> Shown {
    let bad = match (wanted.revoke, wanted.expire) {
        (true, false) => Bad::Unknown,
        (false, true) => Bad::Expired,
        _ => {
            return Err(Mistake::new(
                "say either {\"revoke\":true} or {\"expire\":true}",
            ));
        }
    };
    let app = wanted
        .appid
        .as_deref()
        .map(|appid| app(&world, Some(appid)))
        .transpose()?;
    let ended = world.access_tokens.lock().end(app, bad, now());
    Ok(Json(json!({"ended": ended})))
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultList {
    faults: Vec<Fault>,
}

async fn faults(world: Data<World>) -> Json<FaultList> {
    Json(FaultList {
        faults: world.faults.list(),
    })
}

async fn put_faults(
    world: Data<World>,
    Json(wanted): Json<FaultList>,
) -> Result<Json<FaultList>, Mistake> {
    for (place, fault) in wanted.faults.iter().enumerate() {
        fault
            .check()
            .map_err(|said| Mistake::new(format!("faults[{place}]: {said}")))?;
    }
    world.faults.replace(wanted.faults);
    Ok(faults(world).await)
}

async fn delete_faults(world: Data<World>) -> HttpResponse {
    world.faults.replace(Vec::new());
    HttpResponse::NoContent().finish()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Since {
    #[serde(default)]
    since: u64,
}

async fn journal(world: Data<World>, from: web::Query<Since>) -> Json<Value> {
    Json(world.journal.read(from.since))
}

/// The body `{}`. It is required because a page of another origin can send a POST, but not one with
/// `Content-Type: application/json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

async fn reset(world: Data<World>, _: Json<Nothing>) -> HttpResponse {
    world.reset();
    HttpResponse::NoContent().finish()
}
