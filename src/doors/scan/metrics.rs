//! The outcomes of the requests of pages for a login by a phone, by client: since the start for the metrics, and of the
//! last hour for the console. Who is not in the file of clients is not counted, so that nobody else adds a label.

use std::{sync::Arc, time::Instant};

use actix_web::{HttpRequest, web::Data};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use wxmint_http::{Answer, Problem, private, routes};
use wxmint_ids::ClientId;

use super::Scan;
use super::clients::{Client, Clients};
use crate::admin::act::{Act, OperatingData};
use crate::admin::{HEAD, SECRET, SECURITY, tokens::Right};
use crate::clock::now;

/// The scans of the last hour, as far as this process has answered them.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LastScans {
    /// From when on they are counted.
    since: i64,
    clients: Vec<ScansOfClient>,
}

/// The outcomes of the requests of a client.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct ScansOfClient {
    #[schema(value_type = String, example = "shop-web")]
    client_id: ClientId,
    /// The phone shows this name.
    #[schema(example = "晨光商城 网页版")]
    name: String,
    asked: u32,
    /// Looks of phones; one request may have several.
    scanned: u32,
    approved: u32,
    denied: u32,
    /// Tokens that were fetched.
    fetched: u32,
    /// Requests that were not opened, because of a limit for example.
    refused: u32,
    /// Device codes that were used again, so that their tokens were revoked.
    repeated: u32,
}

impl Scan {
    /// Takes over the clients that the file has now. If one has left, all counters of clients begin at 0.
    pub(super) fn clients_are(&self, clients: Clients) {
        let (mut hour, clients) = (self.hour.lock(), Arc::new(clients));
        let before = self.clients.swap(Arc::clone(&clients));
        if before.iter().any(|client| clients.get(&client.id).is_none()) {
            self.counts.clear();
            hour.forget(|client| clients.iter().all(|other| other.id.0 != *client));
        }
    }

    /// Counts the outcome of a request of a page: `asked`, `refused`, `scanned`, `approved`, `denied`, `fetched` or
    /// `repeated`. A client that is not in the file is not counted.
    pub(in crate::doors) fn count(&self, client: &ClientId, outcome: &'static str) {
        // The lock is held to the end, so that a client that has just left is not counted after it.
        let mut hour = self.hour.lock();
        if self.clients().get(client).is_none() {
            return;
        }
        hour.count(Instant::now(), Some(client.0.clone()), outcome);
        self.counts.get_or_create(&[("client", client.to_string()), ("outcome", outcome.to_owned())]).inc();
    }

    fn of_last_hour(&self, now: (Instant, DateTime<Utc>)) -> LastScans {
        let (since, mut counts) = self.hour.lock().sums(now);
        let of_client = |Client { id, name, .. }: &Client| {
            let mut count = |outcome| counts.remove(&(Some(id.0.clone()), outcome)).unwrap_or_default();
            ScansOfClient {
                client_id: id.clone(),
                name: name.clone(),
                asked: count("asked"),
                scanned: count("scanned"),
                approved: count("approved"),
                denied: count("denied"),
                fetched: count("fetched"),
                refused: count("refused"),
                repeated: count("repeated"),
            }
        };
        LastScans { since, clients: self.clients().iter().map(of_client).collect() }
    }
}

/// Count the scans of the last hour
///
/// Outcomes of the requests of pages for a login by a phone, by client of `WXMINT_CLIENTS_FILE`, as far as this process
/// has answered them. Another process, and this one after a restart, has its own.
#[utoipa::path(get, path = "/scans", tag = "duty", security(("bearer" = ["read"])),
    responses((status = 200, description = "The scans", body = LastScans)))]
async fn scans(request: HttpRequest, operating: OperatingData, scan: Option<Data<Scan>>) -> Answer {
    let act = Act::<()>::begin("scans", Right::Read, &request, operating).await?;
    let nothing = || LastScans { since: now().timestamp(), clients: Vec::new() };
    let counted = scan.map_or_else(nothing, |scan| scan.of_last_hour((Instant::now(), now())));
    Ok(private(act.done(Ok::<_, Problem>(counted))?))
}

