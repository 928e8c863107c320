//! TLS to Redis: the trusted CA certificates, and the client's certificate.

use std::{fs, io, path::PathBuf, sync::Arc};

use parking_lot::Mutex;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, Error, InvalidMessage, RootCertStore,
};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use zeroize::Zeroizing;

use super::access::Program;
use super::failure::{Cause, Reason};

/// The PEM files for TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The CA certificates to trust in place of the system's.
    pub ca: Option<PathBuf>,
    /// The client's certificate and its key.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// The TLS configuration of the process. New connections use the present content of the files.
pub(crate) struct Tls {
    files: TlsFiles,
    program: Program,
    current: Mutex<Option<Current>>,
}

struct Current {
    content: Content,
    config: Arc<ClientConfig>,
    /// Why the changed files cannot be used, so that it is logged once.
    told: Option<String>,
}

#[derive(PartialEq, Eq)]
struct Content {
    ca: Option<Vec<u8>>,
    client: Option<(Vec<u8>, Zeroizing<Vec<u8>>)>,
}

impl Tls {
    pub(crate) fn new(files: TlsFiles, program: Program) -> Self {
        Self {
            files,
            program,
            current: Mutex::default(),
        }
    }

    /// The configuration by the present content of the files. If changed files cannot be used, the
    /// previous configuration stays, because a certificate and its key are replaced one after the
    /// other.
    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>, String> {
        let current = &mut *self.current.lock();
        let made = Content::read(&self.files, &self.program).and_then(|content| match current {
            Some(current) if current.content == content => Ok(None),
            _ => Ok(Some(Current {
                config: Arc::new(content.config(&self.program)?),
                content,
                told: None,
            })),
        });
        match (made, &mut *current) {
            (Ok(Some(made)), current) => *current = Some(made),
            (Err(reason), Some(current)) if current.told.as_ref() != Some(&reason) => {
                tracing::error!(
                    reason,
                    "the changed TLS files for Redis cannot be used; keeping the previous ones"
                );
                current.told = Some(reason);
            }
            (Err(reason), None) => return Err(reason),
            _ => {}
        }
        Ok(Arc::clone(
            &current.as_ref().expect("made just now or before").config,
        ))
    }

    pub(crate) async fn encrypt(
        &self,
        stream: TcpStream,
        host: &str,
    ) -> Result<TlsStream<TcpStream>, Reason> {
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|_| "its host is no name that a certificate can have")?;
        TlsConnector::from(self.config()?)
            .connect(name, stream)
            .await
            .map_err(|error| self.describe(&error, host))
    }

    /// Why a TLS connection failed, and what to do.
    pub(crate) fn describe(&self, error: &io::Error, host: &str) -> Reason {
        let Some(error) = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<Error>())
        else {
            return error.to_string().into();
        };
        match error {
            Error::InvalidCertificate(error) => self.distrust(error, host),
            Error::AlertReceived(alert) => self.refusal(*alert),
            Error::InvalidMessage(InvalidMessage::InvalidContentType) => Cause::NoTls
                .because("it does not speak TLS on this port: name its TLS port, or begin the URL with redis"),
            _ => format!("no TLS with it: {error}").into(),
        }
    }

    fn distrust(&self, error: &CertificateError, host: &str) -> Reason {
        use CertificateError::*;
        let Program { ca_file, .. } = self.program;
        match (error, &self.files.ca) {
            // A bad signature comes from another authority with the same name.
            (UnknownIssuer | BadSignature, Some(_)) => {
                let found = format!(
                    "its certificate is not trusted: no authority in {ca_file} has signed it"
                );
                Reason::from(found).with_cure("put the authority that did into that file")
            }
            (UnknownIssuer | BadSignature, None) => {
                let found = "its certificate is not trusted: no authority that this system trusts has signed it";
                Reason::from(found).with_cure(format!(
                    "set {ca_file} to the PEM file of the authority that did"
                ))
            }
            (NotValidForNameContext { presented, .. }, _) => {
                // rustls writes `DnsName("redis.example.com")`.
                let bare = presented.iter().map(|name| {
                    name.split_once('(')
                        .map_or(name.as_str(), |(_, inner)| inner)
                });
                let names = bare
                    .map(|name| name.trim_matches(['(', ')', '"']))
                    .collect::<Vec<_>>()
                    .join(", ");
                Reason::from(format!("its certificate is not for {host} but for {names}")).with_cure(
                    "name it so in the URL (on a Cluster: let it announce that name), or give it another certificate",
                )
            }
            (Expired | ExpiredContext { .. }, _) => Cause::Expired
                .because("its certificate has expired, or the clock of this machine is fast"),
            (error, _) => format!("its certificate is not trusted: {error}").into(),
        }
    }

    fn refusal(&self, alert: AlertDescription) -> Reason {
        match &self.files.client {
            None if [
                AlertDescription::CertificateRequired,
                AlertDescription::HandshakeFailure,
            ]
            .contains(&alert) =>
            {
                let Program {
                    cert_file,
                    key_file,
                    ..
                } = self.program;
                format!("it wants a client certificate: set {cert_file} and {key_file}").into()
            }
            Some(_) => format!(
                "it refuses the certificate in {} ({alert:?})",
                self.program.cert_file
            )
            .into(),
            None => format!("it refuses TLS ({alert:?})").into(),
        }
    }
}

