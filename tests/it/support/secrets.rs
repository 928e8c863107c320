//! Secrets must stand in no log, metric, audit event, span or answer, and in Redis sealed alone. Everything that passes
//! through a test's [`Http`](super::Http) is noted here, and each service and each bed is searched for it at its end.

use std::collections::{BTreeSet, HashMap};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::{fs, thread};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::Value;

use super::{Configuration, PASSWORD, PATIENCE, WRONG_PASSWORD, locked, scan::SECRET};

/// A shorter form would be found by chance.
const TELLING: usize = 8;
/// So many are kept of each name: to make the forms of the thousands of codes of a load would take long.
const MOST: usize = 50;
/// So many bytes of answers are kept.
const KEPT: usize = 1 << 20;

/// Where something is left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Log,
    Audit,
    Metrics,
    Spans,
    Answer,
    Redis,
}
use Place::{Answer, Audit, Log, Metrics, Redis};

/// The secrets in the JSON of the stand-in WeChat and of wxmint, by the member's name, and where it may stand.
pub(crate) const OF_WECHAT: [(&str, &[Place]); 7] = [
    ("code", &[]),
    ("codes", &[]),
    ("session_key", &[]),
    ("openid", &[Redis, Answer]),
    ("unionid", &[Redis, Answer]),
    ("phone", &[Answer]),
    ("access_token", &[Answer]),
];
/// How the stand-in begins what it gives a person's browser, or a platform.
const BEGINNINGS: [&str; 4] = [
    "oauth2token@@@",
    "ticket@@@",
    "queryauthcode@@@",
    "refreshtoken@@@",
];
pub(crate) const OF_WXMINT: [(&str, &[Place]); 6] = [
    ("access_token", &[Answer]),
    ("bind_ticket", &[Answer]),
    ("encrypt_key", &[Answer]),
    ("signature", &[Answer]),
    ("device_code", &[Answer]),
    ("user_code", &[Answer, Redis]),
];

/// Those of sites.
const OF_SITES: [(&str, &[Place]); 2] = [("id_token", &[Answer]), ("refresh_token", &[Answer])];

#[derive(Default)]
pub(crate) struct Secrets(Mutex<Noted>);

#[derive(Default)]
struct Noted {
    secrets: Vec<Secret>,
    answers: Vec<u8>,
}

