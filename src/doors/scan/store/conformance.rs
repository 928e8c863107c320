//! The requirements on a store for the door for scans.

use std::rc::Rc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use wxmint_ids::Platform;
use wxmint_store::Store;

use super::share::Budget;
use super::*;
use crate::doors::servers::{self, RedisServer};

/// How many requests an address may have open.
const MOST_OPEN: u32 = 20;

fn app() -> AppId {
    "wx0123456789abcdef".parse().expect("an app")
}

fn page() -> ClientId {
    "shop-web".parse().expect("a client")
}

fn request(address: &str) -> DeviceRequest {
    DeviceRequest {
        door: OWN,
        client: page(),
        app: app(),
        address: "192.0.2.77".into(),
        counted_by: address.into(),
        browser: BrowserName::of_agent("Firefox/150 (Windows)"),
        numbers: Some((["12", "47", "83"].map(str::to_owned), "47".into())),
    }
}

fn device_code() -> DeviceCode {
    DeviceCode::random()
}

async fn opened_device(store: Devices<'_>) -> DeviceCode {
    let code = device_code();
    for _ in 0..2 {
        assert_eq!(
            store
                .open_device(&code, &request("192.0.2.1"), MOST_OPEN)
                .await,
            Ok(true),
            "also repeated"
        );
    }
    code
}

fn of(openid: &str) -> String {
    approver(&Person {
        platform: Platform::WeChat,
        app: app(),
        openid: openid.parse().expect("an openid"),
    })
}

fn grant(id: &str) -> Grant {
    let token = Issued {
        user: "user-1".parse().expect("a user id"),
        app: page().0.clone(),
        id: id.parse().expect("a token id"),
        issued_at: 1_700_000_000,
        expires_at: 1_700_086_400,
    };
    let claims = serde_json::from_str(r#"{"roles":["审核"]}"#).expect("claims");
    Grant {
        token,
        claims,
        mark: "a-binding".into(),
    }
}

/// Polls as the attempt with this number.
async fn poll_by(store: Devices<'_>, code: &DeviceCode, attempt: u8) -> Poll {
    store
        .poll_device(
            code,
            (&page(), OWN),
            &app(),
            (&AttemptId::new([attempt; 16]), true),
        )
        .await
        .expect("an answer")
}

async fn poll(store: Devices<'_>, code: &DeviceCode) -> Poll {
    poll_by(store, code, 1).await
}

#[expect(
    clippy::cognitive_complexity,
    clippy::too_many_lines,
    reason = "a case reads from top to bottom"
)]
async fn an_approved_request_gives_one_token(store: Rc<Store>) {
    let store = Devices(&store);
    let code = opened_device(store).await;
    let user_code = code.user_code();
    assert_eq!(poll(store, &code).await, Poll::Pending { scanned: false });
    for phone in [None, Some("wxother")] {
        let phone = phone.map(|phone| phone.parse().expect("an app"));
        let found = store
            .find_device(user_code, phone.as_ref())
            .await
            .expect("an answer")
            .expect("a request");
        assert_eq!(
            (&found.request.client, &found.request.app, found.approver),
            (&page(), &app(), None)
        );
        assert_eq!(found.request.numbers, request("").numbers);
        assert_eq!(
            (found.request.address, found.request.browser),
            ("192.0.2.77".into(), request("").browser)
        );
        assert!(
            (servers::now().timestamp() - found.requested_at).abs() <= 5
                && found.expires_in <= DEVICE_TTL,
            "{:?}",
            found.expires_in
        );
        assert!(
            found.expires_in + Duration::from_mins(1) > DEVICE_TTL,
            "{:?}",
            found.expires_in
        );
    }
    assert_eq!(
        poll(store, &code).await,
        Poll::Pending { scanned: false },
        "its answer was lost"
    );
    assert_eq!(poll_by(store, &code, 2).await, Poll::TooSoon);
    assert!(
        !store
            .approve_device(user_code, &of("o1"), &grant("a"))
            .await
            .expect("an answer"),
        "nobody has claimed it"
    );
    for _ in 0..2 {
        assert_eq!(
            store.claim_device(user_code, &of("o1"), Some("47")).await,
            Ok(Decided::Claimed)
        );
    }
    assert_eq!(
        store.claim_device(user_code, &of("o2"), Some("47")).await,
        Ok(Decided::Gone),
        "it is another's"
    );
    for id in ["a", "b"] {
        assert_eq!(
            store.approve_device(user_code, &of("o1"), &grant(id)).await,
            Ok(true),
            "the latest is fetched"
        );
    }
    assert_eq!(
        store
            .approve_device(user_code, &of("o2"), &grant("c"))
            .await,
        Ok(false)
    );
    assert_eq!(
        store.deny_device(user_code, &of("o1")).await,
        Ok(false),
        "it is approved"
    );
    for _ in 0..2 {
        assert_eq!(
            poll_by(store, &code, 7).await,
            Poll::Granted(grant("b")),
            "also if the answer was lost"
        );
    }
    for attempt in [8, 9, 8] {
        assert_eq!(
            poll_by(store, &code, attempt).await,
            Poll::Repeated(grant("b").token)
        );
    }
    assert_eq!(
        store.claim_device(user_code, &of("o1"), None).await,
        Ok(Decided::Approved)
    );
    assert_eq!(
        store.claim_device(user_code, &of("o2"), Some("47")).await,
        Ok(Decided::Gone)
    );
    assert_eq!(
        store
            .approve_device(user_code, &of("o1"), &grant("d"))
            .await,
        Ok(false),
        "it was fetched"
    );
    let found = store
        .find_device(user_code, None)
        .await
        .expect("an answer")
        .expect("it has not expired");
    assert!(found.approver == Some(of("o1")));
}

