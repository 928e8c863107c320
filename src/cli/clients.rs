//! `wxmint clients`

#![expect(
    clippy::doc_markdown,
    reason = "the comments are the help that the terminal shows"
)]

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::{Args, Subcommand};
use serde_json::Value;
use wxmint_ids::{ClientId, UserId};
use wxmint_keys::random;
use wxmint_store::Store;
use wxmint_telemetry::audit::{Activity, Event, Origin};
use wxmint_verify::PublishedKeys;

use super::at_redis::{at_first, audited, noted, retry};
use super::output::{Progress, complete, print, say, table};
use super::{failure::Failure, variables};
use crate::login::Operator;
use crate::oauth::clients::{Clients, ClientsFile, Form};
use crate::oauth::{CLIENTS_FILE, MAKE_CLIENTS};
use crate::secret_files::{Held, read_private};
use crate::settings::{TOKEN_TTL, read_one, variables::door_file};

const EMPTY: &[u8] = b"{\"clients\":[]}\n";
/// How many users are read at once when a client's tokens are revoked.
const AT_ONCE: usize = 500;

#[derive(Subcommand)]
pub(super) enum ClientsCommand {
    /// Add one that may ask for a scan; prints the secret of a back end, once
    Add {
        #[command(flatten)]
        place: ClientsFileArgs,
        #[command(flatten)]
        client: Box<NewClient>,
    },
    /// List the clients: client_id, name, mini program, and whether it has a secret
    List(ClientsFileArgs),
    /// Revoke all tokens of a client, in the Redis of WXMINT_REDIS_URL; take it out of the file
    /// first
    End {
        /// The client_id of the tokens
        client_id: ClientId,
    },
}

/// The members of a client in the file, an option for each.
#[derive(Args)]
pub(super) struct NewClient {
    /// The client_id of its tokens, such as shop-web
    client_id: String,
    /// The phone shows this name, such as '晨光商城 网页版'
    #[arg(long)]
    name: String,
    /// The mini program whose users may log in
    #[arg(long)]
    appid: String,
    /// The mini program's page that the code opens, such as pages/scan/index
    #[arg(long)]
    page: Option<String>,
    /// The version of the mini program that the code opens: release, or before you publish, trial or develop
    #[arg(long, value_name = "VERSION")]
    env_version: Option<String>,
    /// A device that can show no number: nobody taps one on the phone
    #[arg(long)]
    no_match: bool,
    /// A page or a device that cannot keep a secret
    #[arg(long, conflicts_with_all = ["jwks", "jwks_uri", "issuer"])]
    public: bool,
    /// A site whose pages ask by themselves, as an origin with https; implies --public
    #[arg(long = "origin", value_name = "URL")]
    origins: Vec<String>,
    /// A back end's public keys, a JWK Set in a file, in place of a secret: it signs an assertion for each request
    #[arg(long, value_name = "PATH", conflicts_with = "jwks_uri")]
    jwks: Option<PathBuf>,
    /// Where its public keys are, an address with https, or a path that starts with a slash
    #[arg(long, value_name = "URL")]
    jwks_uri: Option<String>,
    /// The issuer of the tokens that it sends in place of a secret, such as a cluster's for ServiceAccounts
    #[arg(long, value_name = "URL", requires = "subject")]
    issuer: Option<String>,
    /// The sub of these tokens
    #[arg(long, requires = "issuer")]
    subject: Option<String>,
    /// The certificates with which that issuer answers, a file
    #[arg(long, value_name = "PATH", requires = "issuer")]
    ca: Option<String>,
    /// The token that wxmint shows at --jwks-uri, a file
    #[arg(long, value_name = "PATH", requires_all = ["issuer", "jwks_uri"])]
    token: Option<String>,
    /// The aud of its tokens, in place of WXMINT_AUDIENCE
    #[arg(long = "audience", value_name = "NAME")]
    audience: Vec<String>,
    /// The life of its tokens, from 5m to WXMINT_TOKEN_TTL
    #[arg(long, value_name = "TIME")]
    token_ttl: Option<String>,
    /// An address to which a site of OpenID Connect takes browsers back; --refresh lets it renew its tokens
    #[arg(long = "redirect-uri", value_name = "URL")]
    redirect_uris: Vec<String>,
    /// An address to which such a site takes browsers back after a logout
    #[arg(
        long = "post-logout-redirect-uri",
        value_name = "URL",
        requires = "redirect_uris"
    )]
    post_logout_redirect_uris: Vec<String>,
    /// For how long after a login, such as 30d
    #[arg(long, value_name = "TIME", requires = "redirect_uris")]
    refresh: Option<String>,
    /// An official account or a website app by which people log in at such a site too
    #[arg(long = "web-app", value_name = "APPID", requires = "redirect_uris")]
    web_apps: Vec<String>,
    /// Where a site is told at once that logins have ended (OpenID Connect Back-Channel Logout)
    #[arg(long, value_name = "URL", requires = "redirect_uris")]
    backchannel_logout_uri: Option<String>,
    /// The site knows its sessions by the sid of their logins alone
    #[arg(long, requires = "backchannel_logout_uri")]
    backchannel_logout_session_required: bool,
    /// The color of the page that such a site's people see, such as '#06794a'
    #[arg(long, requires = "redirect_uris")]
    color: Option<String>,
}

