//! Each file that is read again, with each part of the service that goes by it: a row each. Each part is seen to go by
//! the old content, then by the new one without a restart, and by no content that is refused.

use std::cell::RefCell;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::STANDARD, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use reqwest::{Method, Url};

use crate::support::prelude::*;
use crate::support::scan::{SECRET, told};

const ACCOUNT: &str = "wxaaaaaaaaaaaaaaaa";
const BACK: &str = "https://grafana.example.com/login/generic_oauth";
const NEW_BACK: &str = "https://wiki.example.com/oidc";
const OLD_ORIGIN: &str = "https://old.example.com";
const NEW_ORIGIN: &str = "https://new.example.com";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const OLD_SECRET: &str = "planted-secret-of-the-old-file-4b1d9a0";
const NEW_SECRET: &str = "planted-secret-of-the-new-file-4b1d9a0";
const REFUSED_SECRET: &str = "planted-secret-of-a-refused-file-4b1d9a";

/// A part of the service that goes by the content of a file.
struct Row {
    /// The file's label in the metrics.
    what: &'static str,
    consumer: &'static str,
    /// Files of the source that read what the file has put in use.
    sources: &'static [&'static str],
    /// Whether it goes by the new content, and by nothing else.
    goes_by_new: fn(&Scene) -> LocalBoxFuture<'_, bool>,
}

macro_rules! row {
    ($what:literal, $consumer:literal, [$($source:literal),*], |$scene:ident| $test:expr) => {
        Row {
            what: $what,
            consumer: $consumer,
            sources: &[$($source),*],
            goes_by_new: |$scene| async move { $test }.boxed_local(),
        }
    };
}

