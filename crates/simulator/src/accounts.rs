//! The demo's stand-in for a business's account service (docs/accounts.openapi.yaml), with users in memory.
//!
//! It answers every caller, because its users are examples on loopback. examples/accounts shows how
//! a real service authenticates wxmint.

use std::{future::ready, sync::Arc, time::Instant};

use actix_web::http::{Method, StatusCode};
use actix_web::web::{self, Bytes, Data, Json, Path, ServiceConfig};
use actix_web::{HttpResponse, guard};
use futures_util::future::{LocalBoxFuture, join_all};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::journal::{Answered, Exchange};
use super::now;
use super::world::World;

const JSON: &str = "application/json";
const PASSWORD_CHECKS: &str = "/password-checks";
const USERS_BY_PHONE: &str = "/users/by-phone";
const LOGIN_CHECKS: &str = "/login-checks";

/// A user, as the demo's page shows it with the password.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Account {
    /// The business's own id of the user.
    pub user_id: String,
    #[serde(flatten)]
    /// The name and the password, if the user logs in with them.
    pub credentials: Option<Credentials>,
    /// The phone number in WeChat's form, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    #[serde(skip)]
    key: Option<String>,
    /// The claims for the user's tokens, an object; `null` for none.
    #[serde(skip)]
    claims: Value,
    #[serde(skip)]
    shut_out: bool,
}

/// The user name and the password with which a user logs in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Credentials {
    /// The name, exactly as the user types it.
    pub username: String,
    /// The password in plain text, as only a demo may keep it.
    pub password: String,
}

/// The app through which the person logs in. Each call names it, and this book is of one tenant.
#[derive(Deserialize)]
#[serde(transparent)]
struct App(#[expect(dead_code, reason = "it must be there")] String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PasswordCheck {
    #[serde(rename = "client_id")]
    _app: App,
    username: String,
    password: String,
}

#[derive(Deserialize)]
struct ByPhone {
    #[serde(rename = "client_id")]
    _app: App,
    phone_number: String,
    country_code: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LoginCheck {
    #[serde(rename = "client_id")]
    _app: App,
    user_id: String,
}

#[derive(Deserialize)]
struct NewUser {
    #[serde(rename = "client_id")]
    _app: App,
    idempotency_key: String,
}

/// The users, shared by the stand-in's threads and the page.
#[derive(Default)]
pub struct AccountBook(Mutex<Vec<Account>>);

impl AccountBook {
    /// A book with these users, each given as name, password and phone number. Their ids are
    /// `user-NAME`.
    pub fn with<const N: usize>(users: [(&str, &str, &str); N]) -> Arc<Self> {
        let account = |(username, password, phone): (&str, &str, &str)| Account {
            user_id: format!("user-{username}"),
            credentials: Some(Credentials {
                username: username.to_owned(),
                password: password.to_owned(),
            }),
            phone: Some(phone.to_owned()),
            ..Account::default()
        };
        Arc::new(Self(Mutex::new(users.into_iter().map(account).collect())))
    }

    /// All users, the oldest first.
    pub fn users(&self) -> Vec<Account> {
        self.0.lock().clone()
    }

    /// Changes the claims for the user's tokens, from the next login on. The claims are not checked
    /// here.
    pub fn set_claims(&self, user_id: &str, claims: Value) {
        self.change(user_id, |account| account.claims = claims);
    }

    /// Refuses the user's logins from now on.
    pub fn shut_out(&self, user_id: &str) {
        self.change(user_id, |account| account.shut_out = true);
    }

    fn change(&self, user_id: &str, change: impl FnOnce(&mut Account)) {
        let mut users = self.0.lock();
        change(
            users
                .iter_mut()
                .find(|account| account.user_id == user_id)
                .expect("a user of the book"),
        );
    }

