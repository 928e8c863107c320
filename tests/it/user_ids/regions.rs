//! Two regions: two issuers on two Redis, which have the id key in common and nothing else.

use super::{computed, user_of};
use crate::support::prelude::*;

#[tokio::test]
async fn one_person_is_one_user_in_two_regions_and_one_verifier_accepts_both() {
    let (here, there) = (free_port(), free_port());
    let jwks = |port: u16| format!("http://127.0.0.1:{port}/.well-known/jwks.json");
    let listen = |port: u16| format!("127.0.0.1:{port}");
    let builder = computed("openid")
        .env("WXMINT_JWKS_PEERS", &jwks(there))
        .env("WXMINT_LISTEN", &listen(here));
    let bed = builder.start().await;

    // The other region has other signing keys, in a file of its own.
    let redis = RedisServer::start(&[], "").await;
    let mut other = Configuration::new("EdDSA");
    for name in [
        "WXMINT_WECHAT_URL",
        "WXMINT_APPS_DIR",
        "WXMINT_USER_IDS",
        "WXMINT_ID_KEY_FILE",
        "WXMINT_APPID",
    ] {
        other.set(name, bed.configuration.value(name));
    }
    other.set("WXMINT_APP_SECRET", "");
    let own = [
        ("WXMINT_REDIS_URL", redis.url()),
        ("WXMINT_LISTEN", listen(there)),
        ("WXMINT_JWKS_PEERS", jwks(here)),
    ];
    other.set_all(own);
    let abroad = Service::start(&other, bed.http.clone()).await;
    abroad.ready().await;

    let kids = async |url: &str| kids_of(&bed.http.get(url).await.json());
    assert_eq!(
        kids(&jwks(there)).await.len(),
        2,
        "before anybody is sent to it"
    );
    let [one, two] = [here, there].map(|port| format!("{}?own", jwks(port)));
    let (one, two) = (kids(&one).await, kids(&two).await);
    assert!(
        one.len() == 1 && two.len() == 1 && one != two,
        "{one:?} {two:?}"
    );
    // The first was started before the second could be read.
    until("the keys of both at both", 4 * BUSY, async || {
        let both = [kids(&jwks(here)).await, kids(&jwks(there)).await];
        both.iter()
            .all(|kids| kids.len() == 2 && kids.contains(&one[0]) && kids.contains(&two[0]))
    })
    .await;

    for app in [APPID, OTHER_APPID] {
        let code = bed.wechat.mint_code_in(app, "lin").await;
        let foreign = abroad
            .log_in_with(&json!({"appid": app, "code": code}))
            .await
            .expect_login();
        assert_eq!(foreign.member("user_id"), user_of(&bed, app, "lin").await);
        for port in [here, there] {
            let sidecar = SidecarSettings::following(&format!("http://127.0.0.1:{port}"))
                .ready()
                .await;
            let own = bed.log_in_at(app, "lin", json!({})).await.expect_login();
            for login in [&own, &foreign] {
                let verified = sidecar.verify(&login.member("access_token")).await;
                assert_eq!(
                    (verified.status, verified.header("x-user-id")),
                    (200, &*login.member("user_id"))
                );
            }
        }
        // It is signed by its own region's key alone.
        assert!(!bed.accepts(&foreign).await);
    }
}
