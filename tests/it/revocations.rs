//! The feed of revocations, from outside: what is revoked stands in it within a second, signed, in pages, and names
//! nobody.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::prelude::*;
use rustix::net::{self, AddressFamily, SocketType, sockopt::set_socket_recv_buffer_size};
use wxmint::clock::now;
use wxmint_verify::revocations::RevocationHash;

/// More clients than there is room for pages that nobody reads.
const DO_NOT_READ: usize = 250;

/// The claims of a page.
struct Page(Value);

impl Page {
    fn text(&self, name: &str) -> &str {
        self.0[name]
            .as_str()
            .unwrap_or_else(|| panic!("{name}: {}", self.0))
    }

    fn revoked(&self) -> &Vec<Value> {
        self.0["revoked"].as_array().expect("an array")
    }
}

async fn ask(bed: &TestBed, query: &str) -> Answer {
    bed.http
        .get(&bed.service().url(&format!("/revocations{query}")))
        .await
}

/// The page after `cursor`. Every sidecar of these tests checks the signatures of pages.
async fn page_after(bed: &TestBed, cursor: &str) -> Page {
    let answer = ask(bed, &format!("?after={cursor}")).await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, "application/revocations+jwt"),
        "{answer:?}"
    );
    assert_eq!(answer.header("cache-control"), "public, max-age=1");
    let (header, claims) = decoded(&answer.body);
    assert_eq!(header["typ"], "revocations+jwt");
    Page(claims)
}

/// Asks until the feed has this many ends after `cursor`: a page may be a second old.
async fn revocations_after(bed: &TestBed, cursor: &str, count: usize) -> Page {
    eventually("the revocations are in the feed", BUSY, async || {
        Some(page_after(bed, cursor).await).filter(|page| page.revoked().len() >= count)
    })
    .await
}

fn hash(bed: &TestBed, value: &str) -> Value {
    RevocationHash::of(bed.configuration.value("WXMINT_ISSUER"), value)
        .to_string()
        .into()
}

#[tokio::test]
async fn what_a_person_revokes_is_in_the_feed_of_every_replica_and_without_names_and_a_broken_store_says_so()
 {
    let bed = TestBed::builder()
        .services(2)
        .breakable_redis()
        .start()
        .await;
    let empty = page_after(&bed, "").await;
    let iat = empty.0["iat"].as_i64().expect("seconds");
    assert!((now().timestamp() - iat).abs() <= BUSY.as_secs() as i64);
    let expected = json!({"iss": bed.configuration.value("WXMINT_ISSUER"), "iat": iat, "exp": iat + 300, "after": "",
        "cursor": "", "more": false, "revoked": []});
    assert_eq!(empty.0, expected);

    let [one, other] = [bed.log_in("lin").await, bed.log_in("lin").await];
    let claims = one.claims();
    bed.log_out(&one, false).await;
    let page = revocations_after(&bed, "", 1).await;
    assert_eq!(
        page.revoked(),
        &[json!([
            "jti",
            hash(&bed, claims["jti"].as_str().expect("a jti")),
            claims["exp"]
        ])]
    );
    bed.log_out(&one, false).await;
    bed.log_out(&other, true).await;
    let unbound = bed.log_in("mei").await;
    bed.dissolve(&unbound).await;

    let cursor = page.text("cursor");
    let page = revocations_after(&bed, cursor, 2).await;
    assert_eq!(page.text("after"), cursor);
    let (user, successor) = (
        claims["sub"].as_str().expect("a user"),
        unbound.member("user_id"),
    );
    let named: Vec<Value> = page
        .revoked()
        .iter()
        .map(|revocation| json!([revocation[0], revocation[1]]))
        .collect();
    let in_app = format!("{successor}\0{APPID}");
    assert_eq!(
        named,
        [
            json!(["sub", hash(&bed, user)]),
            json!(["app", hash(&bed, &in_app)])
        ]
    );
    for revocation in page.revoked() {
        let before = revocation[2].as_i64().expect("seconds");
        assert!(
            (iat..=now().timestamp()).contains(&before),
            "a second of the store's clock: {revocation}"
        );
        assert_eq!(
            revocation[3],
            before + 86_400,
            "until the last token of that second expires: {revocation}"
        );
    }
    let told = page.0.to_string();
    assert!(
        !told.contains(user) && !told.contains(&successor) && !told.contains(APPID),
        "{told}"
    );

    let last = page.text("cursor").to_owned();
    assert_eq!(
        page_after(&bed, &last).await.revoked(),
        &Vec::<Value>::new()
    );
    for unknown in ["1-1.AAAAAAAA", "x", "%00", &"9".repeat(3000)] {
        let page = revocations_after(&bed, unknown, 3).await;
        assert_eq!(
            (page.text("after"), page.revoked().len()),
            ("", 3),
            "from the oldest: {unknown}"
        );
        let other = decoded(&bed.services[1].get("/revocations").await.body).1;
        assert_eq!(
            (&other["revoked"], &other["cursor"]),
            (&page.0["revoked"], &page.0["cursor"])
        );
    }

    bed.redis_link().cut().await;
    let broken = eventually("a page is kept for a second at most", BUSY, async || {
        Some(ask(&bed, &format!("?after={last}")).await).filter(|answer| answer.status != 200)
    });
    broken.await.expect_problem(503, "store_unavailable");
}

