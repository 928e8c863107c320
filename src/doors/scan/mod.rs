//! Scan to log in (RFC 8628): the page's side, the phone's side, and the clients. `WXMINT_CLIENTS_FILE` opens the door.

pub(super) mod browser;
pub(super) mod clients;
pub(super) mod codes;
mod command;
pub(super) mod page;
mod phone;
pub(super) mod requests;
pub(super) mod store;
pub(super) mod token;

use std::{mem, sync::Arc, time::Duration};

use actix_web::http::StatusCode;
use actix_web::web::Data;
use async_trait::async_trait;
use parking_lot::Mutex;
use prometheus_client::metrics::{counter::Counter, family::Family};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use wxmint_http::ProblemCode::{self, *};
use wxmint_http::{Answer, routes};
use wxmint_ids::{AppId, ClientId};
use wxmint_store::Store;
use wxmint_telemetry::audit::Activity;

use self::clients::Clients;
use crate::findings::{Catalog, Finding, count};
use crate::identities::{Issuers, examine};
use crate::issuer::door::{Door, DoorRow, Opened};
use crate::issuer::examine::{load, unusable_file};
use crate::issuer::reload::{reload, watch};
use crate::issuer::route_constants::{
    ANY, BILLED, BODY, HEAD, IDENTITY, LIMIT, LOGOUT, OWN_TOKEN, SECURITY, STORE, WECHAT,
};
use crate::issuer::{Issuer, state::IssuerWorker};
use crate::{secret_files::WatchedFile, settings::Settings};

/// The device request does not exist, has expired, was denied, or is used up.
const UNKNOWN_DEVICE_CODE: ProblemCode = OfDoor(&(
    "unknown_device_code",
    StatusCode::NOT_FOUND,
    "There is no such request of a page, or not any more",
));
/// The person has chosen a wrong number. The device request cannot be approved any more.
const NUMBER_MISMATCH: ProblemCode = OfDoor(&(
    "number_mismatch",
    StatusCode::FORBIDDEN,
    "The number is not the one that the page shows",
));
const GONE: &[ProblemCode] = &[UNKNOWN_DEVICE_CODE];
const APPROVAL: &[ProblemCode] = &[NUMBER_MISMATCH, CodeInvalid, CodeUsed];

routes! {
    #[openapi(tags((name = "scan", description = "To log a page in by the mini program")))]
    POST "/device_authorization" page::device_authorization [STORE, KEYS, LIMIT], BODY;
    POST "/token" token::token [STORE, KEYS, LIMIT], BODY;
    READ "/device" page::show [], HEAD;
    GET "/device/{user_code}/code.jpg" page::picture [ANY, GONE, LIMIT, &[WechatUnavailable]], HEAD;
    GET "/device/{user_code}" phone::look [ANY, OWN_TOKEN, GONE, LIMIT], HEAD;
    POST "/device/{user_code}/approve" phone::approve [ANY, OWN_TOKEN, GONE, APPROVAL, IDENTITY, LIMIT, BILLED, WECHAT], BODY;
    POST "/device/{user_code}/deny" phone::deny [ANY, OWN_TOKEN, GONE, LIMIT], HEAD;
}

/// The problem of a client's token whose issuer's keys are not known.
const KEYS: &[ProblemCode] = &[KeysUnavailable];

/// The command that makes the file. The file's path follows it.
const MAKE_CLIENTS: &str = "wxmint clients add CLIENT_ID --name NAME --appid APPID --file";
const CHECK: &str = "clients";
/// The detail of `slow_down` with 429. It names what these endpoints count.
const TOO_MANY: &str = "Too many requests or open requests of an address, or renewals of a user. Wait, then try again.";
const NO_APP: &str = "The app of this client is no mini program that is configured here.";
pub(super) const VARIABLE: &str = "WXMINT_CLIENTS_FILE";
const CATALOG: Catalog = &include!("texts.json");
const AUTHORIZATION: &str = "/device_authorization";
const TOKEN_PATH: &str = "/token";

pub(super) const DOOR: DoorRow = DoorRow {
    readable: &[LOGOUT, AUTHORIZATION, TOKEN_PATH],
    panel: Some(("scans", include_str!("console.js"))),
    check: Some((CHECK, VARIABLE)),
    command: Some(command::COMMAND),
    in_demo: Some(in_demo),
    ..DoorRow::new(&ROUTES, |settings, _| open(settings))
};

const ASKED: Activity = Activity::at_door("Device Request", "device_request");
const LOOKED: Activity = Activity::at_door("Device Look", "device_look");
const APPROVED: Activity = Activity::at_door("Device Approval", "device_approval");
const DENIED: Activity = Activity::at_door("Device Denial", "device_denial");

