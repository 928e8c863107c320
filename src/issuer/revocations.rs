//! The revocation feed: which tokens verifiers must refuse before they expire.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use tokio::time::timeout;
use wxmint_http::{Answer, Problem, ProblemCode, limit_key, pairs, to_the_end};
use wxmint_store::StoreError;
use wxmint_verify::MAX_LEEWAY;
use wxmint_verify::ends::{EndsPage, PAGE_LIFE, PAGE_MEDIA_TYPE};

use super::feed_pages::{CACHED, Lane, Made, cursor_of, place_of};
use super::state::IssuerWorker;
use crate::clock::now;

/// The most ends in a page, which then has 51 KB. Redis reads it in half a millisecond.
const PAGE_ENDS: usize = 1_000;
const PAUSE: Duration = Duration::from_secs(1);
/// Verifiers refuse all that such a process signs. It has an old key file, and others serve them.
pub(super) const ALL_REVOKED: &str = "All keys of this process are revoked.";

/// The feed of revocations for verifiers
///
/// A signed JWT, `typ` `revocations+jwt`. Its claims: `iss`, `iat`, `exp`; `after`, the cursor that was asked for, or
/// empty if the page begins at the oldest end; `cursor`, to ask with next; `more`; `keep`, the seconds after which an
/// end may be forgotten; `ended`, an array of `["sub", H(sub), BEFORE]`, `["app", H(sub NUL AppID), BEFORE]`, `["jti",
/// H(jti), EXP]` and `["kid", KID]`. H(value) is the base64url of the first 12 bytes of SHA-256(iss NUL value). Ask
/// every 5 s.
#[utoipa::path(get, path = "/revocations", tag = "keys",
    params(("after" = Option<String>, Query, description = "The `cursor` of the page before; left out at first")),
    responses((status = 200, description = "A page of the feed", content_type = "application/revocations+jwt", body = String)))]
pub(super) async fn revocations(request: HttpRequest, worker: web::Data<IssuerWorker>) -> Answer {
    let after = pairs(request.query_string()).into_iter().find(|(name, _)| name == "after");
    let after = after.map(|(_, cursor)| cursor).unwrap_or_default();
    // A cursor that was not made here leads to the first page.
    let after = place_of(&after, &worker.issuer.vault.load_full()).map_or("", |_| &*after);
    let client = limit_key(worker.issuer.proxies.client_of(&request));
    let body = match page(after, &client, &worker).await? {
        Some(body) => body,
        // The cursor is too old. Everybody with such a cursor shares the page that begins at the oldest end.
        None => page("", &client, &worker).await?.unwrap_or_default(),
    };
    Ok(HttpResponse::Ok()
        .content_type(PAGE_MEDIA_TYPE)
        .insert_header((header::CACHE_CONTROL, format!("public, max-age={}", CACHED.as_secs())))
        .body(body))
}

async fn page(cursor: &str, client: &str, worker: &web::Data<IssuerWorker>) -> Result<Option<web::Bytes>, Problem> {
    let lane = worker.issuer.pages.lane(cursor, now());
    let page = worker.issuer.pages.page(cursor, lane, client);
    let page = page.ok_or_else(|| later("Too many pages of the feed are asked for at once."))?;
    let (worker, cursor) = (web::Data::clone(worker), cursor.to_owned());
    // A client that goes away does not keep the others waiting for the page it asked for.
    let made = to_the_end(async move { page.get_or_init(|| make(&worker, cursor, lane)).await.clone() });
    made.await.map_err(|_| later("The revocation feed cannot be read now."))
}

pub(super) fn later(reason: &str) -> Problem {
    let detail = format!("{reason} Wait, then ask again.");
    Problem::new(ProblemCode::StoreUnavailable, detail).retry_after(PAUSE)
}

/// Makes a page for all who ask for it within a second. So its failure is logged once for all of them.
async fn make(worker: &IssuerWorker, cursor: String, lane: Lane) -> Made {
    let made = make_page(worker, cursor, lane).await;
    made.inspect_err(|error| bounded!(warn, error, error, "no page of the revocation feed could be made"))
}

async fn make_page(worker: &IssuerWorker, cursor: String, lane: Lane) -> Made {
    let (pages, vault) = (&worker.issuer.pages, worker.issuer.vault.load_full());
    if worker.issuer.keys.set().accepted(now()).next().is_none() {
        return Err(ALL_REVOKED.into());
    }
    // While Redis is slow, pages that nobody waits for any more must not queue up.
    let turn = timeout(PAUSE, pages.reading[lane as usize].lock()).await;
    let _one_at_a_time = turn.map_err(|_| "other pages are still being read")?;
    let of_store = |error: StoreError| error.to_string();
    let place = place_of(&cursor, &vault).unwrap_or_default();
    // Redis may take no writes. Verifiers need the ends all the same, and the page names the life of own tokens.
    let _ = worker.login.note_life().await;
    let Some(read) = worker.login.store.ends_after(place, PAGE_ENDS).await.map_err(of_store)? else { return Ok(None) };
    let (iss, iat) = (worker.issuer.settings.issuer.as_str().to_owned(), read.at.timestamp());
    let exp = iat + PAGE_LIFE.as_secs() as i64;
    let keep = read.keep.max(worker.login.minter.ttl() + MAX_LEEWAY).as_secs();
    let ended = read.ends.iter().map(|ended| ended.published(&iss)).collect();
    let (after, cursor) = (cursor, cursor_of(&read.cursor, &vault));
    let page = EndsPage { iss, iat, exp, cursor, after, more: read.more, keep, ended };
    if !page.more {
        pages.led_to_the_end(&page.cursor);
    }
    let signed = worker.login.minter.sign_page(&page, now());
    Ok(Some(signed.map_err(|error| format!("the page could not be signed: {error}"))?.into()))
}