impl NewClient {
    /// Whether the client gets a secret. Other clients are public, or send tokens.
    fn has_secret(&self) -> bool {
        let shows_tokens = self.jwks.is_some() || self.jwks_uri.is_some() || self.issuer.is_some();
        !self.public && self.origins.is_empty() && !shows_tokens
    }

    fn form(self) -> Result<Form, Failure> {
        let jwks = self.jwks.map(|path| read_keys(&path)).transpose()?;
        Ok(Form {
            client_id: self.client_id,
            name: self.name,
            appid: self.appid,
            matches: self.no_match.then_some(false),
            page: self.page,
            env_version: self.env_version,
            secret_sha256: None,
            jwks,
            jwks_uri: self.jwks_uri,
            issuer: self.issuer,
            subject: self.subject,
            ca: self.ca,
            token: self.token,
            token_ttl: self.token_ttl,
            refresh: self.refresh,
            color: self.color,
            backchannel_logout_uri: self.backchannel_logout_uri,
            backchannel_logout_session_required: self
                .backchannel_logout_session_required
                .then_some(true),
            origins: self.origins,
            audience: self.audience,
            redirect_uris: self.redirect_uris,
            post_logout_redirect_uris: self.post_logout_redirect_uris,
            web_apps: self.web_apps,
        })
    }
}

/// Reads a JWK Set that must hold only public keys, because a private key would be copied into the
/// file of clients.
fn read_keys(path: &Path) -> Result<Value, Failure> {
    let wrong = |reason: String| Failure::usage(reason).at(path.display());
    let content = fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let keys = PublishedKeys::read_of_others(&content).map_err(|error| wrong(error.to_string()))?;
    if let Some(reason) = keys.refused.first() {
        return Err(wrong(reason.to_string()));
    }
    serde_json::from_slice(&content).map_err(|error| wrong(error.to_string()))
}

#[derive(Args)]
pub(super) struct ClientsFileArgs {
    /// The file of clients; default: the path in WXMINT_CLIENTS_FILE
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
}

impl ClientsFileArgs {
    fn path(self) -> Result<PathBuf, Failure> {
        if let Some(path) = self.file {
            return Ok(path);
        }
        match read_one(&door_file(CLIENTS_FILE), variables()) {
            Ok(Some(path)) => Ok(path),
            _ => Err(Failure::usage(
                "which file? Add --file clients.json, or set WXMINT_CLIENTS_FILE",
            )),
        }
    }
}

