//! The clients of `WXMINT_CLIENTS_FILE`: pages, televisions, command lines, and sites.

use std::{collections::BTreeMap, slice, time::Duration};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use reqwest::Url;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use wxmint_ids::{AppId, ClientId, IdKind, is_visible};
use wxmint_upstream::{is_redirect_uri, is_secure, site};

use super::CATALOG;
use crate::findings::{Message, json_places::line_of};
use crate::identities::{ServiceIdentity, WrongMember};
use crate::settings::parse_duration;

/// A client of the file, after its check.
#[derive(Debug, Clone)]
#[allow(dead_code, reason = "there may be no door that reads all members")]
pub struct Client {
    /// The `client_id` of its tokens.
    pub(crate) id: ClientId,
    /// The name that the phone shows.
    pub(crate) name: String,
    /// The app whose users may approve.
    pub(crate) app: AppId,
    /// The mini program's page that its code opens, without a slash in front.
    pub(crate) page: Option<String>,
    pub(crate) env_version: &'static str,
    /// A back end has a secret or an `identity`. A client with neither is public: a page or a
    /// device that cannot keep a secret.
    secret_sha256: Option<[u8; 32]>,
    /// The issuer and keys of the tokens that the client sends in place of a secret.
    pub(crate) identity: Option<ServiceIdentity>,
    /// The origins of the sites that may read the answers to this client.
    pub(crate) origins: Vec<String>,
    /// The `aud` of its tokens. If empty, the audience of the settings.
    pub(crate) audience: Vec<String>,
    /// The lifetime of its tokens. If `None`, that of the settings.
    pub(crate) token_ttl: Option<Duration>,
    /// Whether the person must choose the number that the page shows.
    pub(crate) matches: bool,
    /// A site has addresses to which a browser returns with a code. They are compared byte for
    /// byte.
    pub(crate) redirect_uris: Vec<String>,
    /// The addresses to which a browser returns after a logout, compared byte for byte.
    pub(crate) post_logout_redirect_uris: Vec<String>,
    /// How long after a login the site may renew its tokens. If `None`, it gets no refresh token.
    pub(crate) refresh: Option<Duration>,
    /// The official accounts and website apps by which people can log in at this site, too.
    pub(crate) web_apps: Vec<AppId>,
    /// The color of the login page, as `#` and six hex digits.
    pub(crate) color: Option<String>,
    /// The receiver of the site's logout tokens.
    pub(crate) logout_receiver: Option<LogoutReceiver>,
}

/// The address of a site that takes logout tokens (OpenID Connect Back-Channel Logout 1.0).
#[derive(Debug, Clone)]
#[allow(dead_code, reason = "there may be no door that reads all members")]
pub(crate) struct LogoutReceiver {
    pub(crate) url: Url,
    /// Whether the site identifies its sessions by `sid` only, and so needs a `sid` in each logout
    /// token.
    pub(crate) needs_sid: bool,
}

impl Client {
    /// Whether the client can authenticate, by a secret or a token.
    pub(crate) fn is_back_end(&self) -> bool {
        self.secret_sha256.is_some() || self.identity.is_some()
    }

    pub(crate) fn has_secret(&self, secret: &str) -> bool {
        let hash = digest(&SHA256, secret.as_bytes());
        self.secret_sha256
            .is_some_and(|own| verify_slices_are_equal(&own, hash.as_ref()).is_ok())
    }
}

/// The clients of the file, by `client_id`.
#[derive(Debug, Default)]
pub(crate) struct Clients(BTreeMap<ClientId, Client>);

