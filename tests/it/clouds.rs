//! Managed Redis products, by stand-ins that keep the rules which docs/clouds.md names: wxmint's whole life through each.

mod lua;
mod proxy;

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use serde_json::{Value, json};

use self::proxy::{Product, Proxy};
use crate::support::{
    APPID, AccountService, Answer, BUSY, OTHER_APPID, RedisServer, TestBed, WXMINT, eventually, repository, said,
};

/// A service whose Redis is a product's proxy before some shards, with the business's account service.
struct Tenant {
    shards: Vec<RedisServer>,
    proxy: Proxy,
    bed: TestBed,
    _accounts: AccountService,
}

impl Tenant {
    async fn of(product: Product, shards: usize) -> Self {
        let mut servers = Vec::new();
        for _ in 0..shards {
            servers.push(RedisServer::start(&[], "").await);
        }
        let (proxy, accounts) = (Proxy::before(product, &servers).await, AccountService::start());
        let builder = TestBed::builder().two_apps().env("WXMINT_REDIS_URL", &proxy.url());
        let bed = builder.env("WXMINT_ACCOUNTS", &accounts.url()).start().await;
        Self { shards: servers, proxy, bed, _accounts: accounts }
    }

    /// A login in an app by a fresh code, with `more` beside it.
    async fn log_in(&self, app: &str, person: &str, mut more: Value) -> Answer {
        (more["code"], more["appid"]) = (self.bed.wechat.mint_code_in(app, person).await.into(), app.into());
        self.bed.service().log_in_with(&more).await
    }

    /// The user of a login that succeeds.
    async fn user(&self, app: &str, person: &str, more: Value) -> String {
        self.log_in(app, person, more).await.expect_login().member("user_id")
    }

    async fn accepts(&self, login: &Answer) -> bool {
        let answer =
            self.bed.service().ask("GET", "/wechat/session", &login.member("access_token"), &Value::Null).await;
        assert!([200, 401].contains(&answer.status), "{answer:?}");
        answer.status == 200
    }

    /// A login of alice's whose token is good: in the second of an end, she logs in once more.
    async fn alice_for_good(&self) -> Answer {
        eventually("a login after the second of the end", BUSY, async || {
            let login = self.log_in(APPID, "lin", alice()).await.expect_login();
            self.accepts(&login).await.then_some(login)
        })
        .await
    }

    /// What a command prints that must succeed.
    #[track_caller]
    fn must(&self, words: &[&str]) -> String {
        let mut command = Command::new(WXMINT);
        command.args(words).env_clear().env("WXMINT_REDIS_URL", self.proxy.url());
        command.env("WXMINT_VAULT_KEY_FILE", self.bed.configuration.value("WXMINT_VAULT_KEY_FILE"));
        let output = command.output().expect("wxmint runs");
        assert!(output.status.success(), "{words:?}: {}", said(&output));
        said(&output)
    }

    async fn lives(&self) {
        self.logs_in().await;
        self.leaves().await;
        self.is_operated().await;
        self.moves();
        let keys: Vec<u64> = self.shards.iter().map(|shard| shard.command(&["DBSIZE"])).collect();
        assert!(keys.iter().all(|keys| *keys > 0), "every shard has some: {keys:?}");
    }

    async fn logs_in(&self) {
        self.log_in(APPID, "lin", json!({})).await.expect_problem(403, "binding_required");
        assert_eq!(self.user(APPID, "lin", alice()).await, "user-alice");
        assert_eq!(self.user(APPID, "lin", json!({})).await, "user-alice");
        assert_eq!(self.user(OTHER_APPID, "lin", json!({})).await, "user-alice", "by the unionid");
        let phone = self.bed.wechat.mint_phone_code("mei").await;
        let mei = self.user(APPID, "mei", json!({"phone_code": phone})).await;
        assert_eq!(self.user(APPID, "mei", json!({})).await, mei);
    }

