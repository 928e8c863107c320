//! The demo's page in a real browser: `tests/browser` says what a person does there.

use std::{env, fs, process::Command};

use crate::support::{Demo, node_folder, repository};

/// A story of the script's, on a demo of its own: WeChat is down for everybody who uses one.
async fn is_told(story: &str) {
    let demo = Demo::start().await;
    let address = format!("http://{}", demo.address);

    let folder = node_folder();
    for script in ["demo.mjs", "means.mjs", "views.mjs"] {
        fs::copy(
            repository("tests/browser").join(script),
            folder.path().join(script),
        )
        .expect("our own script");
    }
    // Pictures of whole pages take longer than the stories themselves.
    let pictures = env::var_os("WXMINT_TEST_PICTURES")
        .map(|_| repository("target/screenshots"))
        .unwrap_or_default();
    let mut browser = Command::new("node");
    browser
        .arg(folder.path().join("demo.mjs"))
        .arg(address)
        .arg(pictures)
        .arg(story);
    let browser = browser
        .output()
        .unwrap_or_else(|error| panic!("node: {error}; run: make setup"));
    let said = [browser.stdout, browser.stderr]
        .map(|output| String::from_utf8_lossy(&output).into_owned())
        .concat();
    assert!(browser.status.success(), "{said}");
    assert!(said.contains("all as expected"), "{said}");
}

macro_rules! stories {
    ($($(#[$ignored:meta])? $name:ident: $story:literal;)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        $(#[$ignored])?
        async fn $name() {
            is_told($story).await;
        }
    )*};
}

stories! {
    a_person_logs_in_on_the_demos_page_and_sees_a_spoiled_token_refused: "token";
    #[ignore = "slow; make nightly runs it"]
    on_the_demos_page_people_bind_their_accounts_and_unbind_them: "bindings";
    #[ignore = "slow; make nightly runs it"]
    on_the_demos_page_a_token_is_ended_and_a_service_refuses_it_within_seconds: "ends";
    #[ignore = "slow; make nightly runs it"]
    on_the_demos_page_a_phone_lets_a_laptop_in_and_a_ban_throws_it_out: "scan";
    #[ignore = "slow; make nightly runs it"]
    on_the_demos_page_a_token_is_in_view_no_label_covers_a_line_and_a_reload_keeps_the_token: "views";
}

#[test]
fn what_the_demo_names_to_read_on_is_in_docs_in_both_languages() {
    let page =
        fs::read_to_string(repository("crates/simulator/src/page/index.html")).expect("the page");
    let named: Vec<_> = page
        .split("data-page=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert_eq!(named.len(), 4, "{named:?}");
    // They are files, and no addresses that a browser could open.
    for (language, place) in [
        ("en", "More, in the repository:\","),
        ("zh", "详见仓库里的\","),
    ] {
        let words = fs::read_to_string(repository(format!(
            "crates/simulator/src/page/words-{language}.js"
        )));
        assert_eq!(
            words.expect("the words").matches(place).count(),
            3,
            "{language}: before one page, two, and one"
        );
    }
    for name in named {
        for ending in ["", ".zh-CN"] {
            assert!(
                repository(format!("docs/{name}{ending}.md")).is_file(),
                "{name}{ending}"
            );
        }
    }
}
