//! `wxmint clients`

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::{Args, CommandFactory, Parser};
use wxmint_ids::{ClientId, UserId};
use wxmint_keys::random;
use wxmint_store::Redis;
use wxmint_telemetry::audit::{Activity, Event, Origin};

use super::clients::{Clients, ClientsFile, Form};
use super::{MAKE_CLIENTS, VARIABLE};
use crate::cli::at_redis::{at_first, audited, noted, patiently};
use crate::cli::output::{Progress, complete, print, say, table};
use crate::cli::{exit, failure::Failure, read as command_of, variables, with_env_file};
use crate::secret_files::{Held, read_private};
use crate::settings::{TOKEN_TTL, read_one, variables::door_file};
use crate::{issuer::door::DoorCommand, login::Operator};

const EMPTY: &[u8] = b"{\"clients\":[]}\n";
/// How many users are read at once whose tokens are to be ended.
const AT_ONCE: usize = 500;

pub(super) const COMMAND: DoorCommand = DoorCommand {
    described: ClientsCommand::command,
    run: |matches| exit(command_of(matches).and_then(|command| with_env_file(|| run(command)))),
};

/// The pages, televisions and command lines that may ask for a scan (WXMINT_CLIENTS_FILE)
#[derive(Parser)]
#[command(name = "clients")]
enum ClientsCommand {
    /// Add one that may ask for a scan; prints the secret of a back end, once
    Add {
        #[command(flatten)]
        place: ClientsFileArgs,
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
        /// A site whose pages ask by themselves, as an origin with https; implies --public
        #[arg(long = "origin", value_name = "URL")]
        origins: Vec<String>,
        /// An address to which a site of OpenID Connect takes browsers back; --refresh lets it renew its tokens
        #[arg(long = "redirect-uri", value_name = "URL")]
        redirect_uris: Vec<String>,
        /// For how long after a login, such as 30d
        #[arg(long, value_name = "TIME", requires = "redirect_uris")]
        refresh: Option<String>,
        /// Where a site is told at once that logins have ended (OpenID Connect Back-Channel Logout)
        #[arg(long, value_name = "URL", requires = "redirect_uris")]
        backchannel_logout_uri: Option<String>,
        /// A page or a device that cannot keep a secret
        #[arg(long)]
        public: bool,
    },
    /// List the clients: client_id, name, mini program, and whether it has a secret
    List(ClientsFileArgs),
    /// End all tokens of a client, in the Redis of WXMINT_REDIS_URL; take it out of the file first
    End {
        /// The client_id of the tokens
        client_id: ClientId,
    },
}

#[derive(Args)]
struct ClientsFileArgs {
    /// The file of clients; default: the path in WXMINT_CLIENTS_FILE
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
}

impl ClientsFileArgs {
    fn path(self) -> Result<PathBuf, Failure> {
        let from_settings = || read_one(&door_file(VARIABLE), variables()).ok().flatten();
        let usage = || Failure::usage("which file? Add --file clients.json, or set WXMINT_CLIENTS_FILE");
        self.file.or_else(from_settings).ok_or_else(usage)
    }
}

fn run(command: ClientsCommand) -> Result<(), Failure> {
    match command {
        ClientsCommand::Add {
            place,
            client_id,
            name,
            appid,
            page,
            origins,
            redirect_uris,
            refresh,
            backchannel_logout_uri,
            public,
        } => {
            let form = Form {
                client_id,
                name,
                appid,
                page,
                origins,
                redirect_uris,
                refresh,
                backchannel_logout_uri,
                ..Form::default()
            };
            add(&place.path()?, form, public)
        }
        ClientsCommand::List(place) => list(&place.path()?),
        ClientsCommand::End { client_id } => end(&client_id),
    }
}

/// The file as it is written, and what it means.
fn read(path: &Path, content: &[u8]) -> Result<(ClientsFile, Clients), Failure> {
    let clients = Clients::parse(content, read_one(&TOKEN_TTL, variables())?);
    let clients = clients.map_err(|fault| Failure::usage(fault).at(path.display()))?;
    let file = serde_json::from_slice(content).map_err(|error| Failure::usage(error).at(path.display()))?;
    Ok((file, clients))
}