/// Puts revocations into the stream as they stand there.
pub(crate) fn fill(bed: &TestBed, revocations: impl IntoIterator<Item = String>) {
    let script = "for _, text in ipairs(ARGV) do redis.call('XADD', KEYS[1], '*', 'end', text) end";
    let revocations: Vec<_> = revocations.into_iter().collect();
    let words = ["EVAL", script, "1", redis_keys::ENDS]
        .into_iter()
        .chain(revocations.iter().map(String::as_str));
    bed.redis.command::<()>(&words.collect::<Vec<_>>());
}

/// In 2100: nobody forgets a revocation of that date.
pub(crate) const FAR: i64 = 4_102_444_800;

/// So many keys that were revoked.
pub(crate) fn kids(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("kid {FAR} {number:043}"))
}

/// The same as if they had been put there an hour ago: `from` of them stand there already.
fn fill_earlier(bed: &TestBed, from: usize, revocations: impl IntoIterator<Item = String>) {
    let script =
        "for i = 2, #ARGV do redis.call('XADD', KEYS[1], ARGV[1] + i .. '-0', 'end', ARGV[i]) end";
    let first =
        (now().timestamp_millis() - 3_600_000 + i64::try_from(from).expect("few")).to_string();
    let revocations: Vec<_> = revocations.into_iter().collect();
    let words = ["EVAL", script, "1", redis_keys::ENDS, &first]
        .into_iter()
        .chain(revocations.iter().map(String::as_str));
    bed.redis.command::<()>(&words.collect::<Vec<_>>());
}

/// The pages from a cursor to the end of the feed, by a client of this address.
async fn pages_from(service: &Service, mut cursor: String, address: &str) -> Vec<Page> {
    let mut pages: Vec<Page> = Vec::new();
    while pages.last().is_none_or(|page| page.0["more"] == true) {
        let page = Page(decoded(&page_by(service, &cursor, address).await).1);
        assert!(
            page.text("after") == cursor || page.text("after").is_empty(),
            "{:?}",
            page.text("after")
        );
        page.text("cursor").clone_into(&mut cursor);
        pages.push(page);
        assert!(pages.len() < 20, "they lead in a circle");
    }
    pages
}

/// The page after a cursor as it comes, to a client of this address behind a proxy.
async fn page_by(service: &Service, cursor: &str, address: &str) -> String {
    let asked = service
        .http
        .0
        .get(service.url(&format!("/revocations?after={cursor}")));
    let answer = service
        .http
        .send(asked.header("x-forwarded-for", address))
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

/// The cursor of the newest page is remembered for a minute by the process that made the page, so another one is asked.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_page_is_signed_once_for_all_readers_and_a_collected_cursor_leads_to_it() {
    let bed = TestBed::builder().services(2).start().await;
    let all: Vec<_> = kids(4_000).collect();
    fill_earlier(&bed, 0, all[..1_700].iter().cloned());
    let collected = pages_from(&bed.services[0], String::new(), "192.0.2.1").await;
    let collected = collected.last().expect("pages").text("cursor").to_owned();
    fill_earlier(&bed, 1_700, all[1_700..3_990].iter().cloned());

    let service = &bed.services[1];
    let whole = pages_from(service, String::new(), "192.0.2.1").await;
    let (last, full) = whole.split_last().expect("pages");
    assert!(
        full.iter()
            .all(|page| (501..=1000).contains(&page.revoked().len()))
    );
    assert_eq!(
        whole.iter().map(|page| page.revoked().len()).sum::<usize>(),
        3_990
    );
    let old = whole[1].text("after");
    let (signed, newest) = (
        page_by(service, old, "192.0.2.2").await,
        page_by(service, "", "192.0.2.2").await,
    );
    let is_made_anew = async || page_by(service, "", "192.0.2.3").await != newest;
    until(
        "a page that changes is made anew after a second",
        BUSY,
        is_made_anew,
    )
    .await;
    assert_eq!(
        page_by(service, old, "192.0.2.4").await,
        signed,
        "the same signature"
    );

    let from_collected = pages_from(service, collected.clone(), "192.0.2.5").await;
    let (leads, after) = from_collected.split_first().expect("pages");
    assert_eq!(
        (leads.text("after"), leads.revoked().len()),
        (&*collected, 0)
    );
    let begins: Vec<_> = whole.iter().map(|page| page.text("after")).collect();
    assert!(
        begins[1..].contains(&leads.text("cursor")),
        "everybody's page: {begins:?}"
    );
    let read: Vec<_> = after.iter().flat_map(Page::revoked).collect();
    assert!(
        read.len() < 3_990 && read.len() >= 3_990 - 1_700,
        "all that came after it, and a part of a page twice"
    );
    assert_eq!(read.last(), last.revoked().last().as_ref());

    // Whoever is nearly up to date gets what it lacks.
    let tip = last.text("cursor").to_owned();
    fill_earlier(&bed, 3_990, all[3_990..].iter().cloned());
    let lacking = pages_from(&bed.services[0], tip, "192.0.2.6").await;
    assert_eq!(
        lacking
            .iter()
            .map(|page| page.revoked().len())
            .collect::<Vec<_>>(),
        [10]
    );
}

