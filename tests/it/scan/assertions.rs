//! Clients that show a token in place of a secret: an assertion that they sign themselves (RFC 7523bis), or that of
//! another issuer.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::services::{ACCOUNT, Cluster, now, set};
use crate::sidecar::forge::{ForgeKey, merged};

const DEVICE: &str = "/device_authorization";
const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A new one each time.
fn assertion(key: &ForgeKey, claims: Value) -> String {
    static MADE: AtomicU64 = AtomicU64::new(0);
    let jti = format!("jti-{}", MADE.fetch_add(1, Ordering::Relaxed));
    let own = json!({"iss": "shop", "sub": "shop", "aud": ISSUER, "exp": now() + 60, "jti": jti});
    let header = json!({"alg": "ES256", "kid": "own", "typ": "client-authentication+jwt"});
    key.token(&header.to_string(), &merged(&own, claims).to_string())
}

async fn shows(bed: &TestBed, client: &str, path: &str, shown: &str) -> Answer {
    let form = [
        ("client_id", client),
        ("client_assertion_type", TYPE),
        ("client_assertion", shown),
    ];
    bed.form(path, &form[usize::from(client.is_empty())..])
        .await
}

fn both_of(shown: &str) -> [(&str, &str); 2] {
    [("client_assertion_type", TYPE), ("client_assertion", shown)]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_comes_into_the_file_is_let_in_by_its_token_without_a_restart() {
    let cluster = Cluster::start().await;
    let bed = TestBed::builder().clients(&clients()).start().await;
    let token = cluster.token(json!({"aud": ISSUER}));
    shows(&bed, "orders", DEVICE, &token)
        .await
        .expect_oauth(401, "invalid_client");
    let mut more = clients();
    let orders = json!({"client_id": "orders", "name": "Orders", "appid": APPID, "issuer": cluster.url(), "subject": ACCOUNT});
    more.as_array_mut().expect("clients").push(orders);
    let file = bed.configuration.value("WXMINT_CLIENTS_FILE");
    fs::write(file, json!({"clients": more}).to_string()).expect("our file");
    let is_let_in = async || shows(&bed, "orders", DEVICE, &token).await.status == 200;
    until("the client is let in", PATIENCE, is_let_in).await;
}

#[tokio::test(flavor = "multi_thread")]
#[expect(
    clippy::too_many_lines,
    reason = "the test is a story that reads from top to bottom"
)]
async fn a_back_end_shows_an_assertion_once_or_the_token_of_its_service_account() {
    let (cluster, own) = (Cluster::start().await, ForgeKey::generate());
    let mut clients = clients();
    let client = |id: &str, members: Value| {
        merged(
            &json!({"client_id": id, "name": id, "appid": APPID}),
            members,
        )
    };
    clients[1] = client("shop", json!({"jwks": set(&[("own", &own)])}));
    let clients = clients.as_array_mut().expect("clients");
    clients.push(client(
        "orders",
        json!({"issuer": cluster.url(), "subject": ACCOUNT}),
    ));
    clients.push(client("desk", json!({"secret_sha256": sha256(SECRET)})));
    let bed = TestBed::builder()
        .services(2)
        .clients(&json!(clients))
        .start()
        .await;

    until("the keys are read", PATIENCE, async || {
        shows(&bed, "", DEVICE, &assertion(&own, json!({})))
            .await
            .status
            == 200
    })
    .await;
    let once = assertion(&own, json!({}));
    shows(&bed, "shop", "/token", &once)
        .await
        .expect_oauth(400, "invalid_request");
    for service in &bed.services {
        let again = bed
            .http
            .send(with_form(
                bed.http.0.post(service.url(DEVICE)),
                &both_of(&once),
            ))
            .await;
        let again = again.expect_oauth(401, "invalid_client");
        assert!(
            again.member("error_description").contains("used before"),
            "{again:?}"
        );
    }
    bed.http.1.note("assertion", &[], &once);
    let (copied, other) = (assertion(&own, json!({})), &bed.services[1]);
    let shown = (0..20).map(async |copy| {
        let url = if copy % 2 == 0 {
            bed.service().url(DEVICE)
        } else {
            other.url(DEVICE)
        };
        bed.http
            .send(with_form(bed.http.0.post(url), &both_of(&copied)))
            .await
            .status
    });
    let copies = join_all(shown).await;
    // A busy machine may be too slow for the answer of Redis to the first.
    let least = usize::from(!copies.contains(&503));
    assert!(
        (least..=1).contains(&copies.iter().filter(|status| **status == 200).count()),
        "{copies:?}"
    );
    for (what, claims) in [
        ("more than 8 KiB", json!({"more": "a".repeat(8192)})),
        (
            "the admin listener as audience",
            json!({"aud": format!("{ISSUER}/admin")}),
        ),
        (
            "the token endpoint as audience",
            json!({"aud": format!("{ISSUER}/token")}),
        ),
        ("six minutes", json!({"exp": now() + 361})),
        ("no jti", json!({"jti": null})),
        ("another client", json!({"iss": "orders", "sub": "orders"})),
    ] {
        let refused = shows(&bed, "shop", DEVICE, &assertion(&own, claims)).await;
        assert_eq!(
            (refused.status, refused.member("error").as_str()),
            (401, "invalid_client"),
            "{what}"
        );
        let says = refused
            .member("error_description")
            .contains(&format!("`aud` must be the issuer's URL, {ISSUER}, "));
        assert_eq!(says, what.ends_with(" as audience"), "{what}: {refused:?}");
    }
    shows(
        &bed,
        "shop",
        DEVICE,
        &assertion(&ForgeKey::generate(), json!({})),
    )
    .await
    .expect_oauth(401, "invalid_client");
    for other in ["desk", "orders", "nobody", "shop-web"] {
        shows(&bed, other, DEVICE, &assertion(&own, json!({})))
            .await
            .expect_oauth(401, "invalid_client");
    }
    bed.form(DEVICE, &[("client_id", "shop"), ("client_secret", SECRET)])
        .await
        .expect_oauth(401, "invalid_client");
    let (unused, shop) = (assertion(&own, json!({})), ("client_id", "shop"));
    let [kind, shown] = both_of(&unused);
    let with_secret = [shop, ("client_secret", SECRET), kind, shown];
    bed.form(DEVICE, &with_secret)
        .await
        .expect_oauth(400, "invalid_request");
    bed.form(DEVICE, &[shop, ("client_assertion_type", "jwt"), shown])
        .await
        .expect_oauth(400, "invalid_request");
    let basic = bed
        .http
        .0
        .post(bed.service().url(DEVICE))
        .basic_auth("shop", Some(SECRET));
    bed.http
        .send(with_form(basic, &[kind, shown]))
        .await
        .expect_oauth(400, "invalid_request");

    let token = cluster.token(json!({"aud": ISSUER}));
    for _ in 0..2 {
        assert_eq!(
            shows(&bed, "orders", DEVICE, &token).await.status,
            200,
            "as often as it likes"
        );
    }
    // One for the admin listener, and one of another service account. tests/it/services.rs has the other forged ones.
    shows(&bed, "orders", DEVICE, &cluster.token(json!({})))
        .await
        .expect_oauth(401, "invalid_client");
    let other = cluster.token(json!({"aud": ISSUER, "sub": format!("{ACCOUNT}s")}));
    shows(&bed, "orders", DEVICE, &other)
        .await
        .expect_oauth(401, "invalid_client");
    let metadata = bed
        .service()
        .get("/.well-known/openid-configuration")
        .await
        .json();
    let methods = json!([
        "client_secret_basic",
        "client_secret_post",
        "none",
        "private_key_jwt"
    ]);
    assert_eq!(metadata["token_endpoint_auth_methods_supported"], methods);
    let algorithms = json!(["ES256", "EdDSA", "Ed25519", "RS256"]);
    assert_eq!(
        metadata["token_endpoint_auth_signing_alg_values_supported"],
        algorithms
    );
}

