//! A server that nobody has a reason to ask: only tokens point to it. It would give whoever asks the forger's key.

use serde_json::json;

use crate::forge::ForgeKey;
use crate::support::{Answering, Manner};

const JWKS: &str = "/jwks.json";
const CERTIFICATE: &str = "/certificate.pem";

pub(crate) struct Canary {
    /// The forger's, which it serves as a JWK Set and in a certificate.
    pub(crate) key: ForgeKey,
    server: Answering,
}

impl Canary {
    pub(crate) async fn start() -> Self {
        let made = rcgen::generate_simple_self_signed(["canary.example".to_owned()])
            .expect("a certificate");
        let key = ForgeKey::of_pkcs8(&made.signing_key.serialize_der());
        let server = Answering::start();
        let says = |kind: &str, body: String| {
            Manner::says("200 OK", &format!("Content-Type: {kind}\r\n"), body)
        };
        server.at(
            JWKS,
            says(
                "application/jwk-set+json",
                json!({"keys": [key.jwk]}).to_string(),
            ),
        );
        server.at(
            CERTIFICATE,
            says("application/pem-certificate-chain", made.cert.pem()),
        );
        Self { key, server }
    }

    pub(crate) fn jwks_url(&self) -> String {
        self.server.url(JWKS)
    }

    pub(crate) fn certificate_url(&self) -> String {
        self.server.url(CERTIFICATE)
    }

    /// The paths that were asked for.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.server
            .calls()
            .into_iter()
            .map(|fetch| fetch.path)
            .collect()
    }
}
