//! The needs of `wxmint sidecar`.

use chrono::{DateTime, Utc};
use reqwest::Url;
use wxmint_findings::{Finding, Said, count};
use wxmint_verify::PublishedKeys;
use wxmint_verify::ends::{Feed, PageRefused};
use wxmint_verify::peer::{Revocations, TrustedIssuer, WhenStale};

use super::published::{Web, fetch, read_keys, web};
use super::{Tells, faulty, remarked, wechat::clock};
use crate::cli::{remarks, variables};
use crate::{clock::now, settings::SidecarSettings};

pub(super) const CHECKS: [&str; 4] = ["settings", "jwks", "revocations", "clock"];

pub(super) async fn examine(tells: Tells) {
    let tell = |found| _ = tells.send(found);
    let settings = match SidecarSettings::from_vars(variables()) {
        Ok(settings) => settings,
        Err(faults) => return tell(faulty(&faults, &CHECKS)),
    };
    tell(remarked(remarks::of_sidecar(&settings)));
    let web = web();
    let issuers = settings.trusted.iter().map(async |trusted| tell(of_issuer(&web, trusted).await));
    futures_util::future::join_all(issuers).await;
}

async fn of_issuer(web: &Web, trusted: &TrustedIssuer) -> Vec<Finding> {
    let (issuer, fetched) = (&trusted.policy.issuer, fetch(web, trusted.jwks_url.clone()).await);
    let date = fetched.as_ref().ok().and_then(|fetched| fetched.date());
    let keys = fetched.and_then(|fetched| read_keys(&fetched.body));
    let ends = match (&trusted.revocations, &keys) {
        (Some(feed), Ok(keys)) => {
            let page = fetch(web, feed.url.clone()).await.map(|fetched| fetched.body);
            revocations(issuer, feed, keys, page, now())
        }
        (Some(_), Err(_)) => Finding::unchecked("revocations", said!(there_are_no_keys_of_issuer, issuer)),
        (None, _) => Finding::ok("revocations", said!(revocations_are_off, issuer)),
    };
    vec![jwks(issuer, &trusted.jwks_url, keys), ends, clock("clock", said!(latin_before_words, issuer), date, now())]
}

/// A URL without its query, which may hold a secret.
fn place(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.into()
}

fn jwks(issuer: &str, url: &Url, keys: Result<PublishedKeys, Said>) -> Finding {
    match keys {
        Ok(keys) if keys.refused.is_empty() => {
            let number = count(keys.keys.len(), ["key", "个公钥"]);
            Finding::ok("jwks", said!(keys_of_issuer, number, issuer))
        }
        Ok(keys) => Finding::warning(
            "jwks",
            said!(some_keys_cannot_be_used, keys.refused.len(), issuer, Said::from(&keys.refused[0])),
            said!(publish_other_keys),
        ),
        Err(reason) => Finding::fault("jwks", said!(no_keys_at, issuer, place(url), reason), said!(correct_jwks_url)),
    }
}

fn revocations(
    issuer: &str,
    feed: &Revocations,
    keys: &PublishedKeys,
    page: Result<Vec<u8>, Said>,
    now: DateTime<Utc>,
) -> Finding {
    let text = page.and_then(|page| String::from_utf8(page).map_err(|_| said!(no_page_of_feed)));
    let refused = |error: PageRefused| said!(page_is_refused, error.reason(), Said::from(&error));
    let accepted = text.and_then(|text| Feed::of(issuer).accept(&text, keys, now).map_err(refused));
    let Err(reason) = accepted else {
        return Finding::ok("revocations", said!(feed_is_signed, issuer));
    };
    let advice = said!(correct_revocations_url);
    let found = said!(feed_cannot_be_read, issuer, place(&feed.url), reason);
    match feed.when_stale {
        WhenStale::Open => Finding::warning("revocations", said!(revoked_tokens_are_accepted, found), advice),
        WhenStale::Closed => Finding::fault("revocations", said!(all_tokens_are_refused, found), advice),
    }
}
