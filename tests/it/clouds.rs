//! Managed Redis products, by stand-ins that keep the rules which docs/redis.md names: wxmint's life through each.

mod lua;
pub(crate) mod proxy;
mod resp;

use self::proxy::{Product, Proxy};
use crate::doctor::Report;
use crate::map::files_of;
use crate::support::prelude::*;
use crate::whole_life::{Life, alice};

/// A service whose Redis is a product's proxy lives its whole life. What the proxy has refused.
async fn refused_in_a_whole_life(product: Product) -> BTreeSet<String> {
    let life = Life::on(Proxy::before(product).await).await;
    life.is_lived().await;
    life.bed.redis.refused()
}

/// A script is one text, or several, one behind the other.
#[test]
fn every_script_names_its_keys_where_a_proxy_finds_them() {
    let read = |path: &PathBuf| fs::read_to_string(path).expect("UTF-8");
    for folder in ["crates/store/src", "src/doors"].map(repository) {
        let code: String = files_of("rs", &folder).iter().map(read).collect();
        for path in files_of("lua", &folder) {
            let name = path.file_stem().expect("a name").to_string_lossy();
            assert!(["", ".lua"].iter().any(|end| code.contains(&format!("{name}{end}\""))), "{name} is in no script");
            assert_eq!(lua::refused(&read(&path)), Ok(()), "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wxmint_lives_behind_the_proxy_of_each_cloud() {
    for product in [Product::Alibaba, Product::Tencent, Product::Huawei] {
        let refused = refused_in_a_whole_life(product).await;
        let is_known = |error: &String| product == Product::Huawei && error.contains("CLIENT");
        assert!(refused.iter().all(is_known), "{product:?}: {refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_finds_no_fault_behind_a_proxy_and_names_a_command_that_it_lacks() {
    for (product, lacks) in [(Product::Alibaba, ""), (Product::Tencent, ""), (Product::Huawei, "needs: wait")] {
        let bed = TestBed::builder().services(0).start_on(Proxy::before(product).await).await;
        let report = Report::of(&bed.configuration).await;
        match lacks {
            "" => report.expect_healthy(),
            lacks => _ = report.advice("redis.rights", "warning", lacks),
        }
        assert_ne!(report.code, 2, "{product:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_wait_is_refused_logins_go_on_and_the_log_says_so_once() {
    let tenant = Life::on(Proxy::before(Product::Huawei).await).await;
    let _replica = RedisServer::replica_of(&tenant.bed.redis.server).await;
    assert_eq!(tenant.user(APPID, "lin", alice()).await, "user-alice");
    let phone = tenant.bed.wechat.mint_phone_code("mei").await;
    tenant.user(APPID, "mei", json!({"phone_code": phone})).await;
    tenant.leaves().await;
    assert!(tenant.bed.redis.refused().contains("ERR unknown command `WAIT`"), "{:?}", tenant.bed.redis.refused());
    tenant.bed.service().says("refuses the command WAIT").await;
    let told = |event: &Value| event["message"].as_str().is_some_and(|text| text.contains("refuses the command WAIT"));
    let warnings: Vec<_> = tenant.bed.service().events().into_iter().filter(told).collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!((&warnings[0]["level"], &warnings[0]["code"]), (&json!("WARN"), &json!("ERR")));
}
