//! Scan to log in (RFC 8628): the page's side and the phone's side. `WXMINT_CLIENTS_FILE` opens the
//! door.

mod browser;
mod codes;
mod page;
mod phone;
mod requests;
mod store;
mod token;

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::web::Data;
use async_trait::async_trait;
use prometheus_client::metrics::{counter::Counter, family::Family};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use wxmint_http::ProblemCode::{self, *};
use wxmint_http::routes;
use wxmint_ids::ClientId;
use wxmint_store::Store;
use wxmint_telemetry::audit::Activity;

use crate::findings::{Catalog, Finding, count};
use crate::issuer::door::{Door, DoorRow};
use crate::issuer::grants::{PhoneLogin, TokenGrants};
use crate::issuer::route_constants::{
    ANY, BILLED, BODY, HEAD, IDENTITY, LIMIT, OWN_TOKEN, SECURITY, STORE, WECHAT,
};
use crate::issuer::{Issuer, state::IssuerWorker};
use crate::login::check_is_mini_program_of_wechat;
use crate::oauth::CLIENTS_FILE;

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
    READ "/device" page::show [], HEAD;
    GET "/device/{user_code}/code.jpg" page::picture [ANY, GONE, LIMIT, &[WechatUnavailable]], HEAD;
    GET "/device/{user_code}" phone::look [ANY, OWN_TOKEN, GONE, LIMIT], HEAD;
    POST "/device/{user_code}/approve" phone::approve [ANY, OWN_TOKEN, GONE, APPROVAL, IDENTITY, LIMIT, BILLED, WECHAT], BODY;
    POST "/device/{user_code}/deny" phone::deny [ANY, OWN_TOKEN, GONE, LIMIT], HEAD;
}

/// The problem of a client's token whose issuer's keys are not known.
const KEYS: &[ProblemCode] = &[KeysUnavailable];

const CHECK: &str = "clients";
const CATALOG: Catalog = &include!("texts.json");
const AUTHORIZATION: &str = "/device_authorization";

pub(super) const DOOR: DoorRow = DoorRow {
    readable: &[AUTHORIZATION],
    panel: Some(("scans", include_str!("console.js"))),
    in_demo: Some(|| Arc::new(Scan::default())),
    ..DoorRow::new(&ROUTES, |settings, _| {
        Ok(settings
            .door_files
            .get(CLIENTS_FILE)
            .map(|_| Arc::new(Scan::default()) as _))
    })
};

const ASKED: Activity = Activity::at_door("Device Request", "device_request");
const LOOKED: Activity = Activity::at_door("Device Look", "device_look");
const APPROVED: Activity = Activity::at_door("Device Approval", "device_approval");
const DENIED: Activity = Activity::at_door("Device Denial", "device_denial");

type AtDoor = (Data<IssuerWorker>, Data<Scan>);

#[derive(Default)]
struct Scan {
    /// The outcomes of device requests by client, since the start.
    counts: Family<[(&'static str, String); 2], Counter>,
}

#[async_trait(?Send)]
impl Door for Scan {
    /// Finds clients whose app is no mini program that is configured here, and clients that compare
    /// no number.
    async fn examine(&self, issuer: &Issuer, _: Option<&Store>) -> Vec<Finding> {
        let clients = issuer.clients();
        let apps = issuer.apps.all();
        let mut found = Vec::new();
        for client in clients.iter() {
            let may_scan = apps
                .choose(Some(&client.app), None)
                .is_ok_and(|app| check_is_mini_program_of_wechat(app).is_ok());
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
        found
    }

    /// RFC 8628 section 4
    fn metadata(&self, issuer: &Issuer) -> Value {
        let issuer = &issuer.settings.issuer;
        json!({"device_authorization_endpoint": format!("{issuer}{AUTHORIZATION}")})
    }

    fn token_grants(&self) -> Option<&dyn TokenGrants> {
        Some(self)
    }

    fn phone_login(&self) -> Option<&dyn PhoneLogin> {
        Some(self)
    }

    fn client_is_gone(&self) {
        self.counts.clear();
    }

    fn metrics(&self, registry: &mut Registry) {
        let help = "What became of requests of pages for a login by a phone";
        registry.register("device_requests", help, self.counts.clone());
    }
}

impl Scan {
    /// Counts the outcome of a device request: `started`, `refused`, `viewed`, `approved`,
    /// `denied`, `redeemed` or `repeated`. A client that is not in the file is not counted.
    fn count(&self, issuer: &Issuer, client: &ClientId, outcome: &'static str) {
        let Some(oauth) = &issuer.oauth else { return };
        oauth.count(client, || {
            self.counts
                .get_or_create(&[
                    ("client", client.to_string()),
                    ("outcome", outcome.to_owned()),
                ])
                .inc();
        });
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use prometheus_client::encoding::text::encode_registry;
    use wxmint_keys::PrivateJwk;
    use wxmint_verify::Algorithm;

    use super::*;
    use crate::clock::now;
    use crate::issuer::caller::tests::issuer;
    use crate::oauth::{OAuth, clients::Clients};

    fn id(text: &str) -> ClientId {
        text.parse().expect("a client_id")
    }

    fn clients(ids: &[&str]) -> Clients {
        let of = |id: &&str| json!({"client_id": id, "name": format!("the {id}"), "appid": "wx0123456789abcdef"});
        let clients = json!({"clients": ids.iter().map(of).collect::<Vec<_>>()}).to_string();
        Clients::parse(clients.as_bytes(), Duration::from_hours(1)).expect("clients")
    }

    fn issuer_with(ids: &[&str]) -> Issuer {
        let key = PrivateJwk::generate(Algorithm::Es256, now()).expect("a key");
        let mut issuer = issuer(&key, ("WXMINT_TOKEN_TTL", "24h"));
        issuer.oauth = Some(Arc::new(OAuth::new(clients(ids), None, "")));
        issuer
    }

    #[test]
    fn the_dashboard_and_the_page_name_what_is_printed() {
        let scan = Scan::default();
        let mut registry = Registry::with_prefix("wxmint");
        scan.count(&issuer_with(&["shop-web"]), &id("shop-web"), "started");
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
        let scans = Scan::default();
        let issuer = issuer_with(&["shop-web", "tv"]);
        let oauth = issuer.oauth.as_ref().expect("clients");
        let replace = |ids: &[&str]| oauth.replace(clients(ids), || scans.client_is_gone());
        let asked = |client: &str| {
            let labels = [
                ("client", client.to_owned()),
                ("outcome", "started".to_owned()),
            ];
            scans.counts.get(&labels).map(|counter| counter.get())
        };
        let count = || {
            for client in ["shop-web", "tv"] {
                scans.count(&issuer, &id(client), "started");
            }
        };
        count();
        replace(&["shop-web", "tv", "new"]);
        assert_eq!(
            ["shop-web", "tv", "new"].map(asked),
            [Some(1), Some(1), None],
            "one more takes nothing away"
        );
        replace(&["shop-web"]);
        assert_eq!(["shop-web", "tv"].map(asked), [None, None]);
        count();
        assert_eq!(["shop-web", "tv"].map(asked), [Some(1), None]);
    }
}
