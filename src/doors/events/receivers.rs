//! The receivers of events: holders of a secret with the right `events`.

use actix_web::HttpRequest;

use super::Events;
use crate::{
    admin::tokens::{Holder, Right},
    http::{Problem, bearer_token, no_valid_token, origin},
    telemetry::audit::{Activity, Event},
};

impl Events {
    /// The receiver whose secret the request has shown. Strangers reach this, so the answer does not say whether the secret
    /// is an operator's, and refusals are audited as counts.
    pub(super) fn receiver(&self, request: &HttpRequest) -> Result<Holder, Problem> {
        let shown = bearer_token(request);
        let holder = shown.as_ref().ok().and_then(|token| self.tokens.of(token));
        let by = holder.as_ref().map(|holder| holder.name().to_owned());
        if let Some(receiver) = holder.filter(|holder| holder.has(Right::Events)) {
            return Ok(receiver);
        }
        let problem = shown.err().unwrap_or_else(no_valid_token);
        let refused = Some(problem.code().as_str().into());
        let event = Event { by, refused, ..Event::new(Activity::Request("poll"), origin(request)) };
        let who = format!("poll {}", event.by.as_deref().unwrap_or(event.address()));
        event.tell_bounded(&who);
        Err(problem.with_detail("Send the secret of a receiver of events, as `Authorization: Bearer …`."))
    }
}
