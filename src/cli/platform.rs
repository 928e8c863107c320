//! `wxmint platform`

use clap::Subcommand;
use wxmint_store::Platforms;
use wxmint_upstream::Tls;
use wxmint_wechat::WeChat;

use super::{
    Failure,
    at_redis::{at_first, open},
    environment::variables,
    output::{print, say, table},
};
use crate::{
    http::run_to_end,
    platform::{Known, Platform, Standing},
    secret_files::read_private,
    settings::Settings,
    telemetry::Metrics,
};

#[derive(Subcommand)]
pub(super) enum PlatformCommand {
    /// List the merchants that have authorised the platform: AppID, what it is, how it stands, and since when
    Apps,
    /// Have WeChat push the platform's ticket anew; otherwise it comes every ten minutes
    StartPush,
}

pub(super) fn run(command: &PlatformCommand) -> Result<(), Failure> {
    let settings = Settings::from_vars(variables())?;
    let Some(path) = &settings.platform_file else {
        return Err(Failure::usage("which platform? Set WXMINT_PLATFORM_FILE"));
    };
    let content = read_private(path).map_err(|error| Failure::of_file(&error, None))?;
    let platform = Platform::parse(&content).map_err(|wrong| Failure::usage(wrong).at(path.display()))?;
    match command {
        PlatformCommand::Apps => list(&platform),
        PlatformCommand::StartPush => start_push(&settings, &platform),
    }
}

fn list(platform: &Platform) -> Result<(), Failure> {
    let redis = open()?;
    let kept = run_to_end(async {
        at_first(async || redis.matters(&platform.component.id, 0).await).await.map_err(Failure::unfinished)
    })?;
    let known = Known::of(kept.unwrap_or_default());
    let rows = known.merchants.iter().map(|(app, merchant)| {
        let (kind, standing) = match &merchant.standing {
            Standing::Asked(_) => ("", "has authorised; WeChat is asked about it"),
            Standing::In(kind, _) => (kind.name(), "logs in"),
            Standing::Leaving => ("", "has left; its tokens are being revoked"),
            Standing::Gone => ("", "has left"),
        };
        let since =
            chrono::DateTime::from_timestamp(merchant.matter.at, 0).map(|at| at.to_rfc3339()).unwrap_or_default();
        [app.to_string(), kind.to_owned(), standing.to_owned(), since]
    });
    table(["appid", "kind", "standing", "since"], rows).into_iter().for_each(print);
    match known.ticket {
        Some(ticket) => {
            let at = chrono::DateTime::from_timestamp(ticket.at, 0).map(|at| at.to_rfc3339()).unwrap_or_default();
            say(format_args!("note: the platform's last ticket is of {at}."));
        }
        None => say("warning: no ticket of the platform has come; run: wxmint platform start-push"),
    }
    Ok(())
}

fn start_push(settings: &Settings, platform: &Platform) -> Result<(), Failure> {
    let (url, proxy) = (&settings.wechat_url, settings.wechat_proxy.as_ref());
    let made = Tls::reaching([url]).and_then(|tls| WeChat::new(url, proxy, &tls, 1, Metrics::default()));
    let wechat = made.map_err(Failure::unfinished)?;
    let secret = platform.component.secret().ok_or_else(|| Failure::usage("the file has no component_appsecret"))?;
    run_to_end(async { wechat.start_push_ticket(&platform.component, secret).await.map_err(Failure::unfinished) })?;
    print("WeChat pushes the ticket to the address that the platform's console has");
    Ok(())
}