const ROWS: &[Row] = &[
    row!(
        "keys",
        "the keys that verifiers fetch",
        ["src/issuer/metadata.rs"],
        |scene| jwks_kids(&scene.bed).await == [scene.kids[1].as_str()]
    ),
    row!(
        "keys",
        "the signature of logins",
        ["crates/keys/src/token/minter.rs"],
        |scene| {
            kid_of(
                &scene
                    .log_in("lin")
                    .await
                    .expect_login()
                    .member("access_token"),
            ) == scene.kids[1]
        }
    ),
    row!(
        "keys",
        "id tokens of sites",
        ["crates/keys/src/token/others.rs"],
        |scene| kid_of(&scene.log_in_site("lin").await.member("id_token")) == scene.kids[1]
    ),
    row!(
        "keys",
        "the signature of the feed",
        ["src/revocation/feed/page_maker.rs"],
        |scene| kid_of(&scene.bed.service().get("/revocations").await.body) == scene.kids[1]
    ),
    row!(
        "keys",
        "revocations of keys in the feed",
        ["src/revocation/revoked_keys.rs", "src/issuer/reload.rs"],
        |scene| {
            let (_, page) = decoded(&scene.bed.service().get("/revocations").await.body);
            let ended = page["revoked"].as_array().expect("a list").iter();
            ended
                .filter(|end| end[0] == "kid")
                .any(|end| end[1] == scene.kids[0])
        }
    ),
    row!(
        "keys",
        "the verifier of the service",
        ["src/issuer/caller.rs"],
        |scene| {
            let asked = scene
                .bed
                .service()
                .ask("GET", "/wechat/session", &scene.old_token, &Value::Null)
                .await;
            asked.status == 401
        }
    ),
    row!(
        "keys",
        "hints of who logs out of a site",
        ["src/doors/oidc/own_jwt.rs"],
        |scene| {
            // The token is the site's still, so that its login would end.
            let query = query(&[
                ("id_token_hint", &scene.old_id_token),
                ("client_id", "grafana"),
            ]);
            scene
                .bed
                .service()
                .get(&format!("/end_session?{query}"))
                .await
                .status
                >= 400
        }
    ),
    row!("keys", "followers", [], |scene| {
        let new = scene
            .log_in("lin")
            .await
            .expect_login()
            .member("access_token");
        scene.sidecar().verify(&scene.old_token).await.status == 401
            && scene.sidecar().verify(&new).await.status == 200
    }),
    row!(
        "keys",
        "the metrics of keys",
        ["src/issuer/run.rs"],
        |scene| {
            scene.bed.service().metrics().await.contains(&format!(
                "wxmint_key_age_seconds{{kid=\"{}\"",
                scene.kids[1]
            ))
        }
    ),
    row!(
        "vault",
        "the sealing of session keys",
        ["src/login/login_record.rs"],
        |scene| {
            scene.log_in("lin").await.expect_login();
            scene.sealed_by("lin").await != scene.old_seal
        }
    ),
    row!(
        "vault",
        "session keys that are used",
        ["src/login/service_api.rs"],
        |scene| {
            let path = format!("/users/id-of-idle/wechat/{APPID}/signature");
            assert_eq!(
                scene
                    .by_service("POST", &path, &json!({"data": "a"}))
                    .await
                    .status,
                200
            );
            scene.sealed_by("idle").await != scene.old_seal
        }
    ),
    row!(
        "admin_tokens",
        "the admin listener",
        ["src/admin/admin_request.rs"],
        |scene| scene.whoami(NEW_SECRET).await == 200 && scene.whoami(OLD_SECRET).await == 401
    ),
    row!(
        "admin_tokens",
        "receivers of events",
        ["src/doors/events/mod.rs"],
        |scene| {
            let status = async |secret: &str| {
                scene
                    .bed
                    .service()
                    .ask("GET", "/ssf/stream", secret, &Value::Null)
                    .await
                    .status
            };
            status(NEW_SECRET).await == 200 && status(OLD_SECRET).await == 401
        }
    ),
    row!(
        "users",
        "passwords",
        ["src/login/credentials.rs"],
        |scene| {
            scene
                .bed
                .log_in_at(APPID, "chen", password_of("chen"))
                .await
                .status
                == 200
        }
    ),
    row!(
        "users",
        "who may log in",
        ["src/login/account_check.rs"],
        |scene| scene.log_in("mei").await.json()["code"] == "user_blocked"
    ),
    row!(
        "users",
        "claims of tokens",
        ["src/login/account_check.rs"],
        |scene| scene.log_in("lin").await.claims()["roles"] == json!(["editor"])
    ),
    row!(
        "users",
        "renewals of sites",
        ["src/doors/oidc/renewal.rs"],
        |scene| {
            let refresh = scene.refresh.borrow().clone();
            let renewed = scene
                .token(&[("grant_type", "refresh_token"), ("refresh_token", &refresh)])
                .await;
            if renewed.status == 200 {
                scene.refresh.replace(renewed.member("refresh_token"));
            }
            renewed.json()["error"] == "invalid_grant"
        }
    ),
    row!("apps", "logins", ["src/login.rs"], |scene| {
        scene
            .bed
            .log_in_at(OTHER_APPID, "lin", password_of("lin"))
            .await
            .status
            == 200
    }),
    row!(
        "apps",
        "services that ask for an access token",
        ["src/login/app_calls.rs", "src/login/service_api.rs"],
        |scene| {
            let path = format!("/wechat/{OTHER_APPID}/access-token");
            scene.by_service("GET", &path, &Value::Null).await.status == 200
        }
    ),
    row!(
        "apps",
        "an operator's search",
        ["src/admin/users.rs"],
        |scene| {
            let openid = scene.bed.wechat.account_in(OTHER_APPID, "lin").await["openid"]
                .as_str()
                .map(str::to_owned);
            let path = format!("/find?q={}", openid.unwrap_or_else(|| "nobody".into()));
            scene
                .by_service("GET", &path, &Value::Null)
                .await
                .body
                .contains(OTHER_APPID)
        }
    ),
    row!(
        "apps",
        "the metrics of apps",
        ["src/issuer/reload.rs"],
        |scene| {
            scene
                .bed
                .service()
                .metrics()
                .await
                .contains(&format!("wxmint_app_info{{app=\"{OTHER_APPID}\""))
        }
    ),
    row!(
        "apps",
        "pages of other sites",
        ["src/issuer/cross_origin.rs"],
        |scene| scene.may_ask("/login", NEW_ORIGIN).await
    ),
    row!(
        "apps",
        "clients of an app",
        ["src/doors/scan/requests.rs"],
        |scene| scene.asks_as("late").await.status == 200
    ),
    row!(
        "apps",
        "the way of a site through WeChat's page",
        ["src/doors/oidc/wechat.rs"],
        |scene| {
            let path = scene
                .bed
                .service()
                .url(&format!("/authorize?{}", asks("grafana", BACK)));
            let request = scene
                .bed
                .http
                .0
                .get(path)
                .header("user-agent", "MicroMessenger");
            scene
                .bed
                .http
                .send(request)
                .await
                .header("location")
                .contains(ACCOUNT)
        }
    ),
    row!(
        "clients",
        "requests of pages",
        ["src/doors/scan/page.rs"],
        |scene| {
            let (old, new) = (
                scene.asks_as("old-tv").await.status,
                scene.asks_as("new-tv").await.status,
            );
            (old, new) == (401, 200)
        }
    ),
    row!(
        "clients",
        "pages of other sites",
        ["src/issuer/cross_origin.rs"],
        |scene| {
            let may = async |origin| scene.may_ask("/device_authorization", origin).await;
            may(NEW_ORIGIN).await && !may(OLD_ORIGIN).await
        }
    ),
    row!(
        "clients",
        "addresses of sites",
        ["src/doors/oidc/authorize.rs", "src/doors/oidc/mod.rs"],
        |scene| {
            let page = async |to| {
                scene
                    .bed
                    .service()
                    .get(&format!("/authorize?{}", asks("wiki", to)))
                    .await
                    .status
            };
            page(NEW_BACK).await == 200
        }
    ),
    row!(
        "clients",
        "secrets of sites",
        ["src/issuer/token_route.rs", "src/doors/oidc/logout.rs"],
        |scene| {
            let form = [
                ("client_id", "wiki"),
                ("client_secret", SECRET),
                ("token", "a.b.c"),
            ];
            scene.bed.form("/revoke", &form).await.status == 200
        }
    ),
    row!(
        "clients",
        "what the phone is shown",
        ["src/doors/scan/phone.rs"],
        |scene| {
            let scan = scene.asks_as("tv").await;
            assert_eq!(scan.status, 200, "{scan:?}");
            let phone = scene.log_in("lin").await.expect_login();
            scene
                .bed
                .look(&phone, &scan.member("user_code"))
                .await
                .json()["client_name"]
                == "new name"
        }
    ),
    row!(
        "clients",
        "the counters of clients",
        ["src/issuer/reload.rs"],
        |scene| {
            let metrics = scene.bed.service().metrics().await;
            !metrics.contains("wxmint_device_requests_total{client=\"old-tv\"")
        }
    ),
    row!("redis_url", "logins", [], |scene| {
        scene.log_in("lin").await.expect_login();
        let openid = scene.bed.wechat.openid("lin").await;
        scene
            .other_redis()
            .command::<i64>(&["EXISTS", &format!("wxmint:{{{APPID}:{openid}}}:binding")])
            == 1
    }),
    row!("redis_url", "the feed", [], |scene| {
        let command = ["users", "revoke", "user-of-the-other-redis"];
        Ended::of(&mut command_on(&scene.other_redis().url(), &command), "").expect_success();
        let (_, page) = decoded(&scene.bed.service().get("/revocations").await.body);
        page["revoked"]
            .as_array()
            .is_some_and(|revoked| !revoked.is_empty())
    }),
    row!("redis_url", "the admin listener", [], |scene| {
        Ended::of(
            &mut command_on(&scene.other_redis().url(), &["users", "block", "user-2"]),
            "",
        )
        .expect_success();
        let shown = scene
            .bed
            .service()
            .operate("GET", "/users/user-2", OLD_SECRET, &Value::Null)
            .await;
        shown.json()["blocked"] == true
    }),
    row!("redis_url", "requests of pages", [], |scene| {
        let before = scene
            .other_redis()
            .command::<Vec<String>>(&["KEYS", "wxmint:device:*"])
            .len();
        assert_eq!(scene.asks_as("tv").await.status, 200);
        scene
            .other_redis()
            .command::<Vec<String>>(&["KEYS", "wxmint:device:*"])
            .len()
            > before
    }),
    row!(
        "redis_url",
        "what looks after revocations",
        ["src/revocation/follow.rs"],
        |scene| {
            scene
                .other_redis()
                .command::<i64>(&["EXISTS", "wxmint:{wxmint:revoked}:lives"])
                == 1
        }
    ),
];

