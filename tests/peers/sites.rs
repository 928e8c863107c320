//! Products that log a person in at wxmint by OpenID Connect, each as its row in docs/scan-login.md says:
//! `make nightly`.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use futures_util::future::join_all;
use reqwest::{RequestBuilder, Url};
use serde_json::{Value, json};

use crate::back_end::BackEnd;
use crate::support::scan::{told, with_form};
use crate::support::{
    APPID, Answer, Http, PATIENCE, Process, TestBed, decoded, free_port, locked, repository, tools,
    until,
};

const SECRET: &str = "hunter2-hunter2-hunter2-hunter2";
const OPERATOR: &str = "0123456789abcdef0123456789abcdef";
/// For a Keycloak that builds itself first.
const START: Duration = PATIENCE.saturating_mul(11);

/// A wxmint that has this site as the client `site`.
async fn bed(redirect_uri: &str) -> TestBed {
    let client = json!({
        "client_id": "site", "name": "Site", "appid": APPID, "page": "pages/scan/index", "secret_sha256": const_hex::encode(digest(&SHA256, SECRET.as_bytes())),
        "redirect_uris": [redirect_uri], "post_logout_redirect_uris": [format!("{redirect_uri}/logout_response")],
        "refresh": "30d",
    });
    let bed = TestBed::builder()
        .clients(&json!([client]))
        .operators(&format!("boss {OPERATOR} read,operate\n"));
    bed.at_its_issuer().start().await
}

async fn counted(bed: &TestBed, outcome: &str) -> f64 {
    bed.service()
        .metric(&format!(
            "wxmint_oidc_logins_total{{client=\"site\",outcome=\"{outcome}\"}}"
        ))
        .await
}

/// The row of a product.
fn row(product: &str) -> String {
    let page = fs::read_to_string(repository("docs/scan-login.md")).expect("a page");
    let row = page
        .lines()
        .find(|line| line.starts_with(&format!("| {product}")));
    row.unwrap_or_else(|| panic!("no row of {product}"))
        .to_owned()
}

/// The browser of a person, who scans what wxmint shows there.
struct Browser<'a> {
    bed: &'a TestBed,
    person: &'a str,
    http: Http,
    cookies: Mutex<BTreeMap<String, String>>,
}

impl<'a> Browser<'a> {
    fn of(bed: &'a TestBed, person: &'a str) -> Self {
        Self {
            bed,
            person,
            http: Http::new(),
            cookies: Mutex::default(),
        }
    }

    /// Sends cookies, and takes those that are given.
    async fn send(&self, request: RequestBuilder) -> Answer {
        let cookies = locked(&self.cookies)
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>();
        let answer = self
            .http
            .send(request.header("cookie", cookies.join("; ")))
            .await;
        for given in answer.headers.get_all("set-cookie") {
            let given = given
                .to_str()
                .expect("visible ASCII")
                .split(';')
                .next()
                .unwrap_or_default();
            let (name, value) = given.split_once('=').expect("a cookie");
            match value {
                "" => drop(locked(&self.cookies).remove(name)),
                _ => drop(locked(&self.cookies).insert(name.to_owned(), value.to_owned())),
            }
        }
        answer
    }

    /// Follows redirects, and returns the page that is shown in the end.
    async fn visit(&self, url: &str) -> Answer {
        let mut url: Url = url.parse().expect("a URL");
        for _ in 0..20 {
            if url
                .as_str()
                .starts_with(&format!("{}/authorize?", self.bed.issuer()))
            {
                let back = self
                    .bed
                    .let_in_site(url.query().expect("a query"), self.person)
                    .await;
                url = back.parse().expect("a URL");
                continue;
            }
            let answer = self.send(self.http.0.get(url.clone())).await;
            match answer.header("location") {
                "" => return answer,
                to => url = url.join(to).expect("a URL"),
            }
        }
        panic!("sent around: {url}")
    }
}

mod oauth2_proxy {
    use super::*;

    fn start(bed: &TestBed, back_end: &BackEnd, site: &str) -> Process {
        let row = row("oauth2-proxy");
        let options = row
            .split('`')
            .nth(1)
            .expect("options")
            .replace(['"'], "")
            .replace('…', bed.issuer());
        assert!(
            options.contains("--cookie-refresh=5m") && options.contains("{id_token}"),
            "{options}"
        );
        let options = options.replace("=5m", "=1s").replace(" --", "\n--");
        let mut proxy = Command::new(tools("products/oauth2-proxy"));
        proxy.args(options.lines()).args([
            "--skip-provider-button",
            "--pass-access-token",
            "--cookie-secure=false",
        ]);
        proxy.args([
            "--client-id=site",
            &format!("--client-secret={SECRET}"),
            "--oidc-groups-claim=amr",
        ]);
        proxy
            .arg(format!("--upstream=http://{}/", back_end.address))
            .arg(format!("--cookie-secret={OPERATOR}"));
        proxy.arg(format!("--http-address={}", site.replace("http://", "")));
        proxy.arg(format!("--redirect-url={site}/oauth2/callback"));
        Process::spawn("oauth2-proxy", &mut proxy)
    }

