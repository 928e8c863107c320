//! The verifier under test, as a client asks it.

use std::time::{Duration, Instant};

use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Method, Request, Url};
use tokio::time::sleep;
use wxmint_upstream::Upstream;

const PAUSE: Duration = Duration::from_millis(200);

pub(crate) struct Subject {
    pub(crate) http: Upstream,
    pub(crate) url: Url,
}

impl Subject {
    /// The status of an answer to a request with this token; 0 if there was no answer.
    pub(crate) async fn status(&self, token: &str) -> u16 {
        let mut request = Request::new(Method::GET, self.url.clone());
        let Ok(mut value) = HeaderValue::from_str(&format!("Bearer {token}")) else {
            return 0;
        };
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
        self.ask(request).await
    }

    /// The status of an answer to a request without a token.
    pub(crate) async fn status_without_token(&self) -> u16 {
        self.ask(Request::new(Method::GET, self.url.clone())).await
    }

    async fn ask(&self, request: Request) -> u16 {
        match self.http.fetch(request).await {
            Ok(answer) => answer.status.as_u16(),
            Err(_) => 0,
        }
    }

    /// Asks again and again until the status is this one. The error has the last status.
    pub(crate) async fn becomes(
        &self,
        token: &str,
        status: u16,
        within: Duration,
    ) -> Result<(), String> {
        let began = Instant::now();
        loop {
            let found = self.status(token).await;
            if found == status {
                return Ok(());
            }
            if began.elapsed() > within {
                let seconds = within.as_secs();
                return Err(format!("{found} after {seconds} s, and not {status}"));
            }
            sleep(PAUSE).await;
        }
    }

    pub(crate) async fn is(&self, token: &str, status: u16) -> Result<(), String> {
        match self.status(token).await {
            found if found == status => Ok(()),
            found => Err(format!("{found}, and not {status}")),
        }
    }
}
