//! What depends on the path that was asked for: an audience, or that nobody need say who they are. Pure.
//!
//! The path is the proxy's word, and the back end reads it in its own way. So a path that two programs could read
//! differently is never anonymous, and where audiences depend on the path it is refused.

use std::{fmt, str};

/// The rules of one sidecar. By default there are none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// Who says which path it is.
    pub source: PathSource,
    /// Below which path a token must name which audience; the longest prefix decides.
    pub audiences: Vec<(Prefix, String)>,
    /// Below which paths no token is needed.
    pub anonymous: Vec<Prefix>,
}

/// Where the path stands in what the proxy asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum PathSource {
    /// What follows `/verify`.
    #[default]
    Path,
    /// A header that the proxy itself sets, by its name in lower case.
    Header(String),
}

impl PathSource {
    /// `path`, or a header's name.
    pub fn parse(text: &str) -> Option<Self> {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        match text {
            "path" => Some(Self::Path),
            name if !name.is_empty() && name.bytes().all(is_name) => Some(Self::Header(name.to_ascii_lowercase())),
            _ => None,
        }
    }
}

/// A path and all below it: `/orders` is `/orders` and `/orders/1`, and not `/ordersheet`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix(String);

impl Prefix {
    /// Plain segments, so that there is one way to write it. `/` is everything.
    pub fn parse(text: &str) -> Option<Self> {
        let path = text.strip_suffix('/').unwrap_or(text);
        (text.starts_with('/') && is_plain(text)).then(|| Self(path.to_owned()))
    }

    fn covers(&self, path: &str) -> bool {
        path.strip_prefix(self.0.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "/" } else { &self.0 })
    }
}

/// What the rules say of one request.
#[derive(Debug, PartialEq, Eq)]
pub enum Demand<'a> {
    /// A token, of any of the sidecar's audiences.
    AnyToken,
    /// A token that names one of these.
    Audiences(Vec<&'a str>),
    /// A token if there is one.
    Nothing,
    /// The path could be read in two ways, or is not told: no token opens it.
    Unclear,
}

impl Rules {
    /// Whether the path makes no difference.
    pub fn are_none(&self) -> bool {
        self.audiences.is_empty() && self.anonymous.is_empty()
    }

    /// Of a request for `target`: path and query, as the proxy tells it.
    pub fn of(&self, target: Option<&str>) -> Demand<'_> {
        if self.are_none() {
            return Demand::AnyToken;
        }
        let path = target.map(|target| target.split('?').next().unwrap_or_default());
        match path.filter(|path| path.starts_with('/') && is_plain(path)) {
            Some(path) => self.of_plain(path),
            None if self.audiences.is_empty() => Demand::AnyToken,
            None => Demand::Unclear,
        }
    }

    fn of_plain(&self, path: &str) -> Demand<'_> {
        let longest = self.audiences.iter().filter(|(prefix, _)| prefix.covers(path)).map(|(prefix, _)| prefix.0.len());
        let anonymous = self.anonymous.iter().filter(|prefix| prefix.covers(path)).map(|prefix| prefix.0.len());
        // Of two prefixes the longer one was meant for this path; of two equal ones, the careful one.
        match (longest.max(), anonymous.max()) {
            (audience, Some(anonymous)) if audience.is_none_or(|audience| audience < anonymous) => Demand::Nothing,
            (Some(longest), _) => {
                let rules =
                    self.audiences.iter().filter(|(prefix, _)| prefix.0.len() == longest && prefix.covers(path));
                Demand::Audiences(rules.map(|(_, audience)| audience.as_str()).collect())
            }
            (None, _) => Demand::AnyToken,
        }
    }
}

/// Whether every program reads the path alike: no empty or dot segment, no parameter, backslash or control character, and
/// nothing escaped that means something where it is not (RFC 3986 section 2.3: `%6f` is `o`).
fn is_plain(path: &str) -> bool {
    let segments = path.strip_prefix('/').unwrap_or(path);
    let segments = segments.strip_suffix('/').unwrap_or(segments);
    let bytes_are_plain = path.bytes().all(|byte| byte.is_ascii_graphic() && !b";\\\"<>^`{|}#?".contains(&byte));
    let segments_are_plain =
        segments.is_empty() || segments.split('/').all(|segment| !["", ".", ".."].contains(&segment));
    bytes_are_plain && segments_are_plain && path != "//" && escapes_are_plain(path)
}

