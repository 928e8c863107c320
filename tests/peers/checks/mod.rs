//! Every example is asked this. Each check has two forms: `X_faults` tells everything that is wrong, `X` fails with it.

mod fails_closed;
mod identity_headers;
mod issuer;
mod paths;
mod tokens;

use std::{path::Path, time::Duration};

use crate::back_end::Seen;
use crate::example::Example;
use crate::raw::{Reply, Request};
use crate::scene::{Login, Scene};

pub(crate) use self::fails_closed::fails_closed_faults;
pub(crate) use self::identity_headers::{UPGRADE, identity_header_faults};
pub(crate) use self::issuer::{issuer_faults, unknown_key_faults};
pub(crate) use self::paths::path_faults;
pub(crate) use self::tokens::token_faults;
use crate::support::{Breakable, PATIENCE, eventually, keys, kid_of, until};

/// How often an example that follows the feed of ends asks for it, at most, while the bad tokens are sent.
pub(crate) const LOOKS_AT_THE_FEED: u64 = 3;

/// Credentials that an example takes though it should not, by name, and why, in the words of its README.md.
pub(crate) type Exceptions<'a> = &'a [(&'a str, &'a str)];

/// A real token is taken for its user's, each bad one is refused before the back end sees anything, and nothing that a
/// token points to is fetched.
pub(crate) async fn tokens(scene: &Scene, example: &Example, exceptions: Exceptions<'_>) {
    fail_with(example, token_faults(scene, example, exceptions).await);
}

/// No spelling of an identity header reaches the back end from outside. For proxies.
pub(crate) async fn identity_headers(scene: &Scene, example: &Example) {
    fail_with(example, identity_header_faults(scene, example).await);
}

/// No way to write a path leads a stranger to what is protected.
pub(crate) async fn paths(scene: &Scene, example: &Example) {
    fail_with(example, path_faults(scene, example).await);
}

/// Without its sidecar, or with one out of its mind, the example lets nobody through, and says so in time.
pub(crate) async fn fails_closed(scene: &Scene, example: &Example, sidecar: &Breakable) {
    fail_with(example, fails_closed_faults(scene, example, sidecar).await);
}

/// All that is asked of who asks a sidecar, over `sidecar`, and takes no bad token at all.
pub(crate) async fn asks_a_sidecar(scene: &Scene, example: &Example, sidecar: &Breakable) {
    tokens(scene, example, &[]).await;
    identity_headers(scene, example).await;
    paths(scene, example).await;
    fails_closed(scene, example, sidecar).await;
    issuer_away(scene, example).await;
}

/// All that is asked of a service that verifies by itself, once it has keys.
pub(crate) async fn verifies_by_itself(
    scene: &Scene,
    example: &Example,
    exceptions: Exceptions<'_>,
    fetches: u64,
) {
    eventually("it has keys", PATIENCE, async || {
        scene.is_let_in(example).await
    })
    .await;
    tokens(scene, example, exceptions).await;
    paths(scene, example).await;
    unknown_keys(scene, example, fetches).await;
    issuer_away(scene, example).await;
}

/// While the issuer is away, old tokens and new ones are taken all the same.
pub(crate) async fn issuer_away(scene: &Scene, example: &Example) {
    fail_with(example, issuer_faults(scene, example).await);
}

/// Started while the issuer is away, it says 503 until it has keys, and then lets tokens in by itself.
pub(crate) async fn starts_before_the_issuer(scene: &Scene, example: &Example) {
    says_503_without_keys(scene, example).await;
    scene.link.restore().await;
    eventually("it has keys", PATIENCE, async || {
        scene.is_let_in(example).await
    })
    .await;
}

/// Started while the issuer is away, it says 503, and when to ask again.
pub(crate) async fn says_503_without_keys(scene: &Scene, example: &Example) {
    let request = Request::get(example.protected).bearer(&scene.lin.token);
    let refused = eventually("it listens", PATIENCE, async || {
        request.send(example.address).await.ok()
    })
    .await;
    assert_eq!(
        (refused.status, refused.header("retry-after").len()),
        (503, 1),
        "{refused:?}"
    );
}

