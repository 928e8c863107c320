//! Whether merchants of a third-party platform can log in.

use wxmint_store::{Store, StoreError, walk::Place};

use super::known::{Known, Refusal};
use super::{CATALOG, ThirdPartyPlatform, store::entries};
use crate::findings::{Finding, Message, count};
use crate::{cli::doctor::wechat::address_in, clock::now, issuer::Issuer};

const MOST_NAMED: usize = 5;

pub(super) const CHECK: &str = "wechat.platform";

/// Checks when the last ticket came, and whether merchants can log in. Fetches no token, because
/// each new token invalidates the earlier ones before their time.
pub(super) async fn examine(
    platform: &ThirdPartyPlatform,
    issuer: &Issuer,
    redis: Option<&Store>,
) -> Finding {
    let Some(redis) = redis else {
        return Finding::unchecked(CHECK, message!(CATALOG: redis_keeps_ticket));
    };
    let start_push = message!(CATALOG: have_tickets_pushed);
    let known = match entries(redis, &platform.component.id, 0).await {
        Ok(kept) => platform.learn(kept.unwrap_or_default()),
        Err(error) => return Finding::unchecked(CHECK, error),
    };
    // Doors that are examined next may belong to a merchant's app.
    issuer
        .apps
        .from_elsewhere_are(known.apps(&platform.component.id));
    let age = known
        .ticket
        .as_ref()
        .map(|ticket| (now().timestamp() - ticket.at) / 60);
    let opens = known.ticket_opens(&issuer.vault.load(), &platform.component.id);
    let came = match age {
        Some(_) if !opens => message!(CATALOG: ticket_does_not_open),
        Some(age) => message!(CATALOG: last_ticket_came_minutes_ago, age),
        None => message!(CATALOG: no_ticket_has_come),
    };
    match (&known.refusal, age) {
        (Some(refusal), _) => Finding::fault(
            CHECK,
            message!(CATALOG: platform_has_no_token, came, refusal),
            cure(refusal),
        ),
        _ if !opens => Finding::fault(
            CHECK,
            message!(CATALOG: no_merchant_can_log_in, came),
            start_push,
        ),
        _ if !known.is_compared => Finding::fault(
            CHECK,
            message!(CATALOG: list_is_unread, came),
            message!(CATALOG: see_log),
        ),
        (_, Some(age)) if age > 30 => {
            Finding::warning(CHECK, message!(CATALOG: ticket_is_late, came), start_push)
        }
        _ => rights(redis)
            .await
            .or_else(|| troubled(&known))
            .unwrap_or_else(|| {
                let merchants = count(
                    known.apps(&platform.component.id).count(),
                    ["merchant", "个商家"],
                );
                Finding::ok(
                    CHECK,
                    message!(CATALOG: acts_for_merchants, came, merchants),
                )
            }),
    }
}

/// Checks the right to scan for persons. No login needs it, so the check `redis.rights` leaves it
/// out.
async fn rights(redis: &Store) -> Option<Finding> {
    let refused = redis
        .bindings
        .walk_people(None, &Place::default())
        .await
        .err()?;
    let user = redis
        .link
        .access
        .url()
        .user()
        .unwrap_or("default")
        .to_owned();
    let advice = message!(run_acl_setuser, user, "+scan +dbsize");
    if !matches!(refused, StoreError::NotPermitted(_)) {
        return None;
    }
    Some(Finding::warning(
        CHECK,
        message!(CATALOG: user_may_not_look_for_people),
        advice,
    ))
}

/// Finds merchants for which WeChat refuses calls until something changes.
fn troubled(known: &Known) -> Option<Finding> {
    if let Some(apps) = apps_refused_for(known, 61023) {
        return Some(Finding::warning(
            CHECK,
            message!(CATALOG: refresh_token_is_stale, apps),
            message!(CATALOG: wait_for_wechat_list),
        ));
    }
    let apps = apps_refused_for(known, 61007)?;
    Some(Finding::warning(
        CHECK,
        message!(CATALOG: permission_is_missing, apps),
        message!(CATALOG: have_merchant_give_it),
    ))
}

/// The merchants' apps for which WeChat refuses calls with this errcode.
fn apps_refused_for(known: &Known, errcode: i64) -> Option<Message> {
    let apps: Vec<_> = known
        .merchants
        .iter()
        .filter(|(_, it)| it.state.is_in() && it.trouble == Some(errcode))
        .map(|(app, _)| app.as_str())
        .collect();
    match &apps[..] {
        [] => None,
        [few @ .., _] if few.len() >= MOST_NAMED => {
            Some(message!(CATALOG: and_others, few[..MOST_NAMED].join(", ")))
        }
        apps => Some(apps.join(", ").into()),
    }
}

/// The advice for WeChat's last refusal of the platform's token.
fn cure(refusal: &Refusal) -> Message {
    match refusal.errcode {
        61004 => {
            let address = match address_in(&refusal.errmsg) {
                Some(address) => address.into(),
                None => message!(CATALOG: address_of_wxmint),
            };
            message!(CATALOG: put_on_whitelist_of_platform, address)
        }
        61005 | 61006 => message!(CATALOG: run_wxmint_platform_start_push),
        45009 => message!(CATALOG: see_that_nobody_else_fetches),
        _ => message!(CATALOG: put_component_appid),
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::doors::platform::known::COMPARED;
    use crate::doors::platform::test_fixture::Bed;
    use crate::findings::Status;

    #[actix_web::test]
    async fn merchants_of_whom_wechat_was_never_told_cannot_log_in() {
        let bed = Bed::start().await;
        let examined = async || examine(&bed.platform, &bed.issuer, Some(&bed.login.store)).await;
        let Finding {
            status,
            found,
            advice,
            ..
        } = examined().await;
        assert!(
            status == Status::Fault
                && found.contains("list of merchants")
                && advice.contains("error"),
            "{found}"
        );
        bed.note(COMPARED, 0, b"1").await;
        assert_eq!(examined().await.status, Status::Ok);
    }
}
