//! Managed Redis products, by stand-ins that keep the rules which docs/redis.md names: wxmint's life through each.

mod lua;
pub(crate) mod proxy;
mod resp;

use self::proxy::{Product, Proxy};
use crate::doctor::Report;
use crate::map::files_of;
use crate::support::prelude::*;
use crate::whole_life::Life;

/// A script is one text, or several, one behind the other.
#[test]
fn every_script_names_its_keys_where_a_proxy_finds_them() {
    let read = |path: &PathBuf| fs::read_to_string(path).expect("UTF-8");
    for folder in ["crates/store/src", "src/doors"].map(repository) {
        let code: String = files_of("rs", &folder).iter().map(read).collect();
        for path in files_of("lua", &folder) {
            let name = path.file_stem().expect("a name").to_string_lossy();
            assert!(
                ["", ".lua"]
                    .iter()
                    .any(|end| code.contains(&format!("{name}{end}\""))),
                "{name} is in no script"
            );
            assert_eq!(lua::refused(&read(&path)), None, "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wxmint_lives_behind_the_proxy_of_each_cloud_and_the_doctor_finds_no_fault_there() {
    for product in [Product::Alibaba, Product::Tencent] {
        let life = Life::on(Proxy::before(product).await).await;
        life.is_lived().await;
        assert_eq!(life.bed.redis.refused(), BTreeSet::new(), "{product:?}");
        Report::of(&life.bed.configuration).await.expect_healthy();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_wait_is_refused_wxmint_lives_all_the_same_and_log_and_doctor_say_so() {
    let life = Life::on(Proxy::before(Product::Huawei).await).await;
    let _replica = RedisServer::replica_of(&life.bed.redis.server).await;
    life.is_lived().await;
    let refused = life.bed.redis.refused();
    assert!(
        refused.contains("ERR unknown command `WAIT`"),
        "{refused:?}"
    );
    let is_known = |error: &String| error.contains("`WAIT`") || error.contains("`CLIENT`");
    assert!(refused.iter().all(is_known), "{refused:?}");
    life.bed.service().says("refuses the command WAIT").await;
    let warnings = life.bed.service().told("refuses the command WAIT");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(
        (&warnings[0]["level"], &warnings[0]["code"]),
        (&json!("WARN"), &json!("ERR"))
    );
    let report = Report::of(&life.bed.configuration).await;
    report.advice("redis.rights", "warning", "needs: wait");
    assert_eq!(report.code, 1);
}
