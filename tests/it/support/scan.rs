//! A page that waits for a phone: scan to log in, for tests of what is told of it.

use serde_json::{Value, json};

use super::{APPID, Answer, TestBed};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// Two pages, each of which shows a number.
pub(crate) fn two_pages() -> Value {
    let page =
        |id: &str, name: &str| json!({"client_id": id, "name": name, "appid": APPID, "page": "pages/scan/index"});
    json!([page("shop-web", "晨光商城 网页版"), page("tv", "<b>TV</b>")])
}

/// A request of a page.
pub(crate) struct Scan {
    client: &'static str,
    pub(crate) asked: Answer,
}

impl Scan {
    pub(crate) async fn begin<R>(bed: &TestBed<R>, client: &'static str) -> Self {
        let asked = form(bed, "/device_authorization", &[("client_id", client)]).await;
        Self { client, asked }
    }

    pub(crate) fn user_code(&self) -> String {
        self.asked.member("user_code")
    }

    /// By a token of the phone; `act` is empty for a look.
    async fn by_phone<R>(&self, bed: &TestBed<R>, method: &str, act: &str, phone: &Answer, body: &Value) -> Answer {
        let path = format!("/device/{}{act}", self.user_code());
        bed.service().ask(method, &path, &phone.member("access_token"), body).await
    }

    pub(crate) async fn is_scanned<R>(&self, bed: &TestBed<R>, phone: &Answer) {
        assert_eq!(self.by_phone(bed, "GET", "", phone, &Value::Null).await.status, 200);
    }

    pub(crate) async fn is_denied<R>(&self, bed: &TestBed<R>, phone: &Answer) {
        assert_eq!(self.by_phone(bed, "POST", "/deny", phone, &Value::Null).await.status, 204);
    }

    /// By `person`, whose phone it is.
    pub(crate) async fn is_approved<R>(&self, bed: &TestBed<R>, phone: &Answer, person: &str) {
        let body = json!({"code": bed.mint_code(person).await, "match": self.asked.json()["match"]});
        assert_eq!(self.by_phone(bed, "POST", "/approve", phone, &body).await.status, 204);
    }

    pub(crate) async fn fetch<R>(&self, bed: &TestBed<R>) -> Answer {
        let code = self.asked.member("device_code");
        form(bed, "/token", &[("grant_type", GRANT), ("client_id", self.client), ("device_code", &code)]).await
    }
}

/// No value has a character that a form would encode.
async fn form<R>(bed: &TestBed<R>, path: &str, fields: &[(&str, &str)]) -> Answer {
    let body = fields.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
    let request = bed.http.0.post(bed.service().url(path));
    bed.http.send(request.header("content-type", "application/x-www-form-urlencoded").body(body)).await
}
