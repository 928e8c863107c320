//! The calls of the crates, as metrics and spans.

use std::time::Duration;

use wxmint_ids::AppId;
use wxmint_wechat::CallError;

use super::Metrics;
use crate::Step;

/// WeChat bills these, each number 0.03 yuan:
/// <https://developers.weixin.qq.com/miniprogram/dev/framework/open-ability/getPhoneNumber.html>
const BILLED: [&str; 1] = ["getuserphonenumber"];

impl wxmint_redis_link::Observer for Metrics {
    fn call_ended(&self, call: &'static str, answered: bool, took: Duration) {
        let labels = [("operation", call), ("outcome", if answered { "ok" } else { "failed" })];
        self.0.redis_duration.get_or_create(&labels).observe(took.as_secs_f64());
        Step::ended("redis", call, took, (!answered).then_some("unanswered"));
    }
}

impl wxmint_store::Observer for Metrics {
    fn clock_is_distant(&self) {
        self.0.distant_clocks.inc();
    }
}

impl wxmint_wechat::Observer for Metrics {
    fn call_ended(&self, api: &'static str, app: &AppId, error: Option<&CallError>, took: Duration) {
        self.0.wechat_duration.get_or_create(&[("api", api)]).observe(took.as_secs_f64());
        let label = error.map(CallError::label);
        Step::ended("wechat", api, took, label.as_deref());
        let Some(label) = label else {
            if BILLED.contains(&api) {
                self.0.wechat_billed.get_or_create(&[("api", api.to_owned()), ("app", self.label_of(app))]).inc();
            }
            return;
        };
        let api = ("api", api.to_owned());
        match error.and_then(CallError::verdict) {
            Some(_) => {
                self.0.wechat_errcodes.get_or_create(&[api, ("errcode", label), ("app", self.label_of(app))]).inc()
            }
            None => self.0.wechat_failures.get_or_create(&[api, ("kind", label)]).inc(),
        };
    }
}
