//! Finds who asks: a page by its `client_id`, a back end by its secret too, or by a token in place of the secret.

use std::iter;

use actix_web::HttpRequest;
use wxmint_http::{ClientCredentials, Fields, Problem, cors, identify, unknown_client};
use wxmint_identities::LONGEST_ASSERTION;
use wxmint_ids::ClientId;
use wxmint_store::{LimitKey, Meter, limits::Rate, short_digest};
use wxmint_verify::MAX_LEEWAY;

use super::AtDoor;
use super::clients::{Client, Clients};
use crate::{clock::now, login::LoginError};

/// An assertion is valid no longer than this.
const ONCE: Rate = Rate { burst: 1, period: LONGEST_ASSERTION.saturating_add(MAX_LEEWAY.saturating_mul(2)) };

/// Finds out who asks. Pages of the client's own origins may read whatever is answered from here on.
pub(in crate::doors) async fn authenticate<'c>(
    request: &HttpRequest,
    fields: &Fields<'_>,
    clients: &'c Clients,
    at: &AtDoor,
) -> Result<&'c Client, Problem> {
    let ClientCredentials { id, secret, assertion } = ClientCredentials::of(request, fields)?;
    let known = id.parse::<ClientId>().ok().and_then(|id| clients.get(&id));
    let client = known.ok_or_else(|| unknown_client("No client here has this `client_id`."))?;
    cors::allow(request, |origin| client.origins.iter().any(|own| own == origin));
    if let Some(assertion) = assertion {
        return check(client, &assertion, at).await.map(|()| client);
    }
    match (client.is_back_end(), secret) {
        (true, Some(secret)) if client.has_secret(&secret) => Ok(client),
        (true, Some(_)) => Err(unknown_client("The client's secret is wrong.")),
        (true, None) => Err(unknown_client("This client is a back end, and its secret is missing.")),
        (false, Some(_)) => {
            Err(unknown_client("This client is a page and has no secret: send none, or give it one in the file."))
        }
        (false, None) => Ok(client),
    }
}

/// Checks the token of a client. One that the client has made itself is for this issuer alone, and is used once.
async fn check(client: &Client, assertion: &str, (worker, scan): &AtDoor) -> Result<(), Problem> {
    let identity =
        client.identity.as_ref().ok_or_else(|| unknown_client("This client has no `jwks` and no `issuer`."))?;
    let shown = identify(&scan.issuers, assertion, iter::once(((), identity)), now()).await?;
    let ((), shown) = shown.ok_or_else(|| unknown_client("The client's assertion is not valid here."))?;
    if !identity.makes_assertions() {
        return Ok(());
    }
    let id = shown.id.as_ref().filter(|_| shown.audience.len() == 1);
    let id = id.ok_or_else(|| unknown_client("The assertion needs a `jti`, and one `aud`: the issuer's URL."))?;
    let used = short_digest(&format!("{} {id}", client.id)).to_string();
    let meter = Meter { key: LimitKey::new("assertions", used), rate: ONCE };
    let counted = worker.login.store.count(&meter).await.map_err(LoginError::from)?;
    counted.map(drop).map_err(|_| unknown_client("The client's assertion was used before: sign another."))
}
