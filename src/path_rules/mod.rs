//! What depends on the path that was asked for: an audience, or that nobody need say who they are. Pure.
//!
//! The path is the proxy's word, and the back end reads it in its own way. So a path whose segments two programs could
//! split differently is never anonymous, and where audiences depend on the path it is refused. A path opens only as it is
//! written, byte for byte; for an audience it is enough that some back end could take the path for one below the rule's.

mod loose;

use std::fmt;

use self::loose::{loose, may_be_below};

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
pub struct Prefix {
    path: String,
    loose: String,
}

impl Prefix {
    /// Plain segments, so that there is one way to write it. `/` is everything.
    pub fn parse(text: &str) -> Option<Self> {
        let path = text.strip_suffix('/').unwrap_or(text).to_owned();
        Some(Self { path, loose: loose(text)? })
    }

    fn covers(&self, path: &str) -> bool {
        path.strip_prefix(self.path.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    fn length(&self) -> usize {
        self.loose.len()
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.path.is_empty() { "/" } else { &self.path })
    }
}

/// What the rules say of one request.
#[derive(Debug, PartialEq, Eq)]
pub enum Demand<'a> {
    /// A token, of any of the sidecar's audiences.
    AnyToken,
    /// A token that names one of each list: the path may be read in more than one way.
    Audiences(Vec<Vec<&'a str>>),
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
        match path.and_then(|path| Some((path, loose(path)?))) {
            Some((path, loose)) => self.of_plain(path, &loose),
            None if self.audiences.is_empty() => Demand::AnyToken,
            None => Demand::Unclear,
        }
    }

