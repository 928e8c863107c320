//! The surroundings of an example: an issuer with its Redis and WeChat, a back end, and a canary.

use std::{fs, net::SocketAddr, sync::Arc};

use serde_json::{Value, json};
use wxmint::clock::now;

use crate::back_end::BackEnd;
use crate::canary::Canary;
use crate::example::Example;
use crate::forge::{BadToken, Forge, ForgeKey};
use crate::raw::Request;
use crate::support::{Breakable, PATIENCE, Sidecar, SidecarSettings, TestBed, decoded, free_port};

pub(crate) struct Scene {
    pub(crate) bed: TestBed,
    /// The tokens' `iss` and `aud`, and where the JWKS is: before the service stands [`Scene::link`].
    pub(crate) issuer: String,
    /// Between examples and issuer. Logins do not need it.
    pub(crate) link: Breakable,
    pub(crate) back_end: BackEnd,
    pub(crate) canary: Canary,
    pub(crate) lin: Login,
    pub(crate) mei: Login,
}

/// A peer should know this of whoever sends `token`.
#[derive(Debug, Clone)]
pub(crate) struct Login {
    pub(crate) token: String,
    pub(crate) user_id: String,
    pub(crate) client_id: String,
    pub(crate) token_id: String,
}

impl Scene {
    pub(crate) async fn start() -> Self {
        Self::signing_by("ES256").await
    }

    /// The issuer cannot be reached until [`Scene::link`] is restored.
    pub(crate) async fn without_issuer() -> Self {
        let scene = Self::start().await;
        scene.link.cut().await;
        scene
    }

    /// With a key for another algorithm. `forge` signs ES256 alone.
    pub(crate) async fn signing_by(algorithm: &'static str) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let link = Breakable::before(address).await;
        let bed = TestBed::builder().algorithm(algorithm);
        let bed = bed
            .env("WXMINT_ISSUER", &link.url())
            .env("WXMINT_LISTEN", &address.to_string())
            .start()
            .await;
        let (lin, mei) = (Login::of(&bed, "lin").await, Login::of(&bed, "mei").await);
        Self {
            bed,
            issuer: link.url(),
            link,
            back_end: BackEnd::start().await,
            canary: Canary::start().await,
            lin,
            mei,
        }
    }

    /// The issuer's, as examples reach it.
    pub(crate) fn address(&self) -> SocketAddr {
        self.link.address()
    }

    /// A sidecar that follows the issuer.
    pub(crate) async fn sidecar(&self) -> Sidecar {
        let settings = SidecarSettings::following(&self.issuer);
        let settings = settings
            .with("WXMINT_ISSUER", &self.issuer)
            .with("WXMINT_AUDIENCE", &self.issuer);
        let sidecar = settings.start().await;
        sidecar.ready_within(2 * PATIENCE).await;
        sidecar
    }

    /// Whether `example` runs, and knows the issuer's keys.
    pub(crate) async fn is_let_in(&self, example: &Example) -> Option<()> {
        let reply = Request::get(example.protected)
            .bearer(&self.lin.token)
            .send(example.address)
            .await;
        reply.is_ok_and(|reply| reply.status == 200).then_some(())
    }

    pub(crate) async fn log_in(&self, person: &str) -> Login {
        Login::of(&self.bed, person).await
    }

    /// Ends all tokens of this user.
    pub(crate) async fn log_out_everywhere(&self, user: &Login) {
        let answer = self
            .bed
            .service()
            .ask("POST", "/logout", &user.token, &json!({"everywhere": true}))
            .await;
        assert_eq!(answer.status, 204, "{answer:?}");
    }

    /// Makes what is like lin's token, but for what a test spoils.
    pub(crate) fn forge(&self) -> Forge<'_> {
        let (header, claims) = decoded(&self.lin.token);
        let file = fs::read(self.bed.configuration.value("WXMINT_KEYS")).expect("the key file");
        let file: Value = serde_json::from_slice(&file).expect("JSON");
        Forge {
            header,
            claims,
            issuer: Arc::new(ForgeKey::of_file(&file)),
            other: &self.canary.key,
            now: now().timestamp(),
        }
    }

    pub(crate) fn bad_tokens(&self) -> Vec<BadToken> {
        let canary = (&*self.canary.jwks_url(), &*self.canary.certificate_url());
        self.forge()
            .bad_tokens(&self.lin.token, &self.mei.token, canary)
    }
}

impl Login {
    async fn of(bed: &TestBed, person: &str) -> Self {
        let login = bed.log_in(person).await.expect_login();
        let (token, user_id) = (login.member("access_token"), login.member("user_id"));
        let (_, claims) = decoded(&token);
        let claim = |name: &str| claims[name].as_str().expect("a claim").to_owned();
        Self {
            token,
            user_id,
            client_id: claim("client_id"),
            token_id: claim("jti"),
        }
    }

    /// The identity headers that a proxy gives its back end.
    pub(crate) fn identity(&self) -> [(&'static str, &str); 3] {
        [
            ("x-user-id", &self.user_id),
            ("x-client-id", &self.client_id),
            ("x-token-id", &self.token_id),
        ]
    }
}
