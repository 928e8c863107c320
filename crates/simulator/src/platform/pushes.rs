//! Sends pushes to the receiver, which must answer `success` at once.

use std::{sync::Arc, time::Duration};

use actix_web::http::Uri;
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::{Client, header::CONTENT_TYPE, redirect};
use serde::Serialize;
use serde_json::json;
use tokio::time::sleep;

use super::envelope::{push_xml, seal_push};
use super::{Component, TICKET_REMEMBERED};
use crate::{now, state::alphanumeric};

const TICKET: &str = "component_verify_ticket";
const TICKET_EVERY: TimeDelta = TimeDelta::minutes(10);
/// How often the simulator checks whether a ticket is due.
const TICK: Duration = Duration::from_secs(1);
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(5);
/// How many pushes the control API shows.
const KEPT: usize = 50;
const BODY_KEPT: usize = 1000;
const NOWHERE: &str = "no receiver is known; start with --push-to, or PUT push_to";

/// The receiver's answer. Without a status, `body` says why there is no answer.
#[derive(Serialize)]
pub(in super::super) struct Received {
    status: Option<u16>,
    body: String,
}

/// A message, and the merchant whom it is about.
pub(in super::super) struct Push {
    pub(super) info_type: &'static str,
    appid: Option<String>,
    pub(super) xml: String,
}

impl Received {
    fn is_success(&self) -> bool {
        self.status == Some(200) && self.body == "success"
    }
}

/// Whether pushes can be sent to a URL.
pub(in super::super) fn is_receiver(url: &str) -> bool {
    let url = url.parse::<Uri>().ok();
    url.is_some_and(|url| {
        matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some()
    })
}

impl Component {
    /// Pushes a new ticket. The component accepts the ticket from the push on.
    pub(in super::super) async fn push_ticket(&self) -> Received {
        let (now, ticket) = (now(), format!("ticket@@@{}", alphanumeric(80)));
        {
            let mut state = self.state.lock();
            state
                .tickets
                .retain(|(_, pushed)| now - *pushed < TICKET_REMEMBERED);
            state.tickets.push((ticket.clone(), now));
        }
        let message = self.message(TICKET, None, &[("ComponentVerifyTicket", &ticket)], now);
        let received = self.push(message).await;
        self.state.lock().tickets_pushed += u64::from(received.is_success());
        received
    }

    pub(super) async fn push_tickets(self: Arc<Self>) {
        loop {
            if self.is_ticket_due(now()) {
                self.push_ticket().await;
            }
            sleep(TICK).await;
        }
    }

    pub(super) fn is_ticket_due(&self, now: DateTime<Utc>) -> bool {
        let state = self.state.lock();
        let is_recent = state
            .tickets
            .last()
            .is_some_and(|(_, pushed)| now - *pushed < TICKET_EVERY);
        state.pushing && state.push_to.is_some() && !is_recent
    }

    pub(super) fn message(
        &self,
        info_type: &'static str,
        appid: Option<&str>,
        members: &[(&str, &str)],
        now: DateTime<Utc>,
    ) -> Push {
        let xml = push_xml(
            self.platform.component_appid.as_str(),
            now.timestamp(),
            info_type,
            members,
        );
        Push {
            info_type,
            appid: appid.map(str::to_owned),
            xml,
        }
    }

    /// Sends a push until the receiver accepts it, at most three times. Each attempt has its own
    /// envelope.
    pub(in super::super) async fn push(
        &self,
        Push {
            info_type,
            appid,
            xml,
        }: Push,
    ) -> Received {
        let receiver = self.state.lock().push_to.clone();
        let Some(url) = receiver else {
            return Received {
                status: None,
                body: NOWHERE.into(),
            };
        };
        let mut attempts = 0;
        loop {
            let received = self.send(&url, &xml).await;
            let Received { status, body } = &received;
            let shown =
                json!({"info_type": info_type, "appid": appid, "status": status, "body": body});
            {
                let mut state = self.state.lock();
                state.pushes.push_back(shown);
                let surplus = state.pushes.len().saturating_sub(KEPT);
                state.pushes.drain(..surplus);
            }
            attempts += 1;
            if received.is_success() || attempts == ATTEMPTS {
                return received;
            }
            sleep(PAUSE).await;
        }
    }

    async fn send(&self, url: &str, xml: &str) -> Received {
        let (query, body) = seal_push(&self.platform, xml, now().timestamp(), &alphanumeric(10));
        let joint = if url.contains('?') { '&' } else { '?' };
        match post(&format!("{url}{joint}{query}"), body).await {
            Ok((status, body)) => Received {
                status: Some(status),
                body: body.chars().take(BODY_KEPT).collect(),
            },
            Err(error) => Received {
                status: None,
                body: format!("{:?}", error.without_url()),
            },
        }
    }
}

async fn post(url: &str, body: String) -> reqwest::Result<(u16, String)> {
    // Fails only if another part of the process has installed a provider already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    // A bare container has no root certificates, and needs none for http.
    let client = if url.starts_with("http:") {
        Client::builder().tls_certs_only([])
    } else {
        Client::builder()
    };
    let client = client
        .no_proxy()
        .redirect(redirect::Policy::none())
        .timeout(PATIENCE)
        .build()?;
    let response = client
        .post(url)
        .header(CONTENT_TYPE, "text/xml")
        .body(body)
        .send()
        .await?;
    Ok((response.status().as_u16(), response.text().await?))
}
