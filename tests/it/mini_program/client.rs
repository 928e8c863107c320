//! The package `wxmint-miniprogram` as it is published: built and packed, its own tests, and the stories of
//! `tests/miniprogram/client.mjs` against the real service, which have the names of the tests here.

use std::sync::OnceLock;

use super::{Business, WEBSITE, website};
use crate::scan_examples::{copy, printed};
use crate::support::prelude::*;

/// A copy of `clients/miniprogram` that has been built and packed as for npm, where Node finds what the build needs.
/// What npm would publish is its folder `package`.
pub(crate) fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let (ours, folder) = (
            repository("clients/miniprogram"),
            tools("client").join("built"),
        );
        if folder.exists() {
            fs::remove_dir_all(&folder).expect("an earlier run's");
        }
        fs::create_dir(&folder).expect("a folder");
        for part in ["src", "tests"] {
            copy(&ours.join(part), &folder.join(part));
        }
        copy(&repository("examples/uni-app"), &folder.join("uni-app"));
        for file in fs::read_dir(&ours)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").path())
        {
            if file.is_file() {
                fs::copy(&file, folder.join(file.file_name().expect("a name")))
                    .expect("our own file");
            }
        }
        printed(
            Command::new("npm")
                .args(["pack", "--loglevel=error", "--no-update-notifier"])
                .current_dir(&folder),
        );
        printed(
            Command::new("tar")
                .args(["-xzf", "wxmint-miniprogram-0.1.0.tgz"])
                .current_dir(&folder),
        );
        folder
    })
}

#[test]
fn the_package_is_built_small_and_its_own_tests_hold() {
    let printed = printed(
        Command::new("node")
            .args(["--test", "--test-reporter=tap"])
            .current_dir(built()),
    );
    let passed = printed
        .lines()
        .find_map(|line| line.strip_prefix("# pass "))
        .map(str::parse);
    assert!(
        matches!(passed, Some(Ok(180..))) && printed.contains("# skipped 0"),
        "{printed}"
    );
}

fn play(bed: &TestBed, story: &str) {
    let asked = json!({
        "story": story, "person": "lin", "appid": APPID, "issuer": ISSUER, "password": PASSWORD,
        "wrong_password": WRONG_PASSWORD, "website": WEBSITE, "service": bed.service().url(""),
        "simulator": bed.wechat.url(),
    });
    let folder = node_folder();
    copy(&repository("tests/miniprogram"), folder.path());
    copy(&built().join("package"), &folder.path().join("package"));
    printed(
        Command::new("node")
            .args(["client.mjs", &asked.to_string()])
            .current_dir(&folder),
    );
}

macro_rules! stories {
    ($($bed:expr => $($story:ident)*;)*) => {$($(
        #[tokio::test(flavor = "multi_thread")]
        async fn $story() {
            play(&$bed, stringify!($story));
        }
    )*)*};
}

stories! {
    Business::start_bound().await.bed =>
        fifty_pages_at_once_make_one_login_and_so_does_a_storm_of_401
        a_spent_code_is_answered_by_one_new_wx_login
        a_login_in_flight_is_lost_to_a_logout_and_its_token_is_ended
        a_ban_ends_in_one_login_for_all_until_somebody_logs_in_again
        without_a_network_every_call_is_offline_and_the_token_stays
        the_calls_of_the_session_key_and_a_logout_everywhere;
    Business::start(&[]).await.bed =>
        a_person_is_bound_by_two_taps_by_a_spent_ticket_and_after_the_end_of_the_binding;
    TestBed::builder().clients(&website()).start().await =>
        a_website_is_logged_in_as_the_phones_user_unless_by_a_wrong_number_another_person_or_a_no;
}
