//! docs/move.md: a back end with a thousand users and HS256 tokens of its own is moved to wxmint, while its users send
//! requests. The commands and settings are those of the page.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::{sync::RwLock, task::JoinSet};

use crate::readme::blocks;
use crate::support::prelude::*;

const USERS: usize = 1000;
const AT_ONCE: usize = 8;
/// Requests that are waited for after each step.
const REQUESTS: usize = 200;

/// The service as its users reach it: each deployment is started beside the last one, which ends when it answers nobody
/// any more, as behind a proxy.
struct BackEnd {
    folder: TempDir,
    environment: BTreeMap<String, String>,
    steps: BTreeMap<String, String>,
    settings: String,
    http: Http,
    running: Arc<RwLock<(String, Process)>>,
}

impl BackEnd {
    async fn start(bed: &TestBed) -> Self {
        Self::of(bed, APPID, APP_SECRET).await
    }

    /// Moves this mini program, by the page's commands with its AppID.
    async fn of(bed: &TestBed, app: &str, secret: &str) -> Self {
        let folder = node_folder();
        let files = fs::read_dir(repository("examples/move")).expect("a folder").map(|entry| entry.expect("a file"));
        for file in files.filter(|file| file.path().is_file()) {
            fs::copy(file.path(), folder.path().join(file.file_name())).expect("a copy");
        }
        let environment = [
            ("PATH", path_with_wxmint()),
            ("PORT", "0".to_owned()),
            ("APPID", app.to_owned()),
            ("APP_SECRET", secret.to_owned()),
            ("OLD_SECRET", "a secret that every service has".to_owned()),
            ("WECHAT_URL", bed.wechat.url()),
            ("WXMINT_URL", bed.service().url("")),
            ("WXMINT_REDIS_URL", bed.redis.url()),
        ];
        let environment: BTreeMap<_, _> = environment.map(|(name, value)| (name.to_owned(), value)).into();
        let page = fs::read_to_string(repository("docs/move.md")).expect("a page");
        let steps = blocks(&page).into_iter().map(|(name, text)| (name.to_owned(), text.replace(APPID, app))).collect();
        let running = deployed(folder.path(), &environment, "").await;
        let running = Arc::new(RwLock::new(running));
        Self { folder, environment, steps, settings: String::new(), http: bed.http.clone(), running }
    }

    fn table(&self) -> PathBuf {
        self.folder.path().join("users.ndjson")
    }

    /// Deploys with the settings of this step of the page, beside those of the steps before.
    async fn deploy(&mut self, step: &str) {
        self.settings.push_str(&self.steps[step]);
        let next = deployed(self.folder.path(), &self.environment, &self.settings).await;
        *self.running.write().await = next;
    }

    /// Runs the commands of a step of the page.
    fn run(&self, step: &str) {
        let mut bash = Command::new("bash");
        bash.args(["-euc", &self.steps[step]]).current_dir(&self.folder).env_clear().envs(&self.environment);
        let output = bash.output().expect("bash");
        assert!(output.status.success(), "{step}: {output:?}");
    }

    /// The token and the user id of a login, as the published pages read them.
    async fn log_in(&self, bed: &TestBed, person: &str) -> (String, String) {
        let code = bed.wechat.mint_code_in(&self.environment["APPID"], person).await;
        log_in(&self.running, &self.http, &code).await
    }
}

async fn deployed(folder: &Path, environment: &BTreeMap<String, String>, settings: &str) -> (String, Process) {
    let mut bash = Command::new("bash");
    bash.args(["-euc", &format!("{settings}\nexec node app.mjs")]).current_dir(folder).env_clear().envs(environment);
    let mut process = Process::spawn("the back end", &mut bash);
    (format!("http://{}", process.printed_address().await), process)
}