    /// The answer to a call, as docs/accounts.openapi.yaml has it. `None` means the status 403: the
    /// user may not log in.
    ///
    /// # Errors
    /// Fails if the body does not have the call's form.
    pub fn answer(&self, path: &str, body: &[u8]) -> serde_json::Result<Option<Value>> {
        Ok(match path {
            PASSWORD_CHECKS => Some(self.check(serde_json::from_slice(body)?)),
            USERS_BY_PHONE => Some(self.of_phone(serde_json::from_slice(body)?)),
            LOGIN_CHECKS => self.admit(&serde_json::from_slice(body)?),
            _ => Some(self.new_user(serde_json::from_slice(body)?)),
        })
    }

    fn check(&self, asked: PasswordCheck) -> Value {
        let asked = Some(Credentials {
            username: asked.username,
            password: asked.password,
        });
        let users = self.0.lock();
        let user = users.iter().find(|account| account.credentials == asked);
        json!({"user_id": user.map(|account| &account.user_id)})
    }

    fn of_phone(
        &self,
        ByPhone {
            phone_number,
            country_code,
            ..
        }: ByPhone,
    ) -> Value {
        // The business does not serve numbers of other countries.
        if country_code != "86" {
            return json!({"user_id": null});
        }
        let wanted = Account {
            phone: Some(phone_number),
            ..Account::default()
        };
        let (user_id, made) =
            self.find_or_make(wanted, |account, wanted| account.phone == wanted.phone);
        json!({"user_id": user_id, "new_user": made})
    }

    fn new_user(
        &self,
        NewUser {
            idempotency_key, ..
        }: NewUser,
    ) -> Value {
        let wanted = Account {
            key: Some(idempotency_key),
            ..Account::default()
        };
        let (user_id, _) = self.find_or_make(wanted, |account, wanted| account.key == wanted.key);
        // The same key gets the same answer, because the first answer may have been lost.
        json!({"user_id": user_id, "new_user": true})
    }

    fn admit(&self, LoginCheck { user_id, .. }: &LoginCheck) -> Option<Value> {
        let users = self.0.lock();
        let user = users
            .iter()
            .find(|account| account.user_id == *user_id && !account.shut_out)?;
        let claims = if user.claims.is_null() {
            json!({})
        } else {
            user.claims.clone()
        };
        Some(json!({"claims": claims}))
    }