pub(super) fn run(command: ClientsCommand) -> Result<(), Failure> {
    match command {
        ClientsCommand::Add { place, client } => add(&place.path()?, *client),
        ClientsCommand::List(place) => list(&place.path()?),
        ClientsCommand::End { client_id } => end(&client_id),
    }
}

/// Reads the file both as it is written and as checked clients.
fn read(path: &Path, content: &[u8]) -> Result<(ClientsFile, Clients), Failure> {
    let clients = Clients::parse(content, read_one(&TOKEN_TTL, variables())?);
    let clients = clients.map_err(|fault| Failure::usage(fault).at(path.display()))?;
    let file = serde_json::from_slice(content)
        .map_err(|error| Failure::usage(error).at(path.display()))?;
    Ok((file, clients))
}

fn add(path: &Path, new: NewClient) -> Result<(), Failure> {
    let secret = new
        .has_secret()
        .then(|| URL_SAFE_NO_PAD.encode(*random::<32>()));
    let form = new.form()?;
    let secret_sha256 = secret
        .as_ref()
        .map(|secret| const_hex::encode(digest(&SHA256, secret.as_bytes())));
    let id = form.client_id.clone();
    let client = Form {
        secret_sha256,
        ..form
    };
    client
        .checked()
        .map_err(|mistake| Failure::usage(client.told(mistake)))?;
    let held = Held::wait_or_create(path, EMPTY).map_err(Failure::of_file(MAKE_CLIENTS))?;
    let (mut file, _) = read(
        path,
        &read_private(path).map_err(Failure::of_file(MAKE_CLIENTS))?,
    )?;
    file.clients.push(client);
    let mut content = serde_json::to_vec_pretty(&file).expect("texts are JSON");
    content.push(b'\n');
    read(path, &content)?;
    if let Some(secret) = secret {
        print(format_args!("client_secret: {secret}"));
        // If the secret cannot be printed, its hash must not get into the file.
        complete()?;
        say("note: the secret is shown this once, and the file has its hash alone.");
    }
    held.replace(&content)
        .map_err(Failure::of_file(MAKE_CLIENTS))?;
    print(format_args!("{}: {id} added", path.display()));
    say("note: wxmint serve reads the file within 5 s.");
    Ok(())
}

fn list(path: &Path) -> Result<(), Failure> {
    let (_, clients) = read(
        path,
        &read_private(path).map_err(Failure::of_file(MAKE_CLIENTS))?,
    )?;
    let rows = clients.iter().map(|client| {
        let kind = match (client.is_back_end(), &client.origins[..]) {
            (true, _) if client.identity.is_some() => "back end, with tokens".to_owned(),
            (true, _) => "back end, with a secret".to_owned(),
            (false, []) => "none: a device without a secret".to_owned(),
            (false, origins) => origins.join(" "),
        };
        [
            client.id.to_string(),
            client.name.clone(),
            client.app.to_string(),
            kind,
        ]
    });
    for line in table(["client_id", "name", "appid", "origins"], rows) {
        print(line);
    }
    Ok(())
}

/// Revokes the tokens of each user who may have a token of this client, and audits it.
fn end(client: &ClientId) -> Result<(), Failure> {
    if client.0.is_usual() {
        return Err(Failure::usage(
            "this is an AppID; to end tokens of a mini program: wxmint users revoke USER_ID",
        ));
    }
    let ended = audited(async |Operator { store }| {
        let mut ended = HashSet::new();
        let done = revoke_all(client, store, &mut ended).await;
        noted(
            Event {
                client: Some(client.clone()),
                note: Some(format!("tokens of {} users", ended.len())),
                ..Event::new(Activity::END, Origin::default())
            },
            done,
        )
        .map(|()| ended.len())
    })?;
    print(format_args!(
        "{client}: the tokens of {ended} users are revoked"
    ));
    say(
        "note: wxmint serve gives out no more of them within 5 s after the client is out of its file, in Kubernetes within 2 min. \
         Then run the same command again.",
    );
    Ok(())
}

