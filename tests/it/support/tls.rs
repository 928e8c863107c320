//! TLS in front of a server that has none, with a certificate of its own making, and authorities for others.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{ServerConfig, crypto::aws_lc_rs};
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::{Accepting, write_private};

pub(crate) struct Terminator {
    pub(crate) address: SocketAddr,
    /// PEM.
    pub(crate) certificate: String,
    _accepting: Accepting,
}

impl Terminator {
    pub(crate) async fn before(target: SocketAddr) -> Self {
        let made =
            rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
        let key = made.signing_key.serialize_der().try_into().expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|config| {
                config
                    .with_no_client_auth()
                    .with_single_cert(vec![made.cert.der().clone()], key)
            })
            .expect("a configuration");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let accepting = Accepting::start(move |stream| pass(stream, acceptor.clone(), target));
        Self {
            address: accepting.address,
            certificate: made.cert.pem(),
            _accepting: accepting,
        }
    }
}

async fn pass(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    target: SocketAddr,
) -> io::Result<(u64, u64)> {
    let mut inner = TcpStream::connect(target).await?;
    inner.set_nodelay(true)?;
    copy_bidirectional(&mut acceptor.accept(stream).await?, &mut inner).await
}

/// An authority with its files: `ca.crt`, and `NAME.crt` with `NAME.key` for each certificate that it has signed.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

impl Authority {
    pub(crate) fn new(folder: &Path) -> Self {
        fs::create_dir_all(folder).expect("a folder");
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, folder.to_string_lossy());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key"))
            .expect("an authority");
        fs::write(folder.join("ca.crt"), issuer.pem()).expect("written");
        Self {
            issuer,
            folder: folder.to_owned(),
        }
    }

    /// Signs a certificate for these host names and addresses, and writes it with its key.
    pub(crate) fn sign(&self, name: &str, hosts: &[&str]) {
        self.sign_until(name, hosts, 4096);
    }

    pub(crate) fn sign_until(&self, name: &str, hosts: &[&str], year: i32) {
        let hosts: Vec<_> = hosts.iter().map(|&host| host.to_owned()).collect();
        let mut params = CertificateParams::new(hosts).expect("host names");
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        fs::write(self.path(&format!("{name}.crt")), certificate.pem()).expect("written");
        let path = self.path(&format!("{name}.key"));
        let _ = fs::remove_file(&path);
        write_private(&path, &key.serialize_pem());
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    /// Options of a redis-server that has TLS on `port`, with the certificate `name`, beside its port without.
    pub(crate) fn redis_options(&self, port: u16, name: &str, wants_client: bool) -> Vec<String> {
        let path = |file: String| self.path(&file).to_string_lossy().into_owned();
        let (certificate, key, ca) = (
            path(format!("{name}.crt")),
            path(format!("{name}.key")),
            path("ca.crt".into()),
        );
        let wants = if wants_client { "yes" } else { "no" };
        let options = [
            ("--tls-port", port.to_string()),
            ("--tls-cert-file", certificate),
            ("--tls-key-file", key),
            ("--tls-ca-cert-file", ca),
            ("--tls-auth-clients", wants.into()),
        ];
        options
            .into_iter()
            .flat_map(|(name, value)| [name.to_owned(), value])
            .collect()
    }
}
