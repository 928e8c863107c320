//! The feed of ends, from outside: what is ended stands in it within a second, signed, in pages, and names nobody.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::prelude::*;
use rustix::net::{self, AddressFamily, SocketType, sockopt::set_socket_recv_buffer_size};
use wxmint::clock::now;
use wxmint_verify::ends::EndHash;

/// More clients than there is room for pages that nobody reads.
const DO_NOT_READ: usize = 250;

/// The claims of a page.
struct Page(Value);

impl Page {
    fn text(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or_else(|| panic!("{name}: {}", self.0))
    }

    fn ended(&self) -> &Vec<Value> {
        self.0["ended"].as_array().expect("an array")
    }
}

async fn ask(bed: &TestBed, query: &str) -> Answer {
    bed.http.get(&bed.service().url(&format!("/revocations{query}"))).await
}

/// The page after `cursor`. Every sidecar of these tests checks the signatures of pages.
async fn page_after(bed: &TestBed, cursor: &str) -> Page {
    let answer = ask(bed, &format!("?after={cursor}")).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/revocations+jwt"), "{answer:?}");
    assert_eq!(answer.header("cache-control"), "public, max-age=1");
    let (header, claims) = decoded(&answer.body);
    assert_eq!(header["typ"], "revocations+jwt");
    Page(claims)
}

/// Asks until the feed has this many ends after `cursor`: a page may be a second old.
async fn ends_after(bed: &TestBed, cursor: &str, count: usize) -> Page {
    eventually("the ends are in the feed", BUSY, async || {
        Some(page_after(bed, cursor).await).filter(|page| page.ended().len() >= count)
    })
    .await
}

fn hash(bed: &TestBed, value: &str) -> Value {
    EndHash::of(bed.configuration.value("WXMINT_ISSUER"), value).to_string().into()
}

#[tokio::test]
async fn what_a_person_ends_is_in_the_feed_of_every_replica_and_without_names_and_a_broken_store_says_so() {
    let bed = TestBed::builder().services(2).breakable_redis().start().await;
    let empty = page_after(&bed, "").await;
    let iat = empty.0["iat"].as_i64().expect("seconds");
    assert!((now().timestamp() - iat).abs() <= BUSY.as_secs() as i64);
    let expected = json!({"iss": bed.configuration.value("WXMINT_ISSUER"), "iat": iat, "exp": iat + 300, "after": "",
        "cursor": "", "more": false, "keep": 86400 + 60, "ended": []});
    assert_eq!(empty.0, expected);

    let [one, other] = [bed.log_in("lin").await, bed.log_in("lin").await];
    let claims = one.claims();
    bed.log_out(&one, false).await;
    let page = ends_after(&bed, "", 1).await;
    assert_eq!(page.ended(), &[json!(["jti", hash(&bed, claims["jti"].as_str().expect("a jti")), claims["exp"]])]);
    bed.log_out(&one, false).await;
    bed.log_out(&other, true).await;
    let unbound = bed.log_in("mei").await;
    bed.dissolve(&unbound).await;

    let cursor = page.text("cursor");
    let page = ends_after(&bed, cursor, 2).await;
    assert_eq!(page.text("after"), cursor);
    let (user, successor) = (claims["sub"].as_str().expect("a user"), unbound.member("user_id"));
    let named: Vec<Value> = page.ended().iter().map(|end| json!([end[0], end[1]])).collect();
    let in_app = format!("{successor}\0{APPID}");
    assert_eq!(named, [json!(["sub", hash(&bed, user)]), json!(["app", hash(&bed, &in_app)])]);
    for end in page.ended() {
        let before = end[2].as_i64().expect("seconds");
        assert!((iat..=now().timestamp()).contains(&before), "a second of the store's clock: {end}");
    }
    let told = page.0.to_string();
    assert!(!told.contains(user) && !told.contains(&successor) && !told.contains(APPID), "{told}");

    let last = page.text("cursor").to_owned();
    assert_eq!(page_after(&bed, &last).await.ended(), &Vec::<Value>::new());
    for unknown in ["1-1.AAAAAAAA", "x", "%00", &"9".repeat(3000)] {
        let page = ends_after(&bed, unknown, 3).await;
        assert_eq!((page.text("after"), page.ended().len()), ("", 3), "from the oldest: {unknown}");
        let other = decoded(&bed.services[1].get("/revocations").await.body).1;
        assert_eq!((&other["ended"], &other["cursor"]), (&page.0["ended"], &page.0["cursor"]));
    }

    bed.redis_link().cut().await;
    let broken = eventually("a page is kept for a second at most", BUSY, async || {
        Some(ask(&bed, &format!("?after={last}")).await).filter(|answer| answer.status != 200)
    });
    broken.await.expect_problem(503, "store_unavailable");
}

/// Puts ends into the stream as they stand there.
pub(crate) fn fill(bed: &TestBed, ends: impl IntoIterator<Item = String>) {
    let script = "for _, text in ipairs(ARGV) do redis.call('XADD', KEYS[1], '*', 'end', text) end";
    let ends: Vec<_> = ends.into_iter().collect();
    let words = ["EVAL", script, "1", redis_keys::ENDS].into_iter().chain(ends.iter().map(String::as_str));
    bed.redis.command::<()>(&words.collect::<Vec<_>>());
}

/// So many keys that were ended.
pub(crate) fn kids(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("kid {number:043}"))
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
async fn a_page_has_at_most_a_thousand_ends_and_nobody_who_does_not_read_keeps_others_from_the_feed() {
    let bed = TestBed::start().await;
    fill(&bed, kids(1001));
    let page = ends_after(&bed, "", 1).await;
    assert_eq!((page.ended().len(), &page.0["more"]), (1000, &true.into()));
    let next = page_after(&bed, page.text("cursor")).await;
    assert_eq!((next.ended().len(), &next.0["more"]), (1, &false.into()));
    let mut unread = Vec::new();
    for path in ["/openapi.json", "/revocations"] {
        for _ in 0..DO_NOT_READ {
            let (connection, status) =
                who_does_not_read(bed.service(), &wire_request(&format!("GET {path}"), "a", "", ""));
            assert_eq!(status, "200", "{path}");
            unread.push(connection);
        }
        assert_eq!(page_after(&bed, "").await.ended().len(), 1000);
        assert!(page_after(&bed, next.text("cursor")).await.ended().is_empty());
    }
}