impl Clients {
    /// Reads the file. No client may have a token lifetime longer than `longest`. The error names
    /// the line and the mistake.
    pub(crate) fn parse(content: &[u8], longest: Duration) -> Result<Self, Message> {
        let text = str::from_utf8(content).map_err(|_| message!(is_not_utf_8))?;
        let file: ClientsFile = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let mut clients = BTreeMap::new();
        for (number, form) in file.clients.iter().enumerate() {
            let at_its_line = |mistake: Mistake| {
                let place = format!("/clients/{number}/{}/{}", mistake.0.member, mistake.1);
                message!(on_line, line_of(text, &place), form.told(mistake))
            };
            let client = form.checked().map_err(at_its_line)?;
            if client.token_ttl.is_some_and(|ttl| ttl > longest) {
                return Err(at_its_line(mistake(
                    "token_ttl",
                    message!(CATALOG: is_longer_than_token_ttl),
                )));
            }
            if clients.insert(client.id.clone(), client).is_some() {
                return Err(at_its_line(mistake(
                    "client_id",
                    message!(CATALOG: is_that_of_earlier_client),
                )));
            }
        }
        Ok(Self(clients))
    }

    /// Refuses a site whose people log in by several apps if user ids are computed from the openid:
    /// one person would have a different user id in each app, and a ban of one user would leave the
    /// others.
    pub(crate) fn fitting(self, user_ids: Option<IdKind>) -> Result<Self, Message> {
        if user_ids != Some(IdKind::OpenId) {
            return Ok(self);
        }
        for client in self.iter() {
            if client.web_apps.iter().any(|app| *app != client.app) {
                return Err(message!(CATALOG: human_would_have_two_user_ids_at_client, client.id));
            }
        }
        Ok(self)
    }

