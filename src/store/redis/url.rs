//! The URL of Redis: which servers, as whom, which database, with TLS or without. The crate `url` reads no list of servers.

use std::{
    collections::HashSet,
    fmt,
    net::{IpAddr, Ipv6Addr},
    slice,
    str::FromStr,
};

use percent_encoding::percent_decode_str;
use zeroize::Zeroizing;

const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// One server. It prints as `host:port`, and an IPv6 address in brackets.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
}

/// Which servers there are, and how to find the one that has a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Layout {
    Single(Address),
    Cluster(Vec<Address>),
    Sentinel { sentinels: Vec<Address>, master: String },
}

/// A checked URL of Redis. It does not print, because it may contain a password.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    pub(super) layout: Layout,
    pub(super) user: Option<String>,
    pub(super) password: Option<Zeroizing<String>>,
    pub(super) db: u32,
    tls: bool,
}

impl RedisUrl {
    /// Whether connections are encrypted: `rediss`.
    pub fn has_tls(&self) -> bool {
        self.tls
    }

    /// Whether anything is sent to another machine without encryption.
    pub fn is_exposed(&self) -> bool {
        let servers = match &self.layout {
            Layout::Single(server) => slice::from_ref(server),
            Layout::Cluster(servers) | Layout::Sentinel { sentinels: servers, .. } => servers,
        };
        !self.tls && !servers.iter().all(Address::is_loopback)
    }
}

impl Address {
    fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedisUrl(…)")
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// What is wrong, and which form is right. It never quotes the URL, which may contain a password.
type Fault = &'static str;

impl FromStr for RedisUrl {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        const SCHEMES: Fault = "begins with none of redis://, rediss://, redis+cluster://, rediss+cluster://, \
                                redis+sentinel://, rediss+sentinel://";
        let (scheme, rest) = text.split_once("://").ok_or(SCHEMES)?;
        let (tls, kind) = match scheme.strip_prefix("rediss") {
            Some(kind) => (true, kind),
            None => (false, scheme.strip_prefix("redis").ok_or(SCHEMES)?),
        };
        if !["", "+cluster", "+sentinel"].contains(&kind) {
            return Err(SCHEMES);
        }
        if text.chars().any(|char| char.is_whitespace() || char.is_control()) {
            return Err("contains a space; in a user name or a password it is written as %20");
        }
        if rest.contains(['?', '#']) {
            return Err(
                "has something after ? or #, which it cannot; in a user name or a password they are written as %3F and %23",
            );
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (credentials, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = self::credentials(credentials)?;
        let servers = servers(hosts, if kind == "+sentinel" { SENTINEL_PORT } else { REDIS_PORT })?;
        let (layout, db) = match kind {
            "+sentinel" => of_sentinels(servers, path)?,
            "+cluster" => (of_cluster(servers, path)?, 0),
            _ => (single(servers)?, database(path)?),
        };
        Ok(Self { layout, user, password, db, tls })
    }
}

fn credentials(text: &str) -> Result<(Option<String>, Option<Zeroizing<String>>), Fault> {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    let (user, password) = (decoded(user)?, Zeroizing::new(decoded(password)?));
    if !user.is_empty() && password.is_empty() {
        return Err("has a user name without a password; a password alone is written redis://:PASSWORD@host:port");
    }
    Ok((Some(user).filter(|user| !user.is_empty()), Some(password).filter(|password| !password.is_empty())))
}

fn decoded(text: &str) -> Result<String, Fault> {
    let complete = |rest: &str| rest.len() >= 2 && rest.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
    if !text.split('%').skip(1).all(complete) {
        return Err(
            "has a % in the user name or the password that two hexadecimal digits must follow: a % itself is written as %25",
        );
    }
    let bytes = percent_decode_str(text).decode_utf8();
    Ok(bytes.map_err(|_| "has a user name or a password that is not UTF-8")?.into_owned())
}

/// Each server once.
fn servers(text: &str, port: u16) -> Result<Vec<Address>, Fault> {
    let mut seen = HashSet::new();
    let mut servers: Vec<_> = text.split(',').map(|server| address(server, port)).collect::<Result<_, _>>()?;
    servers.retain(|server| seen.insert(server.clone()));
    Ok(servers)
}

fn address(text: &str, default: u16) -> Result<Address, Fault> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']').filter(|(host, _)| host.parse::<Ipv6Addr>().is_ok()),
        None => Some(text.split_at(text.find(':').unwrap_or(text.len()))).filter(|(host, _)| is_plain(host)),
    }
    .ok_or(
        "has no host, or one that is no name and no address: after the :// and, where there are any, user:password@, it goes \
         on with host:port, and an IPv6 address stands in brackets: [2001:db8::1]:6379",
    )?;
    let port = match port {
        "" => Some(default),
        port => port.strip_prefix(':').and_then(|port| port.parse().ok()).filter(|port| *port != 0),
    };
    let port = port.ok_or(
        "has a port that is no number from 1 to 65535, or an IPv6 address that is not written in brackets: \
         redis://[2001:db8::1]:6379",
    )?;
    Ok(Address { host: host.to_owned(), port })
}