    fn find_or_make(
        &self,
        wanted: Account,
        is_wanted: fn(&Account, &Account) -> bool,
    ) -> (String, bool) {
        let mut users = self.0.lock();
        if let Some(found) = users.iter().find(|account| is_wanted(account, &wanted)) {
            return (found.user_id.clone(), false);
        }
        let user_id = format!("user-{}", 1001 + users.len());
        users.push(Account {
            user_id: user_id.clone(),
            ..wanted
        });
        (user_id, true)
    }
}

/// The account service's calls, which are recorded in the journal of `world`.
pub fn account_routes(
    book: Arc<AccountBook>,
    world: Arc<World>,
) -> impl FnOnce(&mut ServiceConfig) + Clone {
    move |config| {
        config
            .app_data(Data::from(book))
            .app_data(Data::from(world));
        for path in [PASSWORD_CHECKS, USERS_BY_PHONE, LOGIN_CHECKS, "/users"] {
            let handler = move |body: Bytes, book: Data<AccountBook>, world: Data<World>| {
                ready(take(path, body, &book, &world))
            };
            // Pages of other origins cannot send this header.
            let json = guard::Header("content-type", JSON);
            config.service(web::resource(path).route(web::post().guard(json).to(handler)));
        }
    }
}

fn take(path: &'static str, body: Bytes, book: &AccountBook, world: &World) -> HttpResponse {
    let (started, at) = (Instant::now(), now());
    let (status, answer) = match book.answer(path, &body) {
        Ok(Some(answer)) => (StatusCode::OK, answer),
        Ok(None) => (
            StatusCode::FORBIDDEN,
            json!({"error": "this user may not log in"}),
        ),
        Err(_) => (
            StatusCode::BAD_REQUEST,
            json!({"error": "the body is not of the form in docs/accounts.openapi.yaml"}),
        ),
    };
    let sent = Bytes::from(answer.to_string());
    world.journal.record(Exchange {
        at,
        took: started.elapsed(),
        method: Method::POST,
        path,
        query: String::new(),
        request_body: body,
        fault: None,
        answer: Some(Answered {
            status: status.as_u16(),
            content_type: JSON,
            body: sent.clone(),
        }),
    });
    HttpResponse::build(status).content_type(JSON).body(sent)
}

/// Finds what wxmint has stored of a user, as `wxmint users show` does: `blocked`, and the
/// identities in `wechat`.
pub type KnownOf = Arc<dyn Fn(&str) -> LocalBoxFuture<'static, Value> + Send + Sync>;

/// Blocks or unblocks a user, as an operator can. Returns false if that failed.
pub type Block = Arc<dyn Fn(&str, bool) -> LocalBoxFuture<'static, bool> + Send + Sync>;

#[derive(Serialize)]
struct ShownAccount {
    #[serde(flatten)]
    account: Account,
    #[serde(flatten)]
    known: Value,
}

/// The routes for the page: `GET /demo/accounts` returns the users with their passwords and what
/// wxmint has stored of them. `PUT` and `DELETE /demo/blocks/{user_id}` block and unblock a user.
pub fn account_page_routes(
    book: Arc<AccountBook>,
    known_of: KnownOf,
    block: Block,
) -> impl FnOnce(&mut ServiceConfig) + Clone {
    move |config| {
        let accounts = web::resource("/demo/accounts")
            .app_data(Data::from(book))
            .app_data(Data::new(known_of));
        // A page of another origin cannot send these methods, because the demo answers no preflight request.
        let blocks = web::resource("/demo/blocks/{user_id}").app_data(Data::new(block));
        config.service(accounts.route(web::get().to(show))).service(
            blocks
                .route(web::put().to(block_user))
                .route(web::delete().to(block_user)),
        );
    }
}

async fn show(book: Data<AccountBook>, known_of: Data<KnownOf>) -> Json<Value> {
    let with_known = async |account: Account| ShownAccount {
        known: known_of(&account.user_id).await,
        account,
    };
    let accounts = join_all(book.users().into_iter().map(with_known)).await;
    Json(json!({"accounts": accounts}))
}

async fn block_user(method: Method, user: Path<String>, block: Data<Block>) -> HttpResponse {
    let done = block(&user, method == Method::PUT).await;
    HttpResponse::new(if done {
        StatusCode::NO_CONTENT
    } else {
        StatusCode::INTERNAL_SERVER_ERROR
    })
}

#[cfg(test)]
mod tests {
    use actix_web::test::{TestRequest, call_service, init_service};

    use super::*;

    fn app() -> App {
        App("wx0123456789abcdef".to_owned())
    }

    fn book() -> Arc<AccountBook> {
        AccountBook::with([
            ("alice", "wonderland", "13800138001"),
            ("bob", "builder", "13800138002"),
        ])
    }

    fn check(book: &AccountBook, username: &str, password: &str) -> Value {
        book.check(PasswordCheck {
            _app: app(),
            username: username.into(),
            password: password.into(),
        })
    }

    #[test]
    fn a_name_needs_its_own_password() {
        let book = book();
        assert_eq!(
            check(&book, "alice", "wonderland"),
            json!({"user_id": "user-alice"})
        );
        for (username, password) in [
            ("alice", "builder"),
            ("bob", "wonderland"),
            ("carol", ""),
            ("", ""),
        ] {
            assert_eq!(check(&book, username, password), json!({"user_id": null}));
        }
    }

