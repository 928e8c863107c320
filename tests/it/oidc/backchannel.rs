//! A site is told that logins have ended (OpenID Connect Back-Channel Logout 1.0), before it renews anything.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

use super::*;
use crate::doctor::Report;

const OUT: &str = "/logout/backchannel";
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// The stream of revocations is looked at once a second.
const SOON: Duration = PATIENCE;

/// A server of a site, which takes every logout.
fn receiver() -> Answering {
    let server = Answering::start();
    server.at(OUT, takes());
    server
}

fn takes() -> Manner {
    Manner::says("200 OK", "Cache-Control: no-store\r\n", "")
}

/// Those of [`clients`], the first of which is told at this server.
fn told_at(server: &Answering) -> Value {
    let mut clients = clients();
    clients[0]["backchannel_logout_uri"] = server.url(OUT).into();
    clients
}

/// The logout tokens that a server has been sent so far.
fn tokens_at(server: &Answering) -> Vec<String> {
    let calls = server.calls_of(OUT).into_iter();
    let token = |call: Call| {
        assert!(call.line.starts_with("POST "), "{}", call.line);
        assert_eq!(
            call.headers["content-type"],
            "application/x-www-form-urlencoded"
        );
        let body = String::from_utf8(call.body).expect("a form");
        body.strip_prefix("logout_token=")
            .expect("one field")
            .to_owned()
    };
    calls.map(token).collect()
}

/// As section 2.6 has it, with the published keys. Returns the claims.
async fn verified<R>(bed: &TestBed<R>, token: &str) -> Value {
    let (header, claims) = decoded(token);
    assert_eq!(
        (&header["typ"], &header["alg"]),
        (&"logout+jwt".into(), &"ES256".into())
    );
    let set = bed.service().get("/.well-known/jwks.json").await.json();
    let keys = set["keys"].as_array().expect("keys");
    let jwk = keys
        .iter()
        .find(|jwk| jwk["kid"] == header["kid"])
        .expect("a published key");
    let part = |name: &str| {
        URL_SAFE_NO_PAD
            .decode(jwk[name].as_str().expect("a coordinate"))
            .expect("base64url")
    };
    let point = [vec![4], part("x"), part("y")].concat();
    let (message, signature) = token.rsplit_once('.').expect("a signature");
    let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
    key.verify(message.as_bytes(), &signature)
        .expect("signed by the issuer");

    assert_eq!(
        (&claims["iss"], &claims["aud"]),
        (&ISSUER.into(), &"grafana".into())
    );
    assert_eq!(claims["events"], json!({ EVENT: {} }));
    assert!(
        claims.get("nonce").is_none() && claims["jti"].as_str().is_some_and(|id| id.len() == 22),
        "{claims}"
    );
    let second = |name: &str| claims[name].as_i64().expect("seconds");
    let now = wxmint::clock::now().timestamp();
    assert!(
        second("iat") <= now && (1..=120).contains(&(second("exp") - second("iat"))),
        "{claims}"
    );
    claims
}

/// The claims of the one logout token that comes, whose `jti` is none of those before.
async fn next_logout<R>(bed: &TestBed<R>, server: &Answering, seen: usize, what: &str) -> Value {
    let token = eventually(what, SOON, async || tokens_at(server).get(seen).cloned()).await;
    verified(bed, &token).await
}

/// Each act that ends logins, by two replicas, one of which tells the site.
#[tokio::test(flavor = "multi_thread")]
async fn a_site_is_told_within_seconds_of_whatever_ends_a_login_and_once() {
    let server = receiver();
    let builder = TestBed::builder()
        .clients(&told_at(&server))
        .operator()
        .services(2);
    let bed = builder.env("RUST_LOG", "trace").start().await;
    let named = bed
        .service()
        .get("/.well-known/openid-configuration")
        .await
        .json();
    assert_eq!(named["backchannel_logout_supported"], true);
    assert_eq!(named["backchannel_logout_session_supported"], true);

    for (number, act) in ACTS.into_iter().enumerate() {
        let login = bed.log_in_for(act).await;
        let (_, id) = decoded(&login.first.member("id_token"));
        let of_one_login = ["logout", "revoke"].contains(&act);
        bed.revoke_site_login(act, &login, "refresh_token").await;
        let claims = next_logout(&bed, &server, number, act).await;
        if act == "clients end" {
            // It ends the logins of everybody who was there.
            break;
        }
        assert_eq!(claims["sub"], id["sub"], "{act}");
        assert_eq!(
            claims.get("sid"),
            of_one_login.then_some(&id["sid"]),
            "{act}: {claims}"
        );

        // It opens nothing, and nobody takes it for an id token.
        let token = &tokens_at(&server)[number];
        let asked = bed
            .service()
            .ask("GET", "/userinfo", token, &Value::Null)
            .await;
        asked.expect_problem(401, "invalid_token");
        let hint = bed
            .service()
            .get(&format!(
                "/end_session?{}",
                query(&[("id_token_hint", token)])
            ))
            .await;
        assert_eq!(hint.status, 400, "{hint:?}");
    }
    // One for each act. The last one also tells of everybody before, but for those of whom no login was left: it was
    // revoked itself, or the person's binding was dissolved.
    let told_again = ACTS.len() - 1 - ["unbind", "dissolve", "logout", "revoke"].len();
    until("everybody's logins have ended", SOON, async || {
        tokens_at(&server).len() == ACTS.len() + told_again
    })
    .await;
    let sent = "wxmint_oidc_backchannel_logouts_total{client=\"grafana\",outcome=\"sent\"}";
    let told = tokens_at(&server).len();
    until("all are counted", SOON, async || {
        let counts = join_all(
            bed.services
                .iter()
                .map(async |service| sample_of(&service.metrics().await, sent)),
        )
        .await;
        counts.iter().sum::<f64>() == told as f64
    })
    .await;
    until("it is audited", BUSY, async || {
        let events: Vec<_> = bed
            .services
            .iter()
            .flat_map(|service| service.events())
            .collect();
        let noted = events
            .iter()
            .filter(|event| event["metadata"]["event_code"] == "site_logout_notice");
        noted.count() == told
    })
    .await;
    assert_eq!(tokens_at(&server).len(), told, "once each");
}

