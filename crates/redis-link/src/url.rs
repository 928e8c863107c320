//! The URL of Redis: servers, user, password, database, and whether to use TLS. redis-rs parses the
//! URL of one server; ours may name several.

use std::{fmt, net::IpAddr, path::PathBuf, slice, str::FromStr};

use redis::{ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo};
use zeroize::Zeroizing;

use super::access::Program;

/// A checked URL of Redis. It does not print, because it may contain a password.
#[derive(Clone)]
pub struct RedisUrl {
    text: Zeroizing<String>,
    pub(crate) layout: Layout,
    /// User, password and database.
    pub(crate) login: RedisConnectionInfo,
    /// Set if the Sentinels have another password than the servers.
    sentinel_password_file: Option<PathBuf>,
}

/// The address of a server. `Display` writes `host:port`, with an IPv6 address in brackets.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) struct Address {
    pub(crate) host: String,
    /// Not 0.
    pub(crate) port: u16,
}

/// The servers, and how to find the server that has a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Layout {
    Single(Address),
    Cluster(Vec<Address>),
    Sentinel {
        sentinels: Vec<Address>,
        master: String,
    },
}

impl RedisUrl {
    /// The password of the Sentinels, if it has a file of its own. The file is read for each
    /// connection.
    pub(crate) fn sentinel_password(
        &self,
        program: Program,
    ) -> Result<Option<Zeroizing<String>>, String> {
        let Some(path) = &self.sentinel_password_file else {
            return Ok(None);
        };
        let content = (program.read_secret)(path)?;
        let password = str::from_utf8(&content)
            .ok()
            .map(str::trim_end)
            .filter(|line| !line.is_empty());
        password
            .map(|line| Some(Zeroizing::new(line.to_owned())))
            .ok_or_else(|| {
                format!(
                    "{}: holds no password: it must be one line of text",
                    path.display()
                )
            })
    }

    /// Whether connections are encrypted: `rediss`.
    pub fn has_tls(&self) -> bool {
        self.text.starts_with("rediss")
    }

    /// Whether data are sent to another machine without encryption.
    pub fn is_exposed(&self) -> bool {
        let is_loopback = self.named().iter().all(|server| {
            let host = &server.host;
            host == "localhost" || host.parse().is_ok_and(|host: IpAddr| host.is_loopback())
        });
        !self.has_tls() && !is_loopback
    }

    /// The user name of the login, if the URL has one.
    pub fn user(&self) -> Option<&str> {
        self.login.username()
    }

    pub(crate) fn named(&self) -> &[Address] {
        match &self.layout {
            Layout::Single(server) => slice::from_ref(server),
            Layout::Cluster(servers)
            | Layout::Sentinel {
                sentinels: servers, ..
            } => servers,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) = if self.host.contains(':') {
            ("[", "]")
        } else {
            ("", "")
        };
        write!(f, "{open}{}{close}:{}", self.host, self.port)
    }
}

impl PartialEq for RedisUrl {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedisUrl(…)")
    }
}

/// Why a text is not a URL of Redis, with the right form. The error never quotes the URL, which may
/// contain a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WrongUrl {
    #[error(
        "begins with none of redis://, rediss://, redis+cluster://, rediss+cluster://, redis+sentinel://, rediss+sentinel://"
    )]
    Scheme,
    #[error("contains a space; in a user name or a password it is written as %20")]
    Space,
    #[error(
        "has something after ? or #, which it cannot: only redis+sentinel:// may end with ?sentinel_password_file=PATH; in a \
         user name or a password they are written as %3F and %23"
    )]
    Query,
    #[error(
        "cannot be read: it is redis://user:password@host:port/database, with a port from 1 to 65535, an IPv6 address in \
         brackets ([2001:db8::1]), and in user and password %40 for @, %3A for :, %2F for /, %25 for %"
    )]
    Unreadable,
    #[error(
        "has a user name without a password; a password alone is written redis://:PASSWORD@host:port"
    )]
    NoPassword,
    #[error("names a database, but a Cluster has only one: redis+cluster://host:port,host:port")]
    Database,
    #[error(
        "does not name the master that the Sentinels watch: redis+sentinel://host:port,host:port/MASTER"
    )]
    NoMaster,
    #[error(
        "names several servers: that is redis+cluster://host:port,host:port or redis+sentinel://host:port,host:port/MASTER"
    )]
    Servers,
}

impl FromStr for RedisUrl {
    type Err = WrongUrl;

