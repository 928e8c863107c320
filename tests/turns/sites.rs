//! The use cases of sites that speak OpenID Connect.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::case::{UseCase, Whose};
use crate::house::{BACK, House, LEFT, SECRET, Setup, control, query, request};
use crate::laws::{After, hold};
use crate::pages::{Waiting, approve};
use crate::people::{is_answered, known};
use crate::wechat::ACCOUNT;

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const GRAFANA: [(&str, &str); 2] = [("client_id", "grafana"), ("client_secret", SECRET)];

/// A site sends a browser to wxmint with this query.
fn asks() -> String {
    let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, VERIFIER.as_bytes()));
    query(&[
        ("client_id", "grafana"),
        ("redirect_uri", BACK),
        ("response_type", "code"),
        ("scope", "openid offline_access"),
        ("state", "s"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ])
}

/// The tokens of a site.
#[derive(Debug, Clone)]
pub(crate) struct Tokens {
    access: String,
    refresh: String,
    id: String,
}

impl Tokens {
    fn of(answer: &Answer) -> Self {
        Self {
            access: answer.member("access_token"),
            refresh: answer.member("refresh_token"),
            id: answer.member("id_token"),
        }
    }
}

async fn token(house: &House, grant: &[(&str, &str)]) -> Answer {
    house.form("/token", &[&GRAFANA[..], grant].concat()).await
}

async fn redeem(house: &House, code: &str) -> Answer {
    let grant = ("grant_type", "authorization_code");
    token(
        house,
        &[
            grant,
            ("code", code),
            ("redirect_uri", BACK),
            ("code_verifier", VERIFIER),
        ],
    )
    .await
}

async fn renew(house: &House, refresh: &str) -> Answer {
    token(
        house,
        &[("grant_type", "refresh_token"), ("refresh_token", refresh)],
    )
    .await
}

async fn step(house: &House, step: &str, form: &[(&str, &str)]) -> Answer {
    house
        .form(&format!("/authorize/{step}?{}", asks()), form)
        .await
}

async fn waiting(house: &House) -> (Whose, Waiting) {
    let whose = known(house).await;
    (whose, Waiting::of(&step(house, "scan", &[]).await))
}

async fn approved(house: &House) -> (Whose, Waiting) {
    let (whose, waiting) = waiting(house).await;
    approve(house, &waiting, Some(&whose.token)).await.done();
    (whose, waiting)
}

async fn poll(house: &House, waiting: &Waiting) -> Answer {
    step(house, "poll", &[("device_code", &waiting.device_code)]).await
}

/// Somebody at whose site a code has come.
pub(crate) async fn coded(house: &House) -> (Whose, String) {
    let (whose, waiting) = approved(house).await;
    let code = poll(house, &waiting).await.told("code").expect("a code");
    (whose, code)
}

async fn logged_in(house: &House) -> (Whose, Tokens) {
    let (whose, code) = coded(house).await;
    (whose, Tokens::of(&redeem(house, &code).await.done()))
}

pub(crate) async fn renewed(house: &House) -> (Whose, [Tokens; 2]) {
    let (whose, first) = logged_in(house).await;
    let second = Tokens::of(&renew(house, &first.refresh).await.done());
    (whose, [first, second])
}

/// A browser within WeChat that was sent to WeChat's page: its cookie and its state.
type Sent = (Whose, [String; 2]);

async fn begin(house: &House, path: &str) -> Answer {
    let path = format!("{path}?{}", asks());
    house
        .ask(request("GET", &path).insert_header(("User-Agent", "MicroMessenger")))
        .await
}

async fn sent(house: &House) -> Sent {
    let (whose, answer) = (known(house).await, begin(house, "/authorize").await);
    let cookie = answer
        .header("set-cookie")
        .split(';')
        .next()
        .unwrap_or_default()
        .to_owned();
    (
        whose,
        [
            cookie,
            answer
                .told("state")
                .unwrap_or_else(|| panic!("no state: {answer:?}")),
        ],
    )
}

pub(crate) fn use_cases() -> Vec<UseCase> {
    [asking(), tokens(), leaving(), by_wechat()]
        .into_iter()
        .flatten()
        .collect()
}