/// A logout that was told, or given up, leaves nothing behind.
async fn expect_no_queue(bed: &TestBed) {
    let queues = async || {
        bed.redis
            .command::<Vec<String>>(&["KEYS", "wxmint:oidc:logouts:*"])
            .is_empty()
    };
    until("the queues are empty", SOON, queues).await;
}

/// 0 if the metric is not there yet.
fn sample_of(metrics: &str, name: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|value| value.trim().parse().ok())
        .unwrap_or_default()
}

/// A site that asks for it has a token for each login, and a login that began after the act goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_wants_the_sid_is_told_of_each_login_and_a_client_without_the_member_of_nothing()
 {
    let server = receiver();
    let mut clients = told_at(&server);
    clients[0]["backchannel_logout_session_required"] = true.into();
    let bed = TestBed::builder()
        .clients(&clients)
        .operator()
        .start()
        .await;
    let sid_of = |tokens: &Answer| decoded(&tokens.member("id_token")).1["sid"].clone();
    let (one, other) = (bed.log_in_site("lin").await, bed.log_in_site("lin").await);
    // Nobody of these is at the site, or the client has no address.
    bed.log_in("mei").await.expect_login();
    let back = told(&bed.let_in_site(&asks("spa", ORIGIN), "chen").await);
    let form = [&grant(&back["code"], ORIGIN)[..], &[("client_id", "spa")]].concat();
    let page = bed.form("/token", &form).await.expect_login();
    for person in ["mei", "chen", "lin"] {
        let phone = bed.log_in(person).await.expect_login();
        bed.log_out(&phone, true).await;
    }
    let mut told = BTreeSet::new();
    for number in 0..2 {
        let claims = next_logout(&bed, &server, number, "each login").await;
        told.insert(claims["sid"].to_string());
    }
    assert_eq!(
        told,
        BTreeSet::from([&one, &other].map(|tokens| sid_of(tokens).to_string()))
    );
    // A login in the very second of a logout is refused, and begins anew.
    let second = wxmint::clock::now().timestamp();
    until("the next second", BUSY, async || {
        wxmint::clock::now().timestamp() > second
    })
    .await;
    let newer = bed.log_in_site("lin").await;
    bed.revoke(&newer.member("refresh_token")).await;
    assert_eq!(
        next_logout(&bed, &server, 2, "the newer one").await["sid"],
        sid_of(&newer)
    );
    assert_eq!(
        bed.userinfo(&page).await.status,
        401,
        "the page's login has ended, too"
    );
    assert_eq!(tokens_at(&server).len(), 3, "and nobody was told of it");
    expect_no_queue(&bed).await;
}