    fn from_str(text: &str) -> Result<Self, WrongUrl> {
        let (scheme, rest) = text.split_once("://").unwrap_or_default();
        let (kind, usual_port) = match scheme
            .strip_prefix("rediss")
            .or(scheme.strip_prefix("redis"))
        {
            Some("") => ("", 6379),
            Some("+cluster") => ("cluster", 6379),
            Some("+sentinel") => ("sentinel", 26379),
            _ => return Err(WrongUrl::Scheme),
        };
        if text
            .chars()
            .any(|char| char.is_whitespace() || char.is_control())
        {
            return Err(WrongUrl::Space);
        }
        let (rest, sentinel_password_file) = without_query(kind, rest)?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (master, db) = if kind == "sentinel" {
            path.split_once('/').unwrap_or((path, ""))
        } else {
            ("", path)
        };
        let (user, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
        let mut servers = Vec::new();
        let mut login = RedisConnectionInfo::default();
        for host in hosts.split(',') {
            let (server, info) = read_server(user, host, usual_port, db)?;
            login = info;
            if !servers.contains(&server) {
                servers.push(server);
            }
        }
        let layout = layout(kind, servers, master, login.db())?;
        Ok(Self {
            text: Zeroizing::new(text.to_owned()),
            layout,
            login,
            sentinel_password_file,
        })
    }
}

/// Splits off the query, in which only `sentinel_password_file` is allowed.
fn without_query<'a>(kind: &str, rest: &'a str) -> Result<(&'a str, Option<PathBuf>), WrongUrl> {
    let (before, query) = rest
        .split_once('?')
        .map_or((rest, None), |(before, query)| (before, Some(query)));
    let path = query.and_then(|query| query.strip_prefix("sentinel_password_file="));
    let path = path
        .filter(|path| kind == "sentinel" && !path.is_empty() && !path.contains(['?', '&', '#']));
    let has_more = before.contains('#') || path.is_none() && query.is_some();
    if has_more {
        Err(WrongUrl::Query)
    } else {
        Ok((before, path.map(PathBuf::from)))
    }
}

/// Parses one of the servers: redis-rs parses a URL that names this server alone.
fn read_server(
    user: &str,
    host: &str,
    usual_port: u16,
    db: &str,
) -> Result<(Address, RedisConnectionInfo), WrongUrl> {
    let has_port = host
        .rsplit(']')
        .next()
        .is_some_and(|rest| rest.contains(':'));
    let port = if has_port {
        String::new()
    } else {
        format!(":{usual_port}")
    };
    let url = Zeroizing::new(format!("redis://{user}{host}{port}/{db}"));
    let info = url
        .as_str()
        .into_connection_info()
        .map_err(|_| WrongUrl::Unreadable)?;
    let (ConnectionAddr::Tcp(host, port), login) = (info.addr(), info.redis_settings()) else {
        return Err(WrongUrl::Unreadable);
    };
    if host.is_empty() || *port == 0 || login.db() < 0 {
        return Err(WrongUrl::Unreadable);
    }
    if login.username().is_some() && login.password().is_none() {
        return Err(WrongUrl::NoPassword);
    }
    // CLIENT SETINFO is not sent, because some proxies refuse it.
    Ok((
        Address {
            host: host.clone(),
            port: *port,
        },
        login.clone().set_skip_set_lib_name(),
    ))
}