/// A form in which a secret could be.
type Form = (&'static str, Vec<u8>);

struct Secret {
    name: &'static str,
    may_be_in: &'static [Place],
    forms: Vec<Form>,
}

impl Secret {
    fn new(name: &'static str, may_be_in: &'static [Place], secret: &[u8]) -> Self {
        let json = serde_json::to_string(&String::from_utf8_lossy(secret)).expect("text");
        let json = json.trim_matches('"');
        let escaped = |escape: fn(u8) -> String| {
            secret
                .iter()
                .map(|&byte| url_encoded(byte, escape))
                .collect::<String>()
                .into()
        };
        let mut forms: Vec<Form> = vec![
            ("itself", secret.into()),
            ("URL-encoded", escaped(|byte| format!("%{byte:02X}"))),
            (
                "URL-encoded in lower case",
                escaped(|byte| format!("%{byte:02x}")),
            ),
            ("JSON-escaped", json.into()),
            (
                "JSON-escaped with its slashes",
                json.replace('/', "\\/").into(),
            ),
            ("in hexadecimal", const_hex::encode(secret).into()),
            (
                "as an array of bytes",
                format!("{secret:?}").trim_matches(['[', ']']).into(),
            ),
        ];
        for padding in 0..3 {
            forms.push((
                "in base64",
                in_base64(&STANDARD_NO_PAD, secret, padding).into(),
            ));
            forms.push((
                "in base64url",
                in_base64(&URL_SAFE_NO_PAD, secret, padding).into(),
            ));
        }
        forms.extend(
            STANDARD
                .decode(secret)
                .map(|bytes| ("as what it is the base64 of", bytes)),
        );
        forms.retain(|(_, form)| form.len() >= TELLING);
        forms.dedup_by(|one, other| one.1 == other.1);
        Self {
            name,
            may_be_in,
            forms,
        }
    }
}

fn url_encoded(byte: u8, escape: fn(u8) -> String) -> String {
    match byte {
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' => char::from(byte).into(),
        _ => escape(byte),
    }
}

/// The base64 of `secret` within that of something longer, where it begins `padding` bytes after a multiple of three:
/// without the characters that hold a neighbour's bits.
fn in_base64(engine: &impl Engine, secret: &[u8], padding: usize) -> String {
    let encoded = engine.encode([&[0; 3][..padding], secret].concat());
    let own_bits = (padding * 8).div_ceil(6)..(padding + secret.len()) * 8 / 6;
    encoded[own_bits].into()
}

impl Secrets {
    pub(crate) fn note(
        &self,
        name: &'static str,
        may_be_in: &'static [Place],
        secret: impl AsRef<[u8]>,
    ) {
        let (secret, mut noted) = (secret.as_ref(), locked(&self.0));
        let is_known = noted.secrets.iter().any(|known| known.forms[0].1 == secret);
        let of_its_name = noted
            .secrets
            .iter()
            .filter(|known| known.name == name)
            .count();
        if secret.len() >= TELLING && !is_known && of_its_name < MOST {
            noted.secrets.push(Secret::new(name, may_be_in, secret));
        }
    }

    /// A text that the test makes known to everybody.
    pub(crate) fn publish(&self, secret: &str) {
        locked(&self.0)
            .secrets
            .retain(|known| known.forms[0].1 != secret.as_bytes());
        self.note(
            "no secret",
            &[Log, Audit, Metrics, Place::Spans, Answer, Redis],
            secret,
        );
    }

    /// Notes the secrets that a service is configured with.
    pub(crate) fn note_configuration(&self, configuration: &Configuration) {
        let file = |name: &str| {
            fs::read_to_string(configuration.get(name).unwrap_or_default()).unwrap_or_default()
        };
        let apps = fs::read_dir(configuration.get("WXMINT_APPS_DIR").unwrap_or_default())
            .into_iter()
            .flatten();
        let apps = apps.filter_map(|app| fs::read_to_string(app.ok()?.path()).ok());
        let url = configuration
            .get("WXMINT_REDIS_URL")
            .and_then(|url| url.rsplit_once('@')?.0.rsplit_once(':'));
        let own = configuration
            .get("WXMINT_APP_SECRET")
            .into_iter()
            .chain(url.map(|(_, password)| password));
        let operators = file("WXMINT_ADMIN_TOKENS_FILE");
        let operators = operators.lines().filter(|line| !line.starts_with('#'));
        let operators = operators.filter_map(|line| line.split_whitespace().nth(1));
        for secret in apps.chain(
            own.chain([PASSWORD, WRONG_PASSWORD, SECRET])
                .chain(operators)
                .map(str::to_owned),
        ) {
            self.note("secret of the configuration", &[], secret.trim());
        }
        for key in file("WXMINT_VAULT_KEY_FILE")
            .lines()
            .filter_map(|line| line.split(' ').next())
        {
            self.note("vault key", &[], key);
            self.note(
                "vault key's bytes",
                &[],
                STANDARD.decode(key).unwrap_or_default(),
            );
        }
        for beginning in BEGINNINGS {
            self.note("what WeChat gives a browser or a platform", &[], beginning);
        }
        let platform: Value =
            serde_json::from_str(&file("WXMINT_PLATFORM_FILE")).unwrap_or_default();
        for name in ["component_appsecret", "token", "encoding_aes_key"] {
            self.note(
                "secret of the platform",
                &[],
                platform[name].as_str().unwrap_or_default(),
            );
        }
        let keys: Value = serde_json::from_str(&file("WXMINT_KEYS")).unwrap_or_default();
        for key in keys["keys"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|key| key["d"].as_str())
        {
            self.note("signing key", &[], key);
            self.note(
                "signing key's bytes",
                &[],
                URL_SAFE_NO_PAD.decode(key).unwrap_or_default(),
            );
        }
    }

    /// Notes the secrets that an answer has given, and looks for those that it must not have given.
    pub(crate) fn note_answer(&self, path: &str, headers: &str, body: &str) {
        let of_wechat = ["/_simulator/", "/cgi-bin/", "/sns/", "/wxa/"]
            .iter()
            .any(|of_it| path.starts_with(of_it));
        // A problem gives nothing away, and its `code` is another.
        if let Some(json) = serde_json::from_str::<Value>(body)
            .ok()
            .filter(|json| json["detail"].is_null())
        {
            let of_wxmint = [&OF_WXMINT[..], &OF_SITES].concat();
            self.note_members(if of_wechat { &OF_WECHAT } else { &of_wxmint }, "", &json);
        }
        let mut noted = locked(&self.0);
        if !of_wechat && noted.answers.len() < KEPT {
            noted.answers.extend(format!("{headers}\n{body}\n").bytes());
        }
    }

    fn note_members(&self, secret: &[(&'static str, &'static [Place])], name: &str, value: &Value) {
        match value {
            Value::Object(members) => members
                .iter()
                .for_each(|(name, value)| self.note_members(secret, name, value)),
            Value::Array(values) => values
                .iter()
                .for_each(|value| self.note_members(secret, name, value)),
            Value::String(text) => {
                let Some((name, may_be_in)) = secret.iter().find(|(secret, _)| *secret == name)
                else {
                    return;
                };
                // A token's header is no secret.
                for part in text.split('.').skip(usize::from(text.starts_with("ey"))) {
                    self.note(name, may_be_in, part);
                }
                if *name == "session_key" {
                    self.note(
                        "session_key's bytes",
                        may_be_in,
                        STANDARD.decode(text).unwrap_or_default(),
                    );
                }
            }
            _ => {}
        }
    }

    /// The names of what is searched for.
    pub(crate) fn names(&self) -> BTreeSet<&'static str> {
        locked(&self.0)
            .secrets
            .iter()
            .map(|secret| secret.name)
            .collect()
    }

    /// THE search: what of the secrets is where.
    pub(crate) fn found_in(&self, place: Place, bytes: impl AsRef<[u8]>) -> BTreeSet<String> {
        let (bytes, mut found) = (bytes.as_ref(), BTreeSet::new());
        // Thousands of forms, in one pass: each place is looked up by what begins there.
        let mut by_beginning = HashMap::<_, Vec<_>>::new();
        // A hash takes a debug build long, and a product tells most places apart.
        let product = |beginning: [u8; TELLING]| {
            u64::from_ne_bytes(beginning).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48
        };
        let mut begins = vec![false; 1 << 16];
        for secret in locked(&self.0)
            .secrets
            .iter()
            .filter(|secret| !secret.may_be_in.contains(&place))
        {
            for (form, bytes) in secret.forms.clone() {
                let beginning: [u8; TELLING] = *bytes.first_chunk().expect("a form is longer");
                begins[product(beginning) as usize] = true;
                by_beginning
                    .entry(beginning)
                    .or_default()
                    .push((secret.name, form, bytes));
            }
        }
        for (at, window) in bytes.windows(TELLING).enumerate() {
            let Some(beginning) = window
                .first_chunk()
                .filter(|chunk| begins[product(**chunk) as usize])
            else {
                continue;
            };
            let begin = by_beginning.get(beginning).into_iter().flatten();
            let are_there = begin.filter(|(_, _, form)| bytes[at..].starts_with(form));
            found.extend(are_there.map(|(name, form, _)| format!("{name} {form}: {place:?}")));
        }
        found
    }

    /// Nothing where a test fails already.
    #[track_caller]
    pub(crate) fn expect_none_in(&self, place: Place, bytes: impl AsRef<[u8]>) {
        if !thread::panicking() {
            assert_eq!(self.found_in(place, bytes), BTreeSet::new());
        }
    }

    pub(super) fn expect_none_in_answers(&self) {
        let answers = std::mem::take(&mut locked(&self.0).answers);
        self.expect_none_in(Answer, answers);
    }

    /// At the end of a service: what it has written, and what it counts if it still runs.
    pub(super) fn expect_none_of_service(&self, log: &str, admin: SocketAddr, audit: Option<&str>) {
        self.expect_none_in(Log, log);
        // Without fractions: one of twenty thousand phone numbers may be the end of a sum of seconds.
        let metrics = got(admin, "/metrics").unwrap_or_default();
        let whole = metrics.lines().map(|line| match line.rsplit_once('.') {
            Some((whole, fraction)) if fraction.bytes().all(|byte| byte.is_ascii_digit()) => whole,
            _ => line,
        });
        self.expect_none_in(Metrics, whole.collect::<Vec<_>>().join("\n"));
        // Not from a pipe, which would be waited for.
        let audit = audit.filter(|path| fs::metadata(path).is_ok_and(|file| file.is_file()));
        self.expect_none_in(
            Audit,
            audit
                .and_then(|path| fs::read(path).ok())
                .unwrap_or_default(),
        );
    }

    /// Notes what WeChat knows of everybody now, since each exchange makes a new session key.
    pub(super) fn note_people(&self, simulator: SocketAddr) {
        let people =
            got(simulator, "/_simulator/people").and_then(|body| serde_json::from_str(&body).ok());
        self.note_members(&OF_WECHAT, "", &people.unwrap_or_default());
    }
}

/// The body of an answer, without a runtime to wait in; none if nobody answers.
fn got(address: SocketAddr, path: &str) -> Option<String> {
    let mut connection = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    connection.set_read_timeout(Some(PATIENCE)).ok()?;
    write!(
        connection,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).ok()?;
    Some(answer.split_once("\r\n\r\n")?.1.to_owned())
}
