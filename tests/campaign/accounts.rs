//! The business's account service: it makes users, and finds them by phone number. The checker reads it too.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use serde_json::{Value, json};
use tokio::net::TcpListener;

#[derive(Default)]
pub(crate) struct Accounts {
    users: Mutex<Users>,
    is_away: AtomicBool,
}

#[derive(Default)]
struct Users {
    by_key: HashMap<String, String>,
    by_phone: HashMap<String, String>,
}

impl Accounts {
    /// Starts it in this runtime; returns its address.
    pub(crate) async fn start() -> (Arc<Self>, SocketAddr) {
        let accounts = Arc::new(Self::default());
        let routes = Router::new()
            .route("/wxmint/users", post(new_user))
            .route("/wxmint/users/by-phone", post(user_of_phone))
            .with_state(Arc::clone(&accounts));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        tokio::spawn(async move { axum::serve(listener, routes).await });
        (accounts, address)
    }

    /// While it is away, each call gets 503.
    pub(crate) fn be_away(&self, away: bool) {
        self.is_away.store(away, Ordering::Relaxed);
    }

    pub(crate) fn user_of_phone(&self, phone: &str) -> Option<String> {
        self.users().by_phone.get(phone).cloned()
    }

    fn users(&self) -> MutexGuard<'_, Users> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find_or_make(&self, map: fn(&mut Users) -> &mut HashMap<String, String>, key: &Value) -> Option<(String, bool)> {
        if self.is_away.load(Ordering::Relaxed) {
            return None;
        }
        let (mut users, key) = (self.users(), key.as_str()?);
        let number = users.by_key.len() + users.by_phone.len() + 1;
        let map = map(&mut users);
        let is_new = !map.contains_key(key);
        let user = map.entry(key.to_owned()).or_insert_with(|| format!("user-{number}"));
        Some((user.clone(), is_new))
    }
}

type Answer = (StatusCode, Json<Value>);

async fn new_user(State(accounts): State<Arc<Accounts>>, Json(asked): Json<Value>) -> Answer {
    // The same key gets the same answer, because the first answer may have been lost.
    let found = accounts.find_or_make(|users| &mut users.by_key, &asked["idempotency_key"]);
    answer(found.map(|(user, _)| json!({"user_id": user, "new_user": true})))
}

async fn user_of_phone(State(accounts): State<Arc<Accounts>>, Json(asked): Json<Value>) -> Answer {
    let found = accounts.find_or_make(|users| &mut users.by_phone, &asked["pure_phone_number"]);
    answer(found.map(|(user, is_new)| json!({"user_id": user, "new_user": is_new})))
}

fn answer(found: Option<Value>) -> Answer {
    match found {
        Some(found) => (StatusCode::OK, Json(found)),
        None => (StatusCode::SERVICE_UNAVAILABLE, Json(Value::Null)),
    }
}
