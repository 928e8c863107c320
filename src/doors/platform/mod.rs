//! A third-party platform: the vendor of merchants' mini programs acts at WeChat for them. Merchants come and go by
//! WeChat's pushes while the service runs. The path is there only where `WXMINT_PLATFORM_FILE` is set.

mod admin;
mod command;
mod examine;
mod exchange;
mod follower;
mod known;
mod leaving;
mod merchants;
mod receiver;
mod store;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use actix_web::web::{Data, ServiceConfig};
use async_trait::async_trait;
use prometheus_client::registry::{Registry, Unit};
use utoipa::OpenApi;
use wxmint_findings::{Finding, Words};
use wxmint_http::ProblemDocument;
use wxmint_http::described::{DescribedRoute, POST, Routes, routes};
use wxmint_store::Redis;

use self::follower::{TicketAge, follow};
use self::{exchange::MerchantExchange, known::Platform};
use crate::issuer::declared::{ANY, BODY, SECURITY};
use crate::issuer::door::{Door, DoorRow, Opened};
use crate::{
    admin::CurrentAdminTokens, clock::now, issuer::Issuer, issuer::examine::load, issuer::examine::unusable_file,
    login::Exchange, settings::Settings,
};

routes! {
    #[openapi(tags((name = "platform", description = "For WeChat")))]
    POST "/wechat/platform/{component_appid}" receiver::push [ANY], BODY;
}

const VARIABLE: &str = "WXMINT_PLATFORM_FILE";
const WORDS: Words = &include!("texts.json");

pub(super) const DOOR: DoorRow = DoorRow {
    public: &ROUTES,
    readable: &[],
    admin: Some(&admin::ROUTES),
    panel: None,
    open,
    check: Some((examine::CHECK, VARIABLE)),
    alone: Some(|| said!(WORDS: only_merchants_log_in)),
    metadata: None,
    command: Some(command::COMMAND),
    in_demo: None,
};

struct OfPlatform {
    platform: Arc<Platform>,
    file: PathBuf,
    registry: Registry,
    ticket_age: TicketAge,
}

fn open(settings: &Settings, _: Option<&CurrentAdminTokens>) -> Opened {
    let Some(path) = settings.door_files.get(VARIABLE) else { return Ok(None) };
    let unusable = |error| unusable_file("files", VARIABLE, path, error);
    let (_, platform) = load(VARIABLE, path, None, Platform::parse, unusable)?;
    let (registry, ticket_age) = metric();
    Ok(Some(Arc::new(OfPlatform { platform: Arc::new(platform), file: path.clone(), registry, ticket_age })))
}

fn metric() -> (Registry, TicketAge) {
    let (mut registry, ticket_age) = (Registry::with_prefix("wxmint"), TicketAge::default());
    let help = "Since WeChat made the platform's last ticket; +Inf without one";
    registry.register_with_unit("platform_ticket_age", help, Unit::Seconds, ticket_age.clone());
    (registry, ticket_age)
}

#[async_trait(?Send)]
impl Door for OfPlatform {
    fn configure(self: Arc<Self>, config: &mut ServiceConfig) {
        config.app_data(Data::from(Arc::clone(&self.platform)));
    }

    fn follow(self: Arc<Self>, issuer: &Arc<Issuer>) {
        actix_web::rt::spawn(follow(Arc::clone(&self.platform), self.ticket_age.clone(), Arc::clone(issuer)));
    }

    fn file(&self) -> Option<&Path> {
        Some(&self.file)
    }

    fn waits_for(&self) -> Option<Finding> {
        let unread = || Finding::fault("platform", "the merchants of the platform were not read yet", "wait a moment");
        (!self.platform.known().is_read).then(unread)
    }

    async fn examine(&self, issuer: &Issuer, redis: Option<&Redis>) -> Vec<Finding> {
        vec![examine::examine(&self.platform, issuer, redis).await]
    }

    fn metrics(&self) -> Option<&Registry> {
        Some(&self.registry)
    }

    fn exchange(&self) -> Option<Box<dyn Exchange>> {
        Some(Box::new(MerchantExchange::new(Arc::clone(&self.platform), now)))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use wxmint_telemetry::Metrics;

    #[test]
    fn the_alerts_and_the_dashboard_ask_for_the_metric_that_is_printed() {
        let (registry, ticket_age) = super::metric();
        ticket_age.set(600.0);
        let printed = Metrics::default().exposition([&registry]);
        let name = "wxmint_platform_ticket_age_seconds";
        assert!(printed.contains(&format!("\n{name} 600.0\n")), "{printed}");
        for file in ["alerts-issuer.yaml", "dashboards/wxmint.json"] {
            let asks = fs::read_to_string(format!("k8s/monitoring/{file}")).expect("a file of the repository");
            assert!(asks.contains(name), "{file}");
        }
    }
}
