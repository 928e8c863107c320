//! The paths that are public, the spellings of a header, and the answers. It knows nothing of Envoy.

use serde::Serialize;
use wxmint_verify::peer::Denial;

/// The headers of an answer, and its body.
pub(crate) struct Answer {
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

/// A problem (RFC 9457), with the members of the sidecar's.
#[derive(Serialize)]
struct ProblemDocument<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
}

/// The answer to a request that is not let through.
pub(crate) fn answer(denial: &Denial, request_id: &str) -> Answer {
    let document = ProblemDocument {
        kind: format!("urn:wxmint:problem:{}", denial.code),
        title: denial.title,
        status: denial.status,
        detail: denial.detail,
        code: denial.code,
        request_id,
        retry_after: denial.retry_after,
    };
    let mut headers = vec![
        ("content-type", "application/problem+json".to_owned()),
        ("cache-control", "no-store".to_owned()),
    ];
    if let Some(challenge) = denial.challenge {
        headers.push(("www-authenticate", challenge.to_owned()));
    }
    if let Some(seconds) = denial.retry_after {
        headers.push(("retry-after", seconds.to_string()));
    }
    let body = serde_json::to_string(&document).expect("a problem is JSON");
    Answer { headers, body }
}

/// The letters and digits of a header's name, in lower case. Servers that speak CGI, WSGI or PHP
/// read `X_User_Id` and `X-User-Id` as one variable, and some read `X.User.Id` so too.
pub(crate) fn spelling(name: &[u8]) -> impl Iterator<Item = u8> {
    let plain = name.iter().filter(|byte| byte.is_ascii_alphanumeric());
    plain.map(u8::to_ascii_lowercase)
}

/// A pattern of paths that are open to everybody: one path, or all below one (`/public/*`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublicPath {
    path: String,
    is_prefix: bool,
}

impl PublicPath {
    /// `None` unless the pattern is a plain path, with `/*` at its end at most.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let prefix = text.strip_suffix("/*");
        let path = prefix.unwrap_or(text);
        is_plain(path).then(|| Self {
            path: path.to_owned(),
            is_prefix: prefix.is_some(),
        })
    }

    /// Whether a request's path, which may have a query, is one of these.
    pub(crate) fn holds(&self, target: &str) -> bool {
        let path = target.split('?').next().unwrap_or_default();
        let rest = path.strip_prefix(&*self.path);
        is_plain(path)
            && rest.is_some_and(|rest| match self.is_prefix {
                true => rest.starts_with('/'),
                false => rest.is_empty(),
            })
    }
}

/// Whether a path is read alike by everybody: segments of plain characters that do not begin with a
/// dot. With a `%` or a `;` in it, a path may mean another one to the service behind.
fn is_plain(path: &str) -> bool {
    let is_segment = |segment: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        !segment.is_empty() && !segment.starts_with('.') && segment.bytes().all(plain)
    };
    path.strip_prefix('/')
        .is_some_and(|rest| rest.split('/').all(is_segment))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_of_ours_is_recognized_in_every_spelling() {
        for name in [
            "x-user-id",
            "X_USER_ID",
            "x.user.id",
            "-x-user--id_",
            "XUserId",
        ] {
            assert!(spelling(name.as_bytes()).eq(*b"xuserid"), "{name}");
        }
        assert!(spelling(b"x-user-ids").ne(*b"xuserid"));
    }

    #[test]
    fn only_plain_paths_are_public_and_a_prefix_ends_at_a_slash() {
        let holds = |pattern: &str, path| {
            let pattern = PublicPath::parse(pattern).expect("a pattern");
            pattern.holds(path)
        };
        for path in [
            "/public/a",
            "/public/a/b.css",
            "/public/a?x=%2F..",
            "/public/~a",
        ] {
            assert!(holds("/public/*", path), "{path}");
        }
        for path in [
            "/public",
            "/public/",
            "/publicity/a",
            "/public/../orders",
            "/public/%2e%2e/orders",
            "/public//orders",
            "/public/.git",
            "/public/a;b",
            "/public/a%2fb",
            r"/public/a\b",
            "/orders",
            "",
            "*",
            "/Public/a",
            "/public/é",
        ] {
            assert!(!holds("/public/*", path), "{path}");
        }
        assert!(holds("/healthz", "/healthz") && holds("/healthz", "/healthz?full"));
        assert!(!holds("/healthz", "/healthz/"));
        assert!(!holds("/healthz", "/healthzz"));
        for wrong in [
            "", "*", "/", "/*", "public/*", "/pub*", "/a/*/b", "/a%20b", "/../*",
        ] {
            assert_eq!(PublicPath::parse(wrong), None, "{wrong}");
        }
    }
}