/// Files that are not watched, and why.
const NOT_WATCHED: &[(&str, &str)] = &[
    (
        "WXMINT_REDIS_CA_FILE",
        "each connection reads it: tests/it/redis_tls.rs",
    ),
    (
        "WXMINT_REDIS_CERT_FILE",
        "each connection reads it: tests/it/redis_tls.rs",
    ),
    (
        "WXMINT_REDIS_KEY_FILE",
        "each connection reads it: tests/it/redis_tls.rs",
    ),
    (
        "WXMINT_PLATFORM_FILE",
        "docs/settings.md: it is read at the start",
    ),
    ("WXMINT_VERIFY_FILES_DIR", "read at the start"),
    (
        "WXMINT_ID_KEY_FILE",
        "src/issuer/build.rs: this key does not change",
    ),
    (
        "WXMINT_WECHAT_PROXY_FILE",
        "docs/settings.md: the first two are read again",
    ),
];
/// The settings of the files that are watched.
const WATCHED: &[(&str, &str)] = &[
    ("WXMINT_KEYS", "keys"),
    ("WXMINT_VAULT_KEY_FILE", "vault"),
    ("WXMINT_ADMIN_TOKENS_FILE", "admin_tokens"),
    ("WXMINT_ACCOUNTS", "users"),
    ("WXMINT_APPS_DIR", "apps"),
    ("WXMINT_APP_SECRET_FILE", "apps"),
    ("WXMINT_CLIENTS_FILE", "clients"),
    ("WXMINT_REDIS_URL_FILE", "redis_url"),
];

/// A part that reads what a file has put in use, and has no row, and why.
type Reader = (&'static str, &'static str);

