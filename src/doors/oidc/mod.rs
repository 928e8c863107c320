//! OpenID Connect: sites log people in with WeChat. The only flow is the code flow with PKCE, as in
//! RFC 9700; RFC 10017 applies to pages without a back end, and RFC 10027 to a code that a phone
//! scans. `WXMINT_CLIENTS_FILE` opens the door, and a site is a client with `redirect_uris`. If the
//! door for scans is there too, a site's page also shows a mini-program code.

mod authorize;
mod backchannel;
mod family;
mod grants;
mod lists;
mod logout;
mod own_jwt;
mod page;
mod renewal;
mod request;
#[cfg(test)]
mod simulated;
mod token;
mod wechat;

use std::{future::ready, sync::Arc};

use actix_web::HttpRequest;
use actix_web::web::{Data, ServiceConfig};
use async_trait::async_trait;
use prometheus_client::metrics::{counter::Counter, family::Family};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use wxmint_http::page::{CSS, JS, answer};
use wxmint_http::{Problem, not_found, origin, readable, routes};
use wxmint_ids::{ClientId, UserId};
use wxmint_keys::token::Issued;
use wxmint_store::Store;
use wxmint_telemetry::audit::{Activity, Event};
use wxmint_wechat::AppKind;

use self::request::is_site;
use crate::findings::{Catalog, Finding};
use crate::issuer::door::{Door, DoorRow};
use crate::issuer::grants::TokenGrants;
use crate::issuer::route_constants::{ANY, BODY, HEAD, LIMIT, PLACE, SECURITY, STORE, TOKEN};
use crate::issuer::{Issuer, state::IssuerWorker};
use crate::login::{LoginParts, RequestError};
use crate::oauth::{CLIENTS_FILE, clients::Clients};

routes! {
    #[openapi(tags((name = "sites", description = "For sites that speak OpenID Connect")))]
    OPEN "/authorize" authorize::authorize [STORE], HEAD;
    POST "/authorize" authorize::authorize_by_post [ANY], BODY;
    POST "/authorize/scan" authorize::scan [ANY, LIMIT], BODY;
    POST "/authorize/poll" authorize::poll [ANY, LIMIT], BODY;
    GET "/authorize/web" wechat::web [STORE], HEAD;
    GET "/authorize/wechat" wechat::callback [STORE], HEAD;
    GET "/userinfo" logout::userinfo [ANY, TOKEN, LIMIT], HEAD;
    POST "/userinfo" logout::userinfo_by_post [ANY, TOKEN, LIMIT], HEAD;
    GET "/end_session" logout::end_session [ANY, LIMIT], HEAD;
    POST "/end_session" logout::end_session_by_post [ANY, LIMIT], BODY;
    POST "/revoke" logout::revoke [ANY, LIMIT], BODY;
}

const CATALOG: Catalog = &include!("texts.json");

pub(super) const DOOR: DoorRow = DoorRow {
    readable: &["/userinfo", "/revoke"],
    ..DoorRow::new(&ROUTES, |settings, _| {
        Ok(settings
            .door_files
            .get(CLIENTS_FILE)
            .map(|_| Arc::new(Oidc::default()) as _))
    })
};

type AtDoor = (Data<IssuerWorker>, Data<Oidc>);

