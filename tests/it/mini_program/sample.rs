//! The sample, `examples/mini-program`, in a browser and against the real service.

use std::env;

use serde_json::json;
use tempfile::TempDir;

use super::{Business, client::built, node};
use crate::support::{APPID, AccountService, ISSUER, repository, write_private};

const OPERATOR: &str = "planted-secret-of-an-operator-77c1e0";

/// `tests/miniprogram/sample.mjs` says what a person does there.
#[tokio::test(flavor = "multi_thread")]
async fn each_page_of_the_sample_does_what_its_user_wants() {
    let folder = TempDir::new().expect("a folder");
    let operators = folder.path().join("operators").display().to_string();
    write_private(operators.as_ref(), &format!("on-call {OPERATOR}\n"));
    let accounts = AccountService::start();
    let variables = [("WXMINT_ACCOUNTS", &*accounts.url()), ("WXMINT_ADMIN_TOKENS_FILE", &operators)];
    let business = Business::start(&variables).await;
    let service = business.bed.service();
    let asked = json!({
        "person": "lin", "appid": APPID, "issuer": ISSUER, "service": service.url(""), "simulator": business.bed.wechat.url(),
        "package": built().join("package"), "operators": format!("http://{}", service.admin), "secret": OPERATOR,
        "pictures": env::var_os("WXMINT_TEST_PICTURES").map(|_| repository("target/screenshots")),
    });
    let said = node(&["sample.mjs", &asked.to_string()]);
    assert!(said.contains("all as expected"), "{said}");
}
