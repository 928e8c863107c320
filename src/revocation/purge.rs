//! Purges the revocations in the store whose tokens have all expired.

use wxmint_store::{RevocationStream, StoreError};

/// Entries in a page of the purge. A page takes Redis less than a millisecond, or a few
/// milliseconds if all of its entries have expired.
const PURGE_PAGE: usize = 500;
/// Pages that are examined in a minute. The next minute goes on from there, so that an expired
/// entry among entries that are needed for longer is found within two hours even if there are ten
/// million.
const PURGE_PAGES: usize = 200;

/// Purges the revocations in the store whose tokens have all expired. Goes on from where the last
/// minute stopped.
pub(super) async fn purge_pages(stream: &RevocationStream, from: &mut Option<String>) {
    if let Err(error) = purge_some(stream, from).await {
        tracing::warn!(%error, "old revocations could not be deleted; tried again in a minute");
    }
}

async fn purge_some(
    stream: &RevocationStream,
    from: &mut Option<String>,
) -> Result<(), StoreError> {
    for _ in 0..PURGE_PAGES {
        *from = stream.purge(from.as_deref(), PURGE_PAGE).await?.next;
        if from.is_none() {
            break;
        }
    }
    for _ in 0..PURGE_PAGES {
        if stream.purge_kept_records(PURGE_PAGE).await? < PURGE_PAGE {
            break;
        }
    }
    Ok(())
}
