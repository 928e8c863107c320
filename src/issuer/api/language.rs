//! The languages of the viewer.

use actix_web::{
    HttpRequest,
    http::header::{AcceptLanguage, Header},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    English,
    Chinese,
}

impl Language {
    /// What the query asks for (`lang=zh-CN`), or else what the browser prefers.
    pub(super) fn of(request: &HttpRequest) -> Self {
        let mut query = form_urlencoded::parse(request.query_string().as_bytes());
        let asked = query.find(|(name, _)| name == "lang").and_then(|(_, tag)| Self::named(&tag));
        let preferred = || {
            let tags = AcceptLanguage::parse(request).ok()?.ranked();
            tags.iter().find_map(|tag| Self::named(&tag.to_string()))
        };
        asked.or_else(preferred).unwrap_or(Self::English)
    }

    fn named(tag: &str) -> Option<Self> {
        match tag.split('-').next()?.to_ascii_lowercase().as_str() {
            "zh" => Some(Self::Chinese),
            "en" => Some(Self::English),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::{http::header::ACCEPT_LANGUAGE, test::TestRequest};

    use super::*;

    #[test]
    fn the_query_goes_before_the_browser_and_english_is_for_everybody_else() {
        for (uri, accepted, language) in [
            ("/docs/", "zh-CN,zh;q=0.9,en;q=0.8", Language::Chinese),
            ("/docs/", "en-GB,en;q=0.9,zh;q=0.8", Language::English),
            ("/docs/", "en;q=0.5,zh-Hans-SG", Language::Chinese),
            ("/docs/", "fr, zh;q=0.1", Language::Chinese),
            ("/docs/", "fr", Language::English),
            ("/docs/", "*", Language::English),
            ("/docs/", ";;q=", Language::English),
            ("/docs/?lang=en", "zh-CN", Language::English),
            ("/docs/?lang=ZH", "en", Language::Chinese),
            ("/docs/?lang=fr", "zh", Language::Chinese),
            ("/docs/?lang=", "en", Language::English),
        ] {
            let request = TestRequest::with_uri(uri).insert_header((ACCEPT_LANGUAGE, accepted)).to_http_request();
            assert_eq!(Language::of(&request), language, "{uri} {accepted}");
        }
    }
}
