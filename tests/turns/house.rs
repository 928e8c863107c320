//! The whole service in this process: both listeners' apps as production serves them, over the store of the turns.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{fs, io::Write};

use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::Method;
use actix_web::test::{TestRequest, init_service};
use actix_web::{App, Error, body::MessageBody, dev::ServiceFactory, dev::ServiceRequest};
use aws_lc_rs::digest::{SHA256, digest};
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use serde_json::{Value, json};
use tempfile::TempDir;
use wxmint::clock::now;
use wxmint::doors::DOORS;
use wxmint::findings::Doctor;
use wxmint::issuer::{Issuer, admin_app, admin_description, public_app, public_description};
use wxmint::settings::Settings;
use wxmint_http::as_served;
use wxmint_ids::IdKey;
use wxmint_keys::{KeySet, PrivateJwk, StoredKeys};
use wxmint_simulator::control_routes;
use wxmint_verify::Algorithm;

use crate::answer::Answer;
use crate::store;
use crate::wechat::{
    ACCOUNT, APP_SECRET, APPID, OTHER_APPID, OTHER_SECRET, PLATFORM, PLATFORM_KEY, PLATFORM_SECRET,
    PLATFORM_TOKEN, around,
};

pub(crate) const ISSUER: &str = "https://login.example.com";
pub(crate) const OPERATOR: &str = "planted-secret-of-an-operator-4b1d9a";
pub(crate) const RECEIVER: &str = "planted-secret-of-a-receiver-4b1d9a0";
pub(crate) const SECRET: &str = "hunter2-hunter2-hunter2-hunter2";
pub(crate) const PASSWORD: &str = "correct horse battery staple";
pub(crate) const BACK: &str = "https://grafana.example.com/login/generic_oauth";
pub(crate) const LEFT: &str = "https://grafana.example.com/login";
/// The hash of [`PASSWORD`].
const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$kZxt+G/yRlvSTinARHQ53Q$OvnXyLXEzcrG/F40FhJqvRM+qEa0ZpBSU9nnXkf7XaY";

const ID_KEY: &str = "HwECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";

/// The default of `WXMINT_TOKEN_TTL`.
const TOKENS_LIVE: Duration = Duration::from_hours(24);

/// How a service is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Setup {
    /// Users are made by the first login.
    Plain,
    /// A second login of a user ends the first one's token.
    OneLogin,
    /// Users are those of a file, with passwords.
    File,
    /// Users are those of the business's own service, by password or phone number.
    Service,
    /// User ids are computed of openids.
    OfOpenid,
    /// User ids are computed of unionids.
    OfUnionid,
    /// A third-party platform, whose merchants' apps have no AppSecret.
    Platform,
}

impl Setup {
    fn variables(self) -> Vec<(&'static str, String)> {
        let file = |name: &str| {
            FOLDER.with(|folder| folder.path().join(name).to_string_lossy().into_owned())
        };
        let mut set = vec![
            ("WXMINT_ISSUER", ISSUER.to_owned()),
            ("WXMINT_REDIS_URL", "memory:".to_owned()),
            ("WXMINT_WECHAT_URL", around().wechat.clone()),
            ("WXMINT_KEYS", file("keys.json")),
            ("WXMINT_VAULT_KEY_FILE", file("vault.key")),
            ("WXMINT_ADMIN_TOKENS_FILE", file("operators")),
            (
                "WXMINT_CLIENTS_FILE",
                file(if self == Self::OfOpenid {
                    "clients-of-one-app.json"
                } else {
                    "clients.json"
                }),
            ),
            ("WXMINT_APPS_DIR", file("apps")),
            ("WXMINT_LIMIT_IP", "1000000/10m".to_owned()),
            ("WXMINT_LIMIT_OPENID", "1000000/10m".to_owned()),
        ];
        match self {
            Self::Plain => {}
            Self::OneLogin => set.push(("WXMINT_SINGLE_SESSION", "true".to_owned())),
            Self::File => set.push(("WXMINT_ACCOUNTS", format!("file:{}", file("users")))),
            Self::Service => set.push(("WXMINT_ACCOUNTS", around().accounts.clone())),
            Self::OfOpenid | Self::OfUnionid => {
                let kind = if self == Self::OfOpenid {
                    "openid"
                } else {
                    "unionid"
                };
                set.extend([
                    ("WXMINT_USER_IDS", kind.to_owned()),
                    ("WXMINT_ID_KEY_FILE", file("id.key")),
                ]);
            }
            Self::Platform => set.push(("WXMINT_PLATFORM_FILE", file("platform.json"))),
        }
        set
    }
}

