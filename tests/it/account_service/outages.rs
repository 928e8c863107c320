//! Two replicas while the account service is slow, down, lying, redirecting or huge: who does not need it never
//! notices, and no user is made twice.

use crate::support::prelude::*;

/// The service's 3 s, and a login around them.
const LONGEST: Duration = BUSY.saturating_add(Duration::from_secs(3));

/// Two replicas that take one wrong password of a name, and an account service that can be cut off.
struct Shop {
    bed: TestBed,
    accounts: AccountService,
    link: Breakable,
}

impl Shop {
    async fn open() -> Self {
        let accounts = AccountService::start();
        let link = Breakable::before(accounts.address).await;
        let builder = TestBed::builder().services(2).envs(&[ONE_THREAD]);
        let builder = builder.env("WXMINT_ACCOUNTS", &format!("{}/wxmint", link.url()));
        Self {
            bed: builder.env("WXMINT_LIMIT_USERNAME", "1/1h").start().await,
            accounts,
            link,
        }
    }

    async fn log_in(&self, replica: usize, person: &str, mut body: Value) -> Answer {
        body["code"] = self.bed.mint_code(person).await.into();
        self.bed.services[replica].log_in_with(&body).await
    }

    async fn silent(&self, replica: usize, person: &str) -> Answer {
        self.log_in(replica, person, json!({})).await
    }

    async fn by_password(&self, person: &str) -> Answer {
        self.log_in(
            0,
            person,
            json!({"username": "alice", "password": "wonderland"}),
        )
        .await
    }

    async fn by_phone(&self, replica: usize, person: &str) -> Answer {
        let phone_code = self.bed.wechat.mint_phone_code(person).await;
        self.log_in(replica, person, json!({"phone_code": phone_code}))
            .await
    }

    /// The account service answers again, and the replicas have noticed.
    async fn heal(&self) {
        self.accounts.heal();
        self.link.restore().await;
        until("passwords are checked again", PATIENCE, async || {
            self.by_password("lin").await.status == 200
        })
        .await;
    }

    /// A login that needs the account service is told to come again, and one that does not never notices.
    async fn is_away(&self, how: &str) {
        let (asking, undisturbed) = tokio::join!(
            async { tokio::join!(self.by_password("mei"), self.by_phone(0, "mei")) },
            self.ten_who_need_it_not(),
        );
        for refused in [asking.0, asking.1] {
            assert!(refused.took < LONGEST, "{how}: {refused:?}");
            let refused = refused.expect_problem(503, "accounts_unavailable");
            assert!(
                refused
                    .header("retry-after")
                    .parse::<u64>()
                    .is_ok_and(|seconds| seconds >= 1),
                "{how}"
            );
        }
        assert!(undisturbed < BUSY, "{how}: {undisturbed:?}");
    }

    /// Logins by a code of lin, who is bound, and of xu, who is not; the slowest of them.
    async fn ten_who_need_it_not(&self) -> Duration {
        let mut slowest = Duration::ZERO;
        for number in 0..5 {
            let known = self.silent(number % 2, "lin").await.expect_login();
            assert_eq!(known.member("user_id"), "user-alice");
            let asked = self
                .silent(number % 2, "xu")
                .await
                .expect_problem(403, "binding_required");
            slowest = slowest.max(known.took).max(asked.took);
        }
        slowest
    }
}

/// It chokes on a strange user name, or limits one name, while all requests come over one connection, and so to one
/// worker and its breaker. Then it is away for everybody, and slow.
#[tokio::test]
async fn a_name_at_which_it_fails_keeps_nobody_else_out_and_while_it_is_away_who_needs_it_is_told_to_come_again()
 {
    let shop = Shop::open().await;
    for (status, person, attempts) in [(500, "mei", 2), (429, "xu", 1)] {
        shop.accounts.misbehave(Reply::Status(status));
        shop.accounts.take_calls();
        for _ in 0..12 {
            shop.by_password(person)
                .await
                .expect_problem(503, "accounts_unavailable");
        }
        assert_eq!(
            shop.accounts.take_calls().len(),
            12 * attempts,
            "{status} is an answer"
        );
        shop.accounts.heal();
        shop.by_password("lin").await.expect_login();
    }
    shop.accounts.misbehave(Reply::Status(503));
    for _ in 0..12 {
        shop.by_password("mei")
            .await
            .expect_problem(503, "accounts_unavailable");
    }
    assert_eq!(
        shop.accounts.take_calls().len(),
        1 + 10 * 2,
        "a gateway's 503 is an outage"
    );
    shop.heal().await;
    shop.by_password("mei")
        .await
        .expect_problem(409, "already_bound");

    for reply in [Reply::Status(500), Reply::STALLED] {
        shop.accounts.misbehave(reply.clone());
        shop.is_away(&format!("{reply:?}")).await;
        shop.heal().await;
    }
    shop.link.cut().await;
    shop.is_away("down").await;
    shop.heal().await;
    shop.accounts
        .misbehave(Reply::Late(Duration::from_millis(1500)));
    let waited_for = shop.by_password("lin").await.expect_login();
    assert!(
        waited_for.took >= Duration::from_millis(1500) && waited_for.took < LONGEST,
        "{waited_for:?}"
    );
    shop.accounts.heal();
    shop.by_phone(1, "mei").await.expect_login();
    assert_eq!(
        shop.accounts.users_made(),
        1,
        "whichever of its answers arrived"
    );
}