    /// A header of the request that has come to the service behind it.
    fn header(answer: &Answer, name: &str) -> String {
        let headers = answer.json()["headers"].take();
        let mut found = headers
            .as_array()
            .expect("headers")
            .iter()
            .filter(|header| header[0] == name);
        found
            .next()
            .and_then(|header| header[1].as_str())
            .unwrap_or_else(|| panic!("no {name}: {answer:?}"))
            .to_owned()
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "nightly, where Go can have oauth2-proxy"]
    async fn lets_a_person_in_renews_the_login_and_obeys_its_end() {
        let site = format!("http://127.0.0.1:{}", free_port());
        let (bed, back_end) = (
            bed(&format!("{site}/oauth2/callback")).await,
            BackEnd::start().await,
        );
        let phone = bed.log_in("lin").await.expect_login();
        let user = phone.member("user_id");
        let _proxy = start(&bed, &back_end, &site);
        let lin = Browser::of(&bed, "lin");
        let page = || lin.send(lin.http.0.get(&site).header("x-forwarded-user", "boss"));
        until("it listens", PATIENCE, async || {
            lin.http.try_send(lin.http.0.get(&site)).await.is_ok()
        })
        .await;
        let stranger = page().await;
        assert!(
            stranger
                .header("location")
                .starts_with(&format!("{}/authorize?", bed.issuer())),
            "{stranger:?}"
        );

        let shown = lin.visit(&site).await;
        let claims = |shown: &Answer| decoded(&header(shown, "X-Forwarded-Access-Token")).1;
        for shown in [&shown, &page().await] {
            let named = [
                "X-Forwarded-User",
                "X-Forwarded-Email",
                "X-Forwarded-Groups",
            ]
            .map(|name| header(shown, name));
            assert_eq!(named, [&user, &user, "wechat"]);
        }
        // All with the same cookie, whose refresh token is good for one use.
        until("a renewal", PATIENCE, async || {
            let pages = join_all([(); 5].map(|()| page())).await;
            for page in &pages {
                assert_eq!(header(page, "X-Forwarded-User"), user);
            }
            counted(&bed, "renewed").await > 0.0
        })
        .await;
        assert_ne!(claims(&page().await)["jti"], claims(&shown)["jti"]);

        // Somebody has kept the cookies of before.
        let kept = locked(&lin.cookies).clone();
        lin.send(lin.http.0.get(format!("{site}/oauth2/sign_out")))
            .await;
        assert_eq!(
            (page().await.status, counted(&bed, "logged_out").await),
            (302, 1.0)
        );
        locked(&lin.cookies).extend(kept);
        until("the login is known to have ended", PATIENCE, async || {
            page().await.status == 302
        })
        .await;

        assert_eq!(lin.visit(&site).await.status, 200);
        bed.revokes_user("block", "lin", &phone, OPERATOR).await;
        until("the ban is known", PATIENCE, async || {
            page().await.status == 302
        })
        .await;
    }
}

mod keycloak {
    use super::*;

    /// People who have a name and no address of mail, and an application that they log in to.
    fn realm() -> Value {
        let attributes = ["username", "email"]
            .map(|name| json!({"name": name, "permissions": {"edit": ["user"]}}));
        let profile = json!({"attributes": attributes}).to_string();
        json!({
            "realm": "shop", "enabled": true,
            "clients": [{"clientId": "app", "publicClient": true, "redirectUris": ["http://127.0.0.1:*"],
                "attributes": {"post.logout.redirect.uris": "+"}}],
            "components": {"org.keycloak.userprofile.UserProfileProvider": [
                {"providerId": "declarative-user-profile", "config": {"kc.user.profile.config": [profile]}}]},
        })
    }

    /// An operator of Keycloak, who may do everything.
    struct Operator {
        http: Http,
        site: String,
        _keycloak: Process,
    }