thread_local! {
    /// The files that the settings name.
    static FOLDER: TempDir = files();
}

/// A client's page, a back end, and a site.
fn clients() -> Value {
    let hash = const_hex::encode(digest(&SHA256, SECRET.as_bytes()));
    json!({"clients": [
        {"client_id": "shop-web", "name": "Shop", "appid": APPID, "page": "pages/scan/index",
         "origins": ["https://shop.example.com"]},
        {"client_id": "grafana", "name": "Grafana", "appid": APPID, "page": "pages/scan/index", "secret_sha256": hash,
         "redirect_uris": [BACK], "post_logout_redirect_uris": [LEFT], "refresh": "30d", "web_apps": [ACCOUNT],
         "backchannel_logout_uri": "https://grafana.example.com/logout"},
    ]})
}

fn files() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, content: &str| write_private(&folder.path().join(name), content);
    let key = PrivateJwk::generate(Algorithm::EdDsa, now()).expect("a key");
    write(
        "keys.json",
        &String::from_utf8_lossy(&StoredKeys::of([key]).content()),
    );
    write(
        "vault.key",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n",
    );
    write("id.key", ID_KEY);
    let operators = format!("on-call {OPERATOR} read,operate,wechat\nreceiver {RECEIVER} events\n");
    write("operators", &operators);
    let mut clients = clients();
    write("clients.json", &clients.to_string());
    // By openids a site has people of one app alone.
    clients["clients"][1]["web_apps"] = json!([]);
    write("clients-of-one-app.json", &clients.to_string());
    write("users", &format!("alice\t{HASH}\tid-of-alice\n"));
    let platform = json!({
        "component_appid": PLATFORM, "component_appsecret": PLATFORM_SECRET, "token": PLATFORM_TOKEN,
        "encoding_aes_key": PLATFORM_KEY,
    });
    write("platform.json", &platform.to_string());
    fs::create_dir(folder.path().join("apps")).expect("a folder");
    let app =
        json!({"kind": "mini_program", "secret": APP_SECRET, "payment_key": "0123456789abcdef"})
            .to_string();
    write(&format!("apps/{APPID}"), &app);
    write(&format!("apps/{OTHER_APPID}"), OTHER_SECRET);
    let account = json!({"kind": "official_account", "secret": APP_SECRET}).to_string();
    write(&format!("apps/{ACCOUNT}"), &account);
    folder
}

/// The signing keys of all processes of this thread.
pub(crate) fn keys() -> KeySet {
    let content = FOLDER
        .with(|folder| fs::read(folder.path().join("keys.json")))
        .expect("readable");
    StoredKeys::parse(&content)
        .and_then(|stored| stored.check())
        .expect("keys")
}

pub(crate) fn write_private(path: &PathBuf, content: &str) {
    let file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path);
    file.and_then(|mut file| file.write_all(content.as_bytes()))
        .unwrap_or_else(|wrong| panic!("{}: {wrong}", path.display()));
}

type Asked = Box<dyn Fn(TestRequest) -> LocalBoxFuture<'static, Answer>>;

/// The tokens that were answered, WeChat's people, and the number of the house.
type Told = (Rc<RefCell<Vec<String>>>, Rc<RefCell<BTreeSet<String>>>, u64);

/// A process of the service, whose background tasks do not run. It is used for many turns, because it takes long to
/// build, and is never dropped.
struct Process {
    public: Asked,
    admin: Asked,
}

thread_local! {
    /// Two of each setup.
    static PROCESSES: RefCell<BTreeMap<(Setup, bool), &'static Process>> = RefCell::default();
}

