//! TLS in front of a server that has none, with a certificate of its own making.

use std::{net::SocketAddr, sync::Arc};

use rustls::{ServerConfig, crypto::aws_lc_rs};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;

pub(crate) struct Terminator {
    pub(crate) address: SocketAddr,
    /// PEM.
    pub(crate) certificate: String,
    acceptor: JoinHandle<()>,
}

impl Terminator {
    pub(crate) async fn before(target: SocketAddr) -> Self {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
        let key = made.signing_key.serialize_der().try_into().expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|config| config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key))
            .expect("a configuration");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let acceptor = tokio::spawn(accept(listener, TlsAcceptor::from(Arc::new(config)), target));
        Self { address, certificate: made.cert.pem(), acceptor }
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, target: SocketAddr) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        connections.spawn(async move {
            let mut outer = acceptor.accept(stream).await?;
            copy_bidirectional(&mut outer, &mut TcpStream::connect(target).await?).await
        });
    }
}

impl Drop for Terminator {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}