/// The label of each file, the texts by which the source reads what it has put in use, and who does so without a row.
const READERS: &[(&str, &[&str], &[Reader])] = &[
    (
        "keys",
        &["keys.set()"],
        &[
            (
                "src/issuer/examine.rs",
                "the doctor: tests/it/doctor/files.rs",
            ),
            (
                "src/issuer/health.rs",
                "whether the process is ready: tests/it/revoked_keys.rs",
            ),
            (
                "src/revocation/possible_loss.rs",
                "whether a loss is mended: its own tests",
            ),
            ("src/cli/doctor/verifiers.rs", "a command"),
        ],
    ),
    (
        "vault",
        &["vault.load"],
        &[
            (
                "src/admin/admin_request.rs",
                "the name of a person in the audit",
            ),
            (
                "src/issuer/login_route.rs",
                "the name of a person in the audit",
            ),
            (
                "src/issuer/leave_routes.rs",
                "the name of a person in the audit",
            ),
            (
                "src/doors/scan/phone.rs",
                "the name of a person in the audit",
            ),
            (
                "src/doors/oidc/wechat.rs",
                "the mark of a cookie that lives for minutes",
            ),
            (
                "src/revocation/feed/page_maker.rs",
                "the mark of cursors: tests/it/old_pages.rs",
            ),
            (
                "src/revocation/feed/route.rs",
                "the mark of cursors: tests/it/old_pages.rs",
            ),
            ("src/doors/platform/merchants.rs", "tests/it/platforms"),
            ("src/doors/platform/examine.rs", "tests/it/platforms"),
            ("src/doors/platform/follower.rs", "tests/it/platforms"),
            (
                "src/issuer/examine.rs",
                "the doctor: tests/it/doctor/files.rs",
            ),
            (
                "src/login/user_data.rs",
                "opens as src/login/service_api.rs does: tests/it/user_data/vault_keys.rs",
            ),
            (
                "src/login/session_key_actions.rs",
                "seals a session key that WeChat has replaced",
            ),
            (
                "src/login/session_keys.rs",
                "opens as src/login/service_api.rs does: tests/it/user_data/vault_keys.rs",
            ),
            (
                "src/login/app_calls.rs",
                "seals an access token, once in two hours",
            ),
        ],
    ),
    (
        "admin_tokens",
        &[".tokens."],
        &[("src/doors/platform/exchange.rs", "access tokens of WeChat")],
    ),
    (
        "users",
        &["accounts.check_"],
        &[("src/cli/doctor/accounts.rs", "a command")],
    ),
    (
        "apps",
        &["apps.all()"],
        &[
            (
                "src/admin/admin_request.rs",
                "the kind of an app in the audit",
            ),
            (
                "src/issuer/leave_routes.rs",
                "the kind of an app in the audit",
            ),
            (
                "src/issuer/login_route.rs",
                "the kind of an app in the audit, and who may read an error",
            ),
            ("src/issuer/run.rs", "the names of apps at the start"),
            ("src/cli/doctor/wechat.rs", "a command"),
            ("src/cli/doctor/platforms.rs", "a command"),
            (
                "src/issuer/build.rs",
                "the start: which certificates are read",
            ),
            ("src/cli/doctor/accounts.rs", "a command"),
            ("src/doors/oidc/mod.rs", "the doctor"),
            ("src/doors/scan/mod.rs", "the doctor"),
            ("src/doors/platform/deauthorize.rs", "tests/it/platforms"),
            ("src/doors/platform/follower.rs", "tests/it/platforms"),
            ("src/login/identity.rs", "a step of a login"),
            ("src/login/user_data.rs", "tests/it/binding/moved_apps.rs"),
            ("src/login/login_record.rs", "a step of a login"),
        ],
    ),
    (
        "clients",
        &[".clients()"],
        &[
            (
                "src/doors/oidc/backchannel.rs",
                "whom to tell of a logout: tests/it/oidc/backchannel.rs",
            ),
            ("src/doors/scan/mod.rs", "the doctor"),
            ("src/issuer/examine.rs", "the doctor"),
            ("src/issuer/state.rs", "hands them to the others"),
            (
                "src/oauth/mod.rs",
                "whose keys are fetched: tests/it/scan/assertions.rs",
            ),
        ],
    ),
];

/// A service with a file of each kind, and what the rows ask with.
struct Scene {
    bed: TestBed,
    /// The keys of the old and of the new key file.
    kids: [String; 2],
    /// The name of the old vault key, as sealed session keys have it.
    old_seal: Vec<u8>,
    sidecar: Option<Sidecar>,
    /// By the old key.
    old_token: String,
    old_id_token: String,
    /// The refresh token of mei's login at a site.
    refresh: RefCell<String>,
    other: Option<RedisServer>,
    folder: TempDir,
}

impl Scene {
    async fn log_in(&self, person: &str) -> Answer {
        self.bed.log_in_at(APPID, person, json!({})).await
    }

    fn sidecar(&self) -> &Sidecar {
        self.sidecar.as_ref().expect("started")
    }

