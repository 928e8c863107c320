//! Logging in by phone number: two replicas share access tokens, and a login by code never needs one.

use crate::support::prelude::*;

const STABLE_TOKEN: &str = "/cgi-bin/stable_token";
/// A login by code may take this while something that it does not need is broken.
const UNDISTURBED: Duration = BUSY;

/// Two replicas, and a business that knows its people by their phone numbers.
struct Phones {
    bed: TestBed,
    accounts: AccountService,
}

impl Phones {
    async fn start() -> Self {
        let accounts = AccountService::start();
        let bed = TestBed::builder()
            .services(2)
            .env("WXMINT_ACCOUNTS", &accounts.url())
            .start()
            .await;
        Self { bed, accounts }
    }

    /// A login by phone, all codes fresh.
    async fn log_in(&self, replica: usize, person: &str) -> Answer {
        let phone_code = self.bed.wechat.mint_phone_code(person).await;
        self.log_in_with(replica, person, &phone_code).await
    }

    async fn log_in_with(&self, replica: usize, person: &str, phone_code: &str) -> Answer {
        let code = self.bed.mint_code(person).await;
        self.bed.services[replica]
            .log_in_with(&json!({"code": code, "phone_code": phone_code}))
            .await
    }

    async fn fetches(&self) -> u64 {
        self.bed.wechat.asked(STABLE_TOKEN).await
    }

    /// As if nobody had ever fetched an access token.
    fn forget_access_token(&self) {
        self.bed
            .redis
            .command::<i64>(&["DEL", &redis_keys::access_token(APPID)]);
    }
}

#[tokio::test]
async fn the_business_is_asked_for_the_number_that_wechat_has_verified() {
    let phones = Phones::start().await;
    phones.bed.wechat.phone_of("lin", "13912345678").await;
    let first = phones.log_in(0, "lin").await.expect_login().json();
    assert_eq!(first["new_user"], true);
    let calls = phones.accounts.take_calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(
        (calls[0].path.as_str(), &calls[0].json()["phone_number"]),
        ("/wxmint/users/by-phone", &json!("13912345678"))
    );

    let again = phones.bed.log_in("lin").await.expect_login().json();
    assert_eq!(
        (&again["user_id"], &again["new_user"]),
        (&first["user_id"], &json!(false))
    );
    assert!(
        phones.accounts.calls().is_empty(),
        "the phone is bound, and a code is enough from now on"
    );
}

#[tokio::test]
async fn logins_by_code_go_on_while_access_tokens_cannot_be_had() {
    let phones = Phones::start().await;
    phones.log_in(0, "lin").await.expect_login();
    for fault in [
        json!({"kind": "stall"}),
        json!({"kind": "html"}),
        json!({"kind": "errcode", "errcode": -1}),
    ] {
        phones.forget_access_token();
        let mut here = fault.clone();
        here["path"] = json!(STABLE_TOKEN);
        phones.bed.faults(json!([here])).await;
        let (refused, undisturbed) = tokio::join!(
            join_all((0..10).map(|number| phones.log_in(number % 2, "lin"))),
            async {
                let mut slowest = Duration::ZERO;
                for _ in 0..20 {
                    slowest = slowest.max(phones.bed.log_in("lin").await.expect_login().took);
                }
                slowest
            }
        );
        for answer in refused {
            assert!(answer.took < BUSY + Duration::from_secs(5), "{answer:?}");
            answer.expect_problem(503, "wechat_unavailable");
        }
        assert!(undisturbed < UNDISTURBED, "{fault}: {undisturbed:?}");
    }
    phones.bed.faults(json!([])).await;
    until("phone logins are back", PATIENCE, async || {
        phones.log_in(0, "lin").await.status == 200
    })
    .await;
}

#[tokio::test]
async fn a_phone_code_that_wechat_does_not_take_says_which_code_is_wrong() {
    let phones = Phones::start().await;
    let used = phones.bed.wechat.mint_phone_code("lin").await;
    phones.log_in_with(0, "lin", &used).await.expect_login();
    let anothers = phones.bed.wechat.mint_phone_code("mei").await;
    let of_wx_login = phones.bed.mint_code("lin").await;
    for (phone_code, code) in [
        (used.as_str(), "code_used"),
        (anothers.as_str(), "code_invalid"),
        (of_wx_login.as_str(), "code_invalid"),
        ("never-minted", "code_invalid"),
    ] {
        let answer = phones
            .log_in_with(0, "lin", phone_code)
            .await
            .expect_problem(400, code);
        assert!(
            answer.member("detail").contains("getPhoneNumber"),
            "{answer:?}"
        );
    }
    assert_eq!(
        (phones.accounts.users_made(), phones.fetches().await),
        (1, 1)
    );
}
