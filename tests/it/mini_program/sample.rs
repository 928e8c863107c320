//! The sample, `examples/mini-program`, in a browser and against the real service.

use std::env;

use super::{Business, WEBSITE, WEBSITE_NAME, client::built, node, website};
use crate::support::prelude::*;

const OPERATOR: &str = "planted-secret-of-an-operator-77c1e0";

/// `tests/miniprogram/sample.mjs` says what a person does there.
#[tokio::test(flavor = "multi_thread")]
async fn each_page_of_the_sample_does_what_its_user_wants() {
    let accounts = AccountService::start();
    let builder =
        Business::builder().operators(&format!("on-call {OPERATOR} read,operate,wechat\n"));
    let bed = builder
        .clients(&website())
        .env("WXMINT_ACCOUNTS", &accounts.url())
        .start()
        .await;
    let service = bed.service();
    let asked = json!({
        "person": "lin", "appid": APPID, "issuer": ISSUER, "service": service.url(""), "simulator": bed.wechat.url(),
        "package": built().join("package"), "operators": format!("http://{}", service.admin), "secret": OPERATOR,
        "client": {"id": WEBSITE, "name": WEBSITE_NAME},
        "pictures": env::var_os("WXMINT_TEST_PICTURES").map(|_| repository("target/screenshots")),
    });
    let said = node(&["sample.mjs", &asked.to_string()]);
    assert!(said.contains("all as expected"), "{said}");
}
