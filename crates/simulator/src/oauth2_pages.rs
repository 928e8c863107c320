//! WeChat's pages on which a person agrees to a login by OAuth2: within WeChat, and with the QR
//! code for other browsers. In place of a phone, the page asks which person agrees.

use std::sync::Arc;

use actix_web::http::{Uri, header};
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::apps::Kind;
use super::call::Params;
use super::now;
use super::people::{Purpose, Scope};
use super::world::World;

const AUTHORIZE: &str = "/connect/oauth2/authorize";
const QR_CONNECT: &str = "/connect/qrconnect";

/// The pages of official accounts and of websites.
pub(super) fn routes(world: Arc<World>) -> impl FnOnce(&mut ServiceConfig) + Clone {
    move |config| {
        for (path, kind) in [
            (AUTHORIZE, Kind::OfficialAccount),
            (QR_CONNECT, Kind::Website),
        ] {
            let page = move |request: HttpRequest, world: Data<World>| async move {
                page(&request, &world, kind)
            };
            config.service(
                web::resource(path)
                    .app_data(Data::from(Arc::clone(&world)))
                    .route(web::get().to(page)),
            );
        }
    }
}

/// Without `person`, shows a page with all known people. With it, redirects to the app's page with
/// a code.
fn page(request: &HttpRequest, world: &World, kind: Kind) -> HttpResponse {
    let params = Params::parse(request.query_string());
    let given = |name| params.first(name).unwrap_or_default();
    let app = world
        .app(given("appid"))
        .filter(|app| world.apps[*app].kind == kind);
    let Some(app) = app else {
        return mistake("AppID 参数错误", 40013);
    };
    let scope = params
        .first("scope")
        .and_then(|scope| Scope::of(kind, Some(scope)));
    let Some(scope) = scope else {
        return mistake("Scope 参数错误或没有 Scope 权限", 10005);
    };
    let back = given("redirect_uri");
    let term = world.terms.of(app);
    let is_own = |back: Uri| {
        back.host()
            .is_some_and(|host| term.domains.iter().any(|own| own == host))
    };
    if !back.parse().is_ok_and(is_own) {
        return mistake("redirect_uri 域名与后台配置不一致", 10003);
    }
    if given("response_type") != "code" {
        return mistake("response_type 参数错误", 10002);
    }
    let Some(person) = params.first("person") else {
        return who(request, world);
    };
    let scope = if given("snapshot") == "1" {
        Scope::Snapshot
    } else {
        scope
    };
    let code = world
        .mint_codes(Purpose::Oauth2(scope), &[person.to_owned()], app, now())
        .remove(0);
    if params.first("component_appid").is_none() {
        world.people.lock().of_no_component.insert(code.clone());
    }
    let (joint, state) = (
        if back.contains('?') { '&' } else { '?' },
        utf8_percent_encode(given("state"), NON_ALPHANUMERIC),
    );
    let to = format!("{back}{joint}code={code}&state={state}");
    back_to(to)
}

/// Redirects to the page that has sent the person here. The address contains a code, so no cache
/// may keep it.
pub(super) fn back_to(address: String) -> HttpResponse {
    let mut found = HttpResponse::Found();
    found
        .insert_header((header::LOCATION, address))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .finish()
}

pub(super) fn mistake(said: &str, errcode: u32) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .body(format!(
            "<!doctype html><link rel=\"icon\" href=\"data:,\"><p>{said}，错误码：{errcode}</p>"
        ))
}

