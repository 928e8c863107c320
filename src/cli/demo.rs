//! `wxmint demo`: issuer, stand-ins for WeChat and an account service, a peer, a store in memory, a page, on loopback.

use std::net::{Ipv4Addr, SocketAddr};
use std::{env, future::pending, sync::Arc, time::Duration};

use actix_web::web;
use clap::Args;
use reqwest::Url;
use serde_json::{Value, json};
use wxmint_http::{Listeners, listen, page, run_to_end, serve, stop_signal};
use wxmint_keys::{PrivateJwk, StoredKeys, random, vault::Vault};
use wxmint_simulator::{
    AccountBook, Block, DEMO_APPS, KnownOf, Options, World, account_page_routes, account_routes,
    control_routes, page_files, peer_routes, regulars_book, regulars_logins,
};
use wxmint_store::{Store, StoreAccess};
use wxmint_verify::{Algorithm, peer::Peer};
use wxmint_wechat::App;

use super::{Failure, key_line, output::print, ready::client, serve::init_log, simulator};
use crate::findings::{Doctor, Message};
use crate::issuer::door::{Doors, OpenDoor};
use crate::issuer::{self, Issuer, Routes};
use crate::oauth::{OAuth, clients::Clients};
use crate::settings::{AppsSource, Settings, SidecarSettings};
use crate::{clock::now, login::Operator, sidecar};

/// How long the stand-in WeChat takes to answer: about as long as WeChat, and long enough to be
/// visible on the page.
const WECHAT_TAKES: Duration = Duration::from_millis(50);

#[derive(Args)]
pub(super) struct DemoArgs {
    /// Address of the page and of the issuer, on this machine; port 0 takes a free one. The log is shown if RUST_LOG is
    /// set
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
}

pub(super) fn run(args: &DemoArgs, doors: Doors) -> Result<(), Failure> {
    if !args.listen.ip().is_loopback() {
        return Err(Failure::usage(
            "the demo shows every login to whoever asks: --listen must be an address of this machine, for example \
             127.0.0.1:8080",
        ));
    }
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    // Another port is suggested, because 8080 is often in use.
    let service = listen(args.listen).map_err(|error| {
        Failure::unfinished(format!(
            "cannot listen on {}: {error}. Try: wxmint demo --listen 127.0.0.1:0",
            args.listen
        ))
    })?;
    let address = format!("http://{}", service.local_addr()?);
    let listeners = Listeners {
        service,
        admin: listen(any_port)?,
    };
    let wechat = listen(any_port)?;
    let accounts = listen(any_port)?;
    let (apps, world) = apps();
    let book = regulars_book();
    let settings = settings(&address, accounts.local_addr()?, wechat.local_addr()?, apps)?;
    if env::var_os("RUST_LOG").is_some_and(|levels| !levels.is_empty()) {
        init_log(settings.log_format, &settings.audit)?;
    }
    let issuer = issuer(settings, &address, doors)?;
    run_to_end(async {
        let stop = stop_signal()?;
        let (peer, page) = page(&address, &world, &book, issuer.redis.clone())?;
        let logins = regulars_logins(&world);
        // Both serve until the process ends.
        tokio::spawn(simulator::run_on(wechat, Arc::clone(&world), 1, pending()));
        let app = move || {
            actix_web::App::new().configure(account_routes(Arc::clone(&book), Arc::clone(&world)))
        };
        actix_web::rt::spawn(serve(accounts, simulator::limits(1), app, pending())?);
        let open = async {
            log_in(&address, logins)
                .await
                .map_err(Failure::unfinished)?;
            peer.is_ready().await;
            introduce(&address);
            Ok(())
        };
        let doctor: Doctor = Arc::new(|| Box::pin(async { Vec::new() }));
        let served = async {
            issuer::run(issuer, listeners, Some(page), doctor, stop)
                .await
                .map_err(Failure::from)
        };
        tokio::try_join!(served, open).map(|_| ())
    })
}

fn issuer(settings: Settings, address: &str, doors: Doors) -> Result<Issuer, Failure> {
    let longest = settings.token_ttl;
    let keys = StoredKeys::of([PrivateJwk::generate(Algorithm::Es256, now())?]);
    let vault = Vault::parse(&key_line()).map_err(Failure::unfinished)?;
    let mut issuer = Issuer::new(settings, keys.check()?, vault, doors)?;
    let clients = website(address, longest).map_err(Failure::unfinished)?;
    issuer.oauth = Some(Arc::new(OAuth::new(clients, None, address)));
    for (row, open) in doors.iter().filter_map(|row| Some((row, row.in_demo?))) {
        issuer.doors.push(OpenDoor { row, door: open() });
    }
    Ok(issuer)
}

/// The one client: the website on the laptop of the demo's page, whose users log in by the first
/// app.
fn website(address: &str, longest: Duration) -> Result<Clients, Message> {
    let website = json!({
        "client_id": "demo-web", "name": "Mint Tea Room 薄荷茶室", "appid": DEMO_APPS[0], "page": "pages/scan/index",
        "origins": [address, address.replace("127.0.0.1", "localhost")],
    });
    let file = json!({"clients": [website]}).to_string();
    Clients::parse(file.as_bytes(), longest)
}