    async fn leaves(&self) {
        for (method, path) in [("POST", "/logout"), ("DELETE", "/binding")] {
            let login = self.alice_for_good().await;
            let left = self.bed.service().ask(method, path, &login.member("access_token"), &Value::Null).await;
            assert_eq!(left.status, 204, "{left:?}");
            assert!(!self.accepts(&login).await, "{path}");
        }
    }

    async fn is_operated(&self) {
        let login = self.alice_for_good().await;
        self.must(&["users", "end", "user-alice"]);
        assert!(!self.accepts(&login).await);
        self.must(&["users", "block", "user-alice"]);
        self.log_in(APPID, "lin", alice()).await.expect_problem(403, "user_blocked");
        assert!(self.must(&["users", "show", "user-alice"]).contains("\"blocked\":true"));
        self.must(&["users", "unblock", "user-alice"]);
        self.must(&["users", "forget", "user-alice", "--yes"]);
        self.alice_for_good().await;
    }

    fn moves(&self) {
        let file = self.bed.configuration.path("bindings.ndjson");
        let file = file.to_str().expect("UTF-8");
        let exported = self.must(&["bindings", "export", "--out", file]);
        assert!(exported.contains("exported 2 people"), "{exported}");
        let imported = self.must(&["bindings", "import", file]);
        assert!(imported.contains("2 were unchanged"), "{imported}");
        let listed: Value = serde_json::from_str(&self.must(&["vault", "list", "--json"])).expect("JSON");
        assert_eq!(listed[0]["current"], 2, "{listed}");
    }
}

fn alice() -> Value {
    json!({"username": "alice", "password": "wonderland"})
}

/// Each script as it is sent: the texts that a `script!` names, one behind the other.
fn scripts() -> Vec<(String, String)> {
    let folder = repository("src/store/redis");
    let code = rust_code(&folder);
    let named = code.split("= script!(").skip(1).map(|rest| rest.split(')').next().expect("an end"));
    let script = |names: &str| {
        let texts = names.split('"').skip(1).step_by(2).map(|name| folder.join(format!("lua/{name}.lua")));
        let texts = texts.map(|path| fs::read_to_string(path).expect("a script"));
        (names.to_owned(), texts.collect::<String>())
    };
    named.map(script).collect()
}

fn rust_code(folder: &Path) -> String {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let code = |path: std::path::PathBuf| match path.is_dir() {
        true => rust_code(&path),
        false if path.extension().is_some_and(|ending| ending == "rs") => fs::read_to_string(path).expect("UTF-8"),
        false => String::new(),
    };
    entries.map(code).collect()
}

#[test]
fn every_script_names_its_keys_where_a_proxy_finds_them() {
    let scripts = scripts();
    let texts: BTreeSet<_> = scripts.iter().flat_map(|(names, _)| names.split('"').skip(1).step_by(2)).collect();
    let files = fs::read_dir(repository("src/store/redis/lua")).expect("a folder").count();
    assert_eq!(texts.len(), files, "each text is in a script: {texts:?}");
    for (names, script) in scripts {
        assert_eq!(lua::refused(&script), Ok(()), "{names}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wxmint_lives_behind_the_proxy_of_alibaba_cloud() {
    let tenant = Tenant::of(Product::Alibaba, 2).await;
    tenant.lives().await;
    assert_eq!(tenant.proxy.refused(), BTreeSet::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn wxmint_lives_behind_the_proxy_of_tencent_cloud() {
    let tenant = Tenant::of(Product::Tencent, 2).await;
    tenant.lives().await;
    assert_eq!(tenant.proxy.refused(), BTreeSet::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn wxmint_lives_behind_the_proxy_of_huawei_cloud() {
    let tenant = Tenant::of(Product::Huawei, 2).await;
    tenant.lives().await;
    assert!(tenant.proxy.refused().iter().all(|error| error.contains("CLIENT")), "{:?}", tenant.proxy.refused());
}