fn layout(
    kind: &str,
    mut servers: Vec<Address>,
    master: &str,
    db: i64,
) -> Result<Layout, WrongUrl> {
    let is_name = !master.is_empty()
        && master
            .chars()
            .all(|char| char.is_ascii_alphanumeric() || "-_.".contains(char));
    match kind {
        "cluster" if db != 0 => Err(WrongUrl::Database),
        "cluster" => Ok(Layout::Cluster(servers)),
        "sentinel" if !is_name => Err(WrongUrl::NoMaster),
        "sentinel" => Ok(Layout::Sentinel {
            sentinels: servers,
            master: master.to_owned(),
        }),
        _ if servers.len() > 1 => Err(WrongUrl::Servers),
        _ => Ok(Layout::Single(servers.remove(0))),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn url(text: &str) -> RedisUrl {
        text.parse()
            .unwrap_or_else(|fault| panic!("{text} {fault}"))
    }

    #[test]
    fn each_form_is_read() {
        for (text, layout, user, password, db, tls) in [
            ("redis://h", "single h:6379", None, None, 0, false),
            (
                "redis://127.0.0.1:7000/",
                "single 127.0.0.1:7000",
                None,
                None,
                0,
                false,
            ),
            (
                "redis://:pw@h/3",
                "single h:6379",
                None,
                Some("pw"),
                3,
                false,
            ),
            ("redis://:@h", "single h:6379", None, None, 0, false),
            (
                "redis://me:p%40%3A%2F%3f%25@[2001:db8::1]:7/15",
                "single [2001:db8::1]:7",
                Some("me"),
                Some("p@:/?%"),
                15,
                false,
            ),
            (
                "redis://m%C3%A9:a:b@h",
                "single h:6379",
                Some("mé"),
                Some("a:b"),
                0,
                false,
            ),
            (
                "rediss://redis_1.example.com:6380",
                "single redis_1.example.com:6380",
                None,
                None,
                0,
                true,
            ),
            (
                "redis+cluster://a,b:7,[::1]",
                "cluster a:6379 b:7 [::1]:6379",
                None,
                None,
                0,
                false,
            ),
            (
                "rediss+cluster://u:p@a,a:6379,b/",
                "cluster a:6379 b:6379",
                Some("u"),
                Some("p"),
                0,
                true,
            ),
            (
                "redis+cluster://a/0",
                "cluster a:6379",
                None,
                None,
                0,
                false,
            ),
            (
                "redis+sentinel://a,b:7/mymaster",
                "sentinel a:26379 b:7 of mymaster",
                None,
                None,
                0,
                false,
            ),
            (
                "rediss+sentinel://:p@a/my-master_1.x/2",
                "sentinel a:26379 of my-master_1.x",
                None,
                Some("p"),
                2,
                true,
            ),
        ] {
            let read = url(text);
            assert_eq!(said(&read.layout), layout, "{text}");
            assert_eq!(
                (
                    read.login.username(),
                    read.login.password(),
                    read.login.db(),
                    read.has_tls()
                ),
                (user, password, db, tls),
                "{text}"
            );
            assert_eq!(format!("{read:?}"), "RedisUrl(…)");
        }
    }

    fn said(layout: &Layout) -> String {
        let all = |servers: &[Address]| {
            servers
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" ")
        };
        match layout {
            Layout::Single(server) => format!("single {server}"),
            Layout::Cluster(servers) => format!("cluster {}", all(servers)),
            Layout::Sentinel { sentinels, master } => {
                format!("sentinel {} of {master}", all(sentinels))
            }
        }
    }

    #[test]
    fn a_file_has_the_password_of_sentinels_that_have_their_own() {
        let read_secret = |path: &Path| match path.to_str() {
            Some("/a") => Ok(Zeroizing::new(b"own password\n".to_vec())),
            Some("/empty") => Ok(Zeroizing::new(b"\n".to_vec())),
            _ => Err("no such file".to_owned()),
        };
        let told = |file: &str| {
            let url = url(&format!(
                "redis+sentinel://:p@a/m/2?sentinel_password_file={file}"
            ));
            assert_eq!((url.login.password(), url.login.db()), (Some("p"), 2));
            url.sentinel_password(Program {
                read_secret,
                ..Program::default()
            })
        };
        assert_eq!(
            told("/a").map(|password| password.expect("a password").to_string()),
            Ok("own password".into())
        );
        assert!(told("/empty").is_err_and(|error| error.contains("/empty: holds no password")));
        assert_eq!(told("/b"), Err("no such file".into()));
        assert_eq!(
            url("redis+sentinel://:p@a/m").sentinel_password(Program::default()),
            Ok(None)
        );
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
            ("redis://", "cannot be read"),
            ("redis:///0", "cannot be read"),
            ("redis://:SECRET@", "cannot be read"),
            ("redis+cluster://a,,b", "cannot be read"),
            ("redis+cluster://a,SECRET@b", "user name without a password"),
            ("redis://h: 6379", "contains a space"),
            ("redis://:SEC RET@h", "contains a space"),
            ("redis://h\n", "contains a space"),
            ("redis://h?password=SECRET", "after ? or #"),
            ("redis://:SEC#RET@h", "after ? or #"),
            ("redis://h?sentinel_password_file=/SECRET", "after ? or #"),
            (
                "redis+sentinel://a/m?sentinel_password=SECRET",
                "after ? or #",
            ),
            (
                "redis+sentinel://a/m?sentinel_password_file=",
                "after ? or #",
            ),
            (
                "redis+sentinel://a/m?sentinel_password_file=/SECRET&a=b",
                "after ? or #",
            ),
            ("redis://:%ff@h", "cannot be read"),
            ("redis://SECRET@h", "user name without a password"),
            ("redis://h:SECRET", "cannot be read"),
            ("redis://h:0", "cannot be read"),
            ("redis://h:65536", "cannot be read"),
            ("redis://2001:db8::1", "cannot be read"),
            ("redis://[SECRET]", "cannot be read"),
            ("redis://[::1", "cannot be read"),
            ("redis://[::1]6379", "cannot be read"),
            ("redis://h/SECRET", "cannot be read"),
            ("redis://h/-1", "cannot be read"),
            ("redis://h/0/1", "cannot be read"),
            ("redis://a,b", "names several servers"),
            ("redis+cluster://a/1", "only one"),
            ("redis+sentinel://a", "does not name the master"),
            ("redis+sentinel://a/", "does not name the master"),
            ("redis+sentinel://a/SEC RET", "contains a space"),
            ("redis+sentinel://a/SEC%20RET", "does not name the master"),
            ("redis+sentinel://a/m/SECRET", "cannot be read"),
        ] {
            let fault = text.parse::<RedisUrl>().expect_err(text).to_string();
            assert!(
                fault.contains(named) && !fault.contains("SEC"),
                "{text}: {fault}"
            );
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
