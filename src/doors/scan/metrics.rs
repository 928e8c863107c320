//! The outcomes of the requests of pages for a login by a phone, by client, since the start. Who is not in the file of
//! clients is not counted, so that nobody else adds a label.

use std::sync::Arc;

use wxmint_ids::ClientId;

use super::Scan;
use super::clients::Clients;

impl Scan {
    /// Takes over the clients that the file has now. If one has left, all counters of clients begin at 0.
    pub(super) fn clients_are(&self, clients: Clients) {
        let (_counting, clients) = (self.counting.lock(), Arc::new(clients));
        let before = self.clients.swap(Arc::clone(&clients));
        if before.iter().any(|client| clients.get(&client.id).is_none()) {
            self.counts.clear();
        }
    }

    /// Counts the outcome of a request of a page: `asked`, `refused`, `scanned`, `approved`, `denied`, `fetched` or
    /// `repeated`. A client that is not in the file is not counted.
    pub(in crate::doors) fn count(&self, client: &ClientId, outcome: &'static str) {
        // The lock is held to the end, so that a client that has just left is not counted after it.
        let _counting = self.counting.lock();
        if self.clients().get(client).is_some() {
            self.counts.get_or_create(&[("client", client.to_string()), ("outcome", outcome.to_owned())]).inc();
        }
    }
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
    }
}
