//! The users file of a running `wxmint serve`: read again within 5 s where it is fit, refused where it is not.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    time::Duration,
};

use futures_util::future::join_all;
use serde_json::json;

use crate::support::{BUSY, Configuration, TestBed, UsersFile, eventually, password_of, until, write_private};

/// docs/accounts.md: "`wxmint serve` reads the file again within 5 s of a change".
const WITHIN: Duration = BUSY.saturating_add(Duration::from_secs(5));
const REFUSED: &str = "wxmint_reload_refused{what=\"users\"} 1";
const IN_USE: &str = "wxmint_reload_refused{what=\"users\"} 0";

async fn has(bed: &TestBed, line: &str) -> Option<()> {
    bed.service().metrics().await.lines().any(|found| found == line).then_some(())
}

/// The log's words on how many users there were each time the file was read.
fn counted(bed: &TestBed) -> Vec<u64> {
    bed.service().events().iter().filter_map(|event| event["users"].as_u64()).collect()
}

async fn bed_with(path: &Path) -> TestBed {
    TestBed::builder().env("WXMINT_ACCOUNTS", &format!("file:{}", path.display())).start().await
}

/// A second user is added; then the file has this line more and this mode, until it is mended.
async fn is_refused_until_it_is_mended((line, mode, reason): (&str, u32, &str)) {
    let users = UsersFile::of(&["alice"]);
    let (path, bed) = (users.path(), bed_with(&users.path()).await);
    assert_eq!(counted(&bed), [1]);
    users.add("bob", "id-of-bob");
    until("another user", WITHIN, async || counted(&bed) == [1, 2]).await;

    let good = fs::read_to_string(&path).expect("a file");
    fs::write(&path, format!("{good}{line}")).expect("written");
    fs::set_permissions(&path, Permissions::from_mode(mode)).expect("our file");
    eventually(reason, WITHIN, async || has(&bed, REFUSED).await).await;
    bed.service().says("the changed users file cannot be used; keeping the previous users").await;
    assert!(bed.service().reasons("ERROR")[0].contains(reason), "{:?}", bed.service().reasons("ERROR"));

    fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("our file");
    fs::write(&path, &good).expect("written");
    eventually("mended", WITHIN, async || has(&bed, IN_USE).await).await;
    assert!(has(&bed, "wxmint_reloads_total{what=\"users\",outcome=\"refused\"} 1").await.is_some());
    let log = bed.service().log();
    assert!(!["hunter22", "$argon2id$v=19$m=1", "alice"].iter().any(|secret| log.contains(secret)), "{log}");
}

#[tokio::test]
async fn a_broken_file_names_its_line_and_a_mended_one_is_in_use_within_5_s() {
    join_all([
        is_refused_until_it_is_mended((
            "carol hunter22 u-3\n",
            0o600,
            "users: line 4: the password must be an Argon2id",
        )),
        is_refused_until_it_is_mended(("", 0o604, "can be read by others (mode 0604); run: chmod 600")),
    ])
    .await;
}

#[tokio::test]
async fn a_token_has_the_claims_that_the_file_has_now() {
    let users = UsersFile::of(&["alice", "bob"]);
    users.set_claims("alice", "roles=admin,editor;tenant=north");
    let (path, bed) = (users.path(), bed_with(&users.path()).await);
    let claims = bed.log_in_with("lin", password_of("alice")).await.claims();
    assert_eq!((&claims["roles"], &claims["tenant"]), (&json!(["admin", "editor"]), &json!("north")));
    let others = bed.log_in_with("mei", password_of("bob")).await.claims();
    assert!(others.get("roles").is_none() && others.get("tenant").is_none(), "{others}");

    users.set_claims("alice", "roles=editor");
    until("other claims", WITHIN, async || counted(&bed) == [2, 2]).await;
    let claims = bed.log_in("lin").await.claims();
    assert_eq!((&claims["roles"], claims.get("tenant")), (&json!(["editor"]), None));

    let good = fs::read_to_string(&path).expect("a file");
    fs::write(&path, good.replace("roles=editor", "sub=id-of-bob")).expect("written");
    eventually("a registered name", WITHIN, async || has(&bed, REFUSED).await).await;
    bed.service().says("users: line 2: has the claim `sub`").await;
    let claims = bed.log_in("lin").await.claims();
    assert_eq!((&claims["sub"], &claims["roles"]), (&json!("id-of-alice"), &json!(["editor"])));
}

#[tokio::test]
async fn a_file_that_kubernetes_swaps_is_in_use_within_5_s() {
    let folder = tempfile::tempdir().expect("a folder");
    let volume = folder.path();
    for (version, names) in [("..1", &["alice"][..]), ("..2", &["alice", "bob"])] {
        fs::create_dir(volume.join(version)).expect("a folder");
        fs::copy(UsersFile::of(names).path(), volume.join(version).join("users")).expect("its mode is copied, too");
    }
    symlink("..1", volume.join("..data")).expect("a link");
    symlink("..data/users", volume.join("users")).expect("a link");
    let bed = bed_with(&volume.join("users")).await;
    symlink("..2", volume.join("..data_tmp")).expect("a link");
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).expect("renamed");
    until("the swap", WITHIN, async || counted(&bed) == [1, 2]).await;
}

#[tokio::test]
async fn a_service_does_not_start_with_a_users_file_that_is_not_fit() {
    let mut configuration = Configuration::new("ES256");
    let path = configuration.path("users");
    configuration.set("WXMINT_ACCOUNTS", &format!("file:{}", path.display()));
    let said = configuration.refused().await;
    assert!(said.contains("WXMINT_ACCOUNTS: ") && said.contains("users: No such file"), "{said}");

    write_private(&path, "# staff\nalice hunter22 u-1\n");
    let said = configuration.refused().await;
    let sentence = "users: line 2: the password must be an Argon2id PHC string";
    assert!(said.contains(sentence) && !said.contains("hunter22"), "{said}");
}
