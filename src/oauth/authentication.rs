//! The authentication of clients. A page sends only its `client_id`. A back end also sends its
//! secret, or a token in place of the secret.

use std::iter;

use actix_web::HttpRequest;
use serde_json::{Value, json};
use wxmint_http::{
    ClientCredentials, Fields, Problem, allow_site, identified, origin, unknown_client,
};
use wxmint_ids::ClientId;
use wxmint_store::limits::{LimitError, Rate};
use wxmint_store::{RateLimitKey, short_digest};
use wxmint_telemetry::audit::{Activity, Event};
use wxmint_verify::peer::NotVerified;
use wxmint_verify::{Algorithm, MAX_LEEWAY, Refused};

use super::OAuth;
use super::clients::{Client, Clients};
use crate::identities::LONGEST_ASSERTION;
use crate::login::{LoginParts, Unavailable};
use crate::{clock::now, refusals::Refusal};

const AUTHENTICATION: Activity =
    Activity::at_door("Client Authentication", "client_authentication");
/// Lets an assertion through once in a period that is longer than any assertion is valid.
const ONCE: Rate = Rate {
    burst: 1,
    period: LONGEST_ASSERTION.saturating_add(MAX_LEEWAY.saturating_mul(2)),
};

impl Clients {
    /// Adds to the metadata of `endpoint` how clients can authenticate, and with which algorithms
    /// assertions may be signed if a client uses assertions.
    pub(crate) fn describe(&self, endpoint: &str, metadata: &mut Value) {
        let show_tokens = self.identities().next().is_some();
        // Client libraries use the first method that they know. A back end's secret comes first.
        let methods = [
            "client_secret_basic",
            "client_secret_post",
            "none",
            "private_key_jwt",
        ];
        metadata[format!("{endpoint}_auth_methods_supported")] =
            json!(methods[..3 + usize::from(show_tokens)]);
        if show_tokens {
            metadata[format!("{endpoint}_auth_signing_alg_values_supported")] =
                json!(Algorithm::ALL.map(Algorithm::name));
        }
    }
}

impl OAuth {
    /// Authenticates the client, and audits a refusal. From here on, pages of the client's own
    /// origins may read the answer.
    pub(crate) async fn authenticate<'c>(
        &self,
        request: &HttpRequest,
        fields: &Fields<'_>,
        clients: &'c Clients,
        login: &LoginParts,
    ) -> Result<&'c Client, Problem> {
        let named = ClientCredentials::of(request, fields).and_then(|shown| {
            let known = shown
                .id
                .parse::<ClientId>()
                .ok()
                .and_then(|id| clients.get(&id));
            Ok((
                known.ok_or_else(|| unknown_client("No client here has this `client_id`."))?,
                shown,
            ))
        });
        let (client, shown) =
            named.map_err(|problem| refused(AUTHENTICATION, request, None, problem))?;
        allow_site(request, |origin| {
            client.origins.iter().any(|own| own == origin)
        });
        self.prove(client, shown, login)
            .await
            .map(|()| client)
            .map_err(|problem| refused(AUTHENTICATION, request, Some(client), problem))
    }

    async fn prove(
        &self,
        client: &Client,
        shown: ClientCredentials,
        login: &LoginParts,
    ) -> Result<(), Problem> {
        if let Some(assertion) = shown.assertion {
            return self.check_assertion(client, &assertion, login).await;
        }
        Err(unknown_client(match (client.is_back_end(), shown.secret) {
            (false, None) => return Ok(()),
            (true, Some(secret)) if client.has_secret(&secret) => return Ok(()),
            (true, Some(_)) => "The client's secret is wrong.",
            (true, None) => "This client is a back end, and its secret is missing.",
            (false, Some(_)) => {
                "This client is a page and has no secret: send none, or give it one in the file."
            }
        }))
    }

    /// Checks the token that a client has sent in place of a secret. An assertion that the client
    /// has signed itself must be for this issuer only, and can be used once.
    async fn check_assertion(
        &self,
        client: &Client,
        assertion: &str,
        login: &LoginParts,
    ) -> Result<(), Problem> {
        let identity = client
            .identity
            .as_ref()
            .ok_or_else(|| unknown_client("This client has no `jwks` and no `issuer`."))?;
        let found = self
            .issuers
            .find(assertion, iter::once(((), identity)), now())
            .await;
        let is_for_another = matches!(found, Err(NotVerified::Refused(Refused::Audience)));
        let Some(((), shown)) = identified(found)? else {
            // Many libraries put the endpoint's address into `aud`, which RFC 7523bis forbids:
            // another server could publish that address as its own endpoint, and replay here the
            // assertions that it receives.
            return Err(if is_for_another {
                unknown_client(format!(
                    "The assertion's `aud` must be the issuer's URL, {}, and not the address of an endpoint.",
                    self.issuer
                ))
            } else {
                unknown_client("The client's assertion is not valid here.")
            });
        };
        if !identity.makes_assertions() {
            return Ok(());
        }
        let id = shown.id.as_ref().filter(|_| shown.audience.len() == 1);
        let id = id.ok_or_else(|| {
            unknown_client("The assertion needs a `jti`, and one `aud`: the issuer's URL.")
        })?;
        let used = short_digest(&format!("{} {id}", client.id)).to_string();
        let meter = RateLimitKey::new("assertions", used, ONCE);
        match login.store.limits.count(&meter).await {
            Ok(_) => Ok(()),
            Err(LimitError::TooMany(_)) => Err(unknown_client(
                "The client's assertion was used before: sign another.",
            )),
            Err(LimitError::Store(error)) => Err(Unavailable::from(error).into()),
        }
    }
}

/// Audits a refusal of a client, or of a request that names no known client.
pub(crate) fn refused(
    activity: Activity,
    request: &HttpRequest,
    client: Option<&Client>,
    problem: Problem,
) -> Problem {
    let (app, client) = client
        .map(|client| (client.app.clone(), client.id.clone()))
        .unzip();
    let event = Event {
        app,
        client,
        ..Event::new(activity, origin(request))
    };
    let who = format!(
        "{} {}",
        event.client.as_ref().map_or("", ClientId::as_str),
        event.address()
    );
    Refusal::from(problem).tell(event, &who)
}
