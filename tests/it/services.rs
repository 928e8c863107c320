//! Services that show a token of another issuer in place of a secret: who gets in by it, and who does not.

use crate::doctor::Report;
use crate::sidecar::forge::{ForgeKey, merged};
use crate::support::audit::is_audit;
use crate::support::prelude::*;

pub(crate) const ACCOUNT: &str = "system:serviceaccount:shop:orders";
const SECRET: &str = "planted-secret-of-an-operator-5c2eab";
const METADATA: &str = "/.well-known/openid-configuration";
const KEYS: &str = "/openid/v1/jwks";

/// An issuer whose tokens are made as the API server of Kubernetes makes them.
pub(crate) struct Cluster {
    pub(crate) server: Answering,
    key: ForgeKey,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let cluster = Self {
            server: Answering::start(),
            key: ForgeKey::generate(),
        };
        let metadata =
            json!({"issuer": cluster.url(), "jwks_uri": cluster.server.url(KEYS)}).to_string();
        cluster
            .server
            .at(METADATA, Manner::says("200 OK", "", metadata));
        cluster.publishes(&[("first", &cluster.key)]);
        cluster
    }

    pub(crate) fn url(&self) -> String {
        self.server.url("")
    }

    fn publishes(&self, keys: &[(&str, &ForgeKey)]) {
        self.server
            .at(KEYS, Manner::says("200 OK", "", set(keys).to_string()));
    }

    /// A token for the admin listener, with members of its claims replaced; `null` removes one.
    pub(crate) fn token(&self, claims: Value) -> String {
        self.token_by(&self.key, json!({}), claims)
    }

    fn token_by(&self, key: &ForgeKey, header: Value, claims: Value) -> String {
        key.token(
            &Self::header(header).to_string(),
            &self.claims(claims).to_string(),
        )
    }

    fn header(members: Value) -> Value {
        merged(&json!({"alg": "ES256", "kid": "first"}), members)
    }

    fn claims(&self, members: Value) -> Value {
        let claims = json!({
            "iss": self.url(), "sub": ACCOUNT, "aud": [format!("{ISSUER}/admin")], "iat": now(), "nbf": now(),
            "exp": now() + 3600, "jti": "6f4e0d1c", "kubernetes.io": {"namespace": "shop"},
        });
        merged(&claims, members)
    }

    /// Tokens that are like a good one, but for one thing that makes them nobody's. The tests of crates/verify have a
    /// row for each claim and each parameter.
    fn forged(&self) -> [(&'static str, String); 5] {
        [
            (
                "more behind the subject",
                self.token(json!({"sub": format!("{ACCOUNT}s")})),
            ),
            (
                "another audience",
                self.token(json!({"aud": ["https://kubernetes.default.svc"]})),
            ),
            (
                "expired",
                self.token(json!({"iat": now() - 200, "nbf": null, "exp": now() - 61})),
            ),
            (
                "an access token",
                self.token_by(&self.key, json!({"typ": "at+jwt"}), json!({})),
            ),
            (
                "another key",
                self.token_by(&ForgeKey::generate(), json!({}), json!({})),
            ),
        ]
    }
}

pub(crate) fn now() -> i64 {
    wxmint::clock::now().timestamp()
}

/// With names of their own, which are no thumbprints.
pub(crate) fn set(keys: &[(&str, &ForgeKey)]) -> Value {
    let named = keys
        .iter()
        .map(|(kid, key)| merged(&key.jwk, json!({"kid": kid})))
        .collect::<Vec<_>>();
    json!({"keys": named})
}

async fn whoami<R>(bed: &TestBed<R>, token: &str) -> Answer {
    bed.service()
        .operate("GET", "/whoami", token, &Value::Null)
        .await
}

async fn is_let_in<R>(bed: &TestBed<R>, token: &str) -> bool {
    whoami(bed, token).await.status == 200
}