/// Revokes in batches. Adds each user to `ended`, with the time at which the user's tokens expire.
async fn revoke_all(
    client: &ClientId,
    redis: &Store,
    ended: &mut HashSet<(UserId, i64)>,
) -> Result<(), Failure> {
    let mut from = 0;
    let mut progress = Progress::begin();
    at_first(async || redis.client_tokens.users_of(client, from, 1).await).await?;
    loop {
        // Users of the last second may come again.
        let most = AT_ONCE + ended.iter().filter(|(_, until)| *until == from).count();
        let users = retry(async || redis.client_tokens.users_of(client, from, most).await).await?;
        let news: Vec<_> = users
            .into_iter()
            .filter(|user| !ended.contains(user))
            .collect();
        let Some((_, last)) = news.last() else {
            return Ok(());
        };
        from = *last;
        for (user, until) in news {
            retry(async || redis.revocations.revoke_in_app(&user, &client.0).await).await?;
            ended.insert((user, until));
            progress.tell(format_args!("tokens of {} users are revoked", ended.len()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::Parser;
    use serde_json::json;

    use super::*;
    use crate::oauth::clients::MEMBERS;

    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        command: ClientsCommand,
    }

    fn client_of(options: &str) -> NewClient {
        let words = [
            "clients",
            "add",
            "shop",
            "--name",
            "Shop",
            "--appid",
            "wx0123456789abcdef",
        ];
        let line = Line::parse_from(words.into_iter().chain(options.split_whitespace()));
        let ClientsCommand::Add { client, .. } = line.command else {
            panic!("another command")
        };
        *client
    }

    fn form_of(options: &str) -> Form {
        client_of(options).form().expect("a client")
    }

    #[test]
    fn a_secret_is_drawn_for_a_back_end_that_shows_no_token() {
        for (options, has_secret) in [
            ("", true),
            ("--redirect-uri https://shop.example.com/callback", true),
            ("--public", false),
            ("--origin https://shop.example.com", false),
            ("--jwks keys.json", false),
            ("--jwks-uri https://shop.example.com/keys", false),
            ("--issuer https://cluster.example.com --subject shop", false),
        ] {
            assert_eq!(client_of(options).has_secret(), has_secret, "{options}");
        }
    }

    #[test]
    fn private_keys_are_not_copied_into_the_file_of_clients() {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = folder.path().join("keys.json");
        let private =
            r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"a","x":"AA","y":"AA","d":"AA"}]}"#;
        fs::write(&keys, private).expect("a file");
        let refused = client_of(&format!("--jwks {}", keys.display())).form();
        assert!(refused.is_err_and(|failure| format!("{failure:?}").contains("private")));
    }

    #[test]
    fn each_member_of_the_file_has_an_option() {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = folder.path().join("keys.json");
        fs::write(&keys, r#"{"keys":[]}"#).expect("a file");
        let options = "--page pages/a --env-version trial --no-match --issuer a --subject b --ca /c --token /d \
            --audience e --audience f --token-ttl 1h --redirect-uri g --post-logout-redirect-uri h --refresh 2h \
            --web-app i --color j --origin k --backchannel-logout-uri l --backchannel-logout-session-required \
            --file unused";
        let written = [
            options.to_owned() + " --jwks-uri l",
            format!("--jwks {}", keys.display()),
        ];
        let written = written.map(|options| serde_json::to_value(form_of(&options)).expect("JSON"));
        let members = written
            .iter()
            .flat_map(|form| form.as_object().expect("members").keys());
        let members: BTreeSet<_> = members.map(String::as_str).collect();
        let missing: Vec<_> = MEMBERS
            .iter()
            .filter(|member| !members.contains(**member))
            .collect();
        // The secret is drawn by the command, and only its hash is written.
        assert_eq!(missing, [&"secret_sha256"]);
        assert_eq!(written[0]["audience"], json!(["e", "f"]));
        assert_eq!(written[0]["match"], json!(false));
        assert_eq!(written[1]["jwks"], json!({"keys": []}));
    }
}
