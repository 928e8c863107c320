//! A whole set-up: Redis, simulator, and one or more services on them.

use std::{fs, path::Path};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use wxmint::clock::now;

use super::secrets::Place;
use super::{
    APP_SECRET, APPID, Answer, Breakable, Configuration, Ended, Http, OTHER_APPID, OTHER_SECRET,
    PATIENCE, RedisCluster, RedisServer, Sentinel, Service, SidecarSettings, Signal, Simulator,
    UsersFile, apps_folder, clock_of, command_on, free_port, movable_clock, replace, until,
    write_private,
};

/// The store to which `WXMINT_REDIS_URL` leads.
pub(crate) trait Reachable {
    fn url(&self) -> String;

    /// All that it holds, as far as that can be asked for.
    fn held(&self) -> Vec<u8> {
        Vec::new()
    }
}

impl Reachable for RedisServer {
    fn url(&self) -> String {
        self.url()
    }

    fn held(&self) -> Vec<u8> {
        self.held()
    }
}

impl Reachable for RedisCluster {
    fn url(&self) -> String {
        self.url()
    }

    fn held(&self) -> Vec<u8> {
        (0..self.nodes())
            .flat_map(|node| self.node(node).held())
            .collect()
    }
}

impl Reachable for Sentinel {
    fn url(&self) -> String {
        self.url()
    }

    fn held(&self) -> Vec<u8> {
        self.primary()
            .map(|primary| self.server(primary).held())
            .unwrap_or_default()
    }
}

pub(crate) struct TestBed<R = RedisServer> {
    pub(crate) services: Vec<Service>,
    pub(crate) wechat: Simulator,
    pub(crate) redis: R,
    pub(crate) http: Http,
    pub(crate) configuration: Configuration,
    users: Option<UsersFile>,
    _folders: Vec<TempDir>,
    wechat_link: Option<Breakable>,
    redis_link: Option<Breakable>,
    held: fn(&R) -> Vec<u8>,
}

/// Each service is searched when it ends, too.
impl<R> Drop for TestBed<R> {
    fn drop(&mut self) {
        let secrets = &self.http.1;
        secrets.note_people(self.wechat.address);
        secrets.expect_none_in_answers();
        secrets.expect_none_in(Place::Redis, (self.held)(&self.redis));
    }
}

/// The secret of the operator of [`Builder::operator`].
pub(crate) const OPERATOR: &str = "planted-secret-of-an-operator-4b1d9a";

/// The platform of [`Builder::platform`].
pub(crate) const PLATFORM: &str = "wxc0ffee00000000ff";
pub(crate) const PLATFORM_SECRET: &str = "c0c1c2c3c4c5c6c7c8c9cacbcccdcecf";
pub(crate) const PLATFORM_TOKEN: &str = "platformtoken";
pub(crate) const PLATFORM_KEY: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";

#[derive(Default)]
pub(crate) struct Builder {
    services: usize,
    algorithm: &'static str,
    environment: Vec<(String, String)>,
    simulator_args: Vec<String>,
    simulator_variables: Vec<(String, String)>,
    users: Option<UsersFile>,
    folders: Vec<TempDir>,
    redis_options: Vec<String>,
    redis_password: String,
    breakable_wechat: bool,
    breakable_redis: bool,
    await_ready: bool,
}

impl TestBed {
    /// One ready service that lacks nothing.
    pub(crate) async fn start() -> Self {
        Self::builder().start().await
    }

    pub(crate) fn builder() -> Builder {
        Builder {
            services: 1,
            algorithm: "ES256",
            await_ready: true,
            ..Builder::default()
        }
    }

    /// Waits until Redis' clock tells a later second, because logins are dated in seconds.
    pub(crate) async fn next_second(&self) {
        let second = || self.redis.command::<(u64, u64)>(&["TIME"]).0;
        let before = second();
        until("the next second", PATIENCE, async || second() > before).await;
    }
}

impl<R> TestBed<R> {
    pub(crate) fn service(&self) -> &Service {
        &self.services[0]
    }

    pub(crate) fn issuer(&self) -> &str {
        self.configuration.value("WXMINT_ISSUER")
    }

    pub(crate) async fn mint_code(&self, person: &str) -> String {
        self.wechat.mint_code(person).await
    }

    pub(crate) async fn login(&self, code: &str) -> Answer {
        self.service().login(code).await
    }

    /// A login of `person` with a fresh code.
    pub(crate) async fn log_in(&self, person: &str) -> Answer {
        self.login(&self.mint_code(person).await).await
    }