    pub(crate) fn get(&self, id: &ClientId) -> Option<&Client> {
        self.0.get(id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Client> {
        self.0.values()
    }

    pub(crate) fn identities(&self) -> impl Iterator<Item = &ServiceIdentity> {
        self.iter().filter_map(|client| client.identity.as_ref())
    }

    /// Whether a site is among the origins of this client, or of any client if `id` is `None`: a
    /// preflight names no client.
    pub(crate) fn have_origin(&self, id: Option<&AppId>, origin: &str) -> bool {
        self.iter().any(|it| {
            id.is_none_or(|id| it.id.0 == *id) && it.origins.iter().any(|own| own == origin)
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientsFile {
    pub(crate) clients: Vec<Form>,
}

/// Declares [`Form`] by its optional members: first those with a single value, then the lists.
macro_rules! form {
    ($($given:ident: $kind:ty),+; $($list:ident),+) => {
        /// A client as the file has it. Unknown members are mistakes, because a misspelt
        /// `secret_sha256` would make a back end public.
        #[derive(Debug, Clone, Default, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct Form {
            pub(crate) client_id: String,
            pub(crate) name: String,
            pub(crate) appid: String,
            #[serde(rename = "match", default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
            pub(crate) matches: Option<bool>,
            $(#[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
            pub(crate) $given: Option<$kind>,)+
            $(#[serde(default, skip_serializing_if = "Vec::is_empty")]
            pub(crate) $list: Vec<String>,)+
        }

        #[cfg(test)]
        pub(crate) const MEMBERS: &[&str] =
            &["client_id", "name", "appid", "match", $(stringify!($given),)+ $(stringify!($list),)+];
    };
}

form! {
    page: String, env_version: String, secret_sha256: String, jwks: Value, jwks_uri: String, issuer: String,
    subject: String, ca: String, token: String, token_ttl: String, refresh: String, color: String, backchannel_logout_uri: String,
    backchannel_logout_session_required: bool;
    origins, audience, redirect_uris, post_logout_redirect_uris, web_apps
}

/// Requires a value of a member that is present, because a `secret_sha256` of `null` would make a
/// back end public.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A wrong member, and the index of the wrong element if the member is a list.
pub(crate) type Mistake = (WrongMember, usize);

fn mistake(member: &'static str, wrong: impl Into<Message>) -> Mistake {
    (
        WrongMember {
            member,
            wrong: wrong.into(),
        },
        0,
    )
}

impl Form {
    pub(crate) fn told(&self, (WrongMember { member, wrong }, _): Mistake) -> Message {
        message!(CATALOG: member_of_client, self.client_id, member, wrong)
    }

    #[expect(
        clippy::too_many_lines,
        reason = "it has a row for each member of the client"
    )]
    pub(crate) fn checked(&self) -> Result<Client, Mistake> {
        let id: ClientId = self
            .client_id
            .parse()
            .map_err(|error| mistake("client_id", error))?;
        if id.0.is_usual() {
            return Err(mistake(
                "client_id",
                message!(CATALOG: has_form_of_appid_choose_another),
            ));
        }
        let identity = self.identity()?;
        if (self.secret_sha256.is_some() || identity.is_some()) && !self.origins.is_empty() {
            return Err(mistake(
                "origins",
                message!(CATALOG: are_for_page_and_client),
            ));
        }
        if !self.redirect_uris.is_empty() && self.matches == Some(false) {
            return Err(mistake(
                "match",
                message!(CATALOG: is_needed_where_page_is_ours),
            ));
        }
        let addresses = |member, list: &_| {
            read(
                member,
                list,
                text_if(is_redirect_uri),
                message!(CATALOG: must_be_https_addresses),
            )
        };
        Ok(Client {
            id,
            name: read(
                "name",
                slice::from_ref(&self.name),
                name,
                message!(CATALOG: must_be_1_to_64_characters),
            )?
            .concat(),
            app: self
                .appid
                .parse()
                .map_err(|error| mistake("appid", error))?,
            page: read(
                "page",
                self.page.as_slice(),
                text_if(is_page),
                message!(CATALOG: must_be_path_of_page),
            )?
            .pop(),
            env_version: read(
                "env_version",
                self.env_version.as_slice(),
                known_version,
                message!(CATALOG: must_be_release_trial_or_develop),
            )?
            .pop()
            .unwrap_or("release"),
            secret_sha256: read(
                "secret_sha256",
                self.secret_sha256.as_slice(),
                sha256,
                message!(CATALOG: must_be_sha256_of_secret),
            )?
            .pop(),
            identity,
            origins: read(
                "origins",
                &self.origins,
                site,
                message!(CATALOG: must_be_https_origins_without_path),
            )?,
            audience: read(
                "audience",
                &self.audience,
                text_if(|name| !name.is_empty()),
                message!(CATALOG: has_empty_name),
            )?,
            token_ttl: read(
                "token_ttl",
                self.token_ttl.as_slice(),
                life,
                message!(CATALOG: must_be_time_from_5m_on),
            )?
            .pop(),
            matches: self.matches.unwrap_or(true),
            redirect_uris: addresses("redirect_uris", &self.redirect_uris)?,
            post_logout_redirect_uris: addresses(
                "post_logout_redirect_uris",
                &self.post_logout_redirect_uris,
            )?,
            refresh: read(
                "refresh",
                self.refresh.as_slice(),
                refresh_life,
                message!(CATALOG: must_be_time_up_to_30d),
            )?
            .pop(),
            web_apps: read(
                "web_apps",
                &self.web_apps,
                |text| text.parse().ok(),
                message!(CATALOG: must_be_appids),
            )?,
            color: read(
                "color",
                self.color.as_slice(),
                text_if(is_color),
                message!(CATALOG: must_be_color),
            )?
            .pop(),
            logout_receiver: self.logout_receiver()?,
        })
    }

    /// The receiver of logout tokens. wxmint sends requests there, so the address must be one whose
    /// server TLS authenticates.
    fn logout_receiver(&self) -> Result<Option<LogoutReceiver>, Mistake> {
        let needs_sid = self.backchannel_logout_session_required;
        let Some(uri) = &self.backchannel_logout_uri else {
            let alone = mistake(
                "backchannel_logout_session_required",
                message!(CATALOG: needs_backchannel_logout_uri),
            );
            return if needs_sid.is_some() {
                Err(alone)
            } else {
                Ok(None)
            };
        };
        if self.redirect_uris.is_empty() {
            return Err(mistake(
                "backchannel_logout_uri",
                message!(CATALOG: needs_redirect_uris),
            ));
        }
        let url = uri.parse().ok().filter(|url: &Url| {
            is_secure(url)
                && url.fragment().is_none()
                && url.username().is_empty()
                && url.password().is_none()
        });
        let url = url.ok_or_else(|| {
            mistake(
                "backchannel_logout_uri",
                message!(CATALOG: must_be_https_address),
            )
        })?;
        Ok(Some(LogoutReceiver {
            url,
            needs_sid: needs_sid.unwrap_or(false),
        }))
    }

    /// The identity of a client that sends tokens in place of a secret. Another issuer signs these
    /// tokens, or the client itself.
    fn identity(&self) -> Result<Option<ServiceIdentity>, Mistake> {
        let jwks = self.jwks.as_ref().map(Value::to_string);
        let of_issuer = [
            ("issuer", &self.issuer),
            ("subject", &self.subject),
            ("jwks", &jwks),
        ];
        let members = [
            ("jwks_uri", &self.jwks_uri),
            ("ca", &self.ca),
            ("token", &self.token),
        ];
        let members = of_issuer
            .into_iter()
            .chain(members)
            .filter_map(|(name, value)| Some((name, value.as_deref()?)));
        let identity = ServiceIdentity::of_client(&self.client_id, members.collect())
            .map_err(|wrong| (wrong, 0))?;
        match &self.secret_sha256 {
            Some(_) if identity.is_some() => Err(mistake(
                "secret_sha256",
                message!(CATALOG: is_beside_identity),
            )),
            _ => Ok(identity),
        }
    }
}

/// Reads each element of a list, or the value of an optional member.
fn read<T>(
    member: &'static str,
    texts: &[String],
    read: impl Fn(&str) -> Option<T>,
    wrong: Message,
) -> Result<Vec<T>, Mistake> {
    let read: Vec<_> = texts.iter().map_while(|text| read(text)).collect();
    if read.len() < texts.len() {
        Err((WrongMember { member, wrong }, read.len()))
    } else {
        Ok(read)
    }
}

fn text_if(fits: impl Fn(&str) -> bool) -> impl Fn(&str) -> Option<String> {
    move |text| fits(text).then(|| text.to_owned())
}

fn name(text: &str) -> Option<String> {
    let name = text.trim();
    let fits = (1..=64).contains(&name.chars().count()) && name.chars().all(is_visible);
    fits.then(|| name.to_owned())
}

fn known_version(text: &str) -> Option<&'static str> {
    ["release", "trial", "develop"]
        .into_iter()
        .find(|known| *known == text)
}

fn is_color(text: &str) -> bool {
    let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6);
    digits.is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

/// The shortest lifetime of a token. A page may fetch its token a while after the approval, and it
/// must not have expired by then.
const SHORTEST_LIFE: Duration = Duration::from_mins(5);
const LONGEST_REFRESH: Duration = Duration::from_hours(30 * 24);

fn is_page(page: &str) -> bool {
    (1..=128).contains(&page.len())
        && !page.starts_with('/')
        && page
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"/_-.".contains(&byte))
}

fn sha256(hash: &str) -> Option<[u8; 32]> {
    let byte = |at| u8::from_str_radix(hash.get(at..at + 2)?, 16).ok();
    let bytes: Option<Vec<u8>> = (0..hash.len()).step_by(2).map(byte).collect();
    bytes
        .filter(|_| !hash.contains('+'))
        .and_then(|bytes| bytes.try_into().ok())
}

fn life(text: &str) -> Option<Duration> {
    parse_duration(text).filter(|ttl| *ttl >= SHORTEST_LIFE)
}

fn refresh_life(text: &str) -> Option<Duration> {
    life(text).filter(|life| *life <= LONGEST_REFRESH)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn parsed(client: &str) -> Result<Clients, Message> {
        Clients::parse(
            format!("{{\"clients\":[\n{{{client}}}\n]}}").as_bytes(),
            DAY,
        )
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
        let [page, tv] = ["shop-web", "tv.1"]
            .map(|id| clients.get(&id.parse().expect("an id")).expect("a client"));
        assert!(
            !page.is_back_end() && !page.has_secret("test") && !page.has_secret("") && page.matches
        );
        assert!(tv.is_back_end() && tv.has_secret("test") && !tv.has_secret("Test") && !tv.matches);
        assert_eq!(
            (tv.token_ttl, tv.env_version, page.env_version),
            (Some(DAY / 2), "trial", "release")
        );
        assert!(clients.have_origin(None, "http://localhost:5173"));
        assert!(
            ["https://shop.example.com.", "null"]
                .iter()
                .all(|site| !clients.have_origin(None, site))
        );
    }

    #[test]
    #[expect(
        clippy::too_many_lines,
        reason = "the table has a row for each mistake"
    )]
    fn each_mistake_is_named_with_its_line() {
        for (more, said) in [
            (r#","secret_sh256":"ab""#, "unknown field `secret_sh256`"),
            (r#","name":"again""#, "duplicate field `name`"),
            (r#","page":"/pages/scan""#, "`page` must be"),
            (r#","page":"pages/scan?a=1""#, "`page` must be"),
            (r#","env_version":"beta""#, "`env_version` must be"),
            (r#","secret_sha256":"secret""#, "`secret_sha256` must be"),
            (
                r#","origins":["https://shop.example.com/"]"#,
                "`origins` must be",
            ),
            (r#","origins":["*"]"#, "`origins` must be"),
            (r#","origins":["null"]"#, "`origins` must be"),
            (
                r#","origins":["http://shop.example.com"]"#,
                "`origins` must be",
            ),
            (
                r#","origins":["https://SHOP.example.com"]"#,
                "`origins` must be",
            ),
            (r#","audience":[""]"#, "`audience` has an empty name"),
            (r#","token_ttl":"299s""#, "`token_ttl` must be"),
            (r#","secret_sha256":null"#, "invalid type: null"),
            (
                r#","jwks":{"keys":[]}"#,
                "`jwks` has no key that can be used",
            ),
            (
                r#","jwks":{"keys":[{"kty":"oct","k":"AQAB"}]}"#,
                "`jwks` has no key that can be used",
            ),
            (
                r#","jwks_uri":"http://shop/jwks""#,
                "`jwks_uri` must be an https URL",
            ),
            (
                r#","jwks_uri":"https://shop/jwks","jwks":{}"#,
                "`jwks_uri` is beside `jwks`",
            ),
            (
                r#","jwks_uri":"https://shop/jwks","secret_sha256":"ab""#,
                "`secret_sha256` is beside",
            ),
            (
                r#","jwks_uri":"https://shop/jwks","origins":["https://shop.example.com"]"#,
                "`origins` are for a page",
            ),
            (r#","issuer":"https://k8s""#, "`subject` must be the `sub`"),
            (
                r#","subject":"a""#,
                "`issuer` must be an https URL, or `jwks`",
            ),
            (
                r#","issuer":"k8s","subject":"a""#,
                "`issuer` must be an https URL, or `jwks`",
            ),
            (
                r#","ca":"/ca.crt""#,
                "`issuer` must be an https URL, or `jwks`",
            ),
            (
                r#","redirect_uris":["http://localhost/cb"]"#,
                "`redirect_uris` must be https",
            ),
            (
                r#","redirect_uris":["https://*.example.com/cb"]"#,
                "`redirect_uris` must be https",
            ),
            (
                r#","redirect_uris":["https://a.example/../cb"]"#,
                "`redirect_uris` must be https",
            ),
            (
                r#","redirect_uris":["https://u@a.example/cb"]"#,
                "`redirect_uris` must be https",
            ),
            (
                r#","redirect_uris":["https://a.example/#x"]"#,
                "`redirect_uris` must be https",
            ),
            (
                r#","redirect_uris":["https://a.example/cb"],"match":false"#,
                "`match` must be left out",
            ),
            (
                r#","post_logout_redirect_uris":["javascript:alert(1)"]"#,
                "`post_logout_redirect_uris` must be https",
            ),
            (r#","web_apps":["wx 1"]"#, "`web_apps` must be AppIDs"),
            (r#","refresh":"31d""#, "`refresh` must be one number"),
            (
                r#","redirect_uris":["https://a.example/cb"],"backchannel_logout_uri":"http://a.example/out""#,
                "`backchannel_logout_uri` must be an https address",
            ),
            (
                r#","redirect_uris":["https://a.example/cb"],"backchannel_logout_uri":"https://u:p@a.example/out""#,
                "`backchannel_logout_uri` must be an https address",
            ),
            (
                r#","redirect_uris":["https://a.example/cb"],"backchannel_logout_uri":"https://a.example/out#x""#,
                "`backchannel_logout_uri` must be an https address",
            ),
            (
                r#","redirect_uris":["https://a.example/cb"],"backchannel_logout_uri":"file:///etc/passwd""#,
                "`backchannel_logout_uri` must be an https address",
            ),
            (
                r#","backchannel_logout_uri":"https://a.example/out""#,
                "`backchannel_logout_uri` needs `redirect_uris`",
            ),
            (
                r#","redirect_uris":["https://a.example/cb"],"backchannel_logout_session_required":true"#,
                "`backchannel_logout_session_required` needs `backchannel_logout_uri`",
            ),
            (r##","color":"#0a63a""##, "`color` must be #"),
            (r##","color":"#+a63a8""##, "`color` must be #"),
        ] {
            let refused = parsed(&[LEAST, more].concat()).expect_err(more);
            assert!(
                refused.contains(said) && refused.contains("line 2"),
                "{more}: {refused}"
            );
        }
        for (client, said) in [
            (
                LEAST.replace("shop-web", "wxfedcba9876543210"),
                "form of an AppID",
            ),
            (
                LEAST.replace("shop-web", "shop web"),
                "`client_id` must consist of",
            ),
            (
                LEAST.replace("shop-web", ""),
                "`client_id` must not be empty",
            ),
            (LEAST.replace("晨光商城", " "), "`name` must be"),
            (LEAST.replace("晨光商城", "\u{200b}"), "`name` must be"),
            (
                LEAST.replace(",\"appid\"", ",\"app\""),
                "unknown field `app`",
            ),
            (
                format!(r#"{LEAST},"token_ttl":"25h""#),
                "line 2: client shop-web: `token_ttl` is longer than",
            ),
            (
                format!("{LEAST}}},{{{LEAST}"),
                "line 2: client shop-web: `client_id` is that of an earlier client",
            ),
            (
                format!("{LEAST}}},\n{{\n{LEAST}"),
                "line 4: client shop-web: `client_id` is that of an earlier client",
            ),
            (
                format!("{LEAST},\n\"audience\":\n[\"a\",\n\"\"]"),
                "line 5: client shop-web: `audience` has an empty name",
            ),
            (
                format!("{LEAST},\n\"origins\":[\n\"https://a.example\",\n\"*\"],\n\"page\":\"p\""),
                "line 5: client shop-web: `origins`",
            ),
            (
                format!("\n{LEAST},\n\"token_ttl\":\n\"25h\",\n\n\"match\":true"),
                "line 5: client shop-web: `token_ttl` is longer",
            ),
            (
                format!("\n{LEAST},\n\"page\":\"/\",\n\"match\":true}},\n{{{LEAST}"),
                "line 4: client shop-web: `page` must",
            ),
        ] {
            let refused = parsed(&client).expect_err(&client);
            assert!(
                refused.contains(said) && refused.contains("line "),
                "{client}: {refused}"
            );
        }
        let hash = "0".repeat(64);
        let both = parsed(&format!(
            r#"{LEAST},"secret_sha256":"{hash}","origins":["https://shop.example.com"]"#
        ));
        assert!(both.expect_err("both").contains("leave one out"));
    }
}
