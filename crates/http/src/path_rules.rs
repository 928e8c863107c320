//! Decides by the path of a request which audience the token must name, or that no token is needed. Pure.
//!
//! The proxy states the path, and the back end reads it in its own way. So rules apply to plain paths, which all
//! programs split into the same segments. Any other path is judged by all rules together: it needs a token that names
//! the audience of every rule. A plain path is anonymous only if it is written like the rule, byte for byte. The rule
//! for an audience also applies if a back end could take the path for one below the rule's path: `/PAY`, `/pay.json`
//! and `/pay:1` for `/pay`.

/// The rules of one sidecar. The default has none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// Where the path stands in the proxy's request: in the header with this name in lower case, or after `/verify`.
    pub header: Option<String>,
    /// The audience that a token must name below each path; the longest prefix decides.
    pub audiences: Vec<(Prefix, String)>,
    /// The paths below which no token is needed.
    pub anonymous: Vec<Prefix>,
}

/// A plain path and all below it: `/orders` is `/orders` and `/orders/1`, and not `/ordersheet`. `/` is every path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix(String);

impl Prefix {
    /// `None` if the path is not plain.
    pub fn parse(text: &str) -> Option<Self> {
        is_plain(text).then(|| Self(text.strip_suffix('/').unwrap_or(text).to_owned()))
    }

    /// Whether the path begins with these segments, byte for byte.
    fn covers(&self, path: &str) -> bool {
        path.strip_prefix(self.0.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Whether a back end could read the plain `path` as one that begins with these segments.
    fn may_cover(&self, path: &str) -> bool {
        let mut segments = path.split('/');
        self.0.split('/').all(|wanted| segments.next().is_some_and(|segment| may_mean(segment, wanted)))
    }
}

/// Whether every program splits the path into the same segments. Escapes (`%2f`), parameters (`;x`), blanks (`+`),
/// backslashes and all that is not ASCII are read in several ways, as are empty segments, but for one at the end.
fn is_plain(path: &str) -> bool {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~!$&,:=@".contains(&byte);
    let has_names = |rest: &str| rest.strip_suffix('/').unwrap_or(rest).split('/').all(is_name);
    path.bytes().all(is_known) && (path == "/" || path.strip_prefix('/').is_some_and(has_names))
}

/// Not empty, and not `.` or `..`, also not with a suffix that a back end may cut off.
fn is_name(segment: &str) -> bool {
    let rest = segment.trim_start_matches('.');
    !segment.is_empty() && (rest == segment || rest.starts_with(is_of_a_word))
}

/// Whether the segment is `wanted` in any case, perhaps with a suffix that a back end may cut off: `.`, `.json`, `:x`.
fn may_mean(segment: &str, wanted: &str) -> bool {
    let parts = segment.split_at_checked(wanted.len());
    parts.is_some_and(|(start, rest)| start.eq_ignore_ascii_case(wanted) && !rest.starts_with(is_of_a_word))
}

fn is_of_a_word(char: char) -> bool {
    char.is_ascii_alphanumeric() || ['-', '_'].contains(&char)
}

#[derive(Debug, PartialEq, Eq)]
pub enum Demand<'a> {
    /// No token. One that is sent must be valid.
    Nothing,
    /// A token that names an audience of each of these lists. Without a list, any of the sidecar's audiences is enough.
    Token(Vec<Vec<&'a str>>),
}

impl Rules {
    /// The demand on a request for `target`: path and query, as the proxy states them.
    pub fn of(&self, target: Option<&str>) -> Demand<'_> {
        let path = target.and_then(|target| target.split('?').next());
        match path.filter(|path| is_plain(path)) {
            Some(path) => self.of_plain(path),
            None => Demand::Token(self.audiences.iter().map(|(_, audience)| vec![audience.as_str()]).collect()),
        }
    }

    /// The longer of two prefixes was meant for this path. Of two equally long ones the stricter one holds.
    fn of_plain(&self, path: &str) -> Demand<'_> {
        let open = self.anonymous.iter().filter(|prefix| prefix.covers(path)).map(|prefix| prefix.0.len()).max();
        let (written, its_audiences) = self.longest(|prefix| prefix.covers(path));
        let (possible, other_audiences) = self.longest(|prefix| prefix.may_cover(path));
        if open > possible {
            return Demand::Nothing;
        }
        let demands = [(its_audiences, written >= open), (other_audiences, possible > written)];
        let demands = demands.into_iter().filter(|(audiences, holds)| *holds && !audiences.is_empty());
        Demand::Token(demands.map(|(audiences, _)| audiences).collect())
    }

