//! `wxmint platform`

#![expect(
    clippy::doc_markdown,
    reason = "the comments are the help that the terminal shows"
)]

use chrono::DateTime;
use clap::{CommandFactory, Parser};
use wxmint_http::run_to_end;
use wxmint_upstream::Tls;
use wxmint_wechat::WeChat;

use super::known::{Known, MerchantState};
use super::{ThirdPartyPlatform, VARIABLE, store::entries};
use crate::cli::at_redis::{at_first, open};
use crate::cli::output::{print, say, table};
use crate::cli::{exit, failure::Failure, read as command_of, variables, with_env_file};
use crate::{issuer::door::DoorCommand, secret_files::read_private, settings::Settings};

pub(super) const COMMAND: DoorCommand = DoorCommand {
    described: PlatformCommand::command,
    run: |matches| exit(command_of(matches).and_then(|command| with_env_file(|| run(&command)))),
};

/// The merchants of a third-party platform (WXMINT_PLATFORM_FILE)
#[derive(Parser)]
#[command(name = "platform")]
enum PlatformCommand {
    /// List the merchants that have authorised the platform: AppID, what it is, how it stands, and since when
    Apps,
    /// Have WeChat push the platform's ticket anew; otherwise it comes every ten minutes
    StartPush,
}

fn run(command: &PlatformCommand) -> Result<(), Failure> {
    let settings = Settings::from_vars(variables())?;
    let path = settings
        .door_files
        .get(VARIABLE)
        .ok_or_else(|| Failure::usage("which platform? Set WXMINT_PLATFORM_FILE"))?;
    let platform = ThirdPartyPlatform::parse(&read_private(path)?)
        .map_err(|wrong| Failure::usage(wrong).at(path.display()))?;
    match command {
        PlatformCommand::Apps => list(&platform),
        PlatformCommand::StartPush => start_push(&settings, &platform),
    }
}

fn list(platform: &ThirdPartyPlatform) -> Result<(), Failure> {
    let redis = open()?;
    let kept = run_to_end(at_first(async || {
        entries(&redis, &platform.component.id, 0).await
    }));
    let known = Known::of(kept.map_err(Failure::unfinished)?.unwrap_or_default());
    let merchants = known.merchants.iter().map(|(app, merchant)| {
        let (kind, state) = match (&merchant.state, merchant.trouble) {
            (MerchantState::In(kind, _), Some(61007)) => {
                (kind.name(), "logs in; lacks a permission (61007)")
            }
            (MerchantState::In(kind, _), Some(_)) => {
                (kind.name(), "logs in; its refresh token is stale (61023)")
            }
            (MerchantState::In(kind, _), None) => (kind.name(), "logs in"),
            (MerchantState::Leaving, _) => ("", "has left; its tokens are being revoked"),
            (MerchantState::Gone, _) => ("", "has left"),
        };
        [app.as_str(), kind, state, &date(merchant.entry.at)].map(str::to_owned)
    });
    let asked = known.codes.iter().map(|(app, code)| {
        [
            app.as_str(),
            "",
            "has authorised; WeChat is asked about it",
            &date(code.at),
        ]
        .map(str::to_owned)
    });
    for line in table(["appid", "kind", "state", "since"], merchants.chain(asked)) {
        print(line);
    }
    match known.ticket {
        Some(ticket) => say(format_args!(
            "note: the platform's last ticket is of {}.",
            date(ticket.at)
        )),
        None => say("warning: no ticket of the platform has come; run: wxmint platform start-push"),
    }
    Ok(())
}

/// The time of a Unix second.
fn date(at: i64) -> String {
    DateTime::from_timestamp(at, 0)
        .map(|at| at.to_rfc3339())
        .unwrap_or_default()
}

fn start_push(settings: &Settings, platform: &ThirdPartyPlatform) -> Result<(), Failure> {
    let url = &settings.wechat_url;
    let proxy = settings.wechat_proxy.as_ref();
    let made = Tls::reaching([url]).and_then(|tls| WeChat::new(url, proxy, &tls, 1, ()));
    let wechat = made.map_err(Failure::unfinished)?;
    run_to_end(async {
        wechat
            .start_push_ticket(&platform.component)
            .await
            .map_err(Failure::unfinished)
    })?;
    print("WeChat pushes the ticket to the address that the platform's console has");
    Ok(())
}