/// The attempt was answered with an error. Its messages may arrive late, when another attempt has
/// taken the grant.
async fn a_grant_that_an_attempt_gives_up_is_taken_by_another_and_by_one_alone(store: Rc<Store>) {
    let store = Devices(&store);
    let code = opened_device(store).await;
    let release = async |code: &DeviceCode, attempt| {
        store
            .release_device(code, &AttemptId::new([attempt; 16]))
            .await
            .expect("an answer");
    };
    store
        .claim_device(code.user_code(), &of("o1"), Some("47"))
        .await
        .expect("claimed");
    store
        .approve_device(code.user_code(), &of("o1"), &grant("a"))
        .await
        .expect("approved");
    let seen = store
        .poll_device(
            &code,
            (&page(), OWN),
            &app(),
            (&AttemptId::new([3; 16]), false),
        )
        .await;
    assert_eq!(seen, Ok(Poll::Granted(grant("a"))), "which takes nothing");
    for attempt in [7, 8] {
        assert_eq!(
            poll_by(store, &code, attempt).await,
            Poll::Granted(grant("a"))
        );
        release(&code, attempt).await;
        poll_by(store, &code, attempt).await;
    }
    assert_eq!(poll_by(store, &code, 9).await, Poll::Granted(grant("a")));
    release(&code, 8).await;
    for attempt in [8, 10] {
        assert_eq!(
            poll_by(store, &code, attempt).await,
            Poll::Repeated(grant("a").token)
        );
    }
    let unknown = device_code();
    release(&unknown, 1).await;
    assert_eq!(
        store
            .open_device(&unknown, &request("192.0.2.1"), MOST_OPEN)
            .await,
        Ok(true),
        "it has left nothing"
    );
}

/// Makes a request expire, as if its three minutes had passed.
async fn expire(store: Devices<'_>, code: &DeviceCode) {
    let expired = Call::of("HSET", key(code.user_code())).arg("until").arg(1);
    store
        .0
        .link
        .run::<Value>("expire", expired)
        .await
        .expect("expired");
}

/// Whoever has stolen the device code may wait until the request has expired.
async fn a_second_use_of_a_device_code_is_recognised_after_its_request_has_expired(
    store: Rc<Store>,
) {
    let store = Devices(&store);
    let code = opened_device(store).await;
    store
        .claim_device(code.user_code(), &of("o1"), Some("47"))
        .await
        .expect("claimed");
    store
        .approve_device(code.user_code(), &of("o1"), &grant("a"))
        .await
        .expect("approved");
    assert_eq!(poll_by(store, &code, 7).await, Poll::Granted(grant("a")));
    expire(store, &code).await;
    for attempt in [8, 9] {
        assert_eq!(
            poll_by(store, &code, attempt).await,
            Poll::Repeated(grant("a").token)
        );
    }
    assert_eq!(
        poll_by(store, &code, 7).await,
        Poll::Granted(grant("a")),
        "the first use, whose answer was lost"
    );
}

async fn whoever_has_looked_is_told_to_the_page(store: Rc<Store>) {
    let store = Devices(&store);
    let code = opened_device(store).await;
    store
        .find_device(code.user_code(), Some(&app()))
        .await
        .expect("an answer");
    assert_eq!(poll(store, &code).await, Poll::Pending { scanned: true });
}