fn asking() -> Vec<UseCase> {
    let page = async |house: &House, _: &Whose, _| {
        house
            .json("GET", &format!("/authorize?{}", asks()), Value::Null)
            .await
    };
    let post = async |house: &House, _: &Whose, _| {
        let pairs = wxmint_http::pairs(&asks());
        let form: Vec<_> = pairs
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        house.form("/authorize", &form).await
    };
    let scans = async |house: &House, _: &Whose, _| step(house, "scan", &[]).await;
    let polls =
        async |house: &House, (_, waiting): &(Whose, Waiting), _| poll(house, waiting).await;
    let has_code = async |after: &After, _: &(Whose, Waiting), answer: &Answer| {
        let code = answer.told("code").unwrap_or_default();
        let redeemed = redeem(&after.house, &code).await;
        hold(redeemed.is_done(), || {
            format!("the code is not good: {answer:?}, {redeemed:?}")
        })
    };
    vec![
        UseCase::new(
            ("the page of a login", "GET /authorize"),
            Setup::Plain,
            known,
            page,
            is_answered,
        ),
        UseCase::new(
            ("a posted login", "POST /authorize"),
            Setup::Plain,
            known,
            post,
            is_answered,
        ),
        UseCase::new(
            ("the page asks for a code", "POST /authorize/scan"),
            Setup::Plain,
            known,
            scans,
            is_answered,
        ),
        UseCase::new(
            ("the page is let in", "POST /authorize/poll"),
            Setup::Plain,
            approved,
            polls,
            has_code,
        )
        .done_by(|answer| answer.told("code").is_some()),
    ]
}

#[expect(clippy::too_many_lines, reason = "it has a row for each use case")]
fn tokens() -> Vec<UseCase> {
    let redeems = async |house: &House, (_, code): &(Whose, String), _| redeem(house, code).await;
    let renews =
        async |house: &House, (_, tokens): &(Whose, Tokens), _| renew(house, &tokens.refresh).await;
    let renews_again = async |house: &House, (_, [_, second]): &(Whose, [Tokens; 2]), _| {
        renew(house, &second.refresh).await
    };
    let stale = async |house: &House, (_, [first, _]): &(Whose, [Tokens; 2]), _| {
        renew(house, &first.refresh).await
    };
    let goes_on = async |after: &After, answer: &Answer| {
        after.accepts_answer(answer)?;
        let next = renew(&after.house, &answer.member("refresh_token")).await;
        hold(next.is_done(), || {
            format!("the login goes on no further: {next:?}")
        })
    };
    let used_twice = async |house: &House| {
        let (whose, code) = coded(house).await;
        let tokens = Tokens::of(&redeem(house, &code).await.done());
        (whose, (code, tokens))
    };
    let steals = async |house: &House, (_, (code, _)): &(Whose, (String, Tokens)), _| {
        redeem(house, code).await
    };
    let all_end =
        async |after: &After, (_, (_, tokens)): &(Whose, (String, Tokens)), _: &Answer| {
            after.refuses(&tokens.access)?;
            let next = renew(&after.house, &tokens.refresh).await;
            hold(next.code() == "invalid_grant", || {
                format!("a stolen login goes on: {next:?}")
            })
        };
    let userinfo = async |house: &House, (_, tokens): &(Whose, Tokens), _| {
        house
            .by(&tokens.access, "GET", "/userinfo", Value::Null)
            .await
    };
    let by_post = async |house: &House, (_, tokens): &(Whose, Tokens), _| {
        house
            .by(&tokens.access, "POST", "/userinfo", Value::Null)
            .await
    };
    let mut cases = vec![
        UseCase::new(
            ("a site's code used twice", "POST /token"),
            Setup::Plain,
            used_twice,
            steals,
            all_end,
        )
        .done_by(|answer| answer.code() == "invalid_grant"),
        UseCase::new(
            ("the claims of a user", "GET /userinfo"),
            Setup::Plain,
            logged_in,
            userinfo,
            is_answered,
        ),
        UseCase::new(
            ("the claims, by POST", "POST /userinfo"),
            Setup::Plain,
            logged_in,
            by_post,
            is_answered,
        ),
    ];
    for setup in [Setup::Plain, Setup::OneLogin, Setup::OfOpenid] {
        let name = ("a site redeems its code", "POST /token");
        let holds = async move |after: &After, _: &(Whose, String), answer: &Answer| {
            goes_on(after, answer).await
        };
        cases.push(UseCase::new(name, setup, coded, redeems, holds));
        let holds = async move |after: &After, _: &(Whose, Tokens), answer: &Answer| {
            goes_on(after, answer).await
        };
        cases.push(UseCase::new(
            ("a renewal", "POST /token"),
            setup,
            logged_in,
            renews,
            holds,
        ));
        let holds = async move |after: &After, _: &(Whose, [Tokens; 2]), answer: &Answer| {
            goes_on(after, answer).await
        };
        cases.push(UseCase::new(
            ("a second renewal", "POST /token"),
            setup,
            renewed,
            renews_again,
            holds,
        ));
        cases.push(UseCase::new(
            ("a repeated renewal", "POST /token"),
            setup,
            renewed,
            stale,
            holds,
        ));
    }
    cases
}