    fn other_redis(&self) -> &RedisServer {
        self.other.as_ref().expect("started")
    }

    fn file(&self, variable: &str) -> PathBuf {
        let value = self.bed.configuration.value(variable);
        value.strip_prefix("file:").unwrap_or(value).into()
    }

    async fn token(&self, grant: &[(&str, &str)]) -> Answer {
        let form = [
            &[("client_id", "grafana"), ("client_secret", SECRET)],
            grant,
        ]
        .concat();
        self.bed.form("/token", &form).await
    }

    async fn log_in_site(&self, person: &str) -> Answer {
        let code =
            told(&self.bed.let_in_site(&asks("grafana", BACK), person).await)["code"].clone();
        let grant = ("grant_type", "authorization_code");
        self.token(&[
            grant,
            ("code", &code),
            ("redirect_uri", BACK),
            ("code_verifier", VERIFIER),
        ])
        .await
        .expect_login()
    }

    async fn asks_as(&self, client: &str) -> Answer {
        self.bed
            .form("/device_authorization", &[("client_id", client)])
            .await
    }

    /// The answer to whichever secret is in use. The file may be read again between two requests,
    /// so the new secret is shown once more if both were refused.
    async fn by_service(&self, method: &str, path: &str, body: &Value) -> Answer {
        let service = self.bed.service();
        let mut answer = service.operate(method, path, NEW_SECRET, body).await;
        for secret in [OLD_SECRET, NEW_SECRET] {
            if answer.status == 401 {
                answer = service.operate(method, path, secret, body).await;
            }
        }
        answer
    }

    async fn whoami(&self, secret: &str) -> u16 {
        self.bed
            .service()
            .operate("GET", "/whoami", secret, &Value::Null)
            .await
            .status
    }

    /// Whether pages of this site may ask there.
    async fn may_ask(&self, path: &str, origin: &str) -> bool {
        let request = self
            .bed
            .http
            .0
            .request(Method::OPTIONS, self.bed.service().url(path))
            .header("origin", origin);
        self.bed
            .http
            .send(request)
            .await
            .header("access-control-allow-origin")
            == origin
    }

    /// The name of the vault key that has sealed the person's latest session key: see crates/store/README.md.
    async fn sealed_by(&self, person: &str) -> Vec<u8> {
        let key = format!(
            "wxmint:{{{APPID}:{}}}:session",
            self.bed.wechat.openid(person).await
        );
        let held: Vec<u8> = self.bed.redis.command(&["GET", &key]);
        held[2 + 11 + 1..][..2].to_vec()
    }
}

fn query(members: &[(&str, &str)]) -> String {
    let url = Url::parse_with_params("http://q", members).expect("a URL");
    url.query().unwrap_or_default().to_owned()
}

/// A site sends a browser to wxmint with this query.
fn asks(client: &str, redirect_uri: &str) -> String {
    let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, VERIFIER.as_bytes()));
    query(&[
        ("client_id", client),
        ("redirect_uri", redirect_uri),
        ("response_type", "code"),
        ("scope", "openid offline_access"),
        ("state", "s"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ])
}

/// The clients of the old or of the new file.
fn clients(is_new: bool) -> Value {
    let secret = const_hex::encode(digest(&SHA256, SECRET.as_bytes()));
    let page =
        |id: &str, name: &str, app: &str| json!({"client_id": id, "name": name, "appid": app});
    let (own, origin, name) = if is_new {
        (page("new-tv", "TV", APPID), NEW_ORIGIN, "new name")
    } else {
        (page("old-tv", "TV", APPID), OLD_ORIGIN, "old name")
    };
    let mut clients = json!([
        {"client_id": "grafana", "name": "Grafana", "appid": APPID, "secret_sha256": secret, "redirect_uris": [BACK],
         "refresh": "30d", "web_apps": [ACCOUNT]},
        {"client_id": "shop", "name": "Shop", "appid": APPID, "origins": [origin]},
        page("late", "Late", OTHER_APPID), page("tv", name, APPID), own,
    ]);
    if is_new {
        let site = json!({"client_id": "wiki", "name": "Wiki", "appid": APPID, "secret_sha256": secret,
            "redirect_uris": [NEW_BACK]});
        clients.as_array_mut().expect("clients").push(site);
    }
    clients
}

fn operators(name: &str, secret: &str) -> String {
    format!("{name} {secret} read,operate,wechat,events\n")
}

fn new_vault_key() -> String {
    STANDARD.encode([(); 32].map(|()| fastrand::u8(..)))
}