async fn process(setup: Setup, is_second: bool) -> &'static Process {
    if let Some(held) = PROCESSES.with_borrow(|held| held.get(&(setup, is_second)).copied()) {
        return held;
    }
    let variables = setup
        .variables()
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value));
    let settings =
        Settings::from_vars(variables).unwrap_or_else(|faults| panic!("settings: {faults}"));
    let issuer = Issuer::from_settings(settings, DOORS).unwrap_or_else(|faults| panic!("{faults}"));
    let issuer = Arc::new(issuer.with_redis(store::access()));
    let public = asked(public_app(
        &issuer,
        &public_description(&issuer, false),
        None,
    ))
    .await;
    let doctor: Doctor = Arc::new(|| Box::pin(async { Vec::new() }));
    let admin = asked(admin_app(&issuer, &doctor, &admin_description(&issuer))).await;
    let made: &'static Process = Box::leak(Box::new(Process { public, admin }));
    PROCESSES.with_borrow_mut(|held| held.insert((setup, is_second), made));
    made
}

/// A process, and what has passed through it and the others of its turn.
#[derive(Clone)]
pub(crate) struct House(Rc<Inner>);

pub(crate) struct Inner {
    pub(crate) setup: Setup,
    process: &'static Process,
    /// The access tokens that were answered, here and at the other processes of this house.
    tokens: Rc<RefCell<Vec<String>>>,
    /// WeChat's names of the people who had codes.
    people: Rc<RefCell<BTreeSet<String>>>,
    /// People of other turns are others.
    number: u64,
    /// The site whose page asks.
    site: Cell<Option<&'static str>>,
}

impl std::ops::Deref for House {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl House {
    /// A process over the store that is in place.
    pub(crate) async fn open(setup: Setup) -> Self {
        static HOUSES: AtomicU64 = AtomicU64::new(0);
        let told = (
            Rc::default(),
            Rc::default(),
            HOUSES.fetch_add(1, Ordering::Relaxed),
        );
        if let Setup::OfOpenid | Setup::OfUnionid = setup {
            // As a process does that has waited for others to tell theirs.
            let key = IdKey::parse(ID_KEY.as_bytes()).expect("an id key");
            let kind = if setup == Setup::OfOpenid {
                "openid"
            } else {
                "unionid"
            };
            let word = format!("{kind} {}", key.fingerprint());
            store::directly()
                .bindings
                .id_key(Some(&word))
                .await
                .expect("the store answers");
        }
        // As every process does at its start, and every five minutes.
        store::directly()
            .token_lives
            .note(TOKENS_LIVE)
            .await
            .expect("the store answers");
        Self::with(setup, process(setup, false).await, told)
    }

    /// Another process of the same service.
    pub(crate) async fn replica(&self) -> Self {
        let told = (
            Rc::clone(&self.tokens),
            Rc::clone(&self.people),
            self.number,
        );
        Self::with(self.setup, process(self.setup, true).await, told)
    }

    fn with(setup: Setup, process: &'static Process, (tokens, people, number): Told) -> Self {
        Self(Rc::new(Inner {
            setup,
            process,
            tokens,
            people,
            number,
            site: Cell::default(),
        }))
    }

    /// WeChat's names of the people who had codes.
    pub(crate) fn people(&self) -> BTreeSet<String> {
        self.people.borrow().clone()
    }

    /// The access tokens that were answered so far.
    pub(crate) fn tokens(&self) -> Vec<String> {
        self.tokens.borrow().clone()
    }

    pub(crate) async fn ask(&self, request: TestRequest) -> Answer {
        let mut request = request.peer_addr(self.address());
        if let Some(site) = self.site.get() {
            request = request.insert_header(("Origin", site));
        }
        let answer = (self.process.public)(request).await;
        let told = answer.json()["access_token"].as_str().map(str::to_owned);
        self.tokens.borrow_mut().extend(told);
        answer
    }

    /// All further requests to the public listener are those of a page of this site.
    pub(crate) fn is_asked_by(&self, site: Option<&'static str>) {
        self.site.set(site);
    }

    /// An answer of the admin listener, by [`OPERATOR`].
    pub(crate) async fn operate(&self, method: &str, path: &str, body: Value) -> Answer {
        self.operate_as(OPERATOR, method, path, body).await
    }

    pub(crate) async fn operate_as(
        &self,
        secret: &str,
        method: &str,
        path: &str,
        body: Value,
    ) -> Answer {
        let request = with_body(request(method, path), body)
            .insert_header(("Authorization", format!("Bearer {secret}")));
        (self.process.admin)(request.peer_addr(self.address())).await
    }

    pub(crate) async fn json(&self, method: &str, path: &str, body: Value) -> Answer {
        self.ask(with_body(request(method, path), body)).await
    }