fn leaving() -> Vec<UseCase> {
    let revoke = async |house: &House, token: &str| {
        house
            .form("/revoke", &[&GRAFANA[..], &[("token", token)]].concat())
            .await
    };
    let by_refresh = async move |house: &House, (_, tokens): &(Whose, [Tokens; 2]), _| {
        revoke(house, &tokens[1].refresh).await
    };
    let by_access = async move |house: &House, (_, tokens): &(Whose, [Tokens; 2]), _| {
        revoke(house, &tokens[1].access).await
    };
    let by_first = async move |house: &House, (_, tokens): &(Whose, [Tokens; 2]), _| {
        revoke(house, &tokens[0].access).await
    };
    let log_out = async |house: &House, (_, tokens): &(Whose, [Tokens; 2]), _| {
        house
            .by(&tokens[1].access, "POST", "/logout", Value::Null)
            .await
    };
    let end = |tokens: &[Tokens; 2]| {
        query(&[
            ("id_token_hint", &tokens[1].id),
            ("post_logout_redirect_uri", LEFT),
        ])
    };
    let end_session = async move |house: &House, (_, tokens): &(Whose, [Tokens; 2]), _| {
        house
            .json("GET", &format!("/end_session?{}", end(tokens)), Value::Null)
            .await
    };
    let end_by_post = async |house: &House, (_, tokens): &(Whose, [Tokens; 2]), _| {
        house
            .form(
                "/end_session",
                &[
                    ("id_token_hint", &tokens[1].id),
                    ("post_logout_redirect_uri", LEFT),
                ],
            )
            .await
    };
    let ended = async |after: &After, (whose, tokens): &(Whose, [Tokens; 2]), _: &Answer| {
        tokens
            .iter()
            .try_for_each(|tokens| after.refuses(&tokens.access))?;
        after.accepts(&whose.token)?;
        let next = renew(&after.house, &tokens[1].refresh).await;
        hold(next.code() == "invalid_grant", || {
            format!("a login that was left goes on: {next:?}")
        })
    };
    vec![
        UseCase::new(
            ("a revoked refresh token", "POST /revoke"),
            Setup::Plain,
            renewed,
            by_refresh,
            ended,
        ),
        UseCase::new(
            ("a revoked access token", "POST /revoke"),
            Setup::Plain,
            renewed,
            by_access,
            ended,
        ),
        UseCase::new(
            ("the first access token revoked", "POST /revoke"),
            Setup::Plain,
            renewed,
            by_first,
            ended,
        ),
        UseCase::new(
            ("a site's logout", "POST /logout"),
            Setup::Plain,
            renewed,
            log_out,
            ended,
        ),
        UseCase::new(
            ("the end of a session", "GET /end_session"),
            Setup::Plain,
            renewed,
            end_session,
            ended,
        ),
        UseCase::new(
            ("the end, by POST", "POST /end_session"),
            Setup::Plain,
            renewed,
            end_by_post,
            ended,
        ),
    ]
}

fn by_wechat() -> Vec<UseCase> {
    let begins = async |house: &House, _: &Whose, _| begin(house, "/authorize").await;
    let begins_web = async |house: &House, _: &Whose, _| begin(house, "/authorize/web").await;
    let goes = async |_: &After, _: &Whose, answer: &Answer| {
        hold(answer.told("state").is_some(), || {
            format!("not sent to WeChat: {answer:?}")
        })
    };
    let comes_back = async |house: &House, scene: &Sent, time: usize| {
        // A state is for one use: whoever has spent it begins anew.
        let fresh = if time > 0 {
            Some(sent(house).await)
        } else {
            None
        };
        let (_, [cookie, state]) = fresh.as_ref().unwrap_or(scene);
        let told =
            json!({"person": house.person("lin"), "appid": ACCOUNT, "scope": "snsapi_userinfo"});
        let code = control("POST", "codes", told).await["codes"][0].take();
        let path = format!(
            "/authorize/wechat?{}",
            query(&[("code", code.as_str().expect("a code")), ("state", state)])
        );
        house
            .ask(request("GET", &path).insert_header(("Cookie", cookie.as_str())))
            .await
    };
    let has_code = async |after: &After, _: &Sent, answer: &Answer| {
        let redeemed = redeem(&after.house, &answer.told("code").unwrap_or_default()).await;
        hold(redeemed.is_done(), || {
            format!("the code is not good: {answer:?}, {redeemed:?}")
        })
    };
    vec![
        UseCase::new(
            ("a browser within WeChat", "GET /authorize"),
            Setup::Plain,
            known,
            begins,
            goes,
        ),
        UseCase::new(
            ("on to WeChat's page", "GET /authorize/web"),
            Setup::Plain,
            known,
            begins_web,
            goes,
        ),
        UseCase::new(
            ("back from WeChat", "GET /authorize/wechat"),
            Setup::Plain,
            sent,
            comes_back,
            has_code,
        )
        .done_by(|answer| answer.told("code").is_some()),
    ]
}