/// A page with links for the known people and a form for a name, because a fresh simulator knows
/// nobody.
fn who(request: &HttpRequest, world: &World) -> HttpResponse {
    let (names, query) = (world.people(), request.query_string());
    let names = names
        .iter()
        .filter_map(|person| person["name"].as_str())
        .map(str::to_owned);
    let fields = Params::parse(query)
        .into_pairs()
        .into_iter()
        .map(|(name, value)| {
            format!(
                "<input type=\"hidden\" name=\"{}\" value=\"{}\">",
                escaped(&name),
                escaped(&value)
            )
        });
    let form = format!(
        "<form>{}<label>或填写名字 · or type a name <input name=\"person\" value=\"lin\" maxlength=\"64\" required></label> \
         <button>确认 · Agree</button></form>",
        fields.collect::<String>()
    );
    let asked = "模拟器没有手机：请选择以谁的身份登录。The simulator has no phone: who agrees?";
    choice(
        "微信登录 · Log in with WeChat",
        asked,
        &links(query, "person", names),
        &form,
    )
}

/// Links to the same page, each with another value of `name`.
pub(super) fn links(query: &str, name: &str, values: impl Iterator<Item = String>) -> String {
    let query = escaped(query);
    let link = |value: String| {
        let coded = utf8_percent_encode(&value, NON_ALPHANUMERIC);
        format!(
            "<li><a href=\"?{query}&amp;{name}={coded}\">{}</a>",
            escaped(&value)
        )
    };
    values.map(link).collect()
}

/// A page of WeChat that asks for a choice.
pub(super) fn choice(title: &str, asked: &str, links: &str, form: &str) -> HttpResponse {
    HttpResponse::Ok().content_type("text/html; charset=utf-8").body(format!(
        "<!doctype html><html lang=\"zh-CN\"><meta name=\"viewport\" content=\"width=device-width\"><link rel=\"icon\" href=\"data:,\"><title>{title}</title>\
         <h1>{title}</h1><p>{asked}<ul>{links}</ul>{form}"
    ))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use actix_web::{App as Server, test};

    use super::*;
    use crate::App;

    /// The form of a page sends this, with the name that it suggests.
    fn sent(page: &str) -> String {
        let fields = page.split("<input ").skip(1).map(|field| {
            let [name, value] = ["name=\"", "value=\""].map(|part| {
                field
                    .split(part)
                    .nth(1)
                    .and_then(|rest| rest.split('"').next())
            });
            format!(
                "{}={}",
                name.expect("a name"),
                utf8_percent_encode(value.expect("a value"), NON_ALPHANUMERIC)
            )
        });
        fields.collect::<Vec<_>>().join("&")
    }

    #[actix_web::test]
    async fn a_simulator_that_knows_nobody_asks_for_a_name_and_gives_a_code() {
        let app: App = "wx1:secret:official_account".parse().expect("an app");
        let world = World::new(vec![app], 0);
        let server = test::init_service(Server::new().configure(routes(world))).await;
        let get = async |query: &str| {
            let request = test::TestRequest::get()
                .uri(&format!("{AUTHORIZE}?{query}"))
                .to_request();
            let answer = test::call_service(&server, request).await;
            let to = answer
                .headers()
                .get(header::LOCATION)
                .map(|to| to.to_str().expect("text").to_owned());
            (
                to,
                String::from_utf8(test::read_body(answer).await.to_vec()).expect("text"),
            )
        };
        let asked = "appid=wx1&redirect_uri=http%3A%2F%2F127.0.0.1%2Fback%3Fa%3D1&response_type=code&scope=snsapi_userinfo&state=%22%3C%26";
        let (_, page) = get(asked).await;
        assert!(
            page.contains("<form>") && !page.contains("<li>"),
            "nobody is known: {page}"
        );
        let sent = sent(&page)
            .replace("%26quot%3B", "%22")
            .replace("%26lt%3B", "%3C")
            .replace("%26amp%3B", "%26");
        let (to, answer) = get(&sent).await;
        let to = to.unwrap_or_else(|| panic!("{sent}: {answer}"));
        assert!(
            to.starts_with("http://127.0.0.1/back?a=1&code=") && to.ends_with("&state=%22%3C%26"),
            "{to}"
        );
        assert!(
            get(asked).await.1.contains("person=lin\">lin</a>"),
            "known from then on"
        );
    }
}
