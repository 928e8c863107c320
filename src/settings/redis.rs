//! Where codes, session keys and bindings are kept.

use std::path::{Path, PathBuf};

use wxmint_redis_link::{Confirm, Program, RedisAccess, RedisUrl, TlsFiles};

use super::variables::{REDIS_CA_FILE, REDIS_CERT_FILE, REDIS_KEY_FILE, REDIS_URL};
use super::{Faults, Reader, forms::parsed, reader::read_secret_file, settings};
use crate::findings::Message;
use crate::secret_files::{Settled, read_private};

settings! {
    StoreSettings for Issuer {
        confirm: Confirm = REDIS_CONFIRM(parsed),
    } |reader| {
        // `None` for `memory:`, which is lost when the process ends.
        url: Option<RedisUrl> = reader.read_checked(&REDIS_URL),
        url_file: Option<PathBuf> = Some(reader.secret_file(&REDIS_URL).map(PathBuf::from)),
        tls: TlsFiles = read_tls(reader, url.as_ref()),
    }
}

impl StoreSettings {
    /// How the process connects to Redis; `None` for the store in memory. Fails if a TLS file
    /// cannot be used.
    pub fn redis(&self) -> Result<Option<RedisAccess>, String> {
        let Some(url) = &self.url else {
            return Ok(None);
        };
        RedisAccess::new(url.clone(), self.tls.clone(), self.confirm, PROGRAM).map(Some)
    }

    /// Reads the URL's file, which may have changed. `None` until two reads in a row agree. The
    /// error never quotes the content. The content is one value, and need not end with a line
    /// break: mounted secrets often have none.
    pub fn read_again(&self, file: &Path, seen: &mut Settled) -> Result<Option<RedisUrl>, String> {
        let path = file.display();
        let found = seen
            .of(read_secret_file(file))
            .map_err(|error| format!("{path}: {error}"))?;
        let Some(text) = found else { return Ok(None) };
        match parse(&text).map_err(|problem| format!("the URL in {path} {problem}"))? {
            None => Err(format!(
                "{path} names memory:, to which only a new start can change"
            )),
            Some(url) if !url.has_tls() && self.tls != TlsFiles::default() => Err(format!(
                "the URL in {path} does not begin with rediss, but WXMINT_REDIS_CA_FILE or WXMINT_REDIS_CERT_FILE is set"
            )),
            url => Ok(url),
        }
    }
}

/// Parses the URL of a store; `None` for `memory:`. The error says why it is no such URL, or that
/// this program has no store in memory.
pub(super) fn parse(text: &str) -> Result<Option<RedisUrl>, Message> {
    parse_for(text, cfg!(feature = "memory"))
}

fn parse_for(text: &str, has_memory: bool) -> Result<Option<RedisUrl>, Message> {
    match text {
        "memory:" if has_memory => Ok(None),
        "memory:" => Err(message!(memory_is_not_built_in)),
        url => Ok(Some(url.parse::<RedisUrl>()?)),
    }
}

/// The names of wxmint's settings, for the error messages of the link to Redis.
const PROGRAM: Program = Program {
    ca_file: "WXMINT_REDIS_CA_FILE",
    cert_file: "WXMINT_REDIS_CERT_FILE",
    key_file: "WXMINT_REDIS_KEY_FILE",
    confirm: "WXMINT_REDIS_CONFIRM",
    read_secret: |path| read_private(path).map_err(|error| error.to_string()),
};

/// Reads the TLS files. They are refused if the URL has no TLS: they would be ignored, and nobody
/// would notice that the connection is not encrypted.
fn read_tls(reader: &mut Reader, url: Option<&Option<RedisUrl>>) -> Option<TlsFiles> {
    let ca = reader.read(&REDIS_CA_FILE);
    let certificate = reader.read(&REDIS_CERT_FILE);
    let ca = ca?;
    let certificate = certificate?;
    let key = reader.read(&REDIS_KEY_FILE)?;
    let has_tls = url.is_none_or(|url| url.as_ref().is_some_and(RedisUrl::has_tls));
    let without_tls = message!(is_set_but_redis_has_no_tls);
    let lacks = |other: &str| message!(is_not_set_but_other_is, other);
    match (ca, certificate, key) {
        (Some(_), _, _) if !has_tls => reader.fault(&REDIS_CA_FILE, without_tls),
        (_, Some(_), _) if !has_tls => reader.fault(&REDIS_CERT_FILE, without_tls),
        (_, Some(_), None) => reader.fault(&REDIS_KEY_FILE, lacks("WXMINT_REDIS_CERT_FILE")),
        (_, None, Some(_)) => reader.fault(&REDIS_CERT_FILE, lacks("WXMINT_REDIS_KEY_FILE")),
        (ca, certificate, key) => Some(TlsFiles {
            ca,
            client: certificate.zip(key),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_without_the_store_in_memory_refuses_it_and_says_what_to_name() {
        assert!(parse_for("memory:", true).is_ok_and(|url| url.is_none()));
        let refused = parse_for("memory:", false).expect_err("no store in memory");
        assert!(refused.contains("built without the feature `memory`"));
        assert!(refused.contains("redis://"));
        for has_memory in [true, false] {
            assert!(parse_for("redis://h", has_memory).is_ok_and(|url| url.is_some()));
            assert!(parse_for("http://h", has_memory).is_err());
        }
    }
}