async fn scene() -> Scene {
    let folder = apps_folder(&[(APPID, APP_SECRET)]);
    let builder = TestBed::builder()
        .app(OTHER_APPID, OTHER_SECRET)
        .apps_folder(folder.path());
    let builder = builder
        .app(ACCOUNT, &format!("{OTHER_SECRET}:official_account"))
        .clients(&clients(false));
    // Each row asks again until it goes by the new content, and no limit may end that.
    let builder = builder
        .env("WXMINT_LIMIT_OPEN_REQUESTS", "10000")
        .env("WXMINT_LIMIT_IP", "1000000/5m");
    let builder = builder
        .env("WXMINT_LIMIT_OPENID", "100000/5m")
        .env("WXMINT_LIMIT_USERNAME", "100000/5m");
    let builder = builder
        .users(&["lin", "mei", "idle"])
        .operators(&operators("old", OLD_SECRET));
    let bed = builder.start().await;
    let mut scene = Scene {
        kids: [jwks_kids(&bed).await.remove(0), String::new()],
        bed,
        folder,
        old_seal: Vec::new(),
        sidecar: None,
        old_token: String::new(),
        old_id_token: String::new(),
        refresh: RefCell::default(),
        other: None,
    };
    for person in ["lin", "mei", "idle"] {
        scene.old_token = scene
            .bed
            .log_in_with(person, password_of(person))
            .await
            .member("access_token");
    }
    scene.old_seal = scene.sealed_by("idle").await;
    scene.old_id_token = scene.log_in_site("lin").await.member("id_token");
    scene
        .refresh
        .replace(scene.log_in_site("mei").await.member("refresh_token"));
    scene.sidecar = Some(scene.bed.sidecar().ready().await);
    scene
}

const FILES: [&str; 6] = ["keys", "vault", "admin_tokens", "users", "apps", "clients"];

/// Puts the new content in place of the old one. Returns it.
fn change(scene: &mut Scene, what: &str) -> (PathBuf, String) {
    let (path, content) = match what {
        "keys" => {
            let path = scene.file("WXMINT_KEYS");
            let beside = path.with_extension("beside");
            keys(&beside, &["generate"]);
            keys(&beside, &["retire", &scene.kids[0], "--now", "--yes"]);
            let content = fs::read_to_string(&beside).expect("keys");
            scene.kids[1] = kids_of(&serde_json::from_str(&content).expect("JSON")).remove(0);
            (path, content)
        }
        "vault" => {
            let path = scene.file("WXMINT_VAULT_KEY_FILE");
            let old = fs::read_to_string(&path).expect("a file");
            (path, format!("{}\n{old}", new_vault_key()))
        }
        "admin_tokens" => (
            scene.file("WXMINT_ADMIN_TOKENS_FILE"),
            operators("new", NEW_SECRET),
        ),
        "users" => {
            let users = scene.bed.users();
            users.change(&["disable", "mei"]);
            users.change(&["claims", "lin", "roles=editor"]);
            users.add("chen", "id-of-chen");
            (
                users.path(),
                fs::read_to_string(users.path()).expect("a file"),
            )
        }
        "apps" => {
            write_private(&scene.folder.path().join(OTHER_APPID), OTHER_SECRET);
            let file = json!({"kind": "official_account", "secret": OTHER_SECRET, "origins": [NEW_ORIGIN]});
            (scene.folder.path().join(ACCOUNT), file.to_string())
        }
        _ => (
            scene.file("WXMINT_CLIENTS_FILE"),
            json!({"clients": clients(true)}).to_string(),
        ),
    };
    replace(&path, &content);
    (path, content)
}

/// Some third content, of which all but one part could be used.
fn spoilt(what: &str, content: &str) -> String {
    match what {
        "keys" => {
            let mut early: Value = serde_json::from_str(content).expect("JSON");
            early["keys"][0]["nbf"] =
                (early["keys"][0]["nbf"].as_i64().expect("seconds") + 3600).into();
            early.to_string()
        }
        "vault" => format!("{}\nno key\n", new_vault_key()),
        "admin_tokens" => operators("third", REFUSED_SECRET) + "short secret\n",
        "users" => {
            let others = content
                .lines()
                .filter(|line| !line.starts_with("chen") && !line.starts_with("lin"));
            others.map(|line| format!("{line}\n")).collect::<String>() + "hunter2\n"
        }
        "apps" => {
            json!({"kind": "official_account", "secret": "no secret", "origins": [OLD_ORIGIN]})
                .to_string()
        }
        _ => {
            let mut others = clients(false);
            others
                .as_array_mut()
                .expect("clients")
                .push(json!({"client_id": "a"}));
            json!({"clients": others}).to_string()
        }
    }
}

/// Whether all of these rows go by the new content, by and by.
async fn all_go_by_new(scene: &Scene, rows: &[&Row]) {
    let mut pending: Vec<_> = rows
        .iter()
        .map(|row| (row.what, row.consumer, row.goes_by_new))
        .collect();
    let within = READ_AGAIN_WITHIN + PATIENCE;
    let begun = std::time::Instant::now();
    while !pending.is_empty() {
        let mut left = Vec::new();
        for row in pending {
            if !(row.2)(scene).await {
                left.push(row);
            }
        }
        pending = left;
        let names: Vec<_> = pending
            .iter()
            .map(|(what, consumer, _)| format!("{what}: {consumer}"))
            .collect();
        assert!(
            begun.elapsed() < within,
            "go by what the file had before: {names:?}\n{}",
            scene.bed.service().log()
        );
    }
}