#[tokio::test(flavor = "multi_thread")]
#[expect(
    clippy::too_many_lines,
    reason = "the test is a story that reads from top to bottom"
)]
async fn a_service_account_has_the_rights_of_its_line_and_nobody_else_has_them() {
    let (cluster, stranger) = (Cluster::start().await, Cluster::start().await);
    let lines = format!(
        "orders issuer={} subject={ACCOUNT} read,wechat\ndesk {SECRET} operate\n",
        cluster.url()
    );
    let lines = format!(
        "{lines}stream issuer={} subject=spiffe://shop/stream events\n",
        cluster.url()
    );
    let bed = TestBed::builder().operators(&lines).start().await;
    let token = cluster.token(json!({}));
    bed.http.1.note("token of a service", &[], &token);
    until("the keys are fetched", PATIENCE, async || {
        is_let_in(&bed, &token).await
    })
    .await;
    assert_eq!(
        whoami(&bed, &token).await.json(),
        json!({"name": "orders", "rights": ["read", "wechat"]})
    );
    // Some issuers write their dates with a fraction (RFC 7519 section 2).
    let seconds = |seconds: i64| seconds as f64 + 0.25;
    let with_fractions =
        json!({"iat": seconds(now()), "nbf": seconds(now()), "exp": seconds(now() + 3600)});
    assert!(
        is_let_in(&bed, &cluster.token(with_fractions)).await,
        "dates with fractions"
    );
    let refused = bed
        .service()
        .operate("POST", "/users/lin/revoke", &token, &Value::Null)
        .await;
    assert!(
        refused
            .expect_problem(403, "forbidden")
            .member("detail")
            .contains("`operate`")
    );
    assert!(
        is_let_in(&bed, SECRET).await,
        "secrets count beside it, whatever rights they have"
    );
    until("the audit names it", BUSY, async || {
        let events = bed.service().events();
        let mut actors = events
            .iter()
            .filter(|event| is_audit(event))
            .map(|event| &event["actor"]["user"]);
        actors.any(|actor| *actor == json!({"uid": ACCOUNT, "name": "orders"}))
    })
    .await;

    let login = bed
        .log_in("lin")
        .await
        .expect_login()
        .member("access_token");
    whoami(&bed, &login)
        .await
        .expect_problem(401, "invalid_token");
    let of_stranger = [
        (
            "the issuer as audience",
            cluster.token(json!({"aud": ISSUER})),
        ),
        (
            "the right subject of another issuer",
            stranger.token(json!({})),
        ),
        (
            "another issuer in the name of this one",
            stranger.token(json!({"iss": cluster.url()})),
        ),
    ];
    for (what, forged) in cluster.forged().into_iter().chain(of_stranger) {
        bed.http.1.note(what, &[], &forged);
        let answer = whoami(&bed, &forged).await;
        assert_eq!(
            (answer.status, answer.member("code").as_str()),
            (401, "invalid_token"),
            "{what}"
        );
    }
    let answer = bed
        .service()
        .ask("GET", "/wechat/session", &token, &Value::Null)
        .await;
    answer.expect_problem(401, "invalid_token");
    let poll = async |token| {
        bed.service()
            .ask(
                "POST",
                "/ssf/poll",
                token,
                &json!({"returnImmediately": true}),
            )
            .await
    };
    poll(&token).await.expect_problem(401, "invalid_token");
    assert_eq!(
        poll(&cluster.token(json!({"sub": "spiffe://shop/stream"})))
            .await
            .status,
        200
    );
    let whoami = bed
        .http
        .0
        .get(format!("http://{}/whoami", bed.service().admin));
    bed.http
        .send(whoami.bearer_auth(&token).bearer_auth(&token))
        .await
        .expect_problem(400, "invalid_request");
    assert!(is_let_in(&bed, &token).await, "nothing was spoiled");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_says_what_is_wrong_with_a_token_and_not_that_its_service_is_missing_in_the_file() {
    let cluster = Cluster::start().await;
    let line = format!("orders issuer={} subject={ACCOUNT}\n", cluster.url());
    let bed = TestBed::builder().operators(&line).start().await;
    let token = cluster.token(json!({}));
    until("the keys are fetched", PATIENCE, async || {
        is_let_in(&bed, &token).await
    })
    .await;
    let is_logged = async |text: &str| bed.service().log().contains(text);
    for (claims, reason) in [
        (json!({"aud": [ISSUER]}), "its `aud` names another audience"),
        (
            json!({"exp": now() + 2 * 86_400}),
            "its life is longer than the policy allows",
        ),
        (
            json!({"iat": now() - 200, "nbf": null, "exp": now() - 61}),
            "it has expired",
        ),
    ] {
        let refused = whoami(&bed, &cluster.token(claims))
            .await
            .expect_problem(401, "invalid_token");
        assert!(
            refused
                .member("detail")
                .contains("The log of wxmint says which"),
            "{reason}"
        );
        until(reason, BUSY, async || is_logged(reason).await).await;
    }
    const MISSING: &str = "not in WXMINT_ADMIN_TOKENS_FILE";
    assert!(!is_logged(MISSING).await, "{}", bed.service().log());
    whoami(&bed, &cluster.token(json!({"sub": "another"})))
        .await
        .expect_problem(401, "invalid_token");
    until(MISSING, BUSY, async || is_logged(MISSING).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_kids_cost_the_issuer_one_fetch_and_its_keys_are_held_while_it_is_away() {
    let cluster = Cluster::start().await;
    let line = format!("orders issuer={} subject={ACCOUNT}\n", cluster.url());
    let bed = TestBed::builder().operators(&line).start().await;
    let token = cluster.token(json!({}));
    until("the keys are fetched", PATIENCE, async || {
        is_let_in(&bed, &token).await
    })
    .await;
    let flood = (0..200)
        .map(|kid| cluster.token_by(&cluster.key, json!({"kid": format!("{kid}")}), json!({})));
    let answers = join_all(flood.map(async |token| whoami(&bed, &token).await.status)).await;
    assert!(answers.iter().all(|status| *status == 401), "{answers:?}");
    assert!(
        cluster.server.calls_of(KEYS).len() <= 2,
        "{:?}",
        cluster.server.calls_of(KEYS)
    );

    let second = ForgeKey::generate();
    cluster.publishes(&[("first", &cluster.key), ("second", &second)]);
    let by_second = cluster.token_by(&second, json!({"kid": "second"}), json!({}));
    until("a new key counts", PATIENCE * 2, async || {
        is_let_in(&bed, &by_second).await
    })
    .await;

    let (url, other) = (
        cluster.url(),
        cluster.token(json!({"sub": "system:serviceaccount:shop:stock"})),
    );
    assert!(!is_let_in(&bed, &other).await);
    drop(cluster.server);
    let file = bed.configuration.value("WXMINT_ADMIN_TOKENS_FILE");
    fs::write(
        file,
        format!("{line}stock issuer={url} subject=system:serviceaccount:shop:stock\n"),
    )
    .expect("written");
    until("the changed file counts", READ_AGAIN_WITHIN, async || {
        is_let_in(&bed, &other).await
    })
    .await;
    assert!(is_let_in(&bed, &token).await && is_let_in(&bed, &by_second).await);
    fs::write(file, "# nobody\n").expect("written");
    until("no line, no right", READ_AGAIN_WITHIN, async || {
        !is_let_in(&bed, &token).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_of_an_issuer_that_is_new_in_the_file_is_let_in_by_its_token_without_a_restart() {
    let (former, next) = (Cluster::start().await, Cluster::start().await);
    let line = |cluster: &Cluster| format!("orders issuer={} subject={ACCOUNT}\n", cluster.url());
    let bed = TestBed::builder().operators(&line(&former)).start().await;
    let [by_former, by_next] = [&former, &next].map(|cluster| cluster.token(json!({})));
    until("the keys are fetched", PATIENCE, async || {
        is_let_in(&bed, &by_former).await
    })
    .await;
    whoami(&bed, &by_next)
        .await
        .expect_problem(401, "invalid_token");
    let file = bed.configuration.value("WXMINT_ADMIN_TOKENS_FILE");
    fs::write(file, line(&next)).expect("our file");
    until("the service is let in", READ_AGAIN_WITHIN, async || {
        is_let_in(&bed, &by_next).await
    })
    .await;
    whoami(&bed, &by_former)
        .await
        .expect_problem(401, "invalid_token");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_whose_keys_cannot_be_had_lets_nobody_in_and_stops_nothing_else() {
    let (elsewhere, clusters) = (
        Cluster::start().await,
        join_all((0..8).map(|_| Cluster::start())).await,
    );
    let good = set(&[("first", &elsewhere.key)]);
    let private = json!({"keys": [merged(&elsewhere.key.jwk, json!({"d": "AQAB"}))]}).to_string();
    let (ok, moved) = (
        "200 OK",
        Manner::says(
            "302 Found",
            &format!("Location: {}\r\n", elsewhere.server.url(KEYS)),
            "",
        ),
    );
    let metadata = |issuer: &str, keys: &str| {
        Manner::says(
            ok,
            "",
            json!({"issuer": issuer, "jwks_uri": keys}).to_string(),
        )
    };
    // Where, what, and what the doctor says of it.
    let faults = [
        (KEYS, moved.clone(), "the answer is 302"),
        (METADATA, moved, "the answer is 302"),
        (
            KEYS,
            Manner::says(ok, "", format!("{good}{}", " ".repeat(65 << 10))),
            "more than 64 KiB",
        ),
        (KEYS, Manner::says(ok, "", private), "key 1 (kid"),
        (
            KEYS,
            Manner::says(ok, "", r#"{"keys":[]}"#),
            "the set is empty",
        ),
        (
            METADATA,
            metadata("https://k8s", &elsewhere.server.url(KEYS)),
            "its metadata name another issuer",
        ),
        (
            METADATA,
            metadata(&clusters[6].url(), "http://192.0.2.1/keys"),
            "its metadata name another issuer",
        ),
        (KEYS, Manner::does(vec![Step::Stall]), ""),
    ];
    for (cluster, (path, manner, _)) in clusters.iter().zip(&faults) {
        cluster.server.at(path, manner.clone());
    }
    let line = |cluster: &Cluster| format!("orders issuer={} subject={ACCOUNT}\n", cluster.url());
    let lines: String = clusters.iter().map(line).collect();
    let (url, keys) = (clusters[0].url(), set(&[("first", &clusters[0].key)]));
    let lines = format!("{lines}stock issuer={url} subject=stock jwks={keys}\ndesk {SECRET}\n");
    let (bed, stock) = (
        TestBed::builder().operators(&lines).start().await,
        clusters[0].token(json!({"sub": "stock"})),
    );
    until(
        "the line whose keys are known counts",
        PATIENCE,
        async || is_let_in(&bed, &stock).await,
    )
    .await;
    for cluster in &clusters {
        whoami(&bed, &cluster.token(json!({})))
            .await
            .expect_problem(503, "keys_unavailable");
    }
    assert!(is_let_in(&bed, SECRET).await && bed.service().readyz().await.status == 200);
    bed.log_in("lin").await.expect_login();
    let found = Report::of(&bed.configuration).await.output;
    for (cluster, (_, _, why)) in clusters.iter().zip(&faults) {
        let said = format!(
            "the keys of {} cannot be had, so its tokens get 503: {why}",
            cluster.url()
        );
        assert!(found.contains(&said), "{said}: {found}");
    }
    assert!(
        elsewhere.server.calls().is_empty(),
        "nothing leads elsewhere"
    );

    clusters[0].publishes(&[("first", &clusters[0].key)]);
    let token = clusters[0].token(json!({}));
    until("it behaves again", PATIENCE * 3, async || {
        is_let_in(&bed, &token).await
    })
    .await;
}

/// As a Kubernetes API server wants it, and where there is no network.
#[tokio::test(flavor = "multi_thread")]
async fn keys_come_from_a_server_with_an_authority_and_a_token_of_its_own_or_from_a_file() {
    let (cluster, folder) = (
        Cluster::start().await,
        tempfile::tempdir().expect("a folder"),
    );
    let tls = Terminator::before(cluster.server.address).await;
    let write = |name: &str, content: &str| {
        let path = folder.path().join(name);
        fs::write(&path, content).expect("written");
        path.display().to_string()
    };
    let (ca, pod) = (
        write("ca.crt", &tls.certificate),
        write("token", "planted-token-of-a-pod\n"),
    );
    let jwks = write("jwks.json", &set(&[("first", &cluster.key)]).to_string());
    let server = format!(
        "issuer=api subject={ACCOUNT} jwks=https://{}{KEYS} ca={ca} token={pod}",
        tls.address
    );
    let lines = format!(
        "orders {server}\nstock issuer=spire subject=spiffe://shop/stock audience=wxmint jwks={jwks}\n"
    );
    let bed = TestBed::builder().operators(&lines).start().await;
    bed.http
        .1
        .note("token of the pod", &[], "planted-token-of-a-pod");
    let orders = cluster.token(json!({"iss": "api"}));
    let svid = json!({"iss": "spire", "sub": "spiffe://shop/stock", "aud": "wxmint", "iat": null, "nbf": null, "jti": null});
    let stock = cluster.token_by(&cluster.key, json!({"typ": "JOSE"}), svid.clone());
    for token in [&orders, &stock] {
        until("it is let in", PATIENCE, async || {
            is_let_in(&bed, token).await
        })
        .await;
    }
    let fetches = cluster.server.calls_of(KEYS);
    assert_eq!(fetches[0].token(), "planted-token-of-a-pod");

    let found = Report::of(&bed.configuration).await.output;
    assert!(
        found.contains("api: 1 key") && found.contains("spire: 1 key"),
        "{found}"
    );
    fs::write(&ca, "-----BEGIN CERTIFICATE-----\n").expect("written");
    let found = Report::of(&bed.configuration).await.output;
    assert!(
        found.contains("the keys of api cannot be had") && found.contains("no certificate in PEM"),
        "{found}"
    );
    assert!(is_let_in(&bed, &orders).await, "the keys are held");

    let second = ForgeKey::generate();
    write("jwks.json", &set(&[("second", &second)]).to_string());
    let by_second = second.token(
        &Cluster::header(json!({"kid": "second"})).to_string(),
        &cluster.claims(svid).to_string(),
    );
    until("the changed file counts", PATIENCE * 2, async || {
        is_let_in(&bed, &by_second).await
    })
    .await;
    assert!(
        !is_let_in(&bed, &stock).await,
        "and no longer the earlier key"
    );
}