async fn a_wrong_number_or_a_denial_ends_a_request(store: Rc<Store>) {
    let store = Devices(&store);
    for number in [Some("12"), Some(""), None] {
        let code = opened_device(store).await;
        let claimed = store
            .claim_device(code.user_code(), &of("o1"), number)
            .await;
        assert_eq!(claimed, Ok(Decided::WrongNumber), "{number:?}");
        let again = store
            .claim_device(code.user_code(), &of("o1"), Some("47"))
            .await;
        assert_eq!(
            (again, poll(store, &code).await),
            (Ok(Decided::Gone), Poll::Denied)
        );
    }
    let code = opened_device(store).await;
    for (person, denied) in [("o1", true), ("o2", false), ("o1", true)] {
        assert_eq!(
            store.deny_device(code.user_code(), &of(person)).await,
            Ok(denied),
            "who has denied may repeat it"
        );
        assert_eq!(
            store.find_device(code.user_code(), Some(&app())).await,
            Ok(None)
        );
        assert_eq!(poll(store, &code).await, Poll::Denied);
    }
    assert_eq!(
        store
            .deny_device(device_code().user_code(), &of("o1"))
            .await,
        Ok(false)
    );
}

async fn a_claim_that_a_denial_overtakes_is_not_approved(store: Rc<Store>) {
    let store = Devices(&store);
    let code = opened_device(store).await;
    assert_eq!(
        store
            .claim_device(code.user_code(), &of("o1"), Some("47"))
            .await,
        Ok(Decided::Claimed)
    );
    assert_eq!(
        store.deny_device(code.user_code(), &of("o1")).await,
        Ok(true)
    );
    assert_eq!(
        store
            .approve_device(code.user_code(), &of("o1"), &grant("a"))
            .await,
        Ok(false)
    );
}

/// A claim that is older than [`CLAIM`] lets the same person try again, and nobody else.
async fn an_approval_that_takes_long_is_taken_over_by_nobody_else(store: Rc<Store>) {
    let redis = &store;
    let store = Devices(redis);
    let code = opened_device(store).await;
    let claim = async |openid| {
        let number = Some("47");
        store
            .claim_device(code.user_code(), &of(openid), number)
            .await
    };
    for _ in 0..2 {
        assert_eq!(claim("o1").await, Ok(Decided::Claimed));
        let long_ago = Call::of("HSET", key(code.user_code()))
            .arg("claimed")
            .arg(1);
        redis
            .link
            .run::<Value>("claim_device", long_ago)
            .await
            .expect("as if minutes had passed");
        assert_eq!(claim("o2").await, Ok(Decided::Gone));
    }
    let approved = store
        .approve_device(code.user_code(), &of("o1"), &grant("a"))
        .await;
    assert_eq!(approved, Ok(true));
    assert_eq!(poll(store, &code).await, Poll::Granted(grant("a")));
}

async fn a_device_code_is_of_one_client_and_whole(store: Rc<Store>) {
    let store = Devices(&store);
    let code = opened_device(store).await;
    let another: ClientId = "another".parse().expect("a client");
    for (asks, app) in [
        ((&another, OWN), &app()),
        ((&page(), OWN), &another.0),
        ((&page(), " other"), &app()),
    ] {
        assert_eq!(
            store
                .poll_device(&code, asks, app, (&AttemptId::new([1; 16]), true))
                .await,
            Ok(Poll::Unknown)
        );
    }
    assert_eq!(poll(store, &device_code()).await, Poll::Unknown);
    let mut bytes = URL_SAFE_NO_PAD.decode(code.expose()).expect("base64url");
    bytes[31] ^= 1;
    let guessed: DeviceCode = URL_SAFE_NO_PAD
        .encode(bytes)
        .parse()
        .expect("a device code");
    assert!(guessed.user_code() == code.user_code());
    assert_eq!(poll(store, &guessed).await, Poll::Unknown);
    assert_eq!(
        store
            .open_device(&guessed, &request("192.0.2.9"), MOST_OPEN)
            .await,
        Ok(false)
    );
    assert_eq!(
        poll(store, &code).await,
        Poll::Pending { scanned: false },
        "which has changed nothing"
    );
}