type AtDoor = (Data<IssuerWorker>, Data<Scan>);

pub(super) struct Scan {
    /// Replaced when the file changes. Also locked while an outcome is counted.
    clients: Mutex<Arc<Clients>>,
    /// `None` in the demo.
    file: Option<WatchedFile>,
    /// The issuers of the tokens that clients send in place of a secret.
    issuers: Issuers,
    /// The outcomes of device requests by client, since the start.
    counts: Family<[(&'static str, String); 2], Counter>,
}

fn open(settings: &Settings) -> Opened {
    let Some(path) = settings.door_files.get(VARIABLE) else {
        return Ok(None);
    };
    let parse =
        |content: &[u8]| Clients::parse(content, settings.token_ttl)?.fitting(settings.user_ids);
    let (file, clients) = load(VARIABLE, path, Some(MAKE_CLIENTS), parse, |error| {
        unusable_file(CHECK, VARIABLE, path, error)
    })?;
    Ok(Some(Arc::new(Scan::new(
        clients,
        Some(file),
        settings.issuer.as_str(),
    ))))
}

/// The door in the demo: its one client is the website on the laptop of the demo's page, whose
/// users log in by the first app.
fn in_demo(address: &str, app: &AppId, longest: Duration) -> Result<Arc<dyn Door>, String> {
    let website = json!({
        "client_id": "demo-web", "name": "Mint Tea Room 薄荷茶室", "appid": app, "page": "pages/scan/index",
        "origins": [address, address.replace("127.0.0.1", "localhost")],
    });
    let clients = Clients::parse(
        json!({"clients": [website]}).to_string().as_bytes(),
        longest,
    )?;
    Ok(Arc::new(Scan::new(clients, None, address)))
}

#[async_trait(?Send)]
impl Door for Scan {
    fn follow(self: Arc<Self>, issuer: &Arc<Issuer>) {
        self.issuers.hold(self.clients().identities());
        let Some(mut file) = self.file.clone() else {
            return;
        };
        let longest = issuer.settings.token_ttl;
        let user_ids = issuer.settings.user_ids;
        watch(issuer, "clients", "file of clients", async move || {
            let parse = |content: &[u8]| Clients::parse(content, longest)?.fitting(user_ids);
            reload(&mut file, Some(MAKE_CLIENTS), parse, |read| {
                tracing::info!(
                    clients = read.iter().count(),
                    "the file of clients was read again"
                );
                self.issuers.hold(read.identities());
                self.clients_are(read);
            })
        });
    }

    /// Finds clients whose app is no mini program that is configured here, and clients that compare
    /// no number.
    async fn examine(&self, issuer: &Issuer, _: Option<&Store>) -> Vec<Finding> {
        let clients = self.clients();
        let apps = issuer.apps.all();
        let mut found = Vec::new();
        for client in clients.iter() {
            let may_scan = apps
                .choose(Some(&client.app), None)
                .is_ok_and(|app| app.kind.has_session_keys());
            if !may_scan {
                found.push(Finding::warning(
                    CHECK,
                    message!(CATALOG: appid_of_client_is_no_mini_program, client.id, client.app),
                    message!(CATALOG: correct_appid_or_configure_appsecret),
                ));
            }
        }
        for client in clients.iter().filter(|client| !client.matches) {
            found.push(Finding::warning(
                CHECK,
                message!(CATALOG: client_compares_no_number, client.id),
                message!(CATALOG: leave_match_out),
            ));
        }
        if found.is_empty() {
            let number = count(clients.iter().count(), ["client", "个客户端"]);
            found.push(Finding::ok(
                CHECK,
                message!(CATALOG: may_ask_for_scan, number),
            ));
        }
        found.extend(examine(CHECK, clients.identities()).await);
        found
    }

    /// RFC 8628 section 4
    fn metadata(&self, issuer: &Issuer) -> Value {
        let issuer = &issuer.settings.issuer;
        let mut members = json!({
            "device_authorization_endpoint": format!("{issuer}{AUTHORIZATION}"),
            "token_endpoint": format!("{issuer}{TOKEN_PATH}"),
            "grant_types_supported": [token::GRANT],
        });
        self.clients().describe("token_endpoint", &mut members);
        members
    }

    fn has_origin(&self, client: Option<&AppId>, origin: &str) -> bool {
        self.clients().have_origin(client, origin)
    }

    fn metrics(&self, registry: &mut Registry) {
        let help = "What became of requests of pages for a login by a phone";
        registry.register("device_requests", help, self.counts.clone());
    }
}

impl Scan {
    fn new(clients: Clients, file: Option<WatchedFile>, issuer: &str) -> Self {
        Self {
            clients: Mutex::new(Arc::new(clients)),
            file,
            issuers: Issuers::new(issuer.to_owned()),
            counts: Family::default(),
        }
    }

    pub(super) fn clients(&self) -> Arc<Clients> {
        Arc::clone(&self.clients.lock())
    }

    /// Replaces the clients by those of the changed file. If a client has been removed, the
    /// counters of all clients restart at 0.
    fn clients_are(&self, clients: Clients) {
        let mut held = self.clients.lock();
        let before = mem::replace(&mut *held, Arc::new(clients));
        if before.iter().any(|client| held.get(&client.id).is_none()) {
            self.counts.clear();
        }
    }

    /// Counts the outcome of a device request: `started`, `refused`, `viewed`, `approved`,
    /// `denied`, `redeemed` or `repeated`. A client that is not in the file is not counted, so that
    /// strangers cannot add labels to the metric.
    pub(super) fn count(&self, client: &ClientId, outcome: &'static str) {
        // The lock is held to the end, so that a client is not counted after it has been removed.
        let clients = self.clients.lock();
        if clients.get(client).is_some() {
            self.counts
                .get_or_create(&[
                    ("client", client.to_string()),
                    ("outcome", outcome.to_owned()),
                ])
                .inc();
        }
    }
}

/// Gives the answer of an OAuth endpoint the form of OAuth: a problem without an OAuth error code
/// gets the one that fits its status (RFC 6749 sections 4.1.2.1 and 5.2, RFC 8628 section 3.5).
pub(super) fn to_oauth(answer: Answer) -> Answer {
    answer.map_err(|problem| match problem.status.as_u16() {
        _ if problem.oauth.is_some() => problem,
        _ if matches!(problem.code, UnknownApp | SessionKeyMissing) => problem
            .with_status(StatusCode::BAD_REQUEST)
            .with_detail(NO_APP)
            .oauth("unauthorized_client"),
        429 => problem.with_detail(TOO_MANY).oauth("slow_down"),
        503 => problem.oauth("temporarily_unavailable"),
        400..=499 => problem.oauth("invalid_request"),
        _ => problem.oauth("server_error"),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use prometheus_client::encoding::text::encode_registry;

    use super::*;

    fn id(text: &str) -> ClientId {
        text.parse().expect("a client_id")
    }

    fn clients(ids: &[&str]) -> Clients {
        let of = |id: &&str| json!({"client_id": id, "name": format!("the {id}"), "appid": "wx0123456789abcdef"});
        let clients = json!({"clients": ids.iter().map(of).collect::<Vec<_>>()}).to_string();
        Clients::parse(clients.as_bytes(), Duration::from_hours(1)).expect("clients")
    }

    fn scans(ids: &[&str]) -> Scan {
        Scan::new(clients(ids), None, "")
    }

    #[test]
    fn the_dashboard_and_the_page_name_what_is_printed() {
        let (scan, mut registry) = (scans(&["shop-web"]), Registry::with_prefix("wxmint"));
        scan.count(&id("shop-web"), "started");
        scan.metrics(&mut registry);
        let mut printed = String::new();
        encode_registry(&mut printed, &registry).expect("a text");
        let name = "wxmint_device_requests_total";
        assert!(
            printed.contains(&format!(
                "{name}{{client=\"shop-web\",outcome=\"started\"}} 1"
            )),
            "{printed}"
        );
        for file in [
            "k8s/chart/monitoring/dashboards/wxmint.json",
            "docs/operation.md",
        ] {
            assert!(
                fs::read_to_string(file)
                    .expect("a file of the repository")
                    .contains(name),
                "{file}"
            );
        }
    }

    #[test]
    fn when_a_client_has_left_all_counters_begin_anew_and_its_own_stay_away() {
        let scans = scans(&["shop-web", "tv"]);
        let asked = |client: &str| {
            let labels = [
                ("client", client.to_owned()),
                ("outcome", "started".to_owned()),
            ];
            scans.counts.get(&labels).map(|counter| counter.get())
        };
        let count = || {
            for client in ["shop-web", "tv"] {
                scans.count(&id(client), "started");
            }
        };
        count();
        scans.clients_are(clients(&["shop-web", "tv", "new"]));
        assert_eq!(
            ["shop-web", "tv", "new"].map(asked),
            [Some(1), Some(1), None],
            "one more takes nothing away"
        );
        scans.clients_are(clients(&["shop-web"]));
        assert_eq!(["shop-web", "tv"].map(asked), [None, None]);
        count();
        assert_eq!(["shop-web", "tv"].map(asked), [Some(1), None]);
    }
}
