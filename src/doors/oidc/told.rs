//! The metrics and the audit tell what became of the logins of sites.

use actix_web::HttpRequest;
use prometheus_client::metrics::{counter::Counter, family::Family};
use wxmint_http::origin;
use wxmint_ids::{ClientId, UserId};
use wxmint_telemetry::audit::{Activity, Event};

pub(super) const LOGIN: Activity = Activity::AtDoor("Site Login", "site_login");
pub(super) const RENEWAL: Activity = Activity::AtDoor("Site Renewal", "site_renewal");
pub(super) const LOGGED_OUT: (Activity, &str) = (Activity::Logout, "logged_out");
/// The outcomes that no site is refused with. The others are `ended`, `repeated` and `unknown`.
const DONE: [&str; 3] = ["logged_in", "renewed", "logged_out"];

/// By client and outcome.
#[derive(Clone, Default)]
pub(super) struct Told(pub(super) Family<[(&'static str, String); 2], Counter>);

impl Told {
    pub(super) fn count(&self, client: &ClientId, outcome: &'static str) {
        self.0.get_or_create(&[("client", client.to_string()), ("outcome", outcome.to_owned())]).inc();
    }

    /// A site that renews without end is one event a minute.
    pub(super) fn tell(
        &self,
        request: &HttpRequest,
        (activity, outcome): (Activity, &'static str),
        client: &ClientId,
        user: Option<&UserId>,
    ) {
        self.count(client, outcome);
        let refused = (!DONE.contains(&outcome)).then(|| outcome.into());
        let event = Event::new(activity, origin(request));
        let who = format!("{client} {}", user.map_or(event.address(), UserId::as_str));
        Event { client: Some(client.clone()), user: user.cloned(), refused, ..event }.tell_bounded(&who);
    }
}
