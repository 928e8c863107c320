//! How the site of a page is named.

use reqwest::Url;
use wxmint_upstream::is_secure;

/// A site whose pages may read answers: an origin that is secure, without a path, as a browser writes it.
pub fn site(text: &str) -> Option<String> {
    let url: Url = text.parse().ok()?;
    (is_secure(&url) && url.origin().ascii_serialization() == text).then(|| text.to_owned())
}