async fn log_in(address: &str, logins: Vec<Value>) -> Result<(), String> {
    let wxmint: Url = address
        .parse()
        .map_err(|_| format!("{address} is no URL"))?;
    let http = client([&wxmint], simulator::PATIENCE)?;
    for login in logins {
        simulator::post(&http, &wxmint, "/login", &login).await?;
    }
    Ok(())
}

/// The apps, and the stand-in WeChat that knows them by an AppSecret made for this demo.
fn apps() -> ([App; 2], Arc<World>) {
    let secret = format!("{:032x}", u128::from_be_bytes(*random::<16>()));
    let known = DEMO_APPS.iter().map(|id| {
        format!("{id}:{secret}")
            .parse()
            .expect("an app of the simulator")
    });
    let world = World::with_options(
        known.collect(),
        Options {
            latency: WECHAT_TAKES,
            ..Options::default()
        },
    );
    let apps = DEMO_APPS.map(|id| {
        App::mini_program(
            id.parse().expect("an AppID"),
            secret.parse().expect("an AppSecret"),
        )
    });
    (apps, world)
}

/// The routes of the page beside the issuer's own, and the peer behind them. Two services trust the
/// issuer at this address: one verifies by itself, the other has the sidecar verify. One peer
/// serves both, and follows the issuer's keys and revocations over HTTP.
fn page(
    address: &str,
    world: &Arc<World>,
    book: &Arc<AccountBook>,
    memory: StoreAccess,
) -> Result<(Arc<Peer>, Routes), Failure> {
    let keys = format!("{address}/.well-known/jwks.json");
    // The audience is the issuer, which is the default.
    let pairs = [
        ("WXMINT_ISSUER", address),
        ("WXMINT_AUDIENCE", address),
        ("WXMINT_JWKS_URL", &keys),
    ];
    let settings =
        SidecarSettings::from_vars(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())))
            .map_err(Failure::unfinished)?;
    let peer = Arc::new(Peer::start(settings.trusted.clone()).map_err(Failure::unfinished)?);
    let by_itself = peer_routes(Arc::clone(&peer));
    let sidecar = sidecar::routes(settings, Arc::clone(&peer));
    let same = memory.clone();
    let known: KnownOf = Arc::new(move |user| Box::pin(known_of(same.clone(), user.to_owned())));
    let block: Block =
        Arc::new(move |user, blocked| Box::pin(block(memory.clone(), user.to_owned(), blocked)));
    let control = control_routes(Arc::clone(world));
    let accounts = account_page_routes(Arc::clone(book), known, block);
    let routes: Routes = Arc::new(move |config| {
        config
            .configure(control.clone())
            .configure(accounts.clone());
        config
            .configure(by_itself.clone())
            .configure(sidecar.clone());
        for &(path, kind, content) in page_files() {
            config.route(
                path,
                web::get().to(move || async move { page::answer(kind, content) }),
            );
        }
    });
    Ok((peer, routes))
}

/// The user as an operator sees it, as JSON; null if there is no such user.
async fn known_of(memory: StoreAccess, user: String) -> Value {
    let Ok(user) = user.parse() else {
        return Value::Null;
    };
    json!(
        Operator {
            store: &store(&memory)
        }
        .show(&user)
        .await
        .ok()
    )
}

async fn block(memory: StoreAccess, user: String, blocked: bool) -> bool {
    let Ok(user) = user.parse() else { return false };
    let operator = Operator {
        store: &store(&memory),
    };
    let done = if blocked {
        operator.block(&user).await
    } else {
        operator.unblock(&user).await
    };
    done.is_ok()
}

/// Opens the issuer's store. The lifetime of session keys does not matter here, because this store
/// writes none.
fn store(memory: &StoreAccess) -> Store {
    Store::new(memory, Duration::ZERO, now, ())
}

fn settings(
    address: &str,
    accounts: SocketAddr,
    wechat: SocketAddr,
    apps: [App; 2],
) -> Result<Settings, Failure> {
    let pairs = [
        ("WXMINT_ISSUER", address.to_owned()),
        ("WXMINT_APPS_DIR", "(made for this demo)".to_owned()),
        ("WXMINT_REDIS_URL", "memory:".to_owned()),
        ("WXMINT_KEYS", "(made for this demo)".to_owned()),
        ("WXMINT_VAULT_KEY_FILE", "(made for this demo)".to_owned()),
        ("WXMINT_ACCOUNTS", format!("http://{accounts}")),
        ("WXMINT_WECHAT_URL", format!("http://{wechat}")),
        ("WXMINT_OTHER_PLATFORMS_URL", format!("http://{wechat}")),
        // A login on a second phone revokes the first phone's token.
        ("WXMINT_SINGLE_SESSION", "true".to_owned()),
        ("WXMINT_LOG_FORMAT", "text".to_owned()),
    ];
    let settings = Settings::from_vars(pairs.map(|(name, it)| (name.to_owned(), it)))
        .map_err(Failure::unfinished)?;
    Ok(Settings {
        apps: AppsSource::Given(apps.into()),
        ..settings
    })
}

fn introduce(address: &str) {
    let url = format!("{address}/");
    let edge = "─".repeat(url.len() + 4);
    print(format_args!("┌{edge}┐\n│  {url}  │\n└{edge}┘"));
    print("Open it in a browser. 请在浏览器里打开。");
    print(
        "Everything is in memory and on this machine; Ctrl-C ends it. 一切都在本机内存中，按 Ctrl-C 结束。",
    );
}