    /// With a token.
    pub(crate) async fn by(&self, token: &str, method: &str, path: &str, body: Value) -> Answer {
        let request = with_body(request(method, path), body)
            .insert_header(("Authorization", format!("Bearer {token}")));
        self.ask(request).await
    }

    pub(crate) async fn form(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        let request = request("POST", path)
            .insert_header(("Content-Type", "application/x-www-form-urlencoded"));
        self.ask(
            request
                .insert_header(("User-Agent", "Firefox 150"))
                .set_payload(query(form)),
        )
        .await
    }

    /// Whoever asks comes from an address of this house alone, because a process remembers which ones it has counted.
    fn address(&self) -> SocketAddr {
        let [.., high, middle, low] = self.number.to_be_bytes();
        ([10, high, middle, low], 50_000).into()
    }

    /// The name of a person of this house alone.
    pub(crate) fn person(&self, name: &str) -> String {
        format!("{name}-{}", self.number)
    }
}

pub(crate) fn request(method: &str, path: &str) -> TestRequest {
    TestRequest::with_uri(path).method(Method::from_bytes(method.as_bytes()).expect("a method"))
}

fn with_body(request: TestRequest, body: Value) -> TestRequest {
    if body.is_null() {
        request
    } else {
        request.set_json(body)
    }
}

/// A form, or the query of a URL.
pub(crate) fn query(members: &[(&str, &str)]) -> String {
    let url = reqwest::Url::parse_with_params("http://q", members).expect("a URL");
    url.query().unwrap_or_default().to_owned()
}

async fn asked<T, B>(app: App<T>) -> Asked
where
    T: ServiceFactory<
            ServiceRequest,
            Config = (),
            Response = ServiceResponse<B>,
            Error = Error,
            InitError = (),
        > + 'static,
    B: MessageBody + 'static,
{
    let service = Rc::new(init_service(as_served(app, false)).await);
    Box::new(move |request| {
        let service = Rc::clone(&service);
        async move { Answer::of(service.call(request.to_request()).await).await }.boxed_local()
    })
}

thread_local! {
    /// It is never dropped: what it holds needs other thread locals.
    static CONTROL: Cell<Option<&'static Asked>> = Cell::default();
}

/// The control API of the stand-in WeChat, without a connection.
pub(crate) async fn control(method: &str, path: &str, body: Value) -> Value {
    let asked_by = match CONTROL.get() {
        Some(held) => held,
        None => {
            let app = App::new().configure(control_routes(Arc::clone(&around().world)));
            let made: &'static Asked = Box::leak(Box::new(asked(app).await));
            CONTROL.set(Some(made));
            made
        }
    };
    let answer = asked_by(with_body(
        request(method, &format!("/_simulator/{path}")),
        body,
    ))
    .await;
    assert_eq!(answer.status, 200, "{method} {path}: {answer:?}");
    answer.json()
}

impl House {
    /// A login code of a person.
    pub(crate) async fn code(&self, person: &str) -> String {
        self.code_in(APPID, person).await
    }

    pub(crate) async fn code_in(&self, app: &str, person: &str) -> String {
        self.people.borrow_mut().insert(self.person(person));
        let told = control(
            "POST",
            "codes",
            json!({"person": self.person(person), "appid": app}),
        )
        .await;
        told["codes"][0].as_str().expect("a code").to_owned()
    }

    /// The names that WeChat has for a person in an app: `openid`, `unionid`.
    pub(crate) async fn account(&self, app: &str, person: &str) -> Value {
        control("PUT", &format!("people/{}", self.person(person)), json!({})).await["apps"][app]
            .take()
    }

    pub(crate) async fn openid(&self, person: &str) -> String {
        self.account(APPID, person).await["openid"]
            .as_str()
            .expect("an openid")
            .to_owned()
    }

    /// A login in an app, with whatever else the body has.
    pub(crate) async fn log_in_with(&self, app: &str, person: &str, mut body: Value) -> Answer {
        (body["code"], body["appid"]) = (self.code_in(app, person).await.into(), app.into());
        self.json("POST", "/login", body).await
    }

    /// The token of a login that is right.
    pub(crate) async fn log_in(&self, person: &str) -> String {
        self.log_in_with(APPID, person, json!({}))
            .await
            .done()
            .member("access_token")
    }
}