async fn an_address_has_so_many_open_requests_at_most(store: Rc<Store>) {
    let store = Devices(&store);
    let mut codes = Vec::new();
    for _ in 0..MOST_OPEN {
        codes.push(opened_device(store).await);
    }
    let one_more = async |address| {
        store
            .open_device(&device_code(), &request(address), MOST_OPEN)
            .await
    };
    let Err(LimitError::TooMany(TooMany { retry_after })) = one_more("192.0.2.1").await else {
        panic!("too many")
    };
    assert!(
        retry_after <= DEVICE_TTL && retry_after + Duration::from_mins(1) > DEVICE_TTL,
        "{retry_after:?}"
    );
    assert_eq!(one_more("192.0.2.2").await, Ok(true));
    // None of these requests stays open.
    store
        .deny_device(codes[0].user_code(), &of("o1"))
        .await
        .expect("denied");
    store
        .claim_device(codes[1].user_code(), &of("o1"), None)
        .await
        .expect("spoiled");
    store
        .claim_device(codes[2].user_code(), &of("o1"), Some("47"))
        .await
        .expect("claimed");
    store
        .approve_device(codes[2].user_code(), &of("o1"), &grant("a"))
        .await
        .expect("approved");
    assert!(matches!(poll(store, &codes[2]).await, Poll::Granted(_)));
    for _ in 0..3 {
        assert_eq!(one_more("192.0.2.1").await, Ok(true));
    }
    assert!(matches!(
        one_more("192.0.2.1").await,
        Err(LimitError::TooMany(_))
    ));
}

/// The limit of the address counts what is open, and not what the app's limit has refused.
async fn a_request_that_the_apps_limit_refuses_takes_no_slot_of_its_address(store: Rc<Store>) {
    let address = "192.0.2.1";
    let taken = taken_by(&store, share::OPEN_REQUESTS, address).await;
    let devices = Devices(&store);
    let open = async || {
        let (code, request) = (device_code(), request(address));
        devices.open_device(&code, &request, MOST_OPEN).await
    };
    for _ in 0..=MOST_OPEN {
        assert!(matches!(open().await, Err(LimitError::TooMany(_))));
    }
    for number in 0..taken {
        let id = format!("{address} {number}");
        share::OPEN_REQUESTS
            .give_back(&store, &app(), address, &id)
            .await
            .expect("given back");
    }
    for number in 0..MOST_OPEN {
        assert_eq!(open().await, Ok(true), "{number}");
    }
    assert!(matches!(open().await, Err(LimitError::TooMany(_))));
}

/// How many reservations of a budget an address gets before it is refused.
async fn taken_by(store: &Store, budget: Budget, address: &str) -> u32 {
    for number in 0..=budget.total {
        let taken = budget
            .take(store, &app(), address, &format!("{address} {number}"))
            .await;
        let retry_after = match taken {
            Ok(()) => continue,
            Err(LimitError::TooMany(refused)) => refused.retry_after,
            Err(LimitError::Store(error)) => panic!("{error}"),
        };
        assert!(
            !retry_after.is_zero() && retry_after <= budget.period,
            "{retry_after:?}"
        );
        return number;
    }
    panic!("{address} is never refused");
}

async fn fifty_greedy_addresses_leave_half_of_the_codes_to_those_who_take_little(store: Rc<Store>) {
    assert_eq!(
        taken_by(&store, share::CODES, "an office").await,
        228,
        "an address alone"
    );
    let mut taken = 228;
    for number in 0..49 {
        taken += taken_by(&store, share::CODES, &format!("greedy {number}")).await;
    }
    assert!((2_400..=2_600).contains(&taken), "{taken} of 5,000 codes");
    for number in 0..100 {
        assert_eq!(
            taken_by(&store, share::CODES, &format!("a person {number}")).await,
            2
        );
    }
}

async fn what_is_given_back_or_asked_for_again_counts_once_and_each_app_has_its_own(
    store: Rc<Store>,
) {
    let budget = Budget {
        name: "few",
        total: 4,
        period: Duration::from_mins(1),
    };
    let take = async |app: &AppId, address, id| budget.take(&store, app, address, id).await;
    for (address, id) in [
        ("a", "1"),
        ("a", "1"),
        ("b", "2"),
        ("c", "3"),
        ("d", "4"),
        ("b", "2"),
    ] {
        assert_eq!(take(&app(), address, id).await, Ok(()), "{address} {id}");
    }
    assert!(
        matches!(take(&app(), "e", "5").await, Err(LimitError::TooMany(_))),
        "all are taken"
    );
    assert_eq!(
        take(&"wx0000000000000001".parse().expect("an app"), "e", "5").await,
        Ok(())
    );
    for _ in 0..2 {
        budget
            .give_back(&store, &app(), "b", "2")
            .await
            .expect("given back");
    }
    assert_eq!(take(&app(), "e", "5").await, Ok(()));
    assert!(matches!(
        take(&app(), "f", "6").await,
        Err(LimitError::TooMany(_))
    ));
}

