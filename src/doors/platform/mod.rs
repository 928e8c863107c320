//! A third-party platform: the vendor of merchants' mini programs acts at WeChat for them. WeChat's
//! pushes add and remove merchants while the service runs. The routes exist only if
//! `WXMINT_PLATFORM_FILE` is set.

mod command;
mod deauthorize;
mod examine;
mod exchange;
mod follower;
mod known;
mod merchants;
mod routes;
mod store;
#[cfg(test)]
mod test_fixture;

use std::{fmt, sync::Arc, sync::atomic::AtomicU64};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use serde::Deserialize;
use tokio::sync::Notify;
use wxmint_http::routes;
use wxmint_ids::AppId;
use wxmint_store::Store;
use wxmint_wechat::{App, PushKey};
use zeroize::Zeroizing;

use self::follower::follow;
use self::known::{Known, MerchantState};
use self::store::{PlatformEntry, PlatformState};
use crate::findings::{Catalog, Finding, Message, json_places::line_of};
use crate::issuer::door::{Door, DoorRow, Opened};
use crate::issuer::route_constants::{ANY, BODY, SECURITY};
use crate::issuer::{Issuer, examine::load, examine::unusable_file};
use crate::login::{CodeExchanger, HeldToken};
use crate::{admin::CurrentAdminTokens, settings::Settings};

routes! {
    #[openapi(tags((name = "platform", description = "For WeChat")))]
    POST "/wechat/platform/{component_appid}" routes::push [ANY], BODY;
}

const VARIABLE: &str = "WXMINT_PLATFORM_FILE";
const CATALOG: Catalog = &include!("texts.json");

pub(super) const DOOR: DoorRow = DoorRow {
    admin: Some(&routes::ROUTES),
    check: Some((examine::CHECK, VARIABLE)),
    alone: Some(|| message!(CATALOG: only_merchants_log_in)),
    command: Some(command::COMMAND),
    ..DoorRow::new(&ROUTES, open)
};

/// The platform of `WXMINT_PLATFORM_FILE`, and what is known of its merchants.
struct ThirdPartyPlatform {
    /// The platform's own app, which WeChat calls the component. Its secret is the
    /// `component_appsecret`.
    component: App,
    push_key: PushKey,
    /// Notified to compare WeChat's list of merchants now and not at the next hour.
    compare_soon: Notify,
    known: ArcSwap<Known>,
    /// The component's access token, held for a minute so that a login need not ask the store for
    /// it.
    token: HeldToken,
    /// The age of the last ticket in seconds. Infinite before a ticket has come.
    ticket_age: Gauge<f64, AtomicU64>,
}

fn open(settings: &Settings, _: Option<&CurrentAdminTokens>) -> Opened {
    let Some(path) = settings.door_files.get(VARIABLE) else {
        return Ok(None);
    };
    let (_, platform) = load(VARIABLE, path, None, ThirdPartyPlatform::parse, |error| {
        unusable_file("files", VARIABLE, path, error)
    })?;
    Ok(Some(Arc::new(platform)))
}

#[async_trait(?Send)]
impl Door for ThirdPartyPlatform {
    fn follow(self: Arc<Self>, issuer: &Arc<Issuer>) {
        actix_web::rt::spawn(follow(self, Arc::clone(issuer)));
    }

    fn waits_for(&self) -> Option<Finding> {
        if self.known().is_read {
            return None;
        }
        Some(Finding::fault(
            "platform",
            "the merchants of the platform were not read yet",
            "wait a moment",
        ))
    }

    async fn examine(&self, issuer: &Issuer, redis: Option<&Store>) -> Vec<Finding> {
        vec![examine::examine(self, issuer, redis).await]
    }

    fn metrics(&self, registry: &mut Registry) {
        let help = "Since WeChat made the platform's last ticket; +Inf without one";
        registry.register_with_unit(
            "platform_ticket_age",
            help,
            Unit::Seconds,
            self.ticket_age.clone(),
        );
    }

    fn exchanger(self: Arc<Self>) -> Option<Arc<dyn CodeExchanger>> {
        Some(self)
    }
}

