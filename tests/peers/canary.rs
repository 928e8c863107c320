//! A server that nobody has a reason to ask: only tokens point to it. It would give whoever asks the forger's key.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::json;
use tokio::{
    io::{AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

use crate::{forge::ForgeKey, raw::head};

pub(crate) struct Canary {
    /// The forger's.
    pub(crate) key: ForgeKey,
    address: SocketAddr,
    /// What was asked of each connection.
    seen: Arc<Mutex<Vec<String>>>,
    server: JoinHandle<()>,
}

impl Canary {
    /// With the forger's key, as a JWK Set and in a certificate.
    pub(crate) async fn start() -> Self {
        let made = rcgen::generate_simple_self_signed(["canary.example".to_owned()]).expect("a certificate");
        let key = ForgeKey::of_pkcs8(&made.signing_key.serialize_der());
        let bait = Bait { jwks: json!({"keys": [key.jwk]}).to_string(), certificate: made.cert.pem() };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (address, seen) = (listener.local_addr().expect("its address"), Arc::default());
        let server = tokio::spawn(serve(listener, Arc::new(bait), Arc::clone(&seen)));
        Self { key, address, seen, server }
    }

    pub(crate) fn jwks_url(&self) -> String {
        format!("http://{}/jwks.json", self.address)
    }

    pub(crate) fn certificate_url(&self) -> String {
        format!("http://{}/certificate.pem", self.address)
    }

    /// Every connection, by the first line that came on it.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

struct Bait {
    jwks: String,
    certificate: String,
}

async fn serve(listener: TcpListener, bait: Arc<Bait>, seen: Arc<Mutex<Vec<String>>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let place = {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.push("a connection".to_owned());
            seen.len() - 1
        };
        connections.spawn(answer(stream, Arc::clone(&bait), Arc::clone(&seen), place));
    }
}

async fn answer(stream: TcpStream, bait: Arc<Bait>, seen: Arc<Mutex<Vec<String>>>, place: usize) {
    let mut stream = BufReader::new(stream);
    let Ok(Some(head)) = head(&mut stream).await else { return };
    let (kind, body) = match head.first.contains(".pem") {
        true => ("application/pem-certificate-chain", &bait.certificate),
        false => ("application/jwk-set+json", &bait.jwks),
    };
    seen.lock().unwrap_or_else(PoisonError::into_inner)[place] = head.first;
    let length = body.len();
    let reply = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    // Whoever asked may be gone.
    let _ = stream.get_mut().write_all(reply.as_bytes()).await;
}

impl Drop for Canary {
    fn drop(&mut self) {
        self.server.abort();
    }
}
