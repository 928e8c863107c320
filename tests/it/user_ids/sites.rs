//! A site to which people come by several apps, where each app's people would have user ids of their own.

use super::{ID_KEY, KINDS};
use crate::{doctor::Report, support::prelude::*};

const TWO_IDS: &str = "one human would have two user ids at this site";

fn site(web_apps: &[&str]) -> Value {
    json!([{
        "client_id": "grafana", "name": "Grafana", "appid": APPID, "page": "pages/scan/index",
        "redirect_uris": ["https://grafana.example.com/login"], "web_apps": web_apps,
    }])
}

#[tokio::test]
async fn a_site_where_one_human_would_have_two_user_ids_is_refused_at_the_start_by_the_doctor_and_when_its_file_changes()
 {
    let bed = TestBed::builder()
        .user_ids("openid", ID_KEY)
        .clients(&site(&[]))
        .start()
        .await;
    let file = bed.configuration.value("WXMINT_CLIENTS_FILE").to_owned();
    let with_another_app = json!({"clients": site(&[OTHER_APPID])}).to_string();
    fs::write(&file, with_another_app).expect("written");
    until("readiness warns", PATIENCE, async || {
        bed.service()
            .readyz()
            .await
            .body
            .contains("file of clients")
    })
    .await;
    bed.service().says(TWO_IDS).await;

    let said = bed.configuration.refused().await;
    assert!(
        said.contains(TWO_IDS) && said.contains("client grafana"),
        "{said}"
    );
    let report = Report::of(&bed.configuration).await;
    assert_eq!(report.code, 2, "{}", report.output);
    assert!(report.output.contains(TWO_IDS), "{}", report.output);
}

#[tokio::test]
async fn a_site_may_have_several_apps_where_one_human_has_one_user_id() {
    for kind in ["random", KINDS[1]] {
        let clients = site(&[OTHER_APPID]);
        TestBed::builder()
            .user_ids(kind, ID_KEY)
            .clients(&clients)
            .start()
            .await;
    }
    TestBed::builder()
        .user_ids("openid", ID_KEY)
        .clients(&site(&[APPID]))
        .start()
        .await;
}
