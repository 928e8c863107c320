//! examples/platform: a merchant follows the vendor's link to WeChat's page, authorises the platform, and comes back.

use super::{has_ticket, let_in, ticketed};
use crate::scan_examples::copy;
use crate::support::prelude::*;

const SECRET: &str = "planted-secret-of-the-vendor-0077a1b0";

/// A browser with one cookie.
struct Browser<'a> {
    http: &'a Http,
    cookie: String,
}

impl Browser<'_> {
    async fn get(&mut self, url: &str) -> Answer {
        let answer = self
            .http
            .send(self.http.0.get(url).header("Cookie", &self.cookie))
            .await;
        if let Some(set) = answer.headers.get("set-cookie") {
            set.to_str()
                .expect("ASCII")
                .split(';')
                .next()
                .unwrap_or_default()
                .clone_into(&mut self.cookie);
        }
        answer
    }

    /// Where a redirect leads.
    async fn sent(&mut self, url: &str) -> String {
        let answer = self.get(url).await;
        assert_eq!(answer.status, 302, "{answer:?}");
        answer.header("location").to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merchant_authorises_the_platform_and_the_vendor_knows_which_app_it_is() {
    let builder = TestBed::builder()
        .app(OTHER_APPID, OTHER_SECRET)
        .operators(&format!("vendor {SECRET} wechat\n"));
    let bed = ticketed(builder).await;
    has_ticket(&bed).await;
    let folder = node_folder();
    copy(
        &repository("examples/platform"),
        &folder.path().join("platform"),
    );
    let (port, wechat) = (free_port().to_string(), bed.wechat.url());
    let site = format!("http://127.0.0.1:{port}");
    let admin = format!("http://{}", bed.service().admin);
    let mut node = Command::new("node");
    node.arg(folder.path().join("platform/app.mjs"))
        .env_clear()
        .env("PATH", path_with_wxmint())
        .envs([
            ("COMPONENT_APPID", PLATFORM),
            ("SECRET", SECRET),
            ("SITE", &site),
            ("ADMIN_URL", &admin),
            ("WECHAT_API", &wechat),
            ("WECHAT_PAGE", &wechat),
            ("PORT", &port),
        ]);
    let mut vendor = Process::spawn("examples/platform", &mut node);
    vendor.printed_address().await;

    let mut merchant = Browser {
        http: &bed.http,
        cookie: String::new(),
    };
    assert!(
        merchant
            .get(&format!("{site}/"))
            .await
            .body
            .contains("还没有授权")
    );
    // A stranger's link, and a state that is not this browser's.
    for link in ["authorized?auth_code=a", "authorized?auth_code=a&state=b"] {
        assert_eq!(
            merchant.sent(&format!("{site}/{link}")).await,
            "/?error=state"
        );
    }
    let page = merchant.sent(&format!("{site}/authorize")).await;
    assert!(
        merchant.get(&page).await.body.contains(APPID),
        "WeChat's page names the apps"
    );
    let back = merchant.sent(&format!("{page}&authorizer={APPID}")).await;
    assert!(
        back.starts_with(&format!("{site}/authorized?state=")),
        "{back}"
    );
    assert_eq!(merchant.sent(&back).await, "/");
    assert!(
        merchant
            .get(&format!("{site}/"))
            .await
            .body
            .contains(&format!("已授权：{APPID}"))
    );
    let_in(&bed, bed.service(), APPID, "lin").await;
    assert_eq!(merchant.sent(&back).await, "/?error=state", "once");
    let found = |event: &Value| {
        event["metadata"]["event_code"] == "find_merchant" && event["status_id"] == 1
    };
    until("the audit has it", PATIENCE, async || {
        bed.service().events().iter().any(found)
    })
    .await;

    // Only what WeChat has named.
    let path = format!("/wechat/{PLATFORM}/merchant");
    let made_up = json!({"auth_code": "queryauthcode@@@made-up"});
    bed.service()
        .operate("POST", &path, SECRET, &made_up)
        .await
        .expect_problem(400, "unknown_app");
}
