//! A page that waits for a phone: scan to log in.

use std::collections::HashMap;

use reqwest::{RequestBuilder, Url, header::CONTENT_TYPE};
use serde_json::{Value, json};

use super::{APPID, Answer, TestBed, secrets::Place};

pub(crate) const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// The secret of clients that have one: their file has its hash alone.
pub(crate) const SECRET: &str = "hunter2-hunter2-hunter2-hunter2";

/// Two pages, each of which shows a number.
pub(crate) fn two_pages() -> Value {
    let page = |id: &str, name: &str| json!({"client_id": id, "name": name, "appid": APPID, "page": "pages/scan/index"});
    json!([page("shop-web", "晨光商城 网页版"), page("tv", "<b>TV</b>")])
}

/// The request with a form as its body.
pub(crate) fn with_form(request: RequestBuilder, form: &[(&str, &str)]) -> RequestBuilder {
    let url = Url::parse_with_params("http://form", form).expect("a URL");
    let body = url.query().unwrap_or_default().to_owned();
    request
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(body)
}

/// The parameters of an address.
pub(crate) fn told(address: &str) -> HashMap<String, String> {
    address
        .parse::<Url>()
        .expect("a URL")
        .query_pairs()
        .into_owned()
        .collect()
}

/// A request of a page that waits for a phone.
pub(crate) struct Scan {
    client: &'static str,
    pub(crate) asked: Answer,
}

impl<R> TestBed<R> {
    pub(crate) async fn form(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        let url = self.service().url(path);
        self.http
            .send(with_form(
                self.http.0.post(url).header("user-agent", "Firefox 150"),
                form,
            ))
            .await
    }

    pub(crate) async fn step(&self, step: &str, query: &str, form: &[(&str, &str)]) -> Answer {
        self.form(&format!("/authorize/{step}?{query}"), form).await
    }

    /// The address to which a browser is sent whose code `person` has scanned.
    pub(crate) async fn let_in_site(&self, query: &str, person: &str) -> String {
        let shown = self.step("scan", query, &[]).await;
        assert_eq!(shown.status, 200, "{shown:?}");
        let user_code = shown.member("user_code");
        let approved = self
            .approve(None, person, &user_code, shown.json()["match"].as_str())
            .await;
        assert_eq!(approved.status, 204, "{approved:?}");
        let to = self
            .step(
                "poll",
                query,
                &[("device_code", &shown.member("device_code"))],
            )
            .await
            .member("location");
        self.http.1.note(
            "authorization code",
            &[Place::Answer],
            told(&to).remove("code").unwrap_or_default(),
        );
        to
    }

    pub(crate) async fn ask_as(&self, client: &'static str) -> Scan {
        let scan = Scan::begin(self, client).await;
        assert_eq!(scan.asked.status, 200, "{:?}", scan.asked);
        let plain = scan.user_code().replace('-', "");
        self.http
            .1
            .note("user code", &[Place::Answer, Place::Redis], plain);
        scan
    }

    pub(crate) async fn ask(&self) -> Scan {
        self.ask_as("shop-web").await
    }

    pub(crate) async fn poll(&self, request: &Scan) -> Answer {
        self.poll_as(request.client, request).await
    }

    pub(crate) async fn poll_as(&self, client: &str, request: &Scan) -> Answer {
        let code = request.asked.member("device_code");
        self.form(
            "/token",
            &[
                ("grant_type", GRANT),
                ("client_id", client),
                ("device_code", &code),
            ],
        )
        .await
    }

    pub(crate) async fn look(&self, phone: &Answer, user_code: &str) -> Answer {
        let path = format!("/device/{user_code}");
        self.service()
            .ask("GET", &path, &phone.member("access_token"), &Value::Null)
            .await
    }

    pub(crate) async fn deny(&self, phone: &Answer, user_code: &str) -> Answer {
        let path = format!("/device/{user_code}/deny");
        self.service()
            .ask("POST", &path, &phone.member("access_token"), &Value::Null)
            .await
    }

    /// With a fresh code of `person`, with a token if there is one, and with the number that is given.
    pub(crate) async fn approve(
        &self,
        phone: Option<&Answer>,
        person: &str,
        user_code: &str,
        number: Option<&str>,
    ) -> Answer {
        let mut body = json!({"code": self.mint_code(person).await});
        if let Some(number) = number {
            body["match"] = number.into();
        }
        let request = self
            .http
            .0
            .post(self.service().url(&format!("/device/{user_code}/approve")))
            .json(&body);
        let by = |request: RequestBuilder, phone: &&Answer| {
            request.bearer_auth(phone.member("access_token"))
        };
        self.http.send(phone.iter().fold(request, by)).await
    }

    /// By the phone of `person`, with the number that the page shows.
    pub(crate) async fn approves(
        &self,
        phone: impl Into<Option<&Answer>>,
        person: &str,
        scan: &Scan,
    ) {
        let answer = self
            .approve(
                phone.into(),
                person,
                &scan.user_code(),
                scan.number().as_deref(),
            )
            .await;
        assert_eq!(answer.status, 204, "{answer:?}");
    }

    /// A request of a page that `person` has approved, and the answer with the page's token.
    pub(crate) async fn let_in(&self, client: &'static str, person: &str) -> Answer {
        let request = self.ask_as(client).await;
        self.approves(None, person, &request).await;
        self.poll(&request).await.expect_login()
    }
}

impl Scan {
    pub(crate) fn user_code(&self) -> String {
        self.asked.member("user_code")
    }

    pub(crate) fn number(&self) -> Option<String> {
        self.asked.json()["match"].as_str().map(str::to_owned)
    }

    /// Whatever is answered.
    pub(crate) async fn begin<R>(bed: &TestBed<R>, client: &'static str) -> Self {
        let asked = bed
            .form("/device_authorization", &[("client_id", client)])
            .await;
        Self { client, asked }
    }
}
