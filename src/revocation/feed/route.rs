//! `GET /revocations`: which tokens verifiers must refuse before they expire.

use std::sync::Arc;
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use wxmint_http::{Answer, Problem, ProblemCode, limit_key, pairs, run_to_completion};
use wxmint_verify::revocations::PAGE_MEDIA_TYPE;

use super::Feed;
use super::cursor::Cursor;
use super::pages::{CACHED, Page, Ticket};
use crate::clock::now;

/// How long a client waits before it asks again.
const PAUSE: Duration = Duration::from_secs(1);

/// The feed of revocations for verifiers
///
/// A signed JWT, `typ` `revocations+jwt`. Its claims: `iss`, `iat`, `exp`; `after`, the cursor that
/// was asked for, or empty if the page begins at the oldest revocation; `cursor`, to ask with next;
/// `more`; `revoked`, an array of `["sub", H(sub), BEFORE, UNTIL]`, `["app", H(sub NUL AppID),
/// BEFORE, UNTIL]`, `["jti", H(jti), UNTIL]` and `["kid", KID, UNTIL]`: each may be dropped at
/// UNTIL and the leeway. H(value) is the base64url of the first 12 bytes of SHA-256(iss NUL value).
/// Skip claims and kinds that you do not know. Ask every 5 s.
#[utoipa::path(get, path = "/revocations", tag = "keys",
    params(("after" = Option<String>, Query, description = "The `cursor` of the page before; left out at first")),
    responses((status = 200, description = "A page of the feed", content_type = "application/revocations+jwt", body = String)))]
pub(crate) async fn revocations(request: HttpRequest, feed: web::Data<Feed>) -> Answer {
    let after = pairs(request.query_string())
        .into_iter()
        .find(|(name, _)| name == "after");
    let after = after.map(|(_, cursor)| cursor).unwrap_or_default();
    let client = limit_key(feed.proxies.client_of(&request));
    let page = match page(&after, &client, &feed).await? {
        Some(page) => page,
        // The cursor is too old. All readers with such a cursor share the page that begins at the
        // oldest revocation.
        None => page("", &client, &feed)
            .await?
            .ok_or_else(|| later("The revocation feed cannot be read now."))?,
    };
    if let Some(next) = &page.next {
        feed.pages.gives(&client, next);
    }
    Ok(HttpResponse::Ok()
        .content_type(PAGE_MEDIA_TYPE)
        .insert_header((
            header::CACHE_CONTROL,
            format!("public, max-age={}", CACHED.as_secs()),
        ))
        .body(web::Bytes::clone(&page.bytes)))
}

async fn page(
    after: &str,
    client: &str,
    feed: &web::Data<Feed>,
) -> Result<Option<Arc<Page>>, Problem> {
    let pages = &feed.pages;
    let vault = feed.vault.load_full();
    let cursor = Cursor::read(after, &vault);
    // A cursor that was not made here leads to the first page.
    let after = cursor.map_or("", |_| after);
    if let Some(kept) = feed
        .kid_of_pages()
        .ok()
        .and_then(|kid| pages.kept(after, &kid))
    {
        return Ok(Some(kept));
    }
    let waits = pages.ask(after, pages.lane(after, cursor.as_ref(), now()), client);
    let mut waits =
        waits.ok_or_else(|| later("Too many pages of the feed are asked for at once."))?;
    if let Some(ticket) = waits.ticket.take() {
        // Runs on if this client disconnects, because others may wait for the same page.
        drop(run_to_completion(make_in_turn(
            web::Data::clone(feed),
            ticket,
        )));
    }
    let unreadable = || later("The revocation feed cannot be read now.");
    waits
        .page()
        .await
        .ok_or_else(unreadable)?
        .map_err(|_| unreadable())
}

/// The answer 503, because there is nothing to serve now.
pub(crate) fn later(reason: &str) -> Problem {
    let detail = format!("{reason} Wait, then ask again.");
    Problem::new(ProblemCode::StoreUnavailable, detail).retry_after(PAUSE)
}

/// Makes a page for all who ask for it. So its failure is logged once for all of them.
async fn make_in_turn(feed: web::Data<Feed>, mut ticket: Ticket) {
    // While Redis is slow, pages that nobody waits for any more must not queue up.
    let Some(_turn) = ticket.turn().await else {
        return;
    };
    let made = feed.make(&ticket.cursor, ticket.lane).await;
    let log = |error: &String| {
        bounded!(
            warn,
            error,
            error,
            "no page of the revocation feed could be made"
        );
    };
    ticket.done(made.inspect_err(log));
}
