//! The link has to know this of the program that uses it.

use std::{fs, path::Path};

use zeroize::Zeroizing;

/// The names of the program's settings in errors, and how it reads a file that holds a secret.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// The setting that names the file of authorities.
    pub ca_file: &'static str,
    /// The setting that names the file of the client certificate.
    pub cert_file: &'static str,
    /// The setting that names the file of the client's key.
    pub key_file: &'static str,
    /// The setting that says how many replicas confirm.
    pub confirm: &'static str,
    /// Reads the client's key. It may refuse a file that others can read, in words for the log.
    pub read_secret: fn(&Path) -> Result<Zeroizing<Vec<u8>>, String>,
}

impl Default for Program {
    fn default() -> Self {
        Self {
            ca_file: "the file of authorities",
            cert_file: "the file of the client certificate",
            key_file: "the file of the client key",
            confirm: "the setting of replicas that confirm",
            read_secret: |path| {
                fs::read(path).map(Zeroizing::new).map_err(|error| format!("{}: {error}", path.display()))
            },
        }
    }
}