/// Redis does not answer, so that whoever has a turn keeps it for a while. A process that has not made the newest pages
/// itself has each reader of them wait for a turn.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_for_pages_from_many_addresses_of_one_network_has_the_turns_of_one_client() {
    let bed = TestBed::builder()
        .services(2)
        .breakable_redis()
        .start()
        .await;
    let (mut cursors, mut newest) = (Vec::new(), String::new());
    for kid in kids(32) {
        fill(&bed, [kid]);
        newest = page_after(&bed, &newest).await.text("cursor").to_owned();
        cursors.push(newest.clone());
    }
    bed.redis_link().withhold_answers().await;
    let service = &bed.services[1];
    let refused = async |cursor: &str, address: String| {
        let asked = service
            .http
            .0
            .get(service.url(&format!("/revocations?after={cursor}")));
        let answer = service
            .http
            .send(asked.header("x-forwarded-for", address))
            .await;
        let detail = answer
            .expect_problem(503, "store_unavailable")
            .member("detail");
        detail.starts_with("Too many pages of the feed are asked for at once.")
    };
    // On a busy machine they may come so slowly that turns have passed meanwhile.
    until("its turns are taken", BUSY * 3, async || {
        let of_network = cursors
            .iter()
            .enumerate()
            .map(|(host, cursor)| refused(cursor, format!("2001:db8:1:2:{host:x}::1")));
        let (of_network, of_another) = tokio::join!(
            join_all(of_network),
            refused(&newest, "2001:db8:1:3::1".to_owned())
        );
        assert!(!of_another, "the turns of another network");
        of_network.contains(&true)
    })
    .await;
}

/// A client that sends `request` and reads no more than the status. The kernel keeps as little as it can for it.
pub(crate) fn who_does_not_read(service: &Service, request: &str) -> (TcpStream, String) {
    let socket = net::socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    set_socket_recv_buffer_size(&socket, 1).expect("the least that there is");
    net::connect(&socket, &service.public).expect("connected");
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(BUSY)).expect("set");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut status = [0; 12];
    stream.read_exact(&mut status).expect("a status line");
    (stream, String::from_utf8_lossy(&status[9..]).into_owned())
}

/// Pages that they do not read may fill their room, and fill it again.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_has_at_most_a_thousand_revocations_and_nobody_who_does_not_read_keeps_others_from_the_feed()
 {
    let bed = TestBed::start().await;
    fill(&bed, kids(1001));
    let page = revocations_after(&bed, "", 1).await;
    let first = page.revoked().len();
    assert!(
        (501..=1000).contains(&first) && page.0["more"] == true,
        "{first}"
    );
    let next = page_after(&bed, page.text("cursor")).await;
    assert_eq!(
        (next.revoked().len(), &next.0["more"]),
        (1001 - first, &false.into())
    );
    let mut unread = Vec::new();
    for path in ["/openapi.json", "/revocations"] {
        for _ in 0..DO_NOT_READ {
            let (connection, status) = who_does_not_read(
                bed.service(),
                &wire_request(&format!("GET {path}"), "a", "", ""),
            );
            assert_eq!(status, "200", "{path}");
            unread.push(connection);
        }
        assert_eq!(page_after(&bed, "").await.revoked().len(), first);
        assert!(
            page_after(&bed, next.text("cursor"))
                .await
                .revoked()
                .is_empty()
        );
    }
}
