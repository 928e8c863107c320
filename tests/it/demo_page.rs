//! The demo's page in a real browser: `tests/browser/demo.mjs` says what a person does there.

use std::{fs, process::Command};

use tempfile::TempDir;

use crate::support::{Demo, repository, tools};

#[tokio::test(flavor = "multi_thread")]
async fn a_person_logs_in_on_the_demos_page_and_sees_a_spoiled_token_refused() {
    let demo = Demo::start().await;
    let address = format!("http://{}", demo.address);

    // Node looks for packages above the script's own folder.
    let folder = TempDir::new_in(tools("node")).expect("a folder");
    let script = folder.path().join("demo.mjs");
    fs::copy(repository("tests/browser/demo.mjs"), &script).expect("our own script");
    let browser = Command::new("node").arg(&script).arg(address).arg(repository("target/screenshots")).output();
    let browser = browser.unwrap_or_else(|error| panic!("node: {error}; run: make setup"));
    let said = [browser.stdout, browser.stderr].map(|output| String::from_utf8_lossy(&output).into_owned()).concat();
    assert!(browser.status.success(), "{said}");
    assert!(said.contains("all as expected"), "{said}");
}
