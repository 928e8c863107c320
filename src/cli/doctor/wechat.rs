//! Checks whether WeChat answers, accepts the credentials of each app, and has the same time.

use std::{fmt::Display, net::IpAddr};

use chrono::{DateTime, Utc};
use futures_util::{StreamExt, future::join, stream};
use wxmint_ids::Platform;
use wxmint_upstream::{ProxyUrl, Tls};
use wxmint_wechat::{App, AppKind, CallError, Verdict, WeChat};

use crate::apps::{self, CurrentApps};
use crate::findings::{Finding, Message};
use crate::{clock::now, settings::Settings};

pub(super) const CHECKS: [&str; 3] = ["wechat.reach", "wechat.credentials", "wechat.clock"];

/// The largest difference of clocks in seconds: half of the leeway of verifiers.
const FAR: f64 = 30.0;
/// How many apps are checked at a time. It is less than the number of requests that the client of
/// one worker queues.
const AT_A_TIME: usize = 50;

pub(super) async fn examine(settings: &Settings, alone: Option<Message>) -> Vec<Finding> {
    let url = &settings.wechat_url;
    let proxy = settings.wechat_proxy.as_ref();
    let apps = CurrentApps::read(settings.apps.clone()).map(|apps| apps.all());
    let all: Vec<_> = apps.iter().flat_map(|apps| apps.iter()).collect();
    let is_of_wechat = |app: &&&App| app.platform() == Platform::WeChat;
    let apps: Vec<_> = all.iter().filter(is_of_wechat).copied().collect();
    // Without an app of WeChat, a third-party platform still needs WeChat for its merchants.
    if apps.is_empty() && !all.is_empty() && alone.is_none() {
        return CHECKS
            .map(|name| Finding::ok(name, message!(no_app_is_of_wechat)))
            .into();
    }
    let wechat = match Tls::reaching([url]).and_then(|tls| WeChat::new(url, proxy, &tls, 1, ())) {
        Ok(wechat) => wechat,
        Err(error) => return CHECKS.map(|name| Finding::unchecked(name, &error)).into(),
    };
    let ask = async |app: &&App| credentials(app, taken(&wechat, app).await);
    let tokens = stream::iter(&apps)
        .map(ask)
        .buffered(AT_A_TIME)
        .collect::<Vec<_>>();
    let (date, mut found) = join(wechat.date(), tokens).await;
    let clock = clock(
        "wechat.clock",
        message!(wechat),
        date.as_ref().ok().copied().flatten(),
        now(),
    );
    if found.is_empty() {
        found.push(match alone {
            Some(alone) => Finding::ok("wechat.credentials", alone),
            None => Finding::unchecked("wechat.credentials", message!(no_appsecret_can_be_read)),
        });
    }
    found.extend([
        clock,
        reach(&date, url.host_str().unwrap_or_default(), proxy),
    ]);
    found
}

/// Checks whether WeChat accepts the credentials. Websites and mobile apps have no access token of
/// their own, but WeChat checks the credentials before it refuses a code.
async fn taken(wechat: &WeChat, app: &App) -> Result<(), CallError> {
    if app.kind.has_session_keys() {
        return wechat.stable_token(app, false).await.map(drop);
    }
    let no_code = "wxmint-doctor".parse().expect("a code");
    match wechat.exchange(app, &no_code).await {
        Err(error) if error.verdict() == Some(Verdict::CodeInvalid) => Ok(()),
        other => other.map(drop),
    }
}

fn reach(
    date: &Result<Option<DateTime<Utc>>, CallError>,
    host: &str,
    proxy: Option<&ProxyUrl>,
) -> Finding {
    let name = "wechat.reach";
    let fault = |error, advice| {
        Finding::fault(name, message!("{}: {}", host, Message::from(error)), advice)
    };
    match (date, proxy) {
        (Ok(_), None) => Finding::ok(name, message!(host_answers, host)),
        (Ok(_), Some(proxy)) => {
            Finding::ok(name, message!(host_answers_through_proxy, host, proxy))
        }
        (Err(error), None) => fault(error, message!(let_machine_reach_wechat)),
        (Err(error), Some(proxy)) => fault(error, message!(see_that_it_is_the_proxy, proxy, host)),
    }
}