fn add(path: &Path, form: Form, public: bool) -> Result<(), Failure> {
    let secret = if public || !form.origins.is_empty() { None } else { Some(URL_SAFE_NO_PAD.encode(*random::<32>())) };
    let hash = secret.as_ref().map(|secret| digest(&SHA256, secret.as_bytes()));
    let secret_sha256 = hash.map(|hash| hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect());
    let (id, client) = (form.client_id.clone(), Form { secret_sha256, ..form });
    client.checked().map_err(|mistake| Failure::usage(client.told(mistake)))?;
    let held = Held::wait_or_create(path, EMPTY).map_err(Failure::of_file(MAKE_CLIENTS))?;
    let (mut file, _) = read(path, &read_private(path).map_err(Failure::of_file(MAKE_CLIENTS))?)?;
    file.clients.push(client);
    let mut content = serde_json::to_vec_pretty(&file).expect("texts are JSON");
    content.push(b'\n');
    read(path, &content)?;
    if let Some(secret) = secret {
        print(format_args!("client_secret: {secret}"));
        // A secret that nobody has seen is of no use in the file.
        complete()?;
        say("note: the secret is shown this once, and the file has its hash alone.");
    }
    held.replace(&content).map_err(Failure::of_file(MAKE_CLIENTS))?;
    print(format_args!("{}: {id} added", path.display()));
    say("note: wxmint serve reads the file within 5 s.");
    Ok(())
}

fn list(path: &Path) -> Result<(), Failure> {
    let (_, clients) = read(path, &read_private(path).map_err(Failure::of_file(MAKE_CLIENTS))?)?;
    let rows = clients.iter().map(|client| {
        let kind = match (client.is_back_end(), &client.origins[..]) {
            (true, _) if client.identity.is_some() => "back end, with tokens".to_owned(),
            (true, _) => "back end, with a secret".to_owned(),
            (false, []) => "none: a device without a secret".to_owned(),
            (false, origins) => origins.join(" "),
        };
        [client.id.to_string(), client.name.clone(), client.app.to_string(), kind]
    });
    table(["client_id", "name", "appid", "origins"], rows).into_iter().for_each(print);
    Ok(())
}

/// Ends the tokens of each user who may have one, and tells the audit.
fn end(client: &ClientId) -> Result<(), Failure> {
    if client.0.is_usual() {
        return Err(Failure::usage("this is an AppID; to end tokens of a mini program: wxmint users end USER_ID"));
    }
    let ended = audited(async |Operator { store }| {
        let mut ended = HashSet::new();
        let done = end_all(client, store, &mut ended).await;
        let (client, note) = (Some(client.clone()), Some(format!("tokens of {} users", ended.len())));
        noted(Event { client, note, ..Event::new(Activity::END, Origin::default()) }, done).map(|()| ended.len())
    })?;
    print(format_args!("{client}: the tokens of {ended} users are revoked"));
    say(
        "note: wxmint serve gives out no more of them within 5 s after the client is out of its file, in Kubernetes within 2 min. \
         Then run the same command again.",
    );
    Ok(())
}

/// Adds each user whose tokens are ended, and until when they were valid, to `ended`.
async fn end_all(client: &ClientId, redis: &Redis, ended: &mut HashSet<(UserId, i64)>) -> Result<(), Failure> {
    let (mut from, mut progress) = (0, Progress::begin());
    at_first(async || redis.users_of_client(client, from, 1).await).await?;
    loop {
        // Some of the last second again.
        let most = AT_ONCE + ended.iter().filter(|(_, until)| *until == from).count();
        let users = patiently(async || redis.users_of_client(client, from, most).await).await?;
        let news: Vec<_> = users.into_iter().filter(|user| !ended.contains(user)).collect();
        let Some((_, last)) = news.last() else { return Ok(()) };
        from = *last;
        for (user, until) in news {
            patiently(async || redis.end_in_app(&user, &client.0).await).await?;
            ended.insert((user, until));
            progress.tell(format_args!("tokens of {} users are revoked", ended.len()));
        }
    }
}
