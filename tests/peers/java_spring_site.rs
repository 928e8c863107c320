//! Spring Security's oauth2-client, unchanged, logs people in by the door for OpenID Connect: `make nightly`, with each
//! Boot of `java_spring.rs`.

use std::fs;

use aws_lc_rs::digest::{SHA256, digest};
use reqwest::Url;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::example::{Started, copy_folders};
use crate::java_spring::run;
use crate::support::{APPID, Answer, TestBed, repository};

const SECRET: &str = "hunter2-hunter2-hunter2-hunter2";

/// Below `example`, as Maven finds it.
fn site() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let example = folder.path().join("example");
    fs::create_dir(&example).expect("a new folder");
    copy_folders(&[("tests/peers/java_site", &example)], &[]);
    let both = fs::read_to_string(repository("tests/peers/java.xml")).expect("readable");
    let alone = both.replace("\t\t<module>library</module>\n", "");
    fs::write(folder.path().join("pom.xml"), alone).expect("written");
    folder
}

/// A browser with the cookie of a site.
struct Browser<'b> {
    bed: &'b TestBed,
    site: String,
    cookie: String,
}

impl Browser<'_> {
    async fn goes(&mut self, method: &str, to: &str) -> Answer {
        let url = Url::parse(&self.site)
            .expect("a URL")
            .join(to)
            .expect("a URL");
        let method = method.parse().expect("a method");
        let request = self
            .bed
            .http
            .0
            .request(method, url)
            .header("cookie", &self.cookie)
            .header("accept", "text/html, */*;q=0.8");
        let answer = self.bed.http.send(request).await;
        let given = answer
            .header("set-cookie")
            .split(';')
            .next()
            .filter(|cookie| cookie.starts_with("JSESSIONID="));
        if let Some(cookie) = given {
            cookie.clone_into(&mut self.cookie);
        }
        answer
    }

    /// Follows redirects up to wxmint, and back from there once `person` has been let in. The page to which it comes.
    async fn logs_in(&mut self, person: &str) -> Answer {
        let begun = self.goes("GET", "/me").await;
        let sent = self.goes("GET", begun.header("location")).await;
        let to: Url = sent
            .header("location")
            .parse()
            .unwrap_or_else(|_| panic!("{begun:?}\n{sent:?}"));
        assert_eq!(
            (to.path(), self.bed.http.get(to.as_str()).await.status),
            ("/authorize", 200),
            "{to}"
        );
        let back = self
            .bed
            .let_in_site(to.query().expect("a query"), person)
            .await;
        let home = self.goes("GET", &back).await;
        self.goes("GET", home.header("location")).await
    }
}

async fn userinfo(bed: &TestBed, tokens: &Answer) -> u16 {
    bed.service()
        .ask(
            "GET",
            "/userinfo",
            &tokens.member("access_token"),
            &Value::Null,
        )
        .await
        .status
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "nightly"]
async fn spring_security_logs_in_renews_and_logs_out() {
    let secret = const_hex::encode(digest(&SHA256, SECRET.as_bytes()));
    let [back, left] = [
        "http://127.0.0.1/login/oauth2/code/wxmint",
        "http://127.0.0.1/left",
    ];
    let client = json!({
        "client_id": "site", "name": "Site", "appid": APPID, "page": "pages/scan/index", "secret_sha256": secret,
        "redirect_uris": [back], "post_logout_redirect_uris": [left], "refresh": "30d",
    });
    let bed = TestBed::builder()
        .clients(&json!([client]))
        .at_its_issuer()
        .start()
        .await;
    let issuer = bed.service().public;
    let Started { example, .. } = &run(
        "java_site",
        site(),
        issuer,
        &[format!("--site.secret={SECRET}")],
    );
    let phone = bed.log_in("lin").await.expect_login();
    let mut browser = Browser {
        bed: &bed,
        site: format!("http://{}", example.address),
        cookie: String::new(),
    };

    let me = browser.logs_in("lin").await;
    assert_eq!(
        (me.status, &me.json()["sub"]),
        (200, &phone.claims()["sub"]),
        "{me:?}"
    );
    let [first, second] = [
        browser.goes("GET", "/renewed").await,
        browser.goes("GET", "/renewed").await,
    ];
    assert!(first.claims()["jti"] != second.claims()["jti"], "{first:?}");
    assert_eq!(userinfo(&bed, &second).await, 200);
    assert_eq!(
        browser.goes("GET", "/me").await.json(),
        me.json(),
        "the same login"
    );
    let out = browser.goes("POST", "/logout").await;
    let to: Url = out.header("location").parse().expect("a URL");
    assert_eq!(to.path(), "/end_session", "{out:?}");
    let home = bed.http.get(to.as_str()).await;
    assert_eq!(
        (home.status, home.header("location")),
        (303, format!("{}/left", browser.site).as_str())
    );
    assert_eq!(userinfo(&bed, &second).await, 401, "logged out");

    let me = browser.logs_in("lin").await;
    assert_eq!(me.status, 200, "{me:?}");
    bed.log_out(&phone, true).await;
    assert_ne!(
        browser.goes("GET", "/renewed").await.status,
        200,
        "the user was logged out everywhere"
    );
}
