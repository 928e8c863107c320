//! WeChat's page on which a merchant authorises a component. In place of an administrator's phone,
//! the page asks which app authorises it.

use std::sync::Arc;

use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{merchants::CODE_LIFE, pushes::is_receiver};
use crate::apps::Kind;
use crate::call::Params;
use crate::now;
use crate::oauth2_pages::{back_to, choice, links, mistake};
use crate::world::World;

const PATH: &str = "/cgi-bin/componentloginpage";
const SPENT: &str = "pre_auth_code 无效或已过期";

pub(in super::super) fn routes(world: Arc<World>) -> impl FnOnce(&mut ServiceConfig) + Clone {
    move |config| {
        let page = |request: HttpRequest, world: Data<World>| async move { page(&request, &world) };
        config.service(
            web::resource(PATH)
                .app_data(Data::from(world))
                .route(web::get().to(page)),
        );
    }
}

/// Whether apps of this kind can authorise a third-party platform on a page with this `auth_type`.
pub(in super::super) fn can_authorize(kind: Kind, auth_type: &str) -> bool {
    match kind {
        Kind::OfficialAccount => auth_type != "2",
        Kind::MiniProgram => auth_type != "1",
        _ => false,
    }
}

/// Without `authorizer`, shows a page with all apps. With it, redirects to the vendor's page with
/// an authorization code.
fn page(request: &HttpRequest, world: &World) -> HttpResponse {
    let (params, now) = (Params::parse(request.query_string()), now());
    let given = |name| params.first(name).unwrap_or_default();
    let is_named = given("component_appid");
    let component = world
        .component
        .as_ref()
        .filter(|known| known.platform.component_appid.as_str() == is_named);
    let Some(component) = component else {
        return mistake("AppID 参数错误", 40013);
    };
    let (pre_auth_code, back) = (given("pre_auth_code"), given("redirect_uri"));
    if component
        .state
        .lock()
        .pre_auth_codes
        .place(pre_auth_code, now)
        .is_none()
    {
        return mistake(SPENT, 61009);
    }
    if !is_receiver(back) {
        return mistake("redirect_uri 参数错误", 10003);
    }
    let may = |app: &usize| can_authorize(world.apps[*app].kind, given("auth_type"));
    let Some(appid) = params.first("authorizer") else {
        return which(request, world, may);
    };
    let Some(app) = world.app(appid).filter(may) else {
        return mistake("AppID 参数错误", 40013);
    };
    if component
        .state
        .lock()
        .pre_auth_codes
        .spend(pre_auth_code, now)
        .is_none()
    {
        return mistake(SPENT, 61009);
    }
    let (push, code) = component.authorize(app, appid, pre_auth_code, now);
    let code = utf8_percent_encode(&code, NON_ALPHANUMERIC);
    let (joint, expires_in) = (
        if back.contains('?') { '&' } else { '?' },
        CODE_LIFE.num_seconds(),
    );
    let to = format!("{back}{joint}auth_code={code}&expires_in={expires_in}");
    let component = Arc::clone(component);
    tokio::spawn(async move { component.push(push).await });
    back_to(to)
}

fn which(request: &HttpRequest, world: &World, may: impl Fn(&usize) -> bool) -> HttpResponse {
    let apps = (0..world.apps.len())
        .filter(may)
        .map(|app| world.apps[app].id.to_string());
    let links = links(request.query_string(), "authorizer", apps);
    if links.is_empty() {
        return mistake(
            "没有可以授权的小程序或公众号，请用 --app 启动模拟器 · No app here can authorise a platform: start with --app",
            61003,
        );
    }
    choice(
        "第三方平台授权 · Authorise the platform",
        "请选择授权的账号。Which app authorises it?",
        &links,
        "",
    )
}
