//! Whether merchants of a third-party platform can log in.

use wxmint_store::{Platforms, Redis, walk::Place};

use super::known::{Known, Merchant, MerchantState, Platform, Refusal};
use crate::{
    cli::doctor::wechat::address_in,
    clock::now,
    findings::{Finding, count},
    issuer::Issuer,
};

/// How many AppIDs a finding names.
const MOST_NAMED: usize = 5;

pub(super) const CHECK: &str = "wechat.platform";

/// When the last ticket came. Makes no token, because each makes the ones before worthless before their time.
pub(super) async fn examine(platform: &Platform, issuer: &Issuer, redis: Option<&Redis>) -> Finding {
    let Some(redis) = redis else { return Finding::unchecked(CHECK, "Redis keeps the ticket") };
    let start_push = "see that the platform's console has the address /wechat/platform/ and the platform's AppID, behind this \
                      issuer's URL, then run: wxmint platform start-push";
    let known = match redis.entries(&platform.component.id, 0).await {
        Ok(kept) => platform.learn(kept.unwrap_or_default()),
        Err(error) => return Finding::unchecked(CHECK, error),
    };
    // The next doors may be for the people of a merchant.
    issuer.apps.from_elsewhere_are(known.apps());
    let in_use = known.apps().count();
    let age = known.ticket.as_ref().map(|ticket| (now().timestamp() - ticket.at) / 60);
    if let Some(refusal) = &known.refusal {
        let found = match age {
            Some(age) => {
                format!("the last ticket came {age} minutes ago, and WeChat gives the platform no token: {refusal}")
            }
            None => format!("no ticket has come, and WeChat gives the platform no token: {refusal}"),
        };
        return Finding::fault(CHECK, found, cure(refusal));
    }
    match age {
        None => Finding::fault(CHECK, "no ticket has come, so that no merchant can log in", start_push),
        Some(age) if age > 30 => Finding::warning(
            CHECK,
            format!("the last ticket came {age} minutes ago; WeChat sends one every ten"),
            start_push,
        ),
        Some(age) => rights(redis).await.or_else(|| troubled(&known)).unwrap_or_else(|| {
            Finding::ok(
                CHECK,
                format!("the last ticket came {age} minutes ago; it acts for {}", count(in_use, "merchant")),
            )
        }),
    }
}

/// No login needs the rights to look for people: `redis.rights` leaves them out.
async fn rights(redis: &Redis) -> Option<Finding> {
    let refused = redis.walk_people(None, &Place::default()).await.err()?;
    let user = redis.link().access().url().user().unwrap_or("default").to_owned();
    refused.to_string().contains("NOPERM").then(|| {
        Finding::warning(
            CHECK,
            "the Redis user may not look for the people of a merchant that leaves, so that their tokens stay valid",
            format!("run on each server: ACL SETUSER {user} +scan +dbsize, and keep it by ACL SAVE or in redis.conf"),
        )
    })
}

/// The merchants for which WeChat refuses calls until something changes.
fn troubled(known: &Known) -> Option<Finding> {
    let is_in = |merchant: &Merchant| matches!(merchant.state, MerchantState::In(..));
    let of = |wanted: i64| {
        let merchants = known.merchants.iter().filter(|(_, it)| is_in(it) && it.trouble == Some(wanted));
        merchants.map(|(app, _)| app.as_str()).collect::<Vec<_>>()
    };
    let told = |apps: &[&str]| match apps {
        [few @ .., _] if few.len() >= MOST_NAMED => format!("{} and others", few[..MOST_NAMED].join(", ")),
        apps => apps.join(", "),
    };
    let (stale, unpermitted) = (of(61023), of(61007));
    if !stale.is_empty() {
        let found = format!("errcode 61023, a refresh token that is stale, for {}", told(&stale));
        return Some(Finding::warning(
            CHECK,
            found,
            "wait for WeChat's list, which is asked now; if it stays, have the merchant authorise the platform once more",
        ));
    }
    let found = || format!("errcode 61007, a permission that the merchant has not given, for {}", told(&unpermitted));
    let advice = "have the merchant give the permission on WeChat's authorisation page";
    (!unpermitted.is_empty()).then(|| Finding::warning(CHECK, found(), advice))
}

/// The advice about the answer that the service last got when it asked for the platform's token.
fn cure(refusal: &Refusal) -> String {
    match refusal.errcode {
        61004 => {
            let address = address_in(&refusal.errmsg).unwrap_or("the address of wxmint");
            format!("put {address} on the platform's IP whitelist (白名单IP地址列表) in its console")
        }
        61005 | 61006 => "run: wxmint platform start-push".into(),
        45009 => "see that nothing else fetches tokens for this platform".into(),
        _ => "put component_appid and component_appsecret of the platform's console into the file of WXMINT_PLATFORM_FILE".into(),
    }
}
