//! Acts of a business at WeChat in a user's name, on the admin listener: signatures, encrypt keys, the access token.

mod access_token;
mod attacks;
mod encrypt_keys;
mod rights;
mod signatures;

use crate::support::prelude::*;

/// Each secret is of the holder who has the same name.
const SHOP: &str = "planted-secret-of-the-shop-9a2d71c4";
const DESK: &str = "planted-secret-of-the-desk-0be3f682";
const READER: &str = "planted-secret-of-a-reader-c71f05d9";
const ALL: &str = "planted-secret-for-everything-44d0";

/// Services whose admin listener knows four secrets.
struct Shop {
    bed: TestBed,
}

impl Shop {
    async fn start() -> Self {
        Self::of(TestBed::builder()).await
    }

    async fn of(builder: Builder) -> Self {
        let lines = format!(
            "shop {SHOP} wechat\ndesk {DESK}  operate\nreader {READER}\tread,operate\nall {ALL} read,operate,wechat\n"
        );
        Self {
            bed: builder.operators(&lines).start().await,
        }
    }

    /// A request to the admin listener of one of the services, without a body where that is null.
    async fn ask_at(
        &self,
        service: usize,
        method: &str,
        path: &str,
        secret: &str,
        body: &Value,
    ) -> Answer {
        self.bed.services[service]
            .operate(method, path, secret, body)
            .await
    }

    async fn ask(&self, method: &str, path: &str, secret: &str, body: &Value) -> Answer {
        self.ask_at(0, method, path, secret, body).await
    }

    async fn log_in(&self, person: &str) -> String {
        self.bed
            .log_in(person)
            .await
            .expect_login()
            .member("user_id")
    }

    async fn sign(&self, user: &str, data: &str) -> Answer {
        self.ask("POST", &signature_path(user), SHOP, &json!({"data": data}))
            .await
    }

    async fn encrypt_keys(&self, user: &str) -> Answer {
        self.ask(
            "GET",
            &format!("/users/{user}/wechat/{APPID}/encrypt-keys"),
            SHOP,
            &Value::Null,
        )
        .await
    }

    async fn audited(&self, expected: Value) -> Value {
        eventually("the audit event", BUSY, async || {
            audit::requests(self.bed.service())
                .into_iter()
                .find(|event| {
                    ["action", "by", "user", "app", "outcome", "limit"]
                        .iter()
                        .all(|name| event[*name] == expected[*name])
                })
        })
        .await
    }
}

fn signature_path(user: &str) -> String {
    format!("/users/{user}/wechat/{APPID}/signature")
}
