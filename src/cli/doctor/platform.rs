//! Whether merchants of a third-party platform can log in.

use wxmint_store::{Platforms, Redis};

use super::wechat::address_in;
use crate::{
    clock::now,
    findings::Finding,
    platform::{Known, Platform},
};

pub(super) const CHECK: &str = "wechat.platform";

/// When the last ticket came. Makes no token, because each makes the ones before worthless before their time.
pub(super) async fn examine(platform: &Platform, redis: &Redis) -> Finding {
    let start_push = "see that the platform's console has the address /wechat/platform/ and the platform's AppID, behind this \
                      issuer's URL, then run: wxmint platform start-push";
    let known = match redis.matters(&platform.component.id, 0).await {
        Ok(kept) => Known::of(kept.unwrap_or_default()),
        Err(error) => return Finding::unchecked(CHECK, error),
    };
    let in_use = known.apps().count();
    if let Some(refusal) = &known.refusal {
        return Finding::fault(CHECK, format!("WeChat gives the platform no token: errcode {refusal}"), cure(refusal));
    }
    match known.ticket.map(|ticket| (now().timestamp() - ticket.at) / 60) {
        None => Finding::fault(CHECK, "no ticket has come, so that no merchant can log in", start_push),
        Some(age) if age > 30 => Finding::warning(
            CHECK,
            format!("the last ticket came {age} minutes ago; WeChat sends one every ten"),
            start_push,
        ),
        Some(age) => Finding::ok(CHECK, format!("the last ticket came {age} minutes ago; {in_use} merchants log in")),
    }
}

/// What to do about what the service was last told when it asked for the platform's token.
fn cure(refusal: &str) -> String {
    match refusal.split(' ').next() {
        Some("61004") => {
            let address = address_in(refusal).unwrap_or("the address of wxmint");
            format!("put {address} on the platform's IP whitelist (白名单IP地址列表) in its console")
        }
        Some("61005" | "61006") => "run: wxmint platform start-push".into(),
        Some("45009") => "see that nothing else fetches tokens for this platform".into(),
        _ => "put component_appid and component_appsecret of the platform's console into the file of WXMINT_PLATFORM_FILE".into(),
    }
}
