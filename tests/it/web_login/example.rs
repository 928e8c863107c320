//! examples/web-login in Chromium: `tests/browser/web_login.mjs` tells what happens there.

use std::{env, process::Command};

use serde_json::json;
use tempfile::TempDir;

use super::{ACCOUNT, SITE, builder};
use crate::{
    scan_examples::{copy, printed},
    support::{APPID, Process, free_port, path_with_wxmint, repository, tools},
};

const SECRET: &str = "planted-secret-of-the-one-on-duty-5e0c1d";

#[tokio::test(flavor = "multi_thread")]
async fn one_person_logs_in_by_two_browsers_and_links_of_strangers_log_nobody_in() {
    let (builder, _apps) = builder();
    let listen = format!("127.0.0.1:{}", free_port());
    let issuer = format!("http://{listen}");
    let variables = [("WXMINT_LISTEN", &*listen), ("WXMINT_ISSUER", &issuer)];
    let bed = builder.envs(&variables).operators(&format!("on-call {SECRET}\n")).start().await;
    // Node looks for packages above the script's own folder.
    let folder = TempDir::new_in(tools("node")).expect("a folder");
    for part in ["examples/web-login", "examples/peers/node", "tests/browser"] {
        copy(&repository(part), &folder.path().join(part));
    }
    let port = free_port().to_string();
    let site = format!("http://127.0.0.1:{port}");
    let simulator = bed.wechat.url();
    let mut node = Command::new("node");
    node.arg(folder.path().join("examples/web-login/app.mjs")).env_clear().env("PATH", path_with_wxmint()).envs([
        ("ISSUER", &*issuer),
        ("ACCOUNT_APPID", ACCOUNT),
        ("SITE_APPID", SITE),
        ("SITE", &site),
        ("WECHAT_URL", &simulator),
        ("PORT", &port),
    ]);
    let mut website = Process::spawn("web-login", &mut node);
    website.printed_address().await;
    let known = json!({
        "service": issuer, "simulator": simulator, "admin": format!("http://{}", bed.service().admin), "account": ACCOUNT,
        "site": SITE, "appid": APPID, "secret": SECRET,
    });
    let pictures = env::var_os("WXMINT_TEST_PICTURES").map(|_| repository("target/screenshots")).unwrap_or_default();
    let mut story = Command::new("node");
    story.arg(folder.path().join("tests/browser/web_login.mjs")).arg(format!("{site}/")).arg(pictures);
    let said = printed(story.args(["all", &known.to_string()]));
    assert!(said.contains("all as expected"), "{said}");
    // The site's proxy names the browser's address, and the site names it to wxmint, which limits by it.
    let callback = bed.http.0.get(format!("{site}/callback?state=a&code=b")).header("Cookie", "state=a");
    bed.http.send(callback.header("X-Forwarded-For", "203.0.113.9")).await;
    bed.service().says("203.0.113.9").await;
}