/// Only what must be escaped is: bytes of UTF-8 beyond ASCII, and spaces.
fn escapes_are_plain(path: &str) -> bool {
    path.split('%').skip(1).all(|rest| {
        let byte = rest.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        byte.and_then(|digits| u8::from_str_radix(digits, 16).ok()).is_some_and(|byte| byte == b' ' || byte >= 0x80)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        Prefix::parse(text).expect("a prefix")
    }

    fn rules(audiences: &[(&str, &str)], anonymous: &[&str]) -> Rules {
        Rules {
            source: PathSource::Path,
            audiences: audiences.iter().map(|(path, audience)| (prefix(path), (*audience).to_owned())).collect(),
            anonymous: anonymous.iter().map(|path| prefix(path)).collect(),
        }
    }

    #[test]
    fn without_rules_the_path_makes_no_difference() {
        for target in [None, Some("/orders"), Some("//"), Some("")] {
            assert_eq!(Rules::default().of(target), Demand::AnyToken);
        }
    }

    #[test]
    fn a_prefix_is_whole_segments_and_the_longest_decides() {
        let rules = rules(
            &[("/", "all"), ("/orders", "orders"), ("/orders", "also orders"), ("/public/mine", "mine")],
            &["/public", "/orders"],
        );
        for (target, demand) in [
            ("/", Demand::Audiences(vec!["all"])),
            ("/ordersheet", Demand::Audiences(vec!["all"])),
            ("/orders", Demand::Audiences(vec!["orders", "also orders"])),
            ("/orders/", Demand::Audiences(vec!["orders", "also orders"])),
            ("/orders/1?public=/public", Demand::Audiences(vec!["orders", "also orders"])),
            ("/public", Demand::Nothing),
            ("/public/a%20b/%E4%BD%A0", Demand::Nothing),
            ("/publicity", Demand::Audiences(vec!["all"])),
            ("/public/mine/1", Demand::Audiences(vec!["mine"])),
        ] {
            assert_eq!(rules.of(Some(target)), demand, "{target}");
        }
    }

    #[test]
    fn a_path_that_could_be_read_in_two_ways_is_never_anonymous_and_has_no_audience() {
        let anonymous = rules(&[], &["/", "/public"]);
        let both = rules(&[("/orders", "orders")], &["/public"]);
        for target in [
            "",
            "public",
            "//public",
            "/public//x",
            "/public/./x",
            "/public/../orders",
            "/public/..",
            "/public/.",
            "/public/%2e%2e/orders",
            "/public/..%2forders",
            "/public%2f..%2forders",
            "/public;/../orders",
            "/public/..;/orders",
            "/public\\..\\orders",
            "/public/%5c",
            "/publi%63",
            "/public/%",
            "/public/%2",
            "/public/%zz",
            "/public/%25",
            "/public/\0",
            "/public/\n",
            "/public/a b",
            "/public/\u{e9}",
            "/public#x",
            "http://127.0.0.1/public",
            "*",
        ] {
            assert_eq!(anonymous.of(Some(target)), Demand::AnyToken, "{target:?}");
            assert_eq!(both.of(Some(target)), Demand::Unclear, "{target:?}");
        }
        assert_eq!((anonymous.of(None), both.of(None)), (Demand::AnyToken, Demand::Unclear), "no header");
    }

    #[test]
    fn a_prefix_or_header_that_could_not_match_is_refused_when_it_is_read() {
        for wrong in ["", "public", "/public/../x", "/a//b", "/a;b", "/a%2e", "/a b", "/a?b", "/é"] {
            assert_eq!(Prefix::parse(wrong), None, "{wrong:?}");
        }
        assert_eq!(Prefix::parse("/public/"), Prefix::parse("/public"));
        assert_eq!(PathSource::parse("X-Original-URI"), Some(PathSource::Header("x-original-uri".into())));
        assert_eq!(PathSource::parse("path"), Some(PathSource::Path));
        assert!(["", "X Y", "X_Y", "X:Y"].into_iter().all(|name| PathSource::parse(name).is_none()));
    }
}