    /// The length of the longest prefix that is met, and the audiences of all prefixes of that length.
    fn longest(&self, is_met: impl Fn(&Prefix) -> bool) -> (Option<usize>, Vec<&str>) {
        let met = || self.audiences.iter().filter(|(prefix, _)| is_met(prefix));
        let longest = met().map(|(prefix, _)| prefix.0.len()).max();
        let audiences = met().filter(|(prefix, _)| Some(prefix.0.len()) == longest);
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
            header: None,
            audiences: audiences.iter().map(|(path, audience)| (prefix(path), (*audience).to_owned())).collect(),
            anonymous: anonymous.iter().map(|path| prefix(path)).collect(),
        }
    }

    fn any_token() -> Demand<'static> {
        Demand::Token(Vec::new())
    }

    /// A token that names all of these.
    fn all<const N: usize>(audiences: [&str; N]) -> Demand<'_> {
        Demand::Token(audiences.map(|audience| vec![audience]).into())
    }

    #[test]
    fn without_rules_the_path_makes_no_difference() {
        for target in [None, Some("/orders"), Some("//"), Some("")] {
            assert_eq!(Rules::default().of(target), any_token());
        }
    }

    #[test]
    fn a_prefix_is_whole_segments_and_the_longest_decides() {
        let rules = rules(
            &[("/", "all"), ("/orders", "orders"), ("/orders", "also orders"), ("/public/mine", "mine")],
            &["/public", "/orders"],
        );
        let of_orders = || Demand::Token(vec![vec!["orders", "also orders"]]);
        for (target, demand) in [
            ("/", all(["all"])),
            ("/ordersheet", all(["all"])),
            ("/orders", of_orders()),
            ("/orders/", of_orders()),
            ("/orders/1?public=/public", of_orders()),
            ("/public", Demand::Nothing),
            ("/public/logo@2x.png?a=%20", Demand::Nothing),
            ("/public/.well-known/x", Demand::Nothing),
            ("/publicity", all(["all"])),
            ("/public/mine/1", all(["mine"])),
        ] {
            assert_eq!(rules.of(Some(target)), demand, "{target}");
        }
    }

    #[test]
    fn a_near_miss_of_a_stricter_path_is_not_anonymous_and_takes_the_audience_of_both_readings() {
        let open = rules(&[("/shop/orders", "orders")], &["/shop", "/shop/orders.css"]);
        let closed = rules(&[("/shop", "shop"), ("/shop/orders", "orders")], &[]);
        for near in [
            "/shop/ORDERS/1",
            "/shop/Orders",
            "/shop/orders.",
            "/shop/orders./1",
            "/shop/orders.json",
            "/shop/orders.json/1",
            "/shop/orders:1",
            "/shop/orders::$DATA",
        ] {
            assert_eq!(open.of(Some(near)), all(["orders"]), "{near}");
            assert_eq!(closed.of(Some(near)), all(["shop", "orders"]), "{near}");
        }
        assert_eq!(open.of(Some("/SHOP/x")), any_token());
        for far in ["/shop", "/shop/ordersheet", "/shop/orders-of-mine", "/shop/orders_1", "/shop/orders.css"] {
            assert_eq!(open.of(Some(far)), Demand::Nothing, "{far}");
        }
        assert_eq!(open.of(Some("/shop/x/orders")), Demand::Nothing);
        let case = rules(&[("/Orders", "Orders"), ("/orders", "orders")], &[]);
        assert_eq!(case.of(Some("/Orders")), all(["Orders"]));
        assert_eq!(case.of(Some("/ORDERS")), Demand::Token(vec![vec!["Orders", "orders"]]));
    }

    #[test]
    fn a_path_that_is_not_plain_is_never_anonymous_and_needs_the_audiences_of_all_rules() {
        let anonymous = rules(&[], &["/", "/public"]);
        let both = rules(&[("/orders", "orders"), ("/pay", "pay")], &["/public"]);
        for target in [
            "",
            "public",
            "//",
            "//public",
            "/public//",
            "/public//x",
            "/public/./x",
            "/public/../orders",
            "/public/..",
            "/public/.",
            "/public/...",
            "/public/..:/orders",
            "/public/%2e%2e/orders",
            "/public/..%2forders",
            "/public;/../orders",
            "/public/..;/orders",
            "/public\\..\\orders",
            "/publi%63",
            "/public/%",
            "/public/%20",
            "/public/a%20b",
            "/public/a+b",
            "/public/%E4%BD%A0",
            "/public/\0",
            "/public/\n",
            "/public/a b",
            "/public/\u{e9}",
            "/public#x",
            "/public/%c0%ae%c0%ae/orders",
            "/public/..%E2%88%95orders",
            "/public/..\u{2215}orders",
            "/public/..%E2%81%84orders",
            "/public/..\u{2044}orders",
            "/public/%EF%BC%8E%EF%BC%8E/orders",
            "/public/(S(x))/orders",
            "http://127.0.0.1/public",
            "*",
        ] {
            assert_eq!(anonymous.of(Some(target)), any_token(), "{target:?}");
            assert_eq!(both.of(Some(target)), all(["orders", "pay"]), "{target:?}");
        }
        assert_eq!((anonymous.of(None), both.of(None)), (any_token(), all(["orders", "pay"])), "no header");
    }

    #[test]
    fn a_prefix_that_could_not_match_is_refused_when_it_is_read() {
        for wrong in ["", "public", "/public/../x", "/a//b", "/a;b", "/a%2e", "/%E4%BD%A0", "/a b", "/a?b", "/é", "//"]
        {
            assert_eq!(Prefix::parse(wrong), None, "{wrong:?}");
        }
        assert_eq!(Prefix::parse("/public/"), Prefix::parse("/public"));
    }
}