/// Two back ends may number their assertions alike.
#[tokio::test(flavor = "multi_thread")]
async fn an_assertion_of_one_back_end_uses_up_none_of_another_one_with_the_same_jti() {
    let back_ends = ["shop", "desk"].map(|id| (id, ForgeKey::generate()));
    let clients = back_ends.each_ref().map(|(id, key)| {
        json!({"client_id": id, "name": id, "appid": APPID, "jwks": set(&[("own", key)])})
    });
    let bed = TestBed::builder().clients(&json!(clients)).start().await;
    let signed = |(id, key): &(&str, ForgeKey), claims: Value| {
        assertion(key, merged(&json!({"iss": id, "sub": id}), claims))
    };
    for back_end in &back_ends {
        until("the keys are read", PATIENCE, async || {
            shows(&bed, "", DEVICE, &signed(back_end, json!({})))
                .await
                .status
                == 200
        })
        .await;
    }
    for jti in ["1", "2"] {
        for back_end in &back_ends {
            let shown = signed(back_end, json!({"jti": jti}));
            let first = shows(&bed, "", DEVICE, &shown).await;
            assert_eq!(first.status, 200, "{} {jti}: {first:?}", back_end.0);
            shows(&bed, "", DEVICE, &shown)
                .await
                .expect_oauth(401, "invalid_client");
        }
    }
}