impl ThirdPartyPlatform {
    /// Reads the file. The error names the member that is wrong, without its value.
    fn parse(content: &[u8]) -> Result<Self, Message> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Written {
            component_appid: String,
            component_appsecret: Zeroizing<String>,
            token: Zeroizing<String>,
            encoding_aes_key: Zeroizing<String>,
        }
        const MEMBERS: &str =
            "`component_appid`, `component_appsecret`, `token` and `encoding_aes_key`";
        let text = str::from_utf8(content).map_err(|_| message!(is_not_utf_8))?;
        let at = |member: &str, wrong: &dyn fmt::Display| {
            format!(
                "line {}: its `{member}` {wrong}",
                line_of(text, &format!("/{member}"))
            )
        };
        // serde_json's message may quote a secret.
        let written: Written = serde_json::from_str(text).map_err(|error| {
            let line = error.line();
            let column = error.column();
            format!("it is no JSON object of {MEMBERS}: see line {line}, column {column}")
        })?;
        let key = PushKey::new(&written.token, &written.encoding_aes_key);
        let push_key = key.map_err(|(member, wrong)| at(member, &wrong))?;
        let secret = written
            .component_appsecret
            .parse()
            .map_err(|wrong| at("component_appsecret", &wrong))?;
        let id = written
            .component_appid
            .parse()
            .map_err(|wrong| at("component_appid", &wrong))?;
        let component = App::mini_program(id, secret);
        let (known, token, ticket_age) = Default::default();
        Ok(Self {
            component,
            push_key,
            compare_soon: Notify::new(),
            known,
            token,
            ticket_age,
        })
    }

    fn known(&self) -> Arc<Known> {
        self.known.load_full()
    }

    /// Updates a merchant with the entry that this process has just stored, without waiting until
    /// it reads the store again. Does nothing if the merchant's entry is no longer `was`: what was
    /// read meanwhile is newer, and the merchant may be leaving.
    fn learn_merchant(
        &self,
        app: &AppId,
        was: &PlatformEntry,
        state: &MerchantState,
        entry: &PlatformEntry,
    ) {
        self.known.rcu(|known| {
            let mut known = Known::clone(known);
            if let Some(merchant) = known
                .merchants
                .get_mut(app)
                .filter(|merchant| merchant.entry == *was)
            {
                (merchant.state, merchant.entry) = (state.clone(), entry.clone());
            }
            known
        });
    }

    fn learn(&self, state: PlatformState) -> Arc<Known> {
        let known = Arc::new(Known::of(state));
        self.known.store(Arc::clone(&known));
        known
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs};

    use wxmint_keys::vault::Sealed;
    use wxmint_telemetry::Metrics;
    use wxmint_wechat::AppKind;

    use super::known::entry_of;
    use super::*;

    const ID: &str = "wx0123456789abcdef";
    const SECRET: &str = "00112233445566778899aabbccddeeff";
    const KEY: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";

    fn file(id: &str, secret: &str, token: &str, key: &str) -> Result<ThirdPartyPlatform, Message> {
        let text = format!(
            "{{\n\"component_appid\": \"{id}\",\n\n\"component_appsecret\":\n  \"{secret}\",\n\"token\": \"{token}\",\n\
             \"encoding_aes_key\": \"{key}\"}}\n"
        );
        ThirdPartyPlatform::parse(text.as_bytes())
    }

    #[test]
    fn a_mistake_in_the_file_is_named_with_its_line_and_member_and_without_its_value() {
        for (wrong, said) in [
            (
                file("hunter2 x", SECRET, "token1", KEY),
                "line 2: its `component_appid` ",
            ),
            (
                file(ID, "hunter2", "token1", KEY),
                "line 5: its `component_appsecret` must be",
            ),
            (
                file(ID, SECRET, "hunter2!", KEY),
                "line 6: its `token` must be 3 to 32",
            ),
            (
                file(ID, SECRET, "token1", "hunter2"),
                "line 7: its `encoding_aes_key` must be 43",
            ),
        ] {
            let wrong = wrong.map(drop).expect_err(said);
            assert!(
                wrong.starts_with(said) && !wrong.contains("hunter2"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn what_was_told_of_a_merchant_is_not_learned_over_what_was_read_since() {
        let platform = file(ID, SECRET, "token1", KEY).unwrap_or_else(|wrong| panic!("{wrong}"));
        let app: AppId = ID.parse().expect("an AppID");
        let of = |token: &[u8]| {
            MerchantState::In(AppKind::MiniProgram, Sealed::from_stored(token.to_vec()))
        };
        let (old, new) = (of(b"old"), of(b"new"));
        let state = || platform.known().merchants[&app].state.clone();
        for (read, known) in [
            (&old, &new),
            (&MerchantState::Leaving, &MerchantState::Leaving),
        ] {
            let entries = BTreeMap::from([(entry_of(&app), read.entry(1))]);
            platform.learn(PlatformState {
                version: 1,
                entries,
            });
            platform.learn_merchant(&app, &old.entry(1), &new, &new.entry(1));
            assert_eq!(state(), *known);
        }
    }

    #[test]
    fn the_alerts_and_the_dashboard_ask_for_the_metric_that_is_printed() {
        let platform = file(ID, SECRET, "token1", KEY).unwrap_or_else(|wrong| panic!("{wrong}"));
        platform.ticket_age.set(600.0);
        let mut registry = Registry::with_prefix("wxmint");
        platform.metrics(&mut registry);
        let printed = Metrics::default().exposition([&registry]);
        let name = "wxmint_platform_ticket_age_seconds";
        assert!(printed.contains(&format!("\n{name} 600.0\n")), "{printed}");
        for file in ["alerts-issuer.yaml", "dashboards/wxmint.json"] {
            let asks = fs::read_to_string(format!("k8s/chart/monitoring/{file}"))
                .expect("a file of the repository");
            assert!(asks.contains(name), "{file}");
        }
    }
}