/// Whether it can be the name of a host or of a master, or an IPv4 address.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|char| char.is_ascii_alphanumeric() || "-_.".contains(char))
}

fn single(mut servers: Vec<Address>) -> Result<Layout, Fault> {
    match (servers.pop(), servers.is_empty()) {
        (Some(server), true) => Ok(Layout::Single(server)),
        _ => Err(
            "names several servers: that is redis+cluster://host:port,host:port or redis+sentinel://host:port,host:port/MASTER",
        ),
    }
}

fn of_cluster(servers: Vec<Address>, path: &str) -> Result<Layout, Fault> {
    match path {
        "" | "0" => Ok(Layout::Cluster(servers)),
        _ => Err("names a database, but a Cluster has only one: redis+cluster://host:port,host:port"),
    }
}

fn of_sentinels(sentinels: Vec<Address>, path: &str) -> Result<(Layout, u32), Fault> {
    let (master, db) = path.split_once('/').unwrap_or((path, ""));
    if !is_plain(master) {
        return Err("does not name the master that the Sentinels watch: redis+sentinel://host:port,host:port/MASTER");
    }
    Ok((Layout::Sentinel { sentinels, master: master.to_owned() }, database(db)?))
}

fn database(path: &str) -> Result<u32, Fault> {
    match path {
        "" => Ok(0),
        number => number.parse().map_err(|_| "has a database that is no number: redis://host:port/0"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> RedisUrl {
        text.parse().unwrap_or_else(|fault| panic!("{text} {fault}"))
    }

    #[test]
    fn each_form_is_read() {
        for (text, layout, user, password, db, tls) in [
            ("redis://h", "single h:6379", None, None, 0, false),
            ("redis://127.0.0.1:7000/", "single 127.0.0.1:7000", None, None, 0, false),
            ("redis://:pw@h/3", "single h:6379", None, Some("pw"), 3, false),
            ("redis://:@h", "single h:6379", None, None, 0, false),
            (
                "redis://me:p%40%3A%2F%3f%25@[2001:db8::1]:7/15",
                "single [2001:db8::1]:7",
                Some("me"),
                Some("p@:/?%"),
                15,
                false,
            ),
            ("redis://m%C3%A9:a:b@h", "single h:6379", Some("mé"), Some("a:b"), 0, false),
            ("rediss://redis_1.example.com:6380", "single redis_1.example.com:6380", None, None, 0, true),
            ("redis+cluster://a,b:7,[::1]", "cluster a:6379 b:7 [::1]:6379", None, None, 0, false),
            ("rediss+cluster://u:p@a,a:6379,b/", "cluster a:6379 b:6379", Some("u"), Some("p"), 0, true),
            ("redis+cluster://a/0", "cluster a:6379", None, None, 0, false),
            ("redis+sentinel://a,b:7/mymaster", "sentinel a:26379 b:7 of mymaster", None, None, 0, false),
            ("rediss+sentinel://:p@a/my-master_1.x/2", "sentinel a:26379 of my-master_1.x", None, Some("p"), 2, true),
        ] {
            let read = url(text);
            assert_eq!(said(&read.layout), layout, "{text}");
            assert_eq!(
                (
                    read.user.as_deref(),
                    read.password.as_ref().map(|password| password.as_str()),
                    read.db,
                    read.has_tls()
                ),
                (user, password, db, tls),
                "{text}"
            );
            assert_eq!(format!("{read:?}"), "RedisUrl(…)");
        }
    }

    fn said(layout: &Layout) -> String {
        let all = |servers: &[Address]| servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        match layout {
            Layout::Single(server) => format!("single {server}"),
            Layout::Cluster(servers) => format!("cluster {}", all(servers)),
            Layout::Sentinel { sentinels, master } => format!("sentinel {} of {master}", all(sentinels)),
        }
    }

    #[test]
    fn what_is_wrong_is_named_and_the_url_is_not_quoted() {
        for (text, named) in [
            ("", "begins with none of"),
            ("127.0.0.1:6379", "begins with none of"),
            ("redis:", "begins with none of"),
            ("REDIS://SECRET", "begins with none of"),
            ("redis+://SECRET", "begins with none of"),
            ("redis-cluster://SECRET", "begins with none of"),
            ("redis+cluster+tls://SECRET", "begins with none of"),
            ("unix:///SECRET.sock", "begins with none of"),
            ("redis://", "has no host"),
            ("redis:///0", "has no host"),
            ("redis://:SECRET@", "has no host"),
            ("redis://SEC!RET", "has no host"),
            ("redis+cluster://a,,b", "has no host"),
            ("redis+cluster://a,SECRET@b", "user name without a password"),
            ("redis://h: 6379", "contains a space"),
            ("redis://:SEC RET@h", "contains a space"),
            ("redis://h\n", "contains a space"),
            ("redis://h?password=SECRET", "after ? or #"),
            ("redis://:SEC#RET@h", "after ? or #"),
            ("redis://:SEC%RET@h", "%25"),
            ("redis://:SECRET%2@h", "%25"),
            ("redis://:%ff@h", "UTF-8"),
            ("redis://SECRET@h", "user name without a password"),
            ("redis://h:SECRET", "has a port"),
            ("redis://h:0", "has a port"),
            ("redis://h:65536", "has a port"),
            ("redis://h:", "has a port"),
            ("redis://2001:db8::1", "in brackets"),
            ("redis://[SECRET]", "in brackets"),
            ("redis://[::1", "in brackets"),
            ("redis://[::1]6379", "in brackets"),
            ("redis://h/SECRET", "has a database"),
            ("redis://h/-1", "has a database"),
            ("redis://h/0/1", "has a database"),
            ("redis://a,b", "names several servers"),
            ("redis+cluster://a/1", "only one"),
            ("redis+sentinel://a", "does not name the master"),
            ("redis+sentinel://a/", "does not name the master"),
            ("redis+sentinel://a/SEC RET", "contains a space"),
            ("redis+sentinel://a/SEC%20RET", "does not name the master"),
            ("redis+sentinel://a/m/SECRET", "has a database"),
        ] {
            let fault = text.parse::<RedisUrl>().expect_err(text);
            assert!(fault.contains(named) && !fault.contains("SEC"), "{text}: {fault}");
        }
    }

    #[test]
    fn only_another_machine_without_tls_is_exposed() {
        for (text, exposed) in [
            ("redis://localhost", false),
            ("redis://127.8.9.1", false),
            ("redis://[::1]", false),
            ("redis://10.0.0.1", true),
            ("rediss://10.0.0.1", false),
            ("redis+cluster://127.0.0.1,redis-2", true),
            ("redis+sentinel://redis/m", true),
            ("rediss+sentinel://redis/m", false),
        ] {
            assert_eq!(url(text).is_exposed(), exposed, "{text}");
        }
    }
}