#[derive(Default)]
struct Oidc {
    /// The outcomes of codes and refresh tokens, by client.
    logins: Family<[(&'static str, String); 2], Counter>,
    /// The outcomes of back-channel logouts, by client.
    logouts: Family<[(&'static str, String); 2], Counter>,
}

const LOGIN: Activity = Activity::at_door("Site Login", "site_login");
const RENEWAL: Activity = Activity::at_door("Site Renewal", "site_renewal");
type Step = (Activity, &'static str);
const LOGGED_OUT: Step = (Activity::LOGOUT, "logged_out");
/// The outcomes that are successes. The others are `ended`, `repeated` and `unknown`.
const DONE: [&str; 3] = ["logged_in", "renewed", "logged_out"];

impl Oidc {
    /// Counts the outcome of a code or a refresh token.
    fn count(&self, client: &ClientId, outcome: &'static str) {
        self.logins
            .get_or_create(&[
                ("client", client.to_string()),
                ("outcome", outcome.to_owned()),
            ])
            .inc();
    }

    /// Counts the outcome of a back-channel logout: `sent`, `failed` for each try that the site did
    /// not accept, or `given_up`.
    fn count_logout(&self, client: &ClientId, outcome: &'static str) {
        self.logouts
            .get_or_create(&[
                ("client", client.to_string()),
                ("outcome", outcome.to_owned()),
            ])
            .inc();
    }

    /// Counts and audits an outcome. A site that keeps renewing gives one audit event a minute.
    fn tell(
        &self,
        request: &HttpRequest,
        (activity, outcome): Step,
        client: &ClientId,
        user: Option<&UserId>,
    ) {
        self.count(client, outcome);
        let refused = (!DONE.contains(&outcome)).then(|| outcome.into());
        let event = Event::new(activity, origin(request));
        let who = format!("{client} {}", user.map_or(event.address(), UserId::as_str));
        Event {
            client: Some(client.clone()),
            user: user.cloned(),
            refused,
            ..event
        }
        .tell_bounded(&who);
    }
}

#[async_trait(?Send)]
impl Door for Oidc {
    fn configure(self: Arc<Self>, config: &mut ServiceConfig) {
        let file = |path, kind, content| readable(path, move || ready(answer(kind, content)));
        config
            .service(file("/authorize/page.css", CSS, include_str!("page.css")))
            .service(file("/authorize/page.js", JS, include_str!("page.js")))
            .app_data(Data::from(self));
    }

    fn follow(self: Arc<Self>, issuer: &Arc<Issuer>) {
        actix_web::rt::spawn(backchannel::follow(self, Arc::clone(issuer)));
    }

    /// Finds web apps that are not configured, redirect URIs of back ends over HTTP, which expose
    /// codes, and sites that accept no logouts.
    async fn examine(&self, issuer: &Issuer, redis: Option<&Store>) -> Vec<Finding> {
        let clients = issuer.clients();
        let apps = issuer.apps.all();
        let mut found = backchannel::examine(&clients, redis).await;
        for client in clients.iter() {
            for app in &client.web_apps {
                let is_for_web = apps.choose(Some(app), None).is_ok_and(|app| {
                    matches!(app.kind, AppKind::OfficialAccount | AppKind::Website)
                });
                if !is_for_web {
                    found.push(Finding::warning(
                        "clients",
                        message!(CATALOG: web_app_of_client_is_not_configured, client.id, app),
                        message!(CATALOG: add_file_of_this_app_or_take_it_out),
                    ));
                }
            }
            if client.is_back_end()
                && client
                    .redirect_uris
                    .iter()
                    .any(|address| address.starts_with("http://"))
            {
                found.push(Finding::warning(
                    "clients",
                    message!(CATALOG: redirect_uri_of_back_end_is_over_http, client.id),
                    message!(CATALOG: use_https_but_while_developing),
                ));
            }
        }
        found
    }

    /// The metadata of OpenID Connect Discovery 1.0 and RFC 8414
    fn metadata(&self, issuer: &Issuer) -> Value {
        let clients = issuer.clients();
        if !clients.iter().any(is_site) {
            return Value::Null;
        }
        let at = |path: &str| [issuer.settings.issuer.as_str(), path].concat();
        let mut members = json!({
            "authorization_endpoint": at("/authorize"),
            "userinfo_endpoint": at("/userinfo"),
            "end_session_endpoint": at("/end_session"),
            "revocation_endpoint": at("/revoke"),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "scopes_supported": request::SCOPES,
            "claims_supported": ["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "at_hash", "sid", "amr"],
            "code_challenge_methods_supported": ["S256"],
            "ui_locales_supported": ["en", "zh-CN"],
            "authorization_response_iss_parameter_supported": true,
            "request_uri_parameter_supported": false,
            "backchannel_logout_supported": true,
            "backchannel_logout_session_supported": true,
        });
        clients.describe("revocation_endpoint", &mut members);
        members
    }

    fn token_grants(&self) -> Option<&dyn TokenGrants> {
        Some(self)
    }

    async fn revoke_login(&self, login: &LoginParts, token: Issued) -> Result<(), RequestError> {
        logout::revoke_login(login, token).await.map(drop)
    }

    fn metrics(&self, registry: &mut Registry) {
        registry.register(
            "oidc_logins",
            "What became of codes and refresh tokens of sites",
            self.logins.clone(),
        );
        let help = "Logouts that sites were told of, or not";
        registry.register("oidc_backchannel_logouts", help, self.logouts.clone());
    }
}

/// The clients. If no client is a site, 404, as if the door did not exist.
fn with_sites(issuer: &Issuer) -> Result<Arc<Clients>, Problem> {
    Some(issuer.clients())
        .filter(|clients| clients.iter().any(is_site))
        .ok_or_else(|| not_found(PLACE))
}

/// The path of the issuer's URL, below which the pages' files are, without a slash at the end.
fn root(worker: &IssuerWorker) -> String {
    let url = worker
        .issuer
        .settings
        .issuer
        .as_str()
        .parse()
        .map(|url: reqwest::Url| url.path().to_owned());
    url.unwrap_or_default().trim_end_matches('/').to_owned()
}