/// One site's dead server is nobody else's trouble. It is told when it comes back, and given up after an hour.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_site_delays_no_other_one_and_is_told_when_it_comes_back() {
    let (alive, dead) = (receiver(), receiver());
    let mut clients = told_at(&alive);
    let mut other = clients[0].clone();
    other["client_id"] = "dead".into();
    other["backchannel_logout_uri"] = dead.url(OUT).into();
    clients.as_array_mut().expect("clients").push(other);
    let (clock, bed) = Clock::around(TestBed::builder().clients(&clients).operator()).await;
    let dead_grant = async |person: &str| {
        let code = told(&bed.let_in_site(&asks("dead", BACK), person).await)["code"].clone();
        let form = [
            &[("client_id", "dead"), ("client_secret", SECRET)],
            &grant(&code, BACK)[..],
        ]
        .concat();
        bed.form("/token", &form).await.expect_login();
    };
    dead.at(OUT, Manner::does(vec![Step::Stall]));
    for (logged_out, person) in ["lin", "mei", "chen"].into_iter().enumerate() {
        bed.log_in_site(person).await;
        dead_grant(person).await;
        let phone = bed.log_in(person).await.expect_login();
        bed.log_out(&phone, true).await;
        next_logout(&bed, &alive, logged_out, person).await;
    }
    let count = async |outcome: &str| {
        let name = format!(
            "wxmint_oidc_backchannel_logouts_total{{client=\"dead\",outcome=\"{outcome}\"}}"
        );
        sample_of(&bed.service().metrics().await, &name)
    };
    until("it has failed", PATIENCE * 2, async || {
        count("failed").await >= 3.0
    })
    .await;

    // It answers at once from now on. The tries that wait for it end first, because their pauses grow with their age.
    // A redirect, such as to a page of an identity provider in front of the site, has taken nothing either.
    let redirect = Manner::says("302 Found", "Location: /login\r\n", "");
    dead.at(OUT, redirect);
    let answered = async || {
        let calls = dead.calls_of(OUT);
        calls.iter().rev().take(3).all(|call| call.sent() > 0)
    };
    until("the last tries were answered", PATIENCE * 4, answered).await;
    until("and have failed", PATIENCE, async || {
        count("failed").await == tokens_at(&dead).len() as f64
    })
    .await;

    // A minute later somebody should know.
    clock.is_later(&bed, 70);
    let found = Report::of(&bed.configuration).await.output;
    assert!(
        found.contains("3 logouts not yet taken by the `backchannel_logout_uri` of dead"),
        "{found}"
    );
    assert!(
        !found.contains("`backchannel_logout_uri` of grafana"),
        "{found}"
    );

    let before = tokens_at(&dead).len();
    dead.at(OUT, takes());
    clock.is_later(&bed, 400);
    until("it is told", PATIENCE * 2, async || {
        count("sent").await == 3.0
    })
    .await;
    let subjects = tokens_at(&dead)[before..]
        .iter()
        .map(|token| decoded(token).1["sub"].to_string())
        .collect::<BTreeSet<_>>();
    assert_eq!(subjects.len(), 3, "each of them");

    dead.at(OUT, Manner::says("404 Not Found", "", ""));
    dead_grant("bao").await;
    let phone = bed.log_in("bao").await.expect_login();
    let before = count("failed").await;
    bed.log_out(&phone, true).await;
    until("it has failed again", PATIENCE * 2, async || {
        count("failed").await > before
    })
    .await;
    clock.is_later(&bed, 4_100);
    until("it is given up", PATIENCE * 2, async || {
        count("given_up").await == 1.0
    })
    .await;
    expect_no_queue(&bed).await;
    clock.is_later(&bed, 0);
}

/// Redis is away when it is noted how a site has answered.
#[tokio::test(flavor = "multi_thread")]
async fn a_site_whose_answer_could_not_be_noted_is_told_again_once_redis_is_back() {
    let server = receiver();
    let builder = TestBed::builder().clients(&told_at(&server));
    let bed = builder.operator().breakable_redis().start().await;
    bed.log_in_site("lin").await;
    server.at(OUT, Manner::does(vec![Step::Stall]));
    let phone = bed.log_in("lin").await.expect_login();
    bed.log_out(&phone, true).await;
    until("the site is being told", SOON, async || {
        !tokens_at(&server).is_empty()
    })
    .await;
    bed.redis_link().cut().await;
    bed.service()
        .says("the logouts for a site could not be read or noted")
        .await;
    let before = tokens_at(&server).len();
    server.at(OUT, takes());
    bed.redis_link().restore().await;
    until("it is told again", PATIENCE * 4, async || {
        tokens_at(&server).len() > before
    })
    .await;
}

/// The replica that tells the sites is killed. Another one goes on, also with what was revoked meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_site_is_told_of_what_was_revoked_while_no_replica_ran() {
    let server = receiver();
    let mut bed = TestBed::builder()
        .clients(&told_at(&server))
        .operator()
        .start()
        .await;
    let tokens = bed.log_in_site("lin").await;
    let (_, id) = decoded(&tokens.member("id_token"));
    server.at(OUT, Manner::says("500 Internal Server Error", "", ""));
    let other = bed.log_in_site("mei").await;
    bed.revoke(&other.member("refresh_token")).await;
    until("a try has failed", SOON, async || {
        !tokens_at(&server).is_empty()
    })
    .await;
    bed.services[0].kill();
    let block = ["users", "block", id["sub"].as_str().expect("sub")];
    Ended::of(&mut bed.configuration.command_of(&block), "").expect_success();
    let before = tokens_at(&server).len();
    server.at(OUT, takes());
    bed.services[0] = bed.another().await;
    // Ten seconds until the turn of the killed one is over, and then as long as the pause is.
    until("both are told", PATIENCE * 3, async || {
        let told = tokens_at(&server)[before..]
            .iter()
            .map(|token| decoded(token).1["sub"].clone())
            .collect::<Vec<_>>();
        told.contains(&id["sub"]) && told.contains(&decoded(&other.member("id_token")).1["sub"])
    })
    .await;
}