/// Once the issuer's key has been retired for an emergency, its tokens are refused and those of the new key are taken,
/// `within` the time that the example is set to look for keys. The scene is another one afterwards.
pub(crate) async fn learns_of_keys(scene: &Scene, example: &Example, within: Duration) {
    let file = Path::new(scene.bed.configuration.value("WXMINT_KEYS"));
    keys(
        file,
        &["retire", &kid_of(&scene.lin.token), "--now", "--yes"],
    );
    let old = Request::get(example.protected).bearer(&scene.lin.token);
    until("the old key is refused", PATIENCE + within, async || {
        Asked::send(scene, example, &old).await.status() == 401
    })
    .await;
    let login = scene.log_in("mei").await;
    assert_ne!(kid_of(&login.token), kid_of(&scene.lin.token));
    until("the new key is taken", PATIENCE + within, async || {
        let request = Request::get(example.protected).bearer(&login.token);
        Asked::send(scene, example, &request)
            .await
            .unlike(&login)
            .is_none()
    })
    .await;
}

/// By the feed, it refuses the tokens of a key that was retired for an emergency, and then those of a user who logged
/// out everywhere, and nobody else's.
pub(crate) async fn obeys_revocations(scene: &Scene, example: &Example) {
    learns_of_keys(scene, example, Duration::from_secs(5)).await;
    let (lin, mei) = (scene.log_in("lin").await, scene.log_in("mei").await);
    example.becomes(&lin.token, 200, "by the new key").await;
    scene.log_out_everywhere(&lin).await;
    example.becomes(&lin.token, 401, "after a logout").await;
    assert_eq!(example.status(&mei.token).await, Some(200), "another user");
    let again = scene.log_in("lin").await;
    example
        .becomes(&again.token, 200, "after the next login")
        .await;
}

/// Not more than `fetches` of 40 tokens of keys that nobody knows make it ask the issuer.
pub(crate) async fn unknown_keys(scene: &Scene, example: &Example, fetches: u64) {
    fail_with(example, unknown_key_faults(scene, example, fetches).await);
}

#[track_caller]
fn fail_with(example: &Example, faults: Vec<String>) {
    assert!(
        faults.is_empty(),
        "examples/peers/{}:\n{}",
        example.name,
        faults.join("\n")
    );
}

/// A request, what came back, and what the back end saw of it.
struct Asked {
    reply: Result<Reply, String>,
    seen: Vec<Seen>,
}

impl Asked {
    async fn send(scene: &Scene, example: &Example, request: &Request) -> Self {
        scene.back_end.take();
        let reply = request.send_within(example.address, example.longest).await;
        Self {
            reply,
            seen: scene.back_end.take(),
        }
    }

    fn status(&self) -> u16 {
        self.reply.as_ref().map_or(0, |reply| reply.status)
    }

    fn is_ok(&self) -> bool {
        self.status() == 200
    }

    fn told(&self) -> String {
        match &self.reply {
            Ok(reply) => {
                let body: String = reply.body.chars().take(300).collect();
                format!("{} {body}", reply.status)
            }
            Err(error) => error.clone(),
        }
    }

    /// Says what is wrong with an answer that should have been for `login`.
    fn unlike(&self, login: &Login) -> Option<String> {
        let Ok(reply) = &self.reply else {
            return Some(self.told());
        };
        if reply.status != 200 {
            return Some(self.told());
        }
        let told = reply.json();
        let right = match self.seen.last() {
            Some(seen) => seen.is_of(login),
            None => told["user_id"] == login.user_id && told["client_id"] == login.client_id,
        };
        (!right).then(|| format!("not for {login:?}: {}", self.told()))
    }
}

/// As back ends see names that make variables of them (CGI, WSGI), or that are lax.
fn normal_name(name: &str) -> String {
    name.trim().to_ascii_lowercase().replace(['_', '.'], "-")
}

impl Seen {
    /// The values of a header in any spelling.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        let named = self
            .headers
            .iter()
            .filter(|(found, _)| normal_name(found) == name);
        named.map(|(_, value)| &**value).collect()
    }

    /// Whether the identity headers name `login` and nobody else. The user's id must be there.
    fn is_of(&self, login: &Login) -> bool {
        let mut headers = login.identity().into_iter();
        !self.values("x-user-id").is_empty()
            && headers
                .all(|(name, value)| self.values(name).into_iter().all(|found| found == value))
    }

    fn is_of_nobody(&self) -> bool {
        let mut names = ["x-user-id", "x-client-id", "x-token-id"].into_iter();
        names.all(|name| self.values(name).into_iter().all(str::is_empty))
    }
}
