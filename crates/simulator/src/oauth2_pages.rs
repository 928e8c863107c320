//! The pages of WeChat on which a person agrees to a login by OAuth2: within WeChat, and with the QR code for other browsers. In
//! place of a phone, the page asks who is holding it.

use std::{fmt::Write, sync::Arc};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Uri, header},
    web::{self, Data, ServiceConfig},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    apps::Kind,
    call::Params,
    now,
    people::{Purpose, Scope},
    world::World,
};

const AUTHORIZE: &str = "/connect/oauth2/authorize";
const QR_CONNECT: &str = "/connect/qrconnect";

/// The pages of official accounts and of websites.
pub fn oauth2_page_routes(world: Arc<World>) -> impl FnOnce(&mut ServiceConfig) + Clone {
    move |config| {
        for (path, kind) in [(AUTHORIZE, Kind::OfficialAccount), (QR_CONNECT, Kind::Website)] {
            let page = move |request: HttpRequest, world: Data<World>| async move { page(&request, &world, kind) };
            config.service(web::resource(path).app_data(Data::from(Arc::clone(&world))).route(web::get().to(page)));
        }
    }
}

/// Without `person` a page with everybody who is known; with one, back to the app's page with a code.
fn page(request: &HttpRequest, world: &World, kind: Kind) -> HttpResponse {
    let params = Params::parse(request.query_string());
    let given = |name| params.first(name).unwrap_or_default();
    let app = world.app(given("appid")).filter(|app| world.apps[*app].kind == kind);
    let Some(app) = app else { return mistake("AppID 参数错误", 40013) };
    let scope = params.first("scope").and_then(|scope| Scope::of(kind, Some(scope)));
    let Some(scope) = scope else { return mistake("Scope 参数错误或没有 Scope 权限", 10005) };
    let back = given("redirect_uri");
    let is_own = back.parse().is_ok_and(|back: Uri| back.host().is_some_and(|host| world.terms.has_domain(app, host)));
    if !is_own {
        return mistake("redirect_uri 域名与后台配置不一致", 10003);
    }
    if given("response_type") != "code" {
        return mistake("response_type 参数错误", 10002);
    }
    let Some(person) = params.first("person") else { return who(request, world) };
    let scope = if given("snapshot") == "1" { Scope::Snapshot } else { scope };
    let code = world.mint_codes(Purpose::Oauth2(scope), &[person.to_owned()], app, now()).remove(0);
    let (joint, state) =
        (if back.contains('?') { '&' } else { '?' }, utf8_percent_encode(given("state"), NON_ALPHANUMERIC));
    let to = format!("{back}{joint}code={code}&state={state}");
    HttpResponse::Found()
        .insert_header((header::LOCATION, to))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .finish()
}

pub(super) fn mistake(said: &str, errcode: u32) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .body(format!("<!doctype html><p>{said}，错误码：{errcode}</p>"))
}

fn who(request: &HttpRequest, world: &World) -> HttpResponse {
    let mut links = String::new();
    for person in world.people() {
        let name = person["name"].as_str().unwrap_or_default();
        let (coded, query) = (utf8_percent_encode(name, NON_ALPHANUMERIC), escaped(request.query_string()));
        // Writing to a String cannot fail.
        let _ = write!(links, "<li><a href=\"?{query}&amp;person={coded}\">{}</a>", escaped(name));
    }
    HttpResponse::Ok().content_type("text/html; charset=utf-8").body(format!(
        "<!doctype html><html lang=\"zh-CN\"><meta name=\"viewport\" content=\"width=device-width\"><title>微信登录</title>\
         <h1>微信登录 · Log in with WeChat</h1><p>模拟器没有手机：请选择以谁的身份登录。The simulator has no phone: who agrees?<ul>{links}</ul>"
    ))
}

pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}