/// The refusal of a file is in the metrics, in the log, in readiness and in the audit.
async fn is_told(scene: &Scene, what: &str) {
    let service = scene.bed.service();
    let gauge = format!("wxmint_reload_refused{{what=\"{what}\"}}");
    until(&gauge, READ_AGAIN_WITHIN, async || {
        service.metric(&gauge).await == 1.0
    })
    .await;
    let count = format!("wxmint_reloads_total{{what=\"{what}\",outcome=\"refused\"}}");
    assert_eq!(service.metric(&count).await, 1.0, "{what}");
    let words = format!("keeping the previous {what}");
    until(&words, PATIENCE, async || service.told(&words).len() == 1).await;
    let is_event = |event: &Value| {
        event["metadata"]["event_code"] == "reload"
            && event["unmapped"]["what"] == what
            && event["status_id"] == 2
    };
    until("the audit", PATIENCE, async || {
        service
            .events()
            .iter()
            .filter(|event| is_event(event))
            .count()
            == 1
    })
    .await;
    let line = service.told(&words).remove(0);
    let name = line["message"]
        .as_str()
        .and_then(|text| text.split_once(" cannot be used"))
        .expect("a message")
        .0;
    assert!(
        service.readyz().await.body.contains(name),
        "{name}: {:?}",
        service.readyz().await
    );
}

async fn is_mended(scene: &Scene, what: &str) {
    let gauge = format!("wxmint_reload_refused{{what=\"{what}\"}}");
    until(&gauge, READ_AGAIN_WITHIN, async || {
        scene.bed.service().metric(&gauge).await == 0.0
    })
    .await;
}

async fn go_by_old(scene: &Scene, rows: &[&Row]) {
    for row in rows {
        assert!(
            !(row.goes_by_new)(scene).await,
            "{}: {}: goes by what is still to come",
            row.what,
            row.consumer
        );
    }
}

#[tokio::test]
async fn each_part_of_the_service_goes_by_the_changed_file_and_by_no_file_that_is_refused() {
    let mut scene = scene().await;
    let rows: Vec<_> = ROWS.iter().filter(|row| row.what != "redis_url").collect();
    go_by_old(&scene, &rows).await;
    let changed = FILES.map(|what| (what, change(&mut scene, what)));
    all_go_by_new(&scene, &rows).await;
    for (what, (path, content)) in &changed {
        replace(path, &spoilt(what, content));
    }
    for (what, _) in &changed {
        is_told(&scene, what).await;
    }
    for row in &rows {
        assert!(
            (row.goes_by_new)(&scene).await,
            "{}: {}: goes by what was refused",
            row.what,
            row.consumer
        );
    }
    assert_eq!(scene.whoami(REFUSED_SECRET).await, 401);
    for (_, (path, content)) in &changed {
        replace(path, content);
    }
    for (what, _) in &changed {
        is_mended(&scene, what).await;
    }
}

#[tokio::test]
async fn each_part_of_the_service_goes_to_the_redis_that_the_changed_file_names_and_to_none_that_is_refused()
 {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("url");
    fs::write(&file, "redis://127.0.0.1:1\n").expect("nobody listens there");
    let builder = TestBed::builder()
        .env("WXMINT_REDIS_URL", "")
        .not_ready()
        .clients(&clients(false));
    let builder = builder.operators(&operators("old", OLD_SECRET));
    let bed = builder
        .env("WXMINT_REDIS_URL_FILE", &file.to_string_lossy())
        .start()
        .await;
    replace(&file, &bed.redis.url());
    bed.service().ready().await;
    let other = RedisServer::start(&[], "").await;
    other.command::<()>(&["SET", "wxmint:id-key", "random"]);
    let (old_seal, kids) = (Vec::new(), [String::new(), String::new()]);
    let scene = Scene {
        bed,
        folder,
        kids,
        old_seal,
        sidecar: None,
        old_token: String::new(),
        old_id_token: String::new(),
        refresh: RefCell::default(),
        other: Some(other),
    };
    let rows: Vec<_> = ROWS.iter().filter(|row| row.what == "redis_url").collect();
    go_by_old(&scene, &rows).await;
    replace(&file, &scene.other_redis().url());
    all_go_by_new(&scene, &rows).await;
    let evicting = ["--maxmemory-policy".to_owned(), "allkeys-lru".to_owned()];
    let unfit = RedisServer::start(&evicting, "").await;
    replace(&file, &unfit.url());
    is_told(&scene, "redis_url").await;
    for row in &rows {
        assert!(
            (row.goes_by_new)(&scene).await,
            "{}: {}: goes by what was refused",
            row.what,
            row.consumer
        );
    }
    replace(&file, &scene.other_redis().url());
    is_mended(&scene, "redis_url").await;
}