routes! {
    #[openapi()]
    READ "/scans" self::scans [SECRET], HEAD;
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use prometheus_client::{encoding::text::encode_registry, registry::Registry};
    use serde_json::json;

    use super::*;
    use crate::issuer::door::Door;

    fn id(text: &str) -> ClientId {
        text.parse().expect("a client_id")
    }

    fn clients(ids: &[&str]) -> Clients {
        let of = |id: &&str| json!({"client_id": id, "name": format!("the {id}"), "appid": "wx0123456789abcdef"});
        let clients = json!({"clients": ids.iter().map(of).collect::<Vec<_>>()}).to_string();
        Clients::parse(clients.as_bytes(), Duration::from_secs(3600)).expect("clients")
    }

    fn scans(ids: &[&str]) -> Scan {
        Scan::new(clients(ids), None, "")
    }

    #[test]
    fn each_client_of_the_file_has_its_own_counts_and_nobody_else_has_any() {
        let scans = scans(&["shop-web", "tv"]);
        for outcome in ["asked", "asked", "asked", "scanned", "approved", "fetched", "denied", "refused", "repeated"] {
            scans.count(&id("shop-web"), outcome);
        }
        scans.count(&id("stranger"), "asked");
        let now = DateTime::from_timestamp(1_800_000_000, 0).expect("a date");
        let LastScans { since, clients } = scans.of_last_hour((Instant::now(), now));
        assert!((now.timestamp() - 1..=now.timestamp()).contains(&since));
        let one = |client: &str, [asked, once]: [u32; 2]| ScansOfClient {
            client_id: id(client),
            name: format!("the {client}"),
            asked,
            scanned: once,
            approved: once,
            denied: once,
            fetched: once,
            refused: once,
            repeated: once,
        };
        assert_eq!(clients, [one("shop-web", [3, 1]), one("tv", [0; 2])]);
        let later = scans.of_last_hour((Instant::now() + Duration::from_secs(3600), now));
        assert!(later.clients.iter().all(|client| client.asked == 0), "an hour later");
    }

    #[test]
    fn the_dashboard_and_the_page_name_what_is_printed() {
        let (scan, mut registry) = (scans(&["shop-web"]), Registry::with_prefix("wxmint"));
        scan.count(&id("shop-web"), "asked");
        scan.metrics(&mut registry);
        let mut printed = String::new();
        encode_registry(&mut printed, &registry).expect("a text");
        let name = "wxmint_device_requests_total";
        assert!(printed.contains(&format!("{name}{{client=\"shop-web\",outcome=\"asked\"}} 1")), "{printed}");
        for file in ["k8s/monitoring/dashboards/wxmint.json", "docs/operation.md"] {
            assert!(fs::read_to_string(file).expect("a file of the repository").contains(name), "{file}");
        }
    }

    #[test]
    fn when_a_client_has_left_all_counters_begin_anew_and_its_own_stay_away() {
        let scans = scans(&["shop-web", "tv"]);
        let asked = |client: &str| {
            let labels = [("client", client.to_owned()), ("outcome", "asked".to_owned())];
            scans.counts.get(&labels).map(|counter| counter.get())
        };
        let count = || ["shop-web", "tv"].iter().for_each(|client| scans.count(&id(client), "asked"));
        count();
        scans.clients_are(clients(&["shop-web", "tv", "new"]));
        assert_eq!(["shop-web", "tv", "new"].map(asked), [Some(1), Some(1), None], "one more takes nothing away");
        scans.clients_are(clients(&["shop-web"]));
        assert_eq!(["shop-web", "tv"].map(asked), [None, None]);
        count();
        assert_eq!(["shop-web", "tv"].map(asked), [Some(1), None]);
        scans.clients_are(clients(&["shop-web", "tv"]));
        let shown = scans.of_last_hour((Instant::now(), now()));
        assert_eq!(shown.clients.iter().map(|client| client.asked).collect::<Vec<_>>(), [2, 0]);
    }
}