async fn log_in(running: &RwLock<(String, Process)>, http: &Http, code: &str) -> (String, String) {
    let running = running.read().await;
    let request = http.0.post(format!("{}/login", running.0)).header("X-Forwarded-For", next_address());
    let answer = http.send(request.json(&json!({"code": code}))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    (answer.member("token"), answer.member("userId"))
}

/// As the proxy before the back end names them: no phone has the address of another.
fn next_address() -> String {
    static LAST: AtomicUsize = AtomicUsize::new(0);
    let number = LAST.fetch_add(1, Ordering::Relaxed);
    format!("198.18.{}.{}", number / 256, number % 256)
}

async fn orders(running: &RwLock<(String, Process)>, http: &Http, token: &str) -> Answer {
    let running = running.read().await;
    http.send(http.0.get(format!("{}/orders", running.0)).bearer_auth(token)).await
}

/// The users' phones, which send a request with their token again and again.
struct Phones {
    held: Arc<Mutex<Vec<(String, String)>>>,
    answered: Arc<AtomicUsize>,
    refused: Arc<Mutex<Vec<Answer>>>,
    stopped: Arc<AtomicBool>,
    requests: JoinSet<()>,
}

impl Phones {
    fn start(back_end: &BackEnd, held: Vec<(String, String)>) -> Self {
        let held = Arc::new(Mutex::new(held));
        let (answered, refused, stopped) = (Arc::<AtomicUsize>::default(), Arc::default(), Arc::default());
        let mut phones = Self { held, answered, refused, stopped, requests: JoinSet::new() };
        for first in 0..AT_ONCE {
            let (held, answered) = (Arc::clone(&phones.held), Arc::clone(&phones.answered));
            let (refused, stopped) = (Arc::clone(&phones.refused), Arc::<AtomicBool>::clone(&phones.stopped));
            let (running, http) = (Arc::clone(&back_end.running), back_end.http.clone());
            phones.requests.spawn(async move {
                for number in (first..).step_by(AT_ONCE).take_while(|_| !stopped.load(Ordering::Relaxed)) {
                    let (token, user_id) = held.lock().expect("no panic")[number % USERS].clone();
                    let answer = orders(&running, &http, &token).await;
                    if answer.status != 200 || answer.member("userId") != user_id {
                        refused.lock().expect("no panic").push(answer);
                    }
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        phones
    }

    /// Waits until they have sent some more requests.
    async fn go_on(&self) {
        let before = self.answered.load(Ordering::Relaxed);
        until("requests", PATIENCE, async || self.answered.load(Ordering::Relaxed) > before + REQUESTS).await;
    }

    /// All log in, as after their token's end, and are the users that they were.
    async fn log_in_again(&self, bed: &TestBed, back_end: &BackEnd) {
        let logins = everybody_logs_in(bed, back_end).await;
        let mut held = self.held.lock().expect("no panic");
        assert!(held.iter().zip(&logins).all(|((_, before), (_, now))| before == now), "a user id has changed");
        *held = logins;
    }

    async fn stop(self) -> Vec<Answer> {
        self.stopped.store(true, Ordering::Relaxed);
        self.requests.join_all().await;
        Arc::try_unwrap(self.refused).expect("nobody else").into_inner().expect("no panic")
    }
}

/// Tokens and user ids, in the order of the people.
async fn everybody_logs_in(bed: &TestBed, back_end: &BackEnd) -> Vec<(String, String)> {
    let people = json!({"person": "lin", "count": USERS, "distinct_people": true});
    let codes = bed.wechat.mint_codes(people).await;
    let mut logins = Vec::new();
    for codes in codes.chunks(AT_ONCE) {
        let tasks = codes.iter().cloned().map(|code| {
            let (running, http) = (Arc::clone(&back_end.running), back_end.http.clone());
            tokio::spawn(async move { log_in(&running, &http, &code).await })
        });
        for task in tasks.collect::<Vec<_>>() {
            logins.push(task.await.expect("a login"));
        }
    }
    logins
}

/// Each has a table of its own, whose ids are not those of the other.
#[tokio::test(flavor = "multi_thread")]
async fn the_back_ends_of_two_mini_programs_are_moved_to_one_wxmint() {
    let bed = TestBed::builder().two_apps().start().await;
    let mut back_ends =
        [BackEnd::of(&bed, APPID, APP_SECRET).await, BackEnd::of(&bed, OTHER_APPID, OTHER_SECRET).await];
    fs::write(back_ends[1].table(), "{\"id\":1000}\n").expect("a file");
    let (mut before, mut newcomers) = (Vec::new(), Vec::new());
    for back_end in &mut back_ends {
        before.push(back_end.log_in(&bed, "lin").await.1);
        back_end.run("import");
        back_end.deploy("accept").await;
        back_end.deploy("switch").await;
    }
    assert_eq!(before, ["1", "1001"]);
    for (back_end, before) in back_ends.iter().zip(&before) {
        let (token, user) = back_end.log_in(&bed, "lin").await;
        assert_eq!((&user, orders(&back_end.running, &bed.http, &token).await.status), (before, 200));
        newcomers.push(back_end.log_in(&bed, &format!("newcomer of {before}")).await.1);
    }
    for (back_end, newcomer) in back_ends.iter_mut().zip(&newcomers) {
        back_end.run("take-back");
        let table = fs::read_to_string(back_end.table()).expect("readable");
        assert_eq!(newcomers.iter().filter(|other| table.contains(*other)).collect::<Vec<_>>(), [newcomer]);
        back_end.deploy("roll-back").await;
    }
    for ((back_end, before), newcomer) in back_ends.iter().zip(&before).zip(&newcomers) {
        assert_eq!(back_end.log_in(&bed, "lin").await.1, *before);
        assert_eq!(back_end.log_in(&bed, &format!("newcomer of {before}")).await.1, *newcomer);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow; make nightly runs it"]
async fn a_back_end_with_a_thousand_users_is_moved_without_a_refused_request() {
    let bed = TestBed::builder().env("WXMINT_LIMIT_IP", "600/5m").start().await;
    let mut back_end = BackEnd::start(&bed).await;
    let before = everybody_logs_in(&bed, &back_end).await;
    let old_token = before[0].0.clone();
    let phones = Phones::start(&back_end, before);

    back_end.run("import");
    back_end.deploy("accept").await;
    phones.go_on().await;
    let (_, mei) = back_end.log_in(&bed, "mei, who comes after the import").await;

    back_end.deploy("switch").await;
    back_end.run("import");
    let (_, tao) = back_end.log_in(&bed, "tao, who comes first to wxmint").await;
    phones.log_in_again(&bed, &back_end).await;
    assert_eq!(back_end.log_in(&bed, "mei, who comes after the import").await.1, mei);

    back_end.run("take-back");
    back_end.deploy("roll-back").await;
    phones.go_on().await;
    assert_eq!(back_end.log_in(&bed, "tao, who comes first to wxmint").await.1, tao);
    let (_, hua) = back_end.log_in(&bed, "hua, who comes after the roll-back").await;

    back_end.deploy("switch").await;
    back_end.run("import");
    assert_eq!(back_end.log_in(&bed, "hua, who comes after the roll-back").await.1, hua);
    back_end.deploy("clean-up").await;
    phones.go_on().await;

    assert_eq!(orders(&back_end.running, &bed.http, &old_token).await.status, 401);
    let refused = phones.stop().await;
    assert!(refused.is_empty(), "{} requests are refused, the first one by {:?}", refused.len(), refused.first());
}