/// The text before the first module of tests within it.
fn without_tests(text: &str) -> &str {
    let begin = "#[cfg(test)]\nmod ";
    let is_within = |at: &usize| {
        text[at + begin.len()..]
            .lines()
            .next()
            .is_some_and(|line| line.ends_with('{'))
    };
    text.match_indices(begin)
        .map(|(at, _)| at)
        .find(is_within)
        .map_or(text, |at| &text[..at])
}

/// The text without white space: where a line is broken says nothing.
fn unspaced(text: &str) -> String {
    text.split_whitespace().collect()
}

/// The source without tests and white space, by the paths of its files.
fn sources() -> BTreeMap<String, String> {
    fn below(folder: &Path, found: &mut BTreeMap<String, String>) {
        for path in fs::read_dir(folder)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").path())
        {
            let name = path
                .strip_prefix(repository(""))
                .expect("below it")
                .to_string_lossy()
                .into_owned();
            let is_of_tests = [
                "tests.rs",
                "conformance.rs",
                "test_fixture.rs",
                "simulated.rs",
            ]
            .iter()
            .any(|it| name.ends_with(it));
            if path.is_dir() && !name.ends_with("/tests") {
                below(&path, found);
            } else if name.ends_with(".rs") && !is_of_tests {
                let text = fs::read_to_string(&path).expect("text");
                found.insert(name, unspaced(without_tests(&text)));
            }
        }
    }
    let mut found = BTreeMap::new();
    below(&repository("src"), &mut found);
    found
}

/// The labels of the files that are watched, by the source.
fn watched() -> BTreeSet<String> {
    let sources = sources();
    let calls = sources
        .values()
        .flat_map(|text| text.split("watch(issuer,\"").skip(1));
    calls
        .filter_map(|rest| rest.split('"').next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn each_file_that_is_watched_has_rows_a_setting_and_a_place_on_the_page() {
    let watched = watched();
    assert!(watched.len() > 5, "{watched:?}");
    let named = |names: &mut dyn Iterator<Item = &'static str>| {
        names.map(str::to_owned).collect::<BTreeSet<_>>()
    };
    assert_eq!(named(&mut ROWS.iter().map(|row| row.what)), watched);
    assert_eq!(named(&mut WATCHED.iter().map(|(_, what)| *what)), watched);
    let page = fs::read_to_string(repository("docs/operation.md")).expect("a page");
    let line = page
        .lines()
        .find(|line| line.starts_with("- `wxmint_reloads_total`"))
        .expect("a line");
    let (_, list) = line.split_once("`what` is ").expect("a list");
    let told: BTreeSet<_> = list
        .split(';')
        .next()
        .unwrap_or_default()
        .split('`')
        .skip(1)
        .step_by(2)
        .collect();
    assert_eq!(told, watched.iter().map(String::as_str).collect());
}

/// The settings that name a file, by the pages.
#[test]
fn each_setting_that_names_a_file_is_watched_or_has_a_reason() {
    let page = fs::read_to_string(repository("docs/settings.md")).expect("a page");
    let words = page.split(|letter: char| !letter.is_ascii_uppercase() && letter != '_');
    let words = words.filter(|word| word.starts_with("WXMINT_"));
    let mut files: BTreeSet<_> = words
        .filter(|word| word.ends_with("_FILE") || word.ends_with("_DIR"))
        .collect();
    files.extend(["WXMINT_KEYS", "WXMINT_ACCOUNTS"]);
    let known = WATCHED
        .iter()
        .chain(NOT_WATCHED)
        .map(|(name, _)| *name)
        .collect();
    assert_eq!(files, known);
}

#[test]
fn each_part_of_the_source_that_reads_what_a_file_has_put_in_use_has_a_row_or_a_reason() {
    let sources = sources();
    for (what, texts, others) in READERS {
        let reads =
            |(_, text): &(&String, &String)| texts.iter().any(|it| text.contains(&unspaced(it)));
        let readers: BTreeSet<_> = sources
            .iter()
            .filter(reads)
            .map(|(name, _)| name.as_str())
            .collect();
        let of_rows = ROWS
            .iter()
            .filter(|row| row.what == *what)
            .flat_map(|row| row.sources)
            .copied();
        let of_rows = of_rows.filter(|name| readers.contains(name));
        let known: BTreeSet<_> = of_rows
            .chain(others.iter().map(|(name, _)| *name))
            .collect();
        assert_eq!(readers, known, "{what}");
    }
    for name in ROWS.iter().flat_map(|row| row.sources) {
        assert!(repository(name).exists(), "{name}");
    }
}
