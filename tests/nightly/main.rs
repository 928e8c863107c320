//! What only a machine that does nothing else can show: times that cannot be told apart, percentiles, and deadlines with
//! little room. `make nightly` runs these tests one at a time. Plain `cargo test` leaves them out.

mod failovers;
mod password_load;
mod passwords;
mod peers;
mod ranks;
mod rotation;
mod sidecar;
mod stopwatch;
mod user_data;
mod user_data_over_http;

#[path = "../verifiers/envoy.rs"]
mod envoy;

#[path = "../it/apps.rs"]
mod apps;
#[path = "../it/bindings_command.rs"]
mod bindings_command;
#[path = "../it/phone.rs"]
mod phone;
#[path = "../it/races.rs"]
mod races;
#[path = "../it/redis_faults.rs"]
mod redis_faults;
#[path = "../it/reload.rs"]
mod reload;
#[expect(dead_code, reason = "of tests/it")]
#[path = "../it/user_data/sealing.rs"]
mod sealing;
#[path = "../it/stopping.rs"]
mod stopping;
#[expect(dead_code, unused_imports, reason = "the harness of tests/it, of which these tests need a part")]
#[path = "../it/support/mod.rs"]
mod support;
#[path = "../it/users_file.rs"]
mod users_file;
#[path = "../it/wechat_faults.rs"]
mod wechat_faults;

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_logins_at_once_come_as_far_as_a_stalled_wechat() {
    let at_wechat = wechat_faults::two_thousand_logins_at_a_stalled_wechat().await;
    assert!(at_wechat > 512, "only {at_wechat}");
}