async fn a_mini_program_code_is_asked_for_a_few_times(store: Rc<Store>) {
    let store = Devices(&store);
    let code = opened_device(store).await;
    for number in 0..=MOST_PICTURES {
        assert_eq!(
            store.count_picture(code.user_code()).await,
            Ok(number < MOST_PICTURES),
            "{number}"
        );
    }
    // Uncounts a code that WeChat has not drawn. The code that was too many does not count.
    store
        .uncount_picture(code.user_code())
        .await
        .expect("uncounted");
    assert_eq!(store.count_picture(code.user_code()).await, Ok(true));
    assert_eq!(store.count_picture(code.user_code()).await, Ok(false));
    assert_eq!(
        store.count_picture(device_code().user_code()).await,
        Ok(false)
    );
}

crate::conformance! {
    an_approved_request_gives_one_token
    a_grant_that_an_attempt_gives_up_is_taken_by_another_and_by_one_alone
    a_second_use_of_a_device_code_is_recognised_after_its_request_has_expired
    whoever_has_looked_is_told_to_the_page
    a_wrong_number_or_a_denial_ends_a_request
    a_claim_that_a_denial_overtakes_is_not_approved
    an_approval_that_takes_long_is_taken_over_by_nobody_else
    a_device_code_is_of_one_client_and_whole
    an_address_has_so_many_open_requests_at_most
    a_request_that_the_apps_limit_refuses_takes_no_slot_of_its_address
    fifty_greedy_addresses_leave_half_of_the_codes_to_those_who_take_little
    what_is_given_back_or_asked_for_again_counts_once_and_each_app_has_its_own
    a_mini_program_code_is_asked_for_a_few_times
}

mod redis_only {
    use super::*;

    #[tokio::test(flavor = "local")]
    async fn an_expired_request_is_told_as_expired_for_ten_minutes_whatever_comes_then() {
        let server = RedisServer::start().await;
        let redis = server.store();
        let store = Devices(&redis);
        let [open, claimed, approved] = [
            opened_device(store).await,
            opened_device(store).await,
            opened_device(store).await,
        ];
        for code in [&claimed, &approved] {
            store
                .claim_device(code.user_code(), &of("o1"), Some("47"))
                .await
                .expect("claimed");
        }
        store
            .approve_device(approved.user_code(), &of("o1"), &grant("a"))
            .await
            .expect("approved");
        for code in [&open, &claimed, &approved] {
            expire(store, code).await;
            let user_code = code.user_code();
            assert_eq!(store.find_device(user_code, Some(&app())).await, Ok(None));
            assert_eq!(
                store.claim_device(user_code, &of("o1"), Some("47")).await,
                Ok(Decided::Gone)
            );
            assert_eq!(
                store
                    .approve_device(user_code, &of("o1"), &grant("b"))
                    .await,
                Ok(false)
            );
            assert_eq!(store.deny_device(user_code, &of("o1")).await, Ok(false));
            assert_eq!(store.count_picture(user_code).await, Ok(false));
            assert_eq!(poll(store, code).await, Poll::Expired);
            let left = server
                .cli(&["TTL", &format!("wxmint:device:{{{user_code}}}")])
                .parse::<u64>()
                .expect("seconds");
            assert!((700..=780).contains(&left), "{left}");
        }
    }

    #[tokio::test(flavor = "local")]
    async fn redis_has_no_device_code() {
        let server = RedisServer::start().await;
        let code = opened_device(Devices(&server.store())).await;
        let stored = server.cli(&[
            "HGETALL",
            &format!("wxmint:device:{{{}}}", code.user_code()),
        ]);
        assert!(
            stored.contains("shop-web") && !stored.contains(code.expose()),
            "{stored}"
        );
    }

    #[tokio::test(flavor = "local")]
    async fn each_ask_that_comes_too_soon_makes_the_interval_five_seconds_longer() {
        let server = RedisServer::start().await;
        let redis = server.store();
        let store = Devices(&redis);
        let code = opened_device(store).await;
        poll(store, &code).await;
        for (attempt, interval) in [(2, "7000"), (3, "12000")] {
            assert_eq!(poll_by(store, &code, attempt).await, Poll::TooSoon);
            let key = format!("wxmint:device:{{{}}}", code.user_code());
            assert_eq!(server.cli(&["HGET", &key, "interval"]), interval);
        }
    }
}
