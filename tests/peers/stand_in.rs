//! A proxy of the test's own, which can be given a flaw that the checks must find.

use std::{net::SocketAddr, time::Duration};

use tokio::task::JoinHandle;

use crate::raw::{Head, Reply, Request, listen};
use crate::scene::Scene;
use crate::support::decoded;

const LONGEST_VALUE: usize = 16 * 1024;
const IDENTITY: [&str; 3] = ["x-user-id", "x-client-id", "x-token-id"];

fn refusal(status: &str, header: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n{header}\r\n")
}

fn values<'a>(head: &'a Head, name: &str) -> Vec<&'a str> {
    let named = head
        .headers
        .iter()
        .filter(|(found, _)| found.eq_ignore_ascii_case(name));
    named.map(|(_, value)| &**value).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    /// Lets everybody through, as whom they say they are.
    AsksNobody,
    /// Takes the last of two tokens.
    TakesOneOfTwo,
    RefusesAll,
    /// Removes the identity headers only as they are usually written.
    StripsOneSpelling,
    /// Removes them where a token is wanted.
    StripsWhereProtected,
    /// Obeys `Connection` after having set the identity.
    ObeysConnection,
    /// Leads a request to upgrade past all that.
    StripsNoUpgrade,
    /// Compares paths as they were sent.
    ComparesPathsAsSent,
    /// Opens what is public in any case.
    IgnoresCase,
    /// Lets everybody through while the sidecar does not answer.
    FailsOpen,
    Waits,
    /// Fetches what a token's header points to.
    FollowsHeaders,
    AsksTheIssuer,
}

/// A proxy before a scene's back end: `/public/` is open, and all else wants a token that the sidecar believes.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    server: JoinHandle<()>,
}

#[derive(Clone)]
struct Route {
    sidecar: SocketAddr,
    back_end: SocketAddr,
    issuer: SocketAddr,
    flaw: Flaw,
}

impl Proxy {
    pub(crate) async fn start(scene: &Scene, sidecar: SocketAddr, flaw: Flaw) -> Self {
        let route = Route {
            sidecar,
            back_end: scene.back_end.address,
            issuer: scene.address(),
            flaw,
        };
        let (address, server) = listen(move |head| route.clone().pass(head)).await;
        Self { address, server }
    }
}

impl Route {
    async fn pass(self, head: Head) -> Option<String> {
        let target = head.first.split(' ').nth(1)?.to_owned();
        if !self.is_plain(&target) || head.headers.iter().any(|(name, _)| name.trim() != name) {
            return Some(refusal("400 Bad Request", ""));
        }
        if self.flaw != Flaw::AsksNobody
            && head
                .headers
                .iter()
                .any(|(_, value)| value.len() > LONGEST_VALUE)
        {
            return Some(refusal("431 Request Header Fields Too Large", ""));
        }
        let compared = if self.flaw == Flaw::IgnoresCase {
            target.to_ascii_lowercase()
        } else {
            target.clone()
        };
        let identity = match compared.starts_with("/public/") {
            true => Vec::new(),
            false => match self.identity(&head).await {
                Ok(identity) => identity,
                Err(refusal) => return Some(refusal),
            },
        };
        Some(self.forward(&target, &head, identity).await)
    }

    fn is_plain(&self, target: &str) -> bool {
        let tricks = ["//", "/.", "%", ";", "\\", "#"];
        self.flaw == Flaw::ComparesPathsAsSent
            || target.starts_with('/') && !tricks.iter().any(|trick| target.contains(trick))
    }

