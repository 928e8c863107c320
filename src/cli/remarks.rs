//! Findings about settings that are accepted but may be mistakes. `serve` and `sidecar` log them at
//! each start, and the doctor reports them.

use std::env;

use chrono::TimeDelta;

use super::{keys::short_lead, variables};
use crate::findings::{Finding, Message};
use crate::settings::{Faults, Settings, SidecarSettings, env_file, nearest_to_unknown};

fn remark(found: impl Into<Message>, advice: impl Into<Message>) -> Finding {
    Finding::warning("settings", found, advice)
}

/// Finds what is unusual about `.env`, and variables that wxmint does not know.
fn unusual() -> Vec<Finding> {
    let unknown = variables().filter_map(|(name, _)| {
        Some(remark(
            message!(unknown_variable, name),
            message!(did_you_mean, nearest_to_unknown(&name)?),
        ))
    });
    env_file::NOTE
        .get()
        .cloned()
        .into_iter()
        .chain(unknown)
        .collect()
}

/// Finds likely causes of these faults, and what else is unusual. Leaves out a variable that a
/// fault already names.
pub(super) fn beside(faults: &Faults) -> Vec<Finding> {
    let is_told = |remark: &Finding| {
        let name = remark.found.split(':').next().unwrap_or_default();
        faults
            .0
            .iter()
            .any(|fault| fault.problem.contains(&format!("but {name} is, ")))
    };
    let is_unset = faults
        .0
        .iter()
        .any(|fault| fault.problem.starts_with("is not set"));
    let no_file = (is_unset && env_file::is_missing()).then(|| {
        remark(
            message!(
                no_env_here,
                env::current_dir().unwrap_or_default().display()
            ),
            message!(change_into_folder),
        )
    });
    no_file
        .into_iter()
        .chain(unusual().into_iter().filter(|remark| !is_told(remark)))
        .collect()
}

pub(super) fn of_serve(settings: &Settings) -> Vec<Finding> {
    let mut remarks = unusual();
    let mut add = |is_so: bool, found: Message, advice: Message| {
        remarks.extend(is_so.then(|| remark(found, advice)));
    };
    let redis = settings.store.url.as_ref();
    add(
        redis.is_none(),
        message!(memory_loses_every_binding),
        message!(name_redis_unless_this_is_trial),
    );
    let is_exposed = matches!(redis, Some(url) if url.is_exposed());
    add(
        is_exposed,
        message!(redis_is_elsewhere_without_tls),
        message!(with_tls_url_begins_with_rediss),
    );
    let over_http = settings.dangerous_accounts_over_http;
    add(
        over_http,
        message!(accounts_over_http_are_read),
        message!(use_https_unless_network_encrypts),
    );
    let forgets_logins = settings.session_key_ttl < settings.limit_openid.period;
    add(
        forgets_logins,
        message!(session_key_ttl_forgets_logins),
        message!(keep_session_keys_as_long),
    );
    let forgets_computed =
        settings.user_ids.is_some() && settings.session_key_ttl < settings.token_ttl;
    add(
        forgets_computed,
        message!(session_key_ttl_forgets_computed),
        message!(keep_session_keys_as_long),
    );
    add(
        settings.dangerous_password_in_query,
        message!(passwords_in_urls_are_kept),
        message!(switch_it_off_once_pages_post),
    );
    // These variables tell other programs of a proxy, but wxmint does not read them for its way to
    // WeChat.
    let is_direct = settings.wechat_proxy.is_none() && settings.wechat_url.scheme() == "https";
    let is_unread =
        |name: &&str| is_direct && env::var_os(name).is_some_and(|value| !value.is_empty());
    let unread = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
        .into_iter()
        .find(is_unread);
    remarks.extend(unread.map(|name| {
        remark(
            message!(proxy_is_not_read, name),
            message!(set_wechat_proxy, name),
        )
    }));
    if let Some(path) = settings
        .verify_files_dir
        .as_ref()
        .filter(|path| !path.is_dir())
    {
        remarks.push(remark(
            message!(verify_files_dir_is_not_folder, path.display()),
            message!(name_folder_of_these_files),
        ));
    }
    let lead = TimeDelta::from_std(settings.key_prepublish)
        .ok()
        .and_then(short_lead);
    remarks.extend(lead.map(|remark| Finding {
        found: message!("WXMINT_KEY_PREPUBLISH: {}", remark.found),
        ..remark
    }));
    remarks
}

pub(super) fn of_sidecar(settings: &SidecarSettings) -> Vec<Finding> {
    let mut remarks = unusual();
    if settings.dangerous_jwks_over_http {
        remarks.push(remark(
            message!(jwks_over_http_are_changed),
            message!(use_https_unless_you_trust_network),
        ));
    }
    remarks
}