    /// The same with `members` beside the code, such as [`password_of`](super::password_of) gives them.
    pub(crate) async fn log_in_with(&self, person: &str, mut members: Value) -> Answer {
        members["code"] = self.mint_code(person).await.into();
        self.service().log_in_with(&members).await
    }

    /// The same in an app.
    pub(crate) async fn log_in_at(&self, app: &str, person: &str, mut members: Value) -> Answer {
        (members["code"], members["appid"]) = (
            self.wechat.mint_code_in(app, person).await.into(),
            app.into(),
        );
        self.service().log_in_with(&members).await
    }

    /// Whether wxmint itself accepts the token of a login.
    pub(crate) async fn accepts(&self, login: &Answer) -> bool {
        let token = login.member("access_token");
        let answer = self
            .service()
            .ask("GET", "/wechat/session", &token, &Value::Null)
            .await;
        assert!([200, 401].contains(&answer.status), "{answer:?}");
        answer.status == 200
    }

    /// A login whose token is good when it is answered, for verifiers without leeway too, also in the second of an end.
    pub(crate) async fn for_good(&self, log_in: impl AsyncFn() -> Answer) -> Answer {
        let login = log_in().await.expect_login();
        assert!(
            self.accepts(&login).await && login.claims()["iat"].as_i64() <= Some(now().timestamp()),
            "{login:?}"
        );
        login
    }

    /// Where it answers 204.
    pub(crate) async fn log_out(&self, login: &Answer, everywhere: bool) {
        let asked = json!({"everywhere": everywhere});
        let answer = self
            .service()
            .ask("POST", "/logout", &login.member("access_token"), &asked)
            .await;
        assert_eq!(answer.status, 204, "{answer:?}");
    }

    /// Dissolves the binding that the token of `login` is of.
    pub(crate) async fn dissolve(&self, login: &Answer) {
        let answer = self.service().unbind(&login.member("access_token")).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (204, ""),
            "{answer:?}"
        );
    }

    /// The user or the binding of a person is ended, by an act of the person's own or of an operator with this secret.
    pub(crate) async fn revokes_user(
        &self,
        act: &str,
        person: &str,
        phone: &Answer,
        operator: &str,
    ) {
        let (claims, openid) = (phone.claims(), self.wechat.openid(person).await);
        let user = claims["sub"].as_str().expect("a user");
        let (method, path) = match act {
            "everywhere" => return self.log_out(phone, true).await,
            "unbind" => return self.dissolve(phone).await,
            "end" => ("POST", format!("/users/{user}/revoke")),
            "block" => ("PUT", format!("/users/{user}/block")),
            "end_person" => ("POST", format!("/wechat/{APPID}/people/{openid}/revoke")),
            _ => ("DELETE", format!("/users/{user}/wechat/{APPID}")),
        };
        let answer = self
            .service()
            .operate(method, &path, operator, &Value::Null)
            .await;
        assert_eq!(answer.status, 204, "{answer:?}");
    }

    /// The operator of [`Builder::operator`] asks the first service.
    pub(crate) async fn operate(&self, method: &str, path: &str) -> Answer {
        self.service()
            .operate(method, path, OPERATOR, &Value::Null)
            .await
    }

    /// Sends SIGTERM to the first service while its doctor waits for WeChat, whose answers were withheld. Lets WeChat
    /// answer once the listeners are closed.
    pub(crate) async fn stop_while_the_doctor_waits(&self) {
        until("the doctor is at WeChat", PATIENCE, async || {
            self.wechat.asked("/cgi-bin/stable_token").await > 0
        })
        .await;
        self.service().signal(Signal::TERM);
        let is_closed = async || TcpStream::connect(self.service().admin).await.is_err();
        until("the listeners are closed", PATIENCE, is_closed).await;
        self.wechat_link().restore().await;
    }

    /// One more service, of the configuration as it is now, once it is ready.
    pub(crate) async fn another(&self) -> Service {
        let service = Service::start(&self.configuration, self.http.clone()).await;
        service.ready().await;
        service
    }

    /// A sidecar of the first service, which follows its feed.
    pub(crate) fn sidecar(&self) -> SidecarSettings {
        let issuer = self.configuration.value("WXMINT_ISSUER");
        SidecarSettings::following(&self.service().url("")).with("WXMINT_ISSUER", issuer)
    }

    /// The file of [`Builder::users`].
    pub(crate) fn users(&self) -> &UsersFile {
        self.users.as_ref().expect("Builder::users")
    }

    pub(crate) async fn faults(&self, faults: Value) {
        self.wechat.faults(faults).await;
    }

    /// Between the services and WeChat, where the builder was asked for it.
    pub(crate) fn wechat_link(&self) -> &Breakable {
        self.wechat_link
            .as_ref()
            .expect("Builder::breakable_wechat")
    }

    /// Between the services and Redis, where the builder was asked for it.
    pub(crate) fn redis_link(&self) -> &Breakable {
        self.redis_link.as_ref().expect("Builder::breakable_redis")
    }
}

