//! An answer of the service, taken apart.

use actix_web::body::to_bytes;
use actix_web::dev::ServiceResponse;
use actix_web::http::header::HeaderMap;
use actix_web::{Error, body::MessageBody};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) async fn of<B: MessageBody + 'static>(
        response: Result<ServiceResponse<B>, Error>,
    ) -> Self {
        let response = match response {
            Ok(response) => response.map_into_boxed_body().into_parts().1,
            Err(error) => error.error_response(),
        };
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = to_bytes(response.into_body()).await;
        let body = body.map_err(|_| ()).expect("a body is read to its end");
        Self {
            status,
            headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.status < 400
    }

    /// `Null` of what is no JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("visible ASCII"))
    }

    #[track_caller]
    pub(crate) fn member(&self, name: &str) -> String {
        self.json()[name]
            .as_str()
            .unwrap_or_else(|| panic!("no {name}: {self:?}"))
            .to_owned()
    }

    /// The code of a problem, or that of OAuth; empty where there is none.
    pub(crate) fn code(&self) -> String {
        let json = self.json();
        json["code"]
            .as_str()
            .or(json["error"].as_str())
            .unwrap_or_default()
            .to_owned()
    }

    #[track_caller]
    pub(crate) fn done(self) -> Self {
        assert!(self.is_done(), "{self:?}");
        self
    }

    /// Where a browser is sent.
    pub(crate) fn told(&self, name: &str) -> Option<String> {
        let to = self.json()["location"]
            .as_str()
            .unwrap_or(self.header("location"))
            .to_owned();
        let (_, query) = to.split_once('?')?;
        let query = query.split('#').next().unwrap_or_default();
        let pairs = wxmint_http::pairs(query);
        pairs
            .into_iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }
}

/// The claims of a token, unverified.
#[track_caller]
pub(crate) fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("a JWT");
    let payload = URL_SAFE_NO_PAD.decode(payload).expect("base64url");
    serde_json::from_slice(&payload).expect("JSON")
}