    impl Operator {
        async fn start(site: String) -> Self {
            let mut keycloak = Command::new(tools("products/keycloak/bin/kc.sh"));
            keycloak.args(["start-dev", "--db=dev-mem", "--http-host=127.0.0.1"]);
            keycloak.arg(format!(
                "--http-port={}",
                site.rsplit(':').next().expect("a port")
            ));
            keycloak.envs([
                ("KC_BOOTSTRAP_ADMIN_USERNAME", "boss"),
                ("KC_BOOTSTRAP_ADMIN_PASSWORD", SECRET),
            ]);
            keycloak.env(
                "JAVA_OPTS_KC_HEAP",
                "-Xms64m -Xmx512m -XX:TieredStopAtLevel=1",
            );
            let (http, process) = (Http::new(), Process::spawn("keycloak", &mut keycloak));
            until("it listens", START, async || {
                http.try_send(http.0.get(&site)).await.is_ok()
            })
            .await;
            Self {
                http,
                site,
                _keycloak: process,
            }
        }

        async fn token(&self, realm: &str, form: &[(&str, &str)]) -> Answer {
            let url = format!("{}/realms/{realm}/protocol/openid-connect/token", self.site);
            self.http
                .send(with_form(self.http.0.post(url), form))
                .await
                .expect_login()
        }

        async fn post(&self, path: &str, body: &Value) -> Answer {
            let own = [
                ("grant_type", "password"),
                ("client_id", "admin-cli"),
                ("username", "boss"),
                ("password", SECRET),
            ];
            let token = self.token("master", &own).await.member("access_token");
            let post = self
                .http
                .0
                .post(format!("{}/admin/realms{path}", self.site))
                .bearer_auth(token);
            let answer = self.http.send(post.json(body)).await;
            assert!([200, 201].contains(&answer.status), "{answer:?}");
            answer
        }

        /// wxmint as a provider of identities, by what it publishes and the row of the page.
        async fn take_from(&self, issuer: &str) {
            let url = format!("{issuer}/.well-known/openid-configuration");
            let asked = json!({"providerId": "oidc", "fromUrl": url});
            let mut config = self
                .post("/shop/identity-provider/import-config", &asked)
                .await
                .json();
            let row = row("Keycloak");
            for (setting, name, value) in [
                ("PKCE `S256`", "pkceMethod", "S256"),
                ("PKCE `S256`", "pkceEnabled", "true"),
                ("", "clientId", "site"),
                ("", "clientSecret", SECRET),
            ] {
                assert!(row.contains(setting), "{row}");
                config[name] = value.into();
            }
            let provider =
                json!({"alias": "wxmint", "providerId": "oidc", "enabled": true, "config": config});
            self.post("/shop/identity-provider/instances", &provider)
                .await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "nightly, where Maven can have Keycloak"]
    async fn has_a_person_of_wechat_as_one_user_of_its_own_and_ends_the_login_with_its_own() {
        let site = format!("http://127.0.0.1:{}", free_port());
        let endpoint = format!("{site}/realms/shop/broker/wxmint/endpoint");
        let (bed, app) = (bed(&endpoint).await, BackEnd::start().await);
        let keycloak = Operator::start(site).await;
        keycloak.post("", &realm()).await;
        keycloak.take_from(bed.issuer()).await;
        let back = format!("http://{}/back", app.address);
        let asked = [
            ("client_id", "app"),
            ("redirect_uri", &*back),
            ("response_type", "code"),
            ("scope", "openid"),
            ("kc_idp_hint", "wxmint"),
        ];
        let at = |path: &str, query: &[(&str, &str)]| {
            let url = format!(
                "{}/realms/shop/protocol/openid-connect/{path}",
                keycloak.site
            );
            Url::parse_with_params(&url, query)
                .expect("a URL")
                .to_string()
        };
        let mut users = Vec::new();
        for person in ["lin", "lin", "mei"] {
            let browser = Browser::of(&bed, person);
            let shown = browser.visit(&at("auth", &asked)).await;
            let code = told(&format!("http://app{}", shown.member("path")))["code"].clone();
            let form = [
                ("grant_type", "authorization_code"),
                ("client_id", "app"),
                ("redirect_uri", &back),
                ("code", &code),
            ];
            let tokens = keycloak.token("shop", &form).await;
            let id = tokens.member("id_token");
            let (_, claims) = decoded(&id);
            let own = bed.log_in(person).await.expect_login().member("user_id");
            assert_eq!(claims["preferred_username"], own.to_lowercase(), "{claims}");
            users.push(claims["sub"].clone());
            let left = at(
                "logout",
                &[("id_token_hint", &id), ("post_logout_redirect_uri", &back)],
            );
            assert_eq!(browser.visit(&left).await.member("path"), "/back");
            assert_eq!(counted(&bed, "logged_out").await, users.len() as f64);
        }
        assert!(users[0] == users[1] && users[1] != users[2], "{users:?}");
    }
}