impl<R: Reachable> TestBed<R> {
    /// A command of wxmint on the Redis of the bed.
    #[track_caller]
    pub(crate) fn run(&self, words: &[&str]) -> Ended {
        Ended::of(&mut command_on(&self.redis.url(), words), "")
    }
}

impl Builder {
    pub(crate) fn services(mut self, services: usize) -> Self {
        self.services = services;
        self
    }

    /// The algorithm of the signing key: `ES256`, `EdDSA`, `RS256`.
    pub(crate) fn algorithm(mut self, algorithm: &'static str) -> Self {
        self.algorithm = algorithm;
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn envs(self, variables: &[(&str, &str)]) -> Self {
        variables
            .iter()
            .fold(self, |builder, (name, value)| builder.env(name, value))
    }

    /// Listens where its issuer's URL leads.
    pub(crate) fn at_its_issuer(self) -> Self {
        let listen = format!("127.0.0.1:{}", free_port());
        self.env("WXMINT_ISSUER", &format!("http://{listen}"))
            .env("WXMINT_LISTEN", &listen)
    }

    pub(crate) fn app(mut self, id: &str, secret: &str) -> Self {
        self.simulator_args
            .extend(["--app".to_owned(), format!("{id}:{secret}")]);
        self
    }

    /// The services' apps are those of this folder.
    pub(crate) fn apps_folder(self, folder: &Path) -> Self {
        let folder = folder.to_string_lossy().into_owned();
        self.env("WXMINT_APPID", "")
            .env("WXMINT_APP_SECRET", "")
            .env("WXMINT_APPS_DIR", &folder)
    }

    /// Two mini programs of one owner.
    pub(crate) fn two_apps(mut self) -> Self {
        let folder = apps_folder(&[(APPID, APP_SECRET), (OTHER_APPID, OTHER_SECRET)]);
        self = self
            .app(OTHER_APPID, OTHER_SECRET)
            .apps_folder(folder.path());
        self.folders.push(folder);
        self
    }

    /// The users of the account backend are those of a file, each with [`PASSWORD`](super::PASSWORD) and `id-of-NAME`.
    pub(crate) fn users(self, names: &[&str]) -> Self {
        self.users_file(UsersFile::of(names))
    }

    pub(crate) fn users_file(mut self, users: UsersFile) -> Self {
        self = self.env("WXMINT_ACCOUNTS", &users.setting());
        self.users = Some(users);
        self
    }

    /// The holders of secrets of the admin listener: lines `NAME SECRET [WHAT]`.
    pub(crate) fn operators(self, lines: &str) -> Self {
        self.file("WXMINT_ADMIN_TOKENS_FILE", lines)
    }

    /// One who has all rights, and [`OPERATOR`].
    pub(crate) fn operator(self) -> Self {
        self.operators(&format!("on-call {OPERATOR} read,operate,wechat\n"))
    }

    /// The clients to which users may log in by scanning, as `WXMINT_CLIENTS_FILE` has it.
    pub(crate) fn clients(self, clients: &Value) -> Self {
        self.file(
            "WXMINT_CLIENTS_FILE",
            &json!({"clients": clients}).to_string(),
        )
    }

    /// A third-party platform, and no app of its own. The simulator pushes to the first service once it is told to.
    pub(crate) fn platform(mut self) -> Self {
        let parts = [PLATFORM, PLATFORM_SECRET, PLATFORM_TOKEN, PLATFORM_KEY];
        self.simulator_args
            .extend(["--platform".to_owned(), parts.join(":")]);
        let file = json!({
            "component_appid": PLATFORM, "component_appsecret": PLATFORM_SECRET, "token": PLATFORM_TOKEN,
            "encoding_aes_key": PLATFORM_KEY,
        });
        self.env("WXMINT_APPID", "")
            .env("WXMINT_APP_SECRET", "")
            .file("WXMINT_PLATFORM_FILE", &file.to_string())
    }

    /// How user ids come about, with this id key.
    pub(crate) fn user_ids(self, kind: &str, key: &str) -> Self {
        self.env("WXMINT_USER_IDS", kind)
            .file("WXMINT_ID_KEY_FILE", key)
    }

    fn file(mut self, variable: &str, content: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("of-an-operator");
        write_private(&file, content);
        self.folders.push(folder);
        self.env(variable, &file.to_string_lossy())
    }

    pub(crate) fn redis_options(mut self, options: &[&str]) -> Self {
        self.redis_options
            .extend(options.iter().map(|&option| option.to_owned()));
        self
    }

    pub(crate) fn redis_password(mut self, password: &str) -> Self {
        password.clone_into(&mut self.redis_password);
        self
    }

    pub(crate) fn breakable_wechat(mut self) -> Self {
        self.breakable_wechat = true;
        self
    }

    pub(crate) fn breakable_redis(mut self) -> Self {
        self.breakable_redis = true;
        self
    }

    /// Does not wait until the services are ready, since they will not be.
    pub(crate) fn not_ready(mut self) -> Self {
        self.await_ready = false;
        self
    }

    pub(crate) async fn start(self) -> TestBed {
        let redis = RedisServer::start(&self.redis_options, &self.redis_password).await;
        let draws_ids = !self
            .environment
            .iter()
            .any(|(name, value)| name == "WXMINT_USER_IDS" && value != "random");
        if draws_ids && self.redis_options.is_empty() {
            // As after the first start of an installation, in which a service waits for others to tell theirs.
            redis.command::<()>(&["SET", "wxmint:id-key", "random"]);
        }
        let redis_link = link(self.breakable_redis, ([127, 0, 0, 1], redis.port()).into()).await;
        let redis_url = redis_link
            .as_ref()
            .map_or(redis.url(), |link| redis.url_through(link.port()));
        let mut bed = self.start_at(&redis_url, redis).await;
        bed.redis_link = redis_link;
        bed
    }

    /// On servers that are there already.
    pub(crate) async fn start_on<R: Reachable>(self, redis: R) -> TestBed<R> {
        self.start_at(&redis.url(), redis).await
    }

    async fn start_at<R: Reachable>(self, redis_url: &str, redis: R) -> TestBed<R> {
        let http = Http::new();
        let wechat = Simulator::start(
            http.clone(),
            &self.simulator_args,
            &self.simulator_variables,
        )
        .await;
        let wechat_link = link(self.breakable_wechat, wechat.address).await;

        let mut configuration = Configuration::new(self.algorithm);
        configuration.set("WXMINT_REDIS_URL", redis_url);
        configuration.set(
            "WXMINT_WECHAT_URL",
            &wechat_link.as_ref().map_or(wechat.url(), Breakable::url),
        );
        configuration.set("WXMINT_OTHER_PLATFORMS_URL", &wechat.url());
        configuration.set_all(self.environment);
        let mut services = Vec::new();
        for _ in 0..self.services {
            let service = Service::start(&configuration, http.clone()).await;
            if self.await_ready {
                service.ready().await;
            }
            services.push(service);
        }
        let (redis_link, held) = (None, R::held);
        TestBed {
            services,
            wechat,
            redis,
            http,
            configuration,
            users: self.users,
            _folders: self.folders,
            wechat_link,
            redis_link,
            held,
        }
    }
}

/// The clock of everything around a test.
pub(crate) struct Clock(TempDir);

impl Clock {
    pub(crate) async fn around(builder: Builder) -> (Self, TestBed) {
        let (clock, builder) = Self::of(builder);
        (clock, builder.start().await)
    }

    /// Services and WeChat have the one that a file says (libfaketime), Redis its own.
    pub(crate) fn of(mut builder: Builder) -> (Self, Builder) {
        let clock = Self(tempfile::tempdir().expect("a folder"));
        let file = clock.0.path().join("now");
        fs::write(&file, "+0\n").expect("written");
        for (name, value) in clock_of(&file) {
            builder = builder.env(name, &value);
            builder.simulator_variables.push((name.to_owned(), value));
        }
        let builder = builder.redis_options(&[&movable_clock(clock.0.path())]);
        (clock, builder)
    }

    /// Seconds later than in truth.
    pub(crate) fn is_later(&self, bed: &TestBed, seconds: i64) {
        self.is_off_but_for_redis(seconds);
        bed.redis.move_clock(seconds);
    }

    pub(crate) fn is_off_but_for_redis(&self, seconds: i64) {
        replace(&self.0.path().join("now"), &format!("{seconds:+}\n"));
    }
}

async fn link(wanted: bool, target: std::net::SocketAddr) -> Option<Breakable> {
    match wanted {
        true => Some(Breakable::before(target).await),
        false => None,
    }
}
