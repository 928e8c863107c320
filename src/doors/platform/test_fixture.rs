//! A platform for tests, with a WeChat whose answers a test chooses.

use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::rt::{spawn, time::sleep, time::timeout};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use wxmint_ids::AppId;
use wxmint_keys::PrivateJwk;
use wxmint_redis_link::Call;
use wxmint_store::Store;
use wxmint_verify::Algorithm;

use super::ThirdPartyPlatform;
use super::follower::Follower;
use super::known::TICKET;
use super::store::{Expected, PlatformEntry, entries, note_entry};
use crate::clock::now;
use crate::issuer::{Issuer, caller::tests::issuer};
use crate::login::{CodeExchanger, LoginParts};

const FILE: &str = r#"{"component_appid":"wx0123456789abcdef","component_appsecret":"00112233445566778899aabbccddeeff",
    "token":"token1","encoding_aes_key":"abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"}"#;

/// Answers a request by its path and query, and its body.
type Says = Box<dyn FnMut(&str) -> Option<Value> + Send>;

#[derive(Clone, Default)]
pub(super) struct WeChatOfTest {
    says: Arc<Mutex<Option<Says>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl WeChatOfTest {
    /// Sets the answers from now on. A request for which `says` returns nothing gets a valid
    /// answer.
    pub(super) fn says(&self, says: impl FnMut(&str) -> Option<Value> + Send + 'static) {
        *self.says.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(says));
    }

    /// How many requests contained `part`.
    pub(super) fn asked(&self, part: &str) -> usize {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.iter().filter(|asked| asked.contains(part)).count()
    }

    fn answer(&self, request: String) -> Value {
        let said = self
            .says
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_mut()
            .and_then(|says| says(&request));
        self.asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(request.clone());
        said.unwrap_or_else(|| match &request {
            it if it.contains("api_component_token") => {
                let number = self.asked("api_component_token");
                json!({"component_access_token": format!("component-token-{number}-0123456789"), "expires_in": 7200})
            }
            it if it.contains("api_get_authorizer_list") => json!({"total_count": 0, "list": []}),
            it if it.contains("api_get_authorizer_info") => json!({"authorizer_info": {"MiniProgramInfo": {}}}),
            _ => json!({"openid": "oabcdefghijklmnopqrstuvwxyz0", "session_key": "MDEyMzQ1Njc4OWFiY2RlZg=="}),
        })
    }
}

pub(super) struct Bed {
    pub(super) wechat: WeChatOfTest,
    pub(super) issuer: Arc<Issuer>,
    pub(super) platform: Arc<ThirdPartyPlatform>,
    pub(super) login: LoginParts,
}

impl Bed {
    /// Starts a platform whose ticket has come.
    pub(super) async fn start() -> Self {
        let wechat = WeChatOfTest::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let answers = wechat.clone();
        let answer = async move |uri: axum::http::Uri, body: String| {
            axum::Json(answers.answer(format!("{uri} {body}")))
        };
        spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer)).await });
        let key = PrivateJwk::generate(Algorithm::Es256, now()).expect("a key");
        let issuer = Arc::new(issuer(&key, ("WXMINT_WECHAT_URL", &url)));
        let platform = Arc::new(
            ThirdPartyPlatform::parse(FILE.as_bytes()).unwrap_or_else(|wrong| panic!("{wrong}")),
        );
        let login = worker(&issuer, &platform);
        let bed = Self {
            wechat,
            issuer,
            platform,
            login,
        };
        let sealed = bed
            .login
            .vault
            .load()
            .seal("ticket@@@of-the-test", &bed.platform.component.id);
        bed.note(TICKET, now().timestamp(), sealed.as_bytes()).await;
        bed
    }

    pub(super) fn follower(&self) -> Rc<Follower> {
        Rc::new(Follower::new(
            self.worker(),
            Arc::clone(&self.platform),
            Arc::clone(&self.issuer),
        ))
    }

    /// Another replica, whose clock is `clock`.
    pub(super) fn replica(&self, clock: fn() -> DateTime<Utc>) -> Rc<Follower> {
        let mut login = self.worker();
        login.store = Store::new(&self.issuer.redis, Duration::ZERO, clock, ());
        Rc::new(Follower::new(
            login,
            Arc::clone(&self.platform),
            Arc::clone(&self.issuer),
        ))
    }

    /// Another worker with the same store.
    pub(super) fn worker(&self) -> LoginParts {
        worker(&self.issuer, &self.platform)
    }

    /// Resets the rate limits of calls to WeChat, as half a minute would.
    pub(super) async fn half_a_minute_passes(&self) {
        for what in ["list", "refusal"] {
            let key = format!(
                "wxmint:{{{}}}:limit:eighths:merchant:{what}",
                self.platform.component.id
            );
            self.login
                .store
                .link
                .run::<i64>("forget", Call::of("DEL", &key))
                .await
                .expect("an answer");
        }
    }

    pub(super) async fn note(&self, entry: &str, at: i64, value: &[u8]) {
        let new = PlatformEntry {
            at,
            value: value.to_vec(),
        };
        let noted = note_entry(
            &self.login.store,
            &self.platform.component.id,
            entry,
            &new,
            Expected::NotLater,
            None,
        );
        assert!(noted.await.expect("an answer"), "{entry}");
        self.follow().await;
    }

    /// Reads the store, as each process does every quarter of a second.
    pub(super) async fn follow(&self) {
        let known = self.platform.known();
        let read = entries(
            &self.login.store,
            &self.platform.component.id,
            known.version,
        )
        .await
        .expect("an answer");
        if let Some(state) = read {
            self.platform.learn(state);
        }
    }
}

fn worker(issuer: &Arc<Issuer>, platform: &Arc<ThirdPartyPlatform>) -> LoginParts {
    let mut login = issuer.login_parts().expect("a worker");
    let exchanger: Arc<dyn CodeExchanger> = Arc::clone(platform) as _;
    login.exchangers.components = vec![exchanger];
    login
}

pub(super) fn app(number: usize) -> AppId {
    format!("wx{number:016x}").parse().expect("an AppID")
}

/// Waits until a condition holds, which `ask` may bring about.
pub(super) async fn until(what: &str, mut ask: impl AsyncFnMut() -> bool) {
    let holds = async {
        while !ask().await {
            sleep(Duration::from_millis(10)).await;
        }
    };
    let within = timeout(Duration::from_mins(1), holds).await;
    assert!(within.is_ok(), "{what}: not within a minute");
}
