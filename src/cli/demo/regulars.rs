//! People who have accounts, and have logged in, before the demo's visitor comes.

use std::time::Duration;

use reqwest::{
    Method, Request,
    header::{CONTENT_TYPE, HeaderValue},
};
use serde_json::{Value, json};

use super::{BAKERY, TEA_ROOM};
use crate::upstream::{Tls, Upstream};

/// Far more than a request to this same process takes.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Copy)]
pub(super) struct Regular {
    pub(super) name: &'static str,
    /// Shown on the page.
    pub(super) password: &'static str,
    /// Known to WeChat and to the business.
    pub(super) phone: &'static str,
}

pub(super) const LIN: Regular = Regular { name: "lin", password: "jasmine", phone: "13800138001" };
const CHEN: Regular = Regular { name: "chen", password: "oolong", phone: "13800138002" };
/// Zhou never holds the demo's phone; his account is one that is bound to somebody else.
const ZHOU: Regular = Regular { name: "zhou", password: "puer", phone: "13800138003" };

pub(super) const REGULARS: [Regular; 3] = [LIN, CHEN, ZHOU];

/// Lin is bound, so that the first login that a visitor sees asks for nothing; Chen is not, and will be asked.
const VISITS: [(Regular, &str); 3] = [(LIN, TEA_ROOM), (ZHOU, TEA_ROOM), (ZHOU, BAKERY)];

/// Logs them in over HTTP.
pub(super) async fn come_in(address: &str) -> Result<(), String> {
    let tls = Tls::from_system().map_err(|error| error.to_string())?;
    let http = Upstream::new(&tls, PATIENCE, PATIENCE).map_err(|error| error.to_string())?;
    let door = Door { address, http };
    for Regular { name, phone, .. } in REGULARS {
        door.ask(Method::PUT, &format!("/_simulator/people/{name}"), json!({"phone": phone})).await?;
    }
    for (Regular { name, password, .. }, appid) in VISITS {
        let minted = door.ask(Method::POST, "/_simulator/codes", json!({"person": name, "appid": appid})).await?;
        let login = json!({"appid": appid, "code": minted["codes"][0], "username": name, "password": password});
        door.ask(Method::POST, "/login", login).await?;
    }
    Ok(())
}

struct Door<'a> {
    address: &'a str,
    http: Upstream,
}

impl Door<'_> {
    async fn ask(&self, method: Method, path: &str, body: Value) -> Result<Value, String> {
        let url = format!("{}{path}", self.address).parse().map_err(|_| format!("{path} is no path"))?;
        let mut request = Request::new(method, url);
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        *request.body_mut() = Some(body.to_string().into());
        let answer = self.http.fetch(request).await.map_err(|error| format!("{path}: {error:?}"))?;
        if !answer.status.is_success() {
            return Err(format!("{path} was answered {}", answer.status));
        }
        serde_json::from_slice(&answer.body).map_err(|error| format!("{path}: {error}"))
    }
}
