//! Who may ask for a scan: the pages, televisions and command lines of `WXMINT_CLIENTS_FILE`.

use std::{collections::BTreeMap, time::Duration};

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::{SHA256, digest},
};
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use wxmint_ids::AppId;

use crate::{settings::parse_duration, sites::site};

#[derive(Debug, Clone)]
pub struct Client {
    /// The `client_id` of its tokens.
    pub id: AppId,
    /// What the phone shows.
    pub name: String,
    /// Whose users may approve.
    pub app: AppId,
    /// The mini program's page that its code opens, without a slash in front.
    pub page: Option<String>,
    pub env_version: &'static str,
    /// Of a back end. Who has none is a page, and cannot keep a secret.
    secret_sha256: Option<[u8; 32]>,
    /// Which sites may read the answers.
    pub origins: Vec<String>,
    /// Empty: that of the settings.
    pub audience: Vec<String>,
    /// `None`: that of the settings.
    pub token_ttl: Option<Duration>,
    /// Whether the person must choose the number that the page shows.
    pub matches: bool,
}

impl Client {
    pub fn is_back_end(&self) -> bool {
        self.secret_sha256.is_some()
    }

    pub fn has_secret(&self, secret: &str) -> bool {
        let hash = digest(&SHA256, secret.as_bytes());
        self.secret_sha256.is_some_and(|own| verify_slices_are_equal(&own, hash.as_ref()).is_ok())
    }
}

#[derive(Debug, Default)]
pub struct Clients(BTreeMap<AppId, Client>);

impl Clients {
    /// Reads the file. `longest` is the life of the settings' tokens: ends are kept no longer. The error names the line and the
    /// mistake.
    pub fn parse(content: &[u8], longest: Duration) -> Result<Self, String> {
        let file: ClientsFile<Client> = serde_json::from_slice(content).map_err(|error| error.to_string())?;
        let mut clients = BTreeMap::new();
        for client in file.clients {
            if client.token_ttl.is_some_and(|ttl| ttl > longest) {
                return Err(format!("`token_ttl` of {} is longer than WXMINT_TOKEN_TTL", client.id));
            }
            if let Some(twice) = clients.insert(client.id.clone(), client) {
                return Err(format!("`client_id` {} stands there twice", twice.id));
            }
        }
        Ok(Self(clients))
    }

    pub fn get(&self, id: &AppId) -> Option<&Client> {
        self.0.get(id)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Client> {
        self.0.values()
    }

    pub fn names(&self) -> impl Iterator<Item = (AppId, String)> {
        self.iter().map(|client| (client.id.clone(), client.name.clone()))
    }

    /// Whether a site is any client's own. A preflight names no client.
    pub fn have_origin(&self, origin: &str) -> bool {
        self.iter().any(|client| client.origins.iter().any(|own| own == origin))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientsFile<C> {
    pub clients: Vec<C>,
}

/// A client as it is written. A misspelt `secret_sha256` would make a back end public, so an unknown member is a mistake.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Form {
    pub client_id: String,
    pub name: String,
    pub appid: String,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub page: Option<String>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub env_version: Option<String>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub secret_sha256: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audience: Vec<String>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub token_ttl: Option<String>,
    #[serde(rename = "match", default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub matches: Option<bool>,
}

/// A member that is there has a value: a `secret_sha256` that is null would make a back end public.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Checks each client where it stands, so that the error has a line.
impl<'de> Deserialize<'de> for Client {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Form::deserialize(deserializer)?.client().map_err(D::Error::custom)
    }
}

const ENV_VERSIONS: [&str; 3] = ["release", "trial", "develop"];

impl Form {
    pub fn client(&self) -> Result<Client, String> {
        self.checked().map_err(|mistake| format!("client {}: {mistake}", self.client_id))
    }

    fn checked(&self) -> Result<Client, String> {
        let id: AppId = self.client_id.parse().map_err(|error| format!("`client_id` {error}"))?;
        if id.is_usual() {
            return Err("`client_id` has the form of an AppID: choose another name".into());
        }
        let env_version = self.env_version.as_deref().unwrap_or("release");
        let env_version = ENV_VERSIONS.into_iter().find(|known| *known == env_version);
        let is_back_end = self.secret_sha256.is_some();
        if is_back_end && !self.origins.is_empty() {
            return Err(
                "`origins` are for a page, and a client with `secret_sha256` is a back end: leave one out".into()
            );
        }
        if self.audience.iter().any(String::is_empty) {
            return Err("`audience` has an empty name".into());
        }
        Ok(Client {
            id,
            name: Some(self.name.trim()).filter(|name| is_name(name)).ok_or(NAME)?.to_owned(),
            app: self.appid.parse().map_err(|error| format!("`appid` {error}"))?,
            page: self.page.clone().map(|page| is_page(&page).then_some(page).ok_or(PAGE)).transpose()?,
            env_version: env_version.ok_or("`env_version` must be release, trial or develop")?,
            secret_sha256: self.secret_sha256.as_deref().map(|hash| sha256(hash).ok_or(HASH)).transpose()?,
            origins: self.origins.iter().map(|text| site(text).ok_or(ORIGIN)).collect::<Result<_, _>>()?,
            audience: self.audience.clone(),
            token_ttl: self.token_ttl.as_deref().map(|text| life(text).ok_or(TTL)).transpose()?,
            matches: self.matches.unwrap_or(true),
        })
    }
}

const NAME: &str = "`name` must be 1 to 64 characters, which the phone shows";
const PAGE: &str =
    "`page` must be the path of a page of the mini program, such as pages/scan/index: no slash in front, no query";
const HASH: &str = "`secret_sha256` must be the SHA-256 of the secret: 64 hexadecimal digits";
const ORIGIN: &str =
    "`origins` must be https origins without a path (http on loopback only), such as https://shop.example.com";
const TTL: &str = "`token_ttl` must be one number and one unit, s, m, h or d, from 5m on, such as 12h";

/// A token that is fetched late must not have expired by then.
const SHORTEST_LIFE: Duration = Duration::from_secs(300);

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.chars().count()) && name.chars().all(is_visible)
}