    /// Of two prefixes the longer one was meant for this path; of two equal ones, the careful one.
    fn of_plain(&self, path: &str, loose: &str) -> Demand<'_> {
        let open = self.anonymous.iter().filter(|prefix| prefix.covers(path)).map(Prefix::length).max();
        let (written, its_audiences) = self.longest(|prefix| prefix.covers(path));
        let (possible, other_audiences) = self.longest(|prefix| may_be_below(loose, &prefix.loose));
        if open > possible {
            return Demand::Nothing;
        }
        let demands = [(its_audiences, written >= open), (other_audiences, possible > written)];
        let demands = demands.into_iter().filter(|(audiences, holds)| *holds && !audiences.is_empty());
        match demands.map(|(audiences, _)| audiences).collect::<Vec<_>>() {
            none if none.is_empty() => Demand::AnyToken,
            audiences => Demand::Audiences(audiences),
        }
    }

    /// The length of the longest prefix that is met, and the audiences of all that are as long.
    fn longest(&self, is_met: impl Fn(&Prefix) -> bool) -> (Option<usize>, Vec<&str>) {
        let met = || self.audiences.iter().filter(|(prefix, _)| is_met(prefix));
        let longest = met().map(|(prefix, _)| prefix.length()).max();
        let audiences = met().filter(|(prefix, _)| Some(prefix.length()) == longest);
        (longest, audiences.map(|(_, audience)| audience.as_str()).collect())
    }
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
            ("/", Demand::Audiences(vec![vec!["all"]])),
            ("/ordersheet", Demand::Audiences(vec![vec!["all"]])),
            ("/orders", Demand::Audiences(vec![vec!["orders", "also orders"]])),
            ("/orders/", Demand::Audiences(vec![vec!["orders", "also orders"]])),
            ("/orders/1?public=/public", Demand::Audiences(vec![vec!["orders", "also orders"]])),
            ("/public", Demand::Nothing),
            ("/public/a%20b/%E4%BD%A0", Demand::Nothing),
            ("/publicity", Demand::Audiences(vec![vec!["all"]])),
            ("/public/mine/1", Demand::Audiences(vec![vec!["mine"]])),
        ] {
            assert_eq!(rules.of(Some(target)), demand, "{target}");
        }
    }

    #[test]
    fn a_near_miss_of_a_stricter_path_is_not_anonymous_and_takes_the_audience_of_both_readings() {
        let open = rules(&[("/shop/orders", "orders"), ("/shop/%E4%BD%A0", "you")], &["/shop", "/shop/orders.css"]);
        let closed = rules(&[("/shop", "shop"), ("/shop/orders", "orders")], &[]);
        for near in [
            "/shop/ORDERS/1",
            "/shop/Orders",
            "/shop/orders%20",
            "/shop/orders%20/1",
            "/shop/%20orders",
            "/shop/orders+",
            "/shop/orders.",
            "/shop/orders.json",
            "/shop/orders.json/1",
            "/shop/orders.%20",
            "/shop/orders:1",
            "/shop/orders::$DATA",
            "/shop/orders%C2%A0",
            "/shop/orders%E3%80%80",
            "/shop/or%C2%ADders",
            "/shop/orders%E2%80%8B",
            "/shop/order%C5%BF",
            "/shop/%EF%BD%8F%EF%BD%92%EF%BD%84%EF%BD%85%EF%BD%92%EF%BD%93/1",
            "/shop/%C3%B6rders",
            "/shop/o%CC%88rders",
            "/shop/orders%EF%BC%9Bx",
        ] {
            assert_eq!(open.of(Some(near)), Demand::Audiences(vec![vec!["orders"]]), "{near}");
            let both = Demand::Audiences(vec![vec!["shop"], vec!["orders"]]);
            assert_eq!(closed.of(Some(near)), both, "{near}");
        }
        assert_eq!(closed.of(Some("/shop%EF%BC%8Forders")), Demand::Audiences(vec![vec!["orders"]]));
        assert_eq!(open.of(Some("/shop/%e4%bd%a0")), Demand::Audiences(vec![vec!["you"]]));
        assert_eq!(open.of(Some("/SHOP/x")), Demand::AnyToken);
        for far in ["/shop", "/shop/ordersheet", "/shop/orders-of-mine", "/shop/orders_1", "/shop/orders.css"] {
            assert_eq!(open.of(Some(far)), Demand::Nothing, "{far}");
        }
        for far in
            ["/shop/x/orders", "/shop/%E4%BD%A0%E5%A5%BD", "/shop/100%EF%BC%85", "/shop/.well-known/x", "/shop/%C3%A9"]
        {
            assert_eq!(open.of(Some(far)), Demand::Nothing, "{far}");
        }
        let case = rules(&[("/Orders", "Orders"), ("/orders", "orders")], &[]);
        assert_eq!(case.of(Some("/Orders")), Demand::Audiences(vec![vec!["Orders"]]));
        assert_eq!(case.of(Some("/ORDERS")), Demand::Audiences(vec![vec!["Orders", "orders"]]));
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
            "/public/%c0%ae%c0%ae/orders",
            "/public/%c0%af",
            "/public/%e0%80%ae",
            "/public/%ff%fe",
            "/public/%E4%BD",
            "/public/%ed%a0%80",
            "/public/%c2%85",
            "/public/..%20/orders",
            "/public/...",
            "/public/%20",
            "/public/%C2%A0/x",
            "/public/%E2%80%8B/x",
            "/public/%EF%BC%8E%EF%BC%8E/orders",
            "/public/%E2%80%A5/orders",
            "/public/%EF%BC%8F%EF%BC%8Forders",
            "/public/..%EF%BC%BCorders",
            "/public/..:/orders",
            "/public/(S(x))/orders",
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
        for wrong in ["", "public", "/public/../x", "/a//b", "/a;b", "/a%2e", "/a b", "/a?b", "/é", "/%ff", "//"] {
            assert_eq!(Prefix::parse(wrong), None, "{wrong:?}");
        }
        assert_eq!(Prefix::parse("/public/"), Prefix::parse("/public"));
        assert_eq!(PathSource::parse("X-Original-URI"), Some(PathSource::Header("x-original-uri".into())));
        assert_eq!(PathSource::parse("path"), Some(PathSource::Path));
        assert!(["", "X Y", "X_Y", "X:Y"].into_iter().all(|name| PathSource::parse(name).is_none()));
    }
}