    /// The identity headers that the sidecar gives, or what the client gets.
    async fn identity(&self, head: &Head) -> Result<Vec<(String, String)>, String> {
        if self.flaw == Flaw::FollowsHeaders {
            follow(head).await;
        }
        let jwks = Request::get("/.well-known/jwks.json");
        if self.flaw == Flaw::AsksTheIssuer
            && jwks
                .send_within(self.issuer, Duration::from_secs(1))
                .await
                .is_err()
        {
            return Err(refusal("503 Service Unavailable", ""));
        }
        let mut authorization = values(head, "authorization");
        let mut patience = Duration::from_secs(1);
        match self.flaw {
            Flaw::AsksNobody => return Ok(Vec::new()),
            Flaw::RefusesAll => {
                return Err(refusal("401 Unauthorized", "WWW-Authenticate: Bearer\r\n"));
            }
            Flaw::Waits => patience = Duration::from_hours(1),
            Flaw::TakesOneOfTwo => {
                drop(authorization.drain(..authorization.len().saturating_sub(1)));
            }
            _ => {}
        }
        let asked = ask(self.sidecar, &authorization, patience).await;
        match asked {
            Some(reply) if reply.status == 200 => {
                let named = IDENTITY.map(|name| (name.to_owned(), reply.header(name).concat()));
                Ok(named.into())
            }
            Some(reply) if reply.status == 401 => {
                let challenge = reply.header("www-authenticate").concat();
                Err(refusal(
                    "401 Unauthorized",
                    &format!("WWW-Authenticate: {challenge}\r\n"),
                ))
            }
            _ if self.flaw == Flaw::FailsOpen => Ok(Vec::new()),
            _ => Err(refusal("503 Service Unavailable", "")),
        }
    }

    async fn forward(&self, target: &str, head: &Head, identity: Vec<(String, String)>) -> String {
        let hop_by_hop = values(head, "connection").join(",").to_lowercase();
        let dropped = |name: &str| {
            self.flaw == Flaw::ObeysConnection && hop_by_hop.contains(&name.to_lowercase())
        };
        let is_upgrade = self.flaw == Flaw::StripsNoUpgrade && !values(head, "upgrade").is_empty();
        let passed = head
            .headers
            .iter()
            .filter(|(name, _)| is_upgrade || self.passes(name, target))
            .cloned();
        let headers = passed.chain(identity).filter(|(name, _)| !dropped(name));
        let request = headers.fold(Request::get(target), |request, (name, value)| {
            request.line(&format!("{name}: {value}"))
        });
        match request.send(self.back_end).await {
            Ok(reply) => {
                let (length, body) = (reply.body.len(), reply.body);
                format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}")
            }
            Err(_) => refusal("502 Bad Gateway", ""),
        }
    }

    fn passes(&self, name: &str, target: &str) -> bool {
        let usual = name.to_lowercase();
        let normal = usual.replace(['_', '.'], "-");
        match self.flaw {
            _ if ["host", "connection"].contains(&&*usual) => false,
            Flaw::AsksNobody => true,
            Flaw::StripsOneSpelling => !IDENTITY.contains(&&*usual),
            Flaw::StripsWhereProtected => {
                target.starts_with("/public/") || !IDENTITY.contains(&&*normal)
            }
            _ => !IDENTITY.contains(&&*normal),
        }
    }
}

async fn ask(sidecar: SocketAddr, authorization: &[&str], patience: Duration) -> Option<Reply> {
    let lines = authorization
        .iter()
        .map(|value| format!("Authorization: {value}"));
    let request = lines.fold(Request::get("/verify"), |request, line| request.line(&line));
    request.send_within(sidecar, patience).await.ok()
}

/// Asks whatever a token's header names.
async fn follow(head: &Head) {
    for value in values(head, "authorization") {
        let Some(token) = value
            .strip_prefix("Bearer ")
            .filter(|token| token.matches('.').count() == 2)
        else {
            continue;
        };
        let (header, _) = decoded(token);
        let url = header["jku"]
            .as_str()
            .or(header["x5u"].as_str())
            .and_then(|url| url.strip_prefix("http://"));
        let Some((address, path)) = url.and_then(|url| url.split_once('/')) else {
            continue;
        };
        let _ = Request::get(&format!("/{path}"))
            .send(address.parse().expect("an address"))
            .await;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}
