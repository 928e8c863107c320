//! Checks whether the other platforms than WeChat answer, and accept the credentials of each app.

use futures_util::{StreamExt, stream};
use wxmint_platforms::{Meaning, PlatformError, Platforms};
use wxmint_upstream::Tls;
use wxmint_wechat::{App, AppExchanger, PlatformApp};

use crate::apps::CurrentApps;
use crate::clock::now;
use crate::findings::{Finding, Message};
use crate::settings::Settings;

pub(super) const CHECK: &str = "platforms.credentials";

/// How many apps are checked at a time.
const AT_A_TIME: usize = 50;

pub(super) async fn examine(settings: &Settings) -> Vec<Finding> {
    let apps = CurrentApps::read(settings.apps.clone()).map(|apps| apps.all());
    let apps: Vec<_> = apps.iter().flat_map(|apps| apps.iter()).collect();
    let of_platforms: Vec<_> = apps.iter().filter_map(|app| of_platform(app)).collect();
    if of_platforms.is_empty() {
        return vec![Finding::ok(CHECK, message!(no_app_of_other_platform))];
    }
    let stand_in = settings.other_platforms_url.as_ref();
    let proxy = settings.wechat_proxy.as_ref();
    let reached = Platforms::reached(stand_in, apps.iter().copied());
    let made =
        Tls::reaching(&reached).and_then(|tls| Platforms::new(stand_in, proxy, &tls, 1, now, ()));
    let platforms = match made {
        Ok(platforms) => platforms,
        Err(error) => return vec![Finding::unchecked(CHECK, &error)],
    };
    // The platforms check the credentials before they refuse a code.
    let no_code = "wxmint-doctor".parse().expect("a code");
    let ask = async |(app, of_platform): &(&App, &PlatformApp)| {
        let answered = platforms.exchange(&app.id, of_platform, &no_code).await;
        credentials(app, of_platform, answered.err())
    };
    stream::iter(&of_platforms)
        .map(ask)
        .buffered(AT_A_TIME)
        .collect()
        .await
}

fn of_platform(app: &App) -> Option<(&App, &PlatformApp)> {
    match &app.exchanger {
        AppExchanger::Platform(of_platform) => Some((app, of_platform)),
        AppExchanger::Secret(_) | AppExchanger::Component(_) => None,
    }
}

/// A platform that exchanged the impossible code would take the credentials too.
fn credentials(app: &App, of: &PlatformApp, error: Option<PlatformError>) -> Finding {
    let found = |error: &PlatformError| message!("{}: {}", app.id, Message::from(error));
    match &error {
        None
        | Some(PlatformError::Refused {
            meaning: Meaning::CodeInvalid,
            ..
        }) => Finding::ok(
            CHECK,
            message!(platform_takes_appid_and_secret, app.id, of.platform),
        ),
        Some(
            error @ (PlatformError::Refused {
                meaning: Meaning::Misconfigured,
                ..
            }
            | PlatformError::OtherIdentity { .. }),
        ) => Finding::fault(
            CHECK,
            found(error),
            message!(correct_app_of_platform, of.platform),
        ),
        Some(error) => Finding::warning(
            CHECK,
            message!(not_checked, found(error)),
            message!(run_doctor_again),
        ),
    }
}