/// Checks how far another clock is from this machine's clock.
pub(super) fn clock(
    name: &'static str,
    of: impl Display,
    date: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Finding {
    let Some(date) = date else {
        return Finding::unchecked(name, message!(does_not_say_its_time, of));
    };
    Finding::clock(
        name,
        (now - date).as_seconds_f64(),
        FAR,
        message!(clock_of, of),
    )
}

/// The IP address that an errmsg of WeChat names.
pub(crate) fn address_in(errmsg: &str) -> Option<&str> {
    errmsg
        .split([' ', ','])
        .find(|word| word.parse::<IpAddr>().is_ok())
}

/// The advice about an errcode that also makes logins fail.
fn cure(kind: AppKind, errcode: i64, errmsg: &str) -> Option<Message> {
    // The site on which WeChat shows the app to its owner.
    let console = match kind {
        AppKind::MiniProgram | AppKind::OfficialAccount => "mp.weixin.qq.com",
        AppKind::Website | AppKind::MobileApp => "open.weixin.qq.com",
    };
    Some(match errcode {
        40013 => message!(put_appid_of_console, console),
        40001 | 40125 => message!(put_its_appsecret),
        40164 => {
            let address = match address_in(errmsg) {
                Some(address) => Message::from(address),
                None => message!(address_of_this_machine),
            };
            message!(put_on_whitelist_of_app, address, console)
        }
        40230..=40240 => message!(switch_api_security_off, console),
        40243 => message!(unfreeze_appsecret, console),
        _ => return None,
    })
}

fn credentials(app: &App, outcome: Result<(), CallError>) -> Finding {
    let name = "wechat.credentials";
    let kind = app.kind;
    let app = apps::name(app);
    let Err(error) = outcome else {
        return Finding::ok(name, message!(wechat_takes_appid_and_appsecret, app));
    };
    let found = message!("{}: {}", app, Message::from(&error));
    match &error {
        CallError::Refused {
            errcode, errmsg, ..
        } => match cure(kind, *errcode, errmsg) {
            Some(cure) => Finding::fault(name, found, cure),
            None => Finding::warning(name, found, message!(look_errcode_up)),
        },
        _ => Finding::warning(
            name,
            message!(not_checked, found),
            message!(run_doctor_again),
        ),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::findings::Status;
    use wxmint_wechat::{Api, read_access_token};

    #[test]
    fn an_errcode_is_a_fault_where_logins_are_refused_too() {
        let app = App::mini_program(
            "wx0123456789abcdef".parse().expect("an AppID"),
            "0123456789abcdef".parse().expect("a secret"),
        );
        let found = |body: &str| {
            credentials(
                &app,
                read_access_token(Api::StableToken, body.as_bytes()).map(drop),
            )
        };
        for (body, status, advice) in [
            (
                r#"{"access_token":"80_a","expires_in":7200}"#,
                Status::Ok,
                "",
            ),
            (
                r#"{"errcode":40013,"errmsg":"invalid appid"}"#,
                Status::Fault,
                "WXMINT_APPID",
            ),
            (
                r#"{"errcode":40125,"errmsg":"invalid appsecret"}"#,
                Status::Fault,
                "WXMINT_APP_SECRET",
            ),
            (
                r#"{"errcode":40164,"errmsg":"invalid ip 203.0.113.9 ipv6 ::ffff:203.0.113.9, not in whitelist rid: 6-4-7"}"#,
                Status::Fault,
                "put 203.0.113.9 on the IP whitelist",
            ),
            (
                r#"{"errcode":40164,"errmsg":"not in whitelist"}"#,
                Status::Fault,
                "the address of this machine",
            ),
            (
                r#"{"errcode":45009,"errmsg":"reach max api daily quota limit"}"#,
                Status::Warning,
                "getStableAccessToken",
            ),
            ("<html>", Status::Warning, "no proxy answers instead"),
        ] {
            let found = found(body);
            assert!(
                found.status == status && found.advice.contains(advice),
                "{body}: {found:?}"
            );
        }
    }

    #[test]
    fn whoever_has_a_website_or_a_mobile_app_is_sent_to_the_open_platform() {
        let app = App::mini_program(
            "wx0123456789abcdef".parse().expect("an AppID"),
            "0123456789abcdef".parse().expect("a secret"),
        );
        for (kind, console) in [
            (AppKind::MiniProgram, "mp."),
            (AppKind::OfficialAccount, "mp."),
            (AppKind::Website, "open."),
            (AppKind::MobileApp, "open."),
        ] {
            let app = App {
                kind,
                ..app.clone()
            };
            for errcode in [40013, 40164, 40243] {
                let answer = format!(r#"{{"errcode":{errcode},"errmsg":"no"}}"#);
                let found = credentials(
                    &app,
                    read_access_token(Api::StableToken, answer.as_bytes()).map(drop),
                );
                assert!(
                    found.advice.contains(&format!(" {console}weixin.qq.com")),
                    "{found:?}"
                );
            }
        }
    }

    #[test]
    fn a_clock_is_far_after_30_seconds_in_either_direction() {
        let at = |seconds| DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
        let status = |date| clock("clock", "it", date, at(100)).status;
        let dates = [
            Some(at(70)),
            Some(at(130)),
            Some(at(69)),
            Some(at(131)),
            None,
        ];
        assert_eq!(
            dates.map(status),
            [
                Status::Ok,
                Status::Ok,
                Status::Warning,
                Status::Warning,
                Status::Warning
            ]
        );
    }
}
