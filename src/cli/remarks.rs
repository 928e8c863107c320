//! Settings that are accepted and perhaps not meant: `wxmint serve` and `wxmint sidecar` log it at each start, and the
//! doctor tells it.

use std::env;

use chrono::TimeDelta;

use super::{environment::variables, keys::short_lead};
use crate::{
    findings::Finding,
    settings::{Faults, Settings, SidecarSettings, StoreUrl, env_file, unknown_variables},
};

fn remark(found: impl Into<String>, advice: impl Into<String>) -> Finding {
    Finding::warning("settings", found, advice)
}

/// Finds what is unusual about `.env`, and variables that wxmint does not know.
fn unusual() -> Vec<Finding> {
    let unknown = unknown_variables(variables().map(|(name, _)| name)).into_iter();
    let unknown =
        unknown.map(|(name, nearest)| remark(format!("{name}: unknown variable"), format!("did you mean {nearest}?")));
    env_file::note().cloned().into_iter().chain(unknown).collect()
}

/// Finds what may be the cause of these faults, or is wrong beside them. A name that a fault has taken for the variable
/// is told there.
pub(super) fn beside(faults: &Faults) -> Vec<Finding> {
    let is_told = |remark: &Finding| {
        let name = remark.found.split(':').next().unwrap_or_default();
        faults.0.iter().any(|fault| fault.problem.contains(&format!("but {name} is, ")))
    };
    let is_unset = faults.0.iter().any(|fault| fault.problem.starts_with("is not set"));
    let no_file = (is_unset && env_file::is_missing()).then(|| {
        let here = env::current_dir().unwrap_or_default();
        remark(format!("no .env here, in {}", here.display()), "change into the folder that has it, if there is one")
    });
    no_file.into_iter().chain(unusual().into_iter().filter(|remark| !is_told(remark))).collect()
}

pub(super) fn of_serve(settings: &Settings) -> Vec<Finding> {
    let mut remarks = unusual();
    let mut add = |is_so: bool, found: &str, advice: &str| remarks.extend(is_so.then(|| remark(found, advice)));
    add(
        matches!(settings.store.url, StoreUrl::Memory),
        "WXMINT_REDIS_URL=memory: loses every binding when the process ends",
        "name a Redis unless this is a trial",
    );
    add(
        matches!(&settings.store.url, StoreUrl::Redis(url) if url.is_exposed()),
        "WXMINT_REDIS_URL names another machine without TLS: whoever can read the network between reads the password \
         and which user each person is",
        "with TLS the URL begins with rediss (docs/redis.md)",
    );
    add(
        settings.dangerous_accounts_over_http,
        "WXMINT_DANGEROUS_ACCOUNTS_OVER_HTTP=true calls the account service over http: whoever can read that network \
         reads passwords, phone numbers and the signed requests, and whoever can change its traffic can log in as \
         any user",
        "use https unless the network encrypts",
    );
    add(
        settings.dangerous_password_in_query,
        "WXMINT_DANGEROUS_PASSWORD_IN_QUERY=true accepts passwords in URLs, which proxies and histories keep",
        "switch it off once the pages send method: 'POST'",
    );
    remarks.extend(unread_proxy(settings).map(|name| {
        remark(
            format!("{name} is set, and wxmint does not read it: WeChat is called without a proxy"),
            format!(
                "set WXMINT_WECHAT_PROXY to its value if WeChat is reached through that proxy alone, or unset {name} for wxmint"
            ),
        )
    }));
    let lead = TimeDelta::from_std(settings.keys_lead).ok().and_then(short_lead);
    remarks.extend(lead.map(|remark| Finding { found: format!("WXMINT_KEYS_LEAD: {}", remark.found), ..remark }));
    remarks
}

/// The variable by which other programs are told of a proxy to WeChat, while wxmint has been told of none.
fn unread_proxy(settings: &Settings) -> Option<&'static str> {
    let is_direct = settings.wechat_proxy.is_none() && settings.wechat_url.scheme() == "https";
    let is_set = |name: &&str| env::var_os(name).is_some_and(|value| !value.is_empty());
    ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"].into_iter().find(is_set).filter(|_| is_direct)
}

pub(super) fn of_sidecar(settings: &SidecarSettings) -> Vec<Finding> {
    let mut remarks = unusual();
    remarks.extend(settings.dangerous_jwks_over_http.then(|| {
        remark(
            "WXMINT_DANGEROUS_JWKS_OVER_HTTP=true fetches keys over http: whoever can change traffic on that network \
             can sign tokens",
            "use https unless you trust the network as much as the issuer",
        )
    }));
    remarks
}
