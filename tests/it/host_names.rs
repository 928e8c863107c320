//! A web page can let its own host name point at this machine (DNS rebinding), or send requests here without reading
//! their answers. What is for this machine alone answers neither.

use std::net::SocketAddr;

use crate::support::prelude::*;

const LOOPBACK: [&str; 4] = ["localhost", "LOCALHOST:8080", "127.0.0.1:1", "[::1]:8080"];
const FOREIGN: [&str; 4] = [
    "evil.example",
    "localhost.evil.example:80",
    "127.0.0.1.evil.example",
    "10.0.0.1",
];

async fn ask(http: &Http, listener: SocketAddr, path: &str, host: &str) -> Answer {
    http.send(
        http.0
            .get(format!("http://{listener}{path}"))
            .header("host", host),
    )
    .await
}

/// A reverse proxy on the same machine passes on the host name that its client asked for, and the kubelet asks by the
/// pod's address.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_for_this_machine_alone_answers_to_loopback_host_names_alone_and_no_other_origin_changes_the_simulator()
 {
    let bed = TestBed::start().await;
    let service = bed.service();
    let sidecar = SidecarSettings::new("http://127.0.0.1:1/jwks")
        .start()
        .await;
    let demo = Demo::start().await;
    for (listener, path) in [
        (service.admin, "/metrics"),
        (sidecar.admin, "/metrics"),
        (bed.wechat.address, "/_simulator/people"),
        (demo.address, "/demo/accounts"),
    ] {
        for host in LOOPBACK {
            assert_eq!(
                ask(&bed.http, listener, path, host).await.status,
                200,
                "{path} of {host}"
            );
        }
        for host in FOREIGN {
            let refused = ask(&bed.http, listener, path, host)
                .await
                .expect_problem(421, "invalid_request");
            assert!(
                refused.member("detail").contains("http://localhost"),
                "{refused:?}"
            );
        }
    }
    let mut configuration = Configuration::new("ES256");
    configuration.set("WXMINT_ADMIN_LISTEN", "0.0.0.0:0");
    let everywhere = Service::start(&configuration, bed.http.clone()).await;
    for host in FOREIGN {
        assert_eq!(
            ask(&bed.http, service.public, "/.well-known/jwks.json", host)
                .await
                .status,
            200
        );
        assert_eq!(
            ask(&bed.http, sidecar.public, "/verify", host).await.status,
            401
        );
        assert_eq!(
            ask(&bed.http, everywhere.admin, "/livez", host)
                .await
                .status,
            200
        );
    }

    // A page of another origin can send this without asking first: GET, HEAD and POST, with the content types of forms.
    // It asks by OPTIONS, and is not let.
    bed.log_in("lin").await.expect_login();
    let before = bed.wechat.stats().await;
    for path in [
        "reset",
        "codes",
        "phone-codes",
        "user-data",
        "apps",
        "access-tokens",
        "faults",
        "people/lin",
    ] {
        let url = format!("{}/_simulator/{path}", bed.wechat.url());
        let post = || {
            bed.http
                .0
                .post(&url)
                .header("origin", "https://evil.example")
        };
        for form in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
        ] {
            let refused = bed
                .http
                .send(post().header("content-type", form).body("{}"))
                .await;
            assert!([405, 415].contains(&refused.status), "{path}: {refused:?}");
        }
        assert!(
            [405, 415].contains(&bed.http.send(post()).await.status),
            "{path}"
        );
        let asked = bed
            .http
            .0
            .request("OPTIONS".parse().expect("a method"), &url);
        let asked = bed
            .http
            .send(asked.header("origin", "https://evil.example"))
            .await;
        assert_eq!(
            (asked.status, asked.header("access-control-allow-origin")),
            (405, ""),
            "{path}"
        );
    }
    assert_eq!(bed.wechat.stats().await, before);
}
