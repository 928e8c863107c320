//! examples/web-login in Chromium: `tests/browser/web_login.mjs` tells what happens there.

use std::env;

use reqwest::Method;

use super::{ACCOUNT, SITE, builder};
use crate::scan_examples::{copy, printed};
use crate::support::prelude::*;

const SECRET: &str = "planted-secret-of-the-one-on-duty-5e0c1d";

/// The example, and beside it `tests/browser`.
struct Example {
    bed: TestBed,
    folder: TempDir,
    _apps: TempDir,
}

impl Example {
    async fn start() -> Self {
        let (builder, apps) = builder();
        let bed = builder
            .at_its_issuer()
            .operators(&format!("on-call {SECRET} read,operate,wechat\n"))
            .start()
            .await;
        let folder = node_folder();
        for part in ["examples/web-login", "examples/peers/node", "tests/browser"] {
            copy(&repository(part), &folder.path().join(part));
        }
        Self {
            bed,
            folder,
            _apps: apps,
        }
    }

    /// The website on this port, which its users know by the URL `site`.
    async fn website(&self, port: &str, site: &str) -> Process {
        let mut node = Command::new("node");
        node.arg(self.folder.path().join("examples/web-login/app.mjs"))
            .env_clear()
            .env("PATH", path_with_wxmint())
            .envs([
                ("ISSUER", self.bed.issuer()),
                ("ACCOUNT_APPID", ACCOUNT),
                ("SITE_APPID", SITE),
                ("SITE", site),
                ("WECHAT_URL", &self.bed.wechat.url()),
                ("PORT", port),
            ]);
        let mut website = Process::spawn("web-login", &mut node);
        website.printed_address().await;
        website
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_person_logs_in_by_two_browsers_and_links_of_strangers_log_nobody_in() {
    let example = Example::start().await;
    let bed = &example.bed;
    let port = free_port().to_string();
    let site = format!("http://127.0.0.1:{port}");
    let _website = example.website(&port, &site).await;
    let sidecar = bed
        .sidecar()
        .with("WXMINT_AUDIENCE", bed.issuer())
        .ready()
        .await;
    let known = json!({
        "service": bed.issuer(), "simulator": bed.wechat.url(), "admin": format!("http://{}", bed.service().admin),
        "sidecar": sidecar.url("/verify"), "account": ACCOUNT, "site": SITE, "appid": APPID, "secret": SECRET,
    });
    let pictures = env::var_os("WXMINT_TEST_PICTURES")
        .map(|_| repository("target/screenshots"))
        .unwrap_or_default();
    let mut story = Command::new("node");
    story
        .arg(example.folder.path().join("tests/browser/web_login.mjs"))
        .arg(format!("{site}/"))
        .arg(pictures);
    let said = printed(story.args(["all", &known.to_string()]));
    assert!(said.contains("all as expected"), "{said}");
    said.lines()
        .filter(|line| line.contains(" after the ban"))
        .for_each(tell);
    // The site's proxy names the browser's address, and the site names it to wxmint, which limits by it.
    let callback = bed
        .http
        .0
        .get(format!("{site}/callback?state=a&code=b"))
        .header("Cookie", "state=a");
    bed.http
        .send(callback.header("X-Forwarded-For", "203.0.113.9"))
        .await;
    bed.service().says("203.0.113.9").await;
}

#[tokio::test]
async fn a_logout_that_wxmint_has_not_taken_is_told_and_cookies_are_for_https_where_the_site_is() {
    let example = Example::start().await;
    for (site, prefix, secure) in [
        ("http://127.0.0.1", "", false),
        ("https://shop.example.com", "__Host-", true),
    ] {
        let port = free_port().to_string();
        let _website = example.website(&port, site).await;
        let ask = |method, path| {
            example
                .bed
                .http
                .0
                .request(method, format!("http://127.0.0.1:{port}{path}"))
        };
        let begun = example.bed.http.send(ask(Method::GET, "/login")).await;
        let cookie = begun.header("set-cookie");
        assert!(cookie.starts_with(&format!("{prefix}state=")), "{cookie}");
        assert_eq!(cookie.contains("; Secure"), secure, "{cookie}");
        let token = example
            .bed
            .log_in_at(SITE, "lin", json!({}))
            .await
            .expect_login()
            .member("access_token");
        let log_out = async |token: &str| {
            let cookie = format!("{prefix}token={token}");
            let answer = example
                .bed
                .http
                .send(ask(Method::POST, "/logout").header("Cookie", cookie))
                .await;
            assert!(
                answer
                    .header("set-cookie")
                    .starts_with(&format!("{prefix}token=;")),
                "forgotten: {answer:?}"
            );
            answer.status
        };
        assert_eq!(log_out("a.b.c").await, 204, "a token that is none");
        example.bed.redis.freeze();
        assert_eq!(log_out(&token).await, 503, "the token lives");
        example.bed.redis.thaw();
        let ended = async || log_out(&token).await == 204;
        until("wxmint takes it", PATIENCE, ended).await;
    }
}