    #[test]
    fn a_phone_number_has_one_user_and_a_key_one_answer() {
        let book = book();
        let phone = |number: &str| {
            book.of_phone(ByPhone {
                _app: app(),
                phone_number: number.into(),
                country_code: "86".into(),
            })
        };
        assert_eq!(
            phone("13800138002"),
            json!({"user_id": "user-bob", "new_user": false})
        );
        assert_eq!(
            phone("13800138000"),
            json!({"user_id": "user-1003", "new_user": true})
        );
        assert_eq!(
            phone("13800138000"),
            json!({"user_id": "user-1003", "new_user": false})
        );
        let made = || {
            book.new_user(NewUser {
                _app: app(),
                idempotency_key: "key".into(),
            })
        };
        assert_eq!(
            [made(), made()],
            [(); 2].map(|()| json!({"user_id": "user-1004", "new_user": true}))
        );
        let shown = serde_json::to_value(book.users()).expect("JSON");
        let alice = json!({"user_id": "user-alice", "username": "alice", "password": "wonderland", "phone": "13800138001"});
        assert_eq!(shown[0], alice);
        assert_eq!(
            shown[2],
            json!({"user_id": "user-1003", "phone": "13800138000"})
        );
        assert_eq!(shown[3], json!({"user_id": "user-1004"}));
    }

    #[test]
    fn a_user_who_is_shut_out_or_unknown_is_not_admitted() {
        let book = book();
        let admit = |user_id: &str| {
            book.admit(&LoginCheck {
                _app: app(),
                user_id: user_id.into(),
            })
        };
        book.set_claims("user-bob", json!({"roles": ["admin"]}));
        assert_eq!(admit("user-alice"), Some(json!({"claims": {}})));
        assert_eq!(
            admit("user-bob"),
            Some(json!({"claims": {"roles": ["admin"]}}))
        );
        book.shut_out("user-bob");
        assert_eq!([admit("user-bob"), admit("user-carol")], [None, None]);
    }

    #[actix_web::test]
    async fn a_page_of_another_origin_cannot_block_a_user() {
        let blocked = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&blocked);
        let block: Block = Arc::new(move |user, is_blocked| {
            noted.lock().push((user.to_owned(), is_blocked));
            Box::pin(ready(true))
        });
        let known_of: KnownOf = Arc::new(|_| Box::pin(ready(Value::Null)));
        let app = init_service(actix_web::App::new().configure(account_page_routes(
            book(),
            known_of,
            block,
        )))
        .await;
        let ask = async |method: Method| {
            let request = TestRequest::with_uri("/demo/blocks/user-alice").method(method);
            call_service(&app, request.to_request()).await
        };
        // Without a preflight request, a browser sends only these for another origin's page.
        for method in [Method::GET, Method::HEAD, Method::POST] {
            assert_eq!(
                ask(method.clone()).await.status(),
                StatusCode::METHOD_NOT_ALLOWED,
                "{method}"
            );
        }
        assert_eq!(
            ask(Method::OPTIONS)
                .await
                .headers()
                .get("access-control-allow-methods"),
            None
        );
        assert_eq!(*blocked.lock(), []);
        assert_eq!(
            [
                ask(Method::PUT).await.status(),
                ask(Method::DELETE).await.status()
            ],
            [StatusCode::NO_CONTENT; 2]
        );
        assert_eq!(
            *blocked.lock(),
            [
                ("user-alice".to_owned(), true),
                ("user-alice".to_owned(), false)
            ]
        );
    }

    #[actix_web::test]
    async fn a_page_of_another_origin_cannot_make_a_user() {
        let routes = account_routes(book(), World::new(Vec::new(), 0));
        let app = init_service(actix_web::App::new().configure(routes)).await;
        for (content_type, status) in [("text/plain", 405), (JSON, 200)] {
            let request = TestRequest::post()
                .uri("/users")
                .insert_header(("content-type", content_type));
            let request = request
                .set_payload(r#"{"client_id":"wx0123456789abcdef","idempotency_key":"key"}"#)
                .to_request();
            assert_eq!(
                call_service(&app, request).await.status(),
                status,
                "{content_type}"
            );
        }
    }
}