impl Content {
    fn read(files: &TlsFiles, program: &Program) -> Result<Self, String> {
        let open = |setting, path: &PathBuf| {
            // Reading a pipe would wait for a writer.
            let is_other = fs::metadata(path).is_ok_and(|it| !it.is_file());
            let read = if is_other {
                Err(io::Error::other("it is not a regular file"))
            } else {
                fs::read(path)
            };
            read.map_err(|error| format!("{setting}: {}: {error}", path.display()))
        };
        let ca = files
            .ca
            .as_ref()
            .map(|path| open(program.ca_file, path))
            .transpose()?;
        let Some((certificate, key)) = &files.client else {
            return Ok(Self { ca, client: None });
        };
        let certificate = open(program.cert_file, certificate)?;
        let key =
            (program.read_secret)(key).map_err(|error| format!("{}: {error}", program.key_file))?;
        Ok(Self {
            ca,
            client: Some((certificate, key)),
        })
    }

    fn config(&self, program: &Program) -> Result<ClientConfig, String> {
        let Program {
            ca_file,
            cert_file,
            key_file,
            ..
        } = program;
        let failed = |error: Error| format!("TLS to Redis cannot be set up: {error}");
        let builder = match &self.ca {
            None => ClientConfig::builder()
                .with_platform_verifier()
                .map_err(failed)?,
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(ca_file, pem)? {
                    roots
                        .add(certificate)
                        .map_err(|error| format!("{ca_file}: {error}"))?;
                }
                ClientConfig::builder().with_root_certificates(roots)
            }
        };
        let Some((certificate, key)) = &self.client else {
            return Ok(builder.with_no_client_auth());
        };
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| {
            format!("{key_file}: holds no private key in PEM (-----BEGIN PRIVATE KEY-----)")
        })?;
        builder
            .with_client_auth_cert(certificates(cert_file, certificate)?, key)
            .map_err(|error| format!("{cert_file} and {key_file}: {error}"))
    }
}

fn certificates(setting: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .filter_map(Result::ok)
        .collect();
    match found.is_empty() {
        true => Err(format!(
            "{setting}: holds no certificate in PEM (-----BEGIN CERTIFICATE-----)"
        )),
        false => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use std::{process::Command, sync::mpsc::channel, thread, time::Duration};

    use super::*;

    #[test]
    fn a_pipe_is_refused_without_waiting_for_a_writer() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ca.pem");
        assert!(
            Command::new("mkfifo")
                .arg(&path)
                .status()
                .expect("mkfifo")
                .success()
        );
        let (sender, read) = channel();
        thread::spawn(move || {
            let files = TlsFiles {
                ca: Some(path),
                client: None,
            };
            sender.send(Content::read(&files, &Program::default()).map(drop))
        });
        let said = read
            .recv_timeout(Duration::from_secs(10))
            .expect("an answer at once");
        assert!(
            said.expect_err("no file")
                .contains("it is not a regular file")
        );
    }
}
