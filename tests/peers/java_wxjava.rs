//! examples/after-login/wxjava: WxJava borrows the access token from wxmint.

use std::fs;
use std::process::Command;

use crate::example::copy_folders;
use crate::support::{APPID, Ended, OPERATOR, TestBed, repository};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "nightly, where Maven can have WxJava"]
async fn wxjava_borrows_the_access_token_and_goes_on_after_a_40001() {
    let bed = TestBed::builder().operator().start().await;
    let folder = tempfile::tempdir().expect("a folder");
    copy_folders(&[("examples/after-login/wxjava", folder.path())], &[]);
    fs::copy(
        repository("tests/peers/wxjava/Main.java"),
        folder
            .path()
            .join("src/main/java/com/example/shop/Main.java"),
    )
    .expect("a copy");
    let mut maven = Command::new("mvn");
    maven.current_dir(&folder).args(["-B", "-q", "compile"]);
    maven.arg("org.apache.maven.plugins:maven-dependency-plugin:3.11.0:copy-dependencies");
    Ended::of(&mut maven, "").expect_success();

    let [first, second] = [
        bed.wechat.mint_phone_code("lin").await,
        bed.wechat.mint_phone_code("lin").await,
    ];
    let admin = format!("http://{}", bed.service().admin);
    let wechat = bed.wechat.url();
    let mut java = Command::new("java");
    java.current_dir(&folder)
        .args([
            "-cp",
            "target/classes:target/dependency/*",
            "com.example.shop.Main",
        ])
        .args([&*admin, OPERATOR, APPID, &*wechat, &*first, &*second]);
    let said = Ended::of(&mut java, "").expect_success().stdout;
    let lines: Vec<_> = said.lines().collect();
    let [number, revoked, again] = lines[..] else {
        panic!("{said}")
    };
    assert!(number.len() >= 11 && number == again, "{said}");
    assert_eq!(revoked, "200", "{said}");
}
