//! `wxmint demo`: issuer, WeChat stand-in, a store in memory and a page, all on loopback.

use std::{
    net::{Ipv4Addr, SocketAddr},
    process::ExitCode,
    sync::Arc,
};

use aws_lc_rs::rand;
use base64::{Engine, engine::general_purpose::STANDARD};
use clap::Args;

use super::{EXIT_USAGE, fail};
use crate::{
    http::{listen, now, run_to_end, stop_signal},
    issuer::{self, Issuer, Listeners, Routes, StartError},
    keys::{Algorithm, KeyError, KeySet, PrivateJwk, StoredKeys},
    settings::Settings,
    simulator::{self, World},
    store::Vault,
    telemetry,
};

const APP: &str = "wxc0ffee0000000001";

/// The options of `wxmint demo`.
#[derive(Args)]
pub(super) struct DemoArgs {
    /// Address of the page and of the issuer, on this machine; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Algorithm of the signing key
    #[arg(long, value_name = "ES256|EdDSA|RS256", default_value = "ES256")]
    alg: Algorithm,
}

/// Runs the demo until Ctrl-C.
pub(super) fn run(args: &DemoArgs) -> ExitCode {
    if !args.listen.ip().is_loopback() {
        let reason = "the demo shows every login to whoever asks: --listen must be an address of this machine, \
                      for example 127.0.0.1:8080";
        return fail(EXIT_USAGE, reason);
    }
    match start(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(DemoError::Start(StartError::Listen { address, source, .. })) => {
            fail(1, format_args!("cannot listen on {address}: {source}. Try: wxmint demo --listen 127.0.0.1:0"))
        }
        Err(error) => fail(1, error),
    }
}

#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("{0}")]
    Other(String),
}

impl From<std::io::Error> for DemoError {
    fn from(error: std::io::Error) -> Self {
        Self::Start(error.into())
    }
}

fn start(args: &DemoArgs) -> Result<(), DemoError> {
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listeners = Listeners::bind(args.listen, any_port)?;
    let wechat = listen(any_port)?;
    let address = format!("http://{}", listeners.public.local_addr()?);
    let secret = random_hex()?;
    let settings = settings(&address, &wechat.local_addr()?, &secret)?;
    telemetry::init(settings.log_format);

    let app = format!("{APP}:{secret}")
        .parse()
        .map_err(|error: simulator::InvalidApp| DemoError::Other(error.to_string()))?;
    let world = World::new(vec![app], 0);
    let page: Routes = {
        let world = Arc::clone(&world);
        Arc::new(move |config| {
            simulator::control_routes(Arc::clone(&world))(config);
            simulator::page_routes(config);
        })
    };
    let issuer = Issuer::new(settings, keys(args.alg)?, vault()?)?;
    introduce(&address);
    run_to_end(async {
        let (stop_wechat, stopped) = tokio::sync::oneshot::channel::<()>();
        let stand_in = tokio::spawn(simulator::run(wechat, world, 1, async move {
            // Also when the sender is dropped, since the issuer has then ended.
            let _ = stopped.await;
        }));
        let stop = stop_signal()?;
        issuer::run(issuer, listeners, page, stop).await?;
        drop(stop_wechat);
        stand_in.await.map_err(|error| DemoError::Other(error.to_string()))??;
        Ok(())
    })
}

fn settings(address: &str, wechat: &SocketAddr, secret: &str) -> Result<Settings, DemoError> {
    let pairs = [
        ("WXMINT_ISSUER", address.to_owned()),
        ("WXMINT_APPID", APP.to_owned()),
        ("WXMINT_APP_SECRET", secret.to_owned()),
        ("WXMINT_REDIS_URL", "memory:".to_owned()),
        ("WXMINT_KEYS", "(made for this demo)".to_owned()),
        ("WXMINT_VAULT_KEY_FILE", "(made for this demo)".to_owned()),
        ("WXMINT_WECHAT_URL", format!("http://{wechat}")),
        ("WXMINT_LOG_FORMAT", "text".to_owned()),
    ];
    Settings::from_vars(pairs.map(|(name, value)| (name.to_owned(), value)))
        .map_err(|faults| DemoError::Other(faults.to_string()))
}

fn keys(algorithm: Algorithm) -> Result<KeySet, KeyError> {
    StoredKeys::of(PrivateJwk::generate(algorithm, now())?).check()
}

fn vault() -> Result<Vault, DemoError> {
    let line = STANDARD.encode(random::<32>()?);
    Vault::parse(line.as_bytes()).map_err(|error| DemoError::Other(error.to_string()))
}

fn random_hex() -> Result<String, DemoError> {
    Ok(random::<16>()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn random<const N: usize>() -> Result<[u8; N], DemoError> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| DemoError::Other("the system gave no random bits".into()))?;
    Ok(bytes)
}

#[expect(clippy::print_stdout, reason = "a command that prints to people")]
fn introduce(address: &str) {
    println!("Open {address}/ in a browser. 在浏览器中打开上面的地址。");
    println!("Everything is in memory and on this machine; Ctrl-C ends it. 一切都在本机内存中，按 Ctrl-C 结束。");
}