/// Neither a control character nor one that turns or hides what stands beside it, because the phone shows it.
pub fn is_visible(letter: char) -> bool {
    let turns_or_hides = matches!(letter, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    !letter.is_control() && !turns_or_hides
}

fn is_page(page: &str) -> bool {
    (1..=128).contains(&page.len())
        && !page.starts_with('/')
        && page.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/_-.".contains(&byte))
}

fn sha256(hash: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if hash.len() != 64 || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hash[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

fn life(text: &str) -> Option<Duration> {
    parse_duration(text).filter(|ttl| *ttl >= SHORTEST_LIFE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn parsed(client: &str) -> Result<Clients, String> {
        Clients::parse(format!("{{\"clients\":[\n{{{client}}}\n]}}").as_bytes(), DAY)
    }

    const LEAST: &str = r#""client_id":"shop-web","name":"晨光商城","appid":"wx0123456789abcdef""#;

    #[test]
    fn a_page_and_a_back_end_are_read() {
        let hash = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        let clients = parsed(&format!(
            r#"{LEAST},"origins":["https://shop.example.com","http://localhost:5173"]}},
            {{"client_id":"tv.1","name":"TV","appid":"wx0123456789abcdef","page":"pages/scan/index","env_version":"trial",
             "secret_sha256":"{hash}","audience":["https://api.example.com"],"token_ttl":"12h","match":false"#
        ));
        let clients = clients.expect("clients");
        let [page, tv] = ["shop-web", "tv.1"].map(|id| clients.get(&id.parse().expect("an id")).expect("a client"));
        assert!(!page.is_back_end() && !page.has_secret("test") && !page.has_secret("") && page.matches);
        assert!(tv.is_back_end() && tv.has_secret("test") && !tv.has_secret("Test") && !tv.matches);
        assert_eq!((tv.token_ttl, tv.env_version, page.env_version), (Some(DAY / 2), "trial", "release"));
        assert!(clients.have_origin("http://localhost:5173") && !clients.have_origin("https://shop.example.com."));
        assert!(!clients.have_origin("null"));
    }

    #[test]
    fn each_mistake_is_named_with_its_line() {
        for (more, said) in [
            (r#","secret_sh256":"ab""#, "unknown field `secret_sh256`"),
            (r#","name":"again""#, "duplicate field `name`"),
            (r#","page":"/pages/scan""#, "`page` must be"),
            (r#","page":"pages/scan?a=1""#, "`page` must be"),
            (r#","env_version":"beta""#, "`env_version` must be"),
            (r#","secret_sha256":"secret""#, "`secret_sha256` must be"),
            (r#","origins":["https://shop.example.com/"]"#, "`origins` must be"),
            (r#","origins":["*"]"#, "`origins` must be"),
            (r#","origins":["null"]"#, "`origins` must be"),
            (r#","origins":["http://shop.example.com"]"#, "`origins` must be"),
            (r#","origins":["https://SHOP.example.com"]"#, "`origins` must be"),
            (r#","audience":[""]"#, "`audience` has an empty name"),
            (r#","token_ttl":"299s""#, "`token_ttl` must be"),
            (r#","secret_sha256":null"#, "invalid type: null"),
        ] {
            let refused = parsed(&[LEAST, more].concat()).expect_err(more);
            assert!(refused.contains(said) && refused.contains("line "), "{more}: {refused}");
        }
        for (client, said) in [
            (LEAST.replace("shop-web", "wxfedcba9876543210"), "form of an AppID"),
            (LEAST.replace("shop-web", "shop web"), "`client_id` must consist of"),
            (LEAST.replace("shop-web", ""), "`client_id` must not be empty"),
            (LEAST.replace("晨光商城", " "), "`name` must be"),
            (LEAST.replace("晨光商城", "\u{200b}"), "`name` must be"),
            (LEAST.replace(",\"appid\"", ",\"app\""), "unknown field `app`"),
            (format!(r#"{LEAST},"token_ttl":"25h""#), "longer than WXMINT_TOKEN_TTL"),
            (format!("{LEAST}}},{{{LEAST}"), "`client_id` shop-web stands there twice"),
        ] {
            let refused = parsed(&client).expect_err(&client);
            assert!(refused.contains(said), "{client}: {refused}");
        }
        let hash = "0".repeat(64);
        let both = parsed(&format!(r#"{LEAST},"secret_sha256":"{hash}","origins":["https://shop.example.com"]"#));
        assert!(both.expect_err("both").contains("leave one out"));
    }
}
