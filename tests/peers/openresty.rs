//! examples/peers/openresty: Lua in Debian's nginx, which verifies by itself.

use std::net::SocketAddr;

use reqwest::Url;
use tokio::net::TcpStream;

use crate::checks;
use crate::example::{Example, Started, example_folder};
use crate::forward_auth::NGINX;
use crate::scene::Scene;
use crate::support::{Http, PATIENCE, Process, eventually, free_port, until};

/// Starts the example for the issuer at this address, with settings in place of those that the files have. Its back end
/// is the example's own server, which answers each request with 200.
pub(crate) fn start(issuer: SocketAddr, settings: &[(&str, &str)]) -> Started {
    let answers = (
        "proxy_pass http://back_end;",
        "content_by_lua_block {
            local headers = ngx.req.get_headers()
            ngx.say(require(\"cjson\").encode { user_id = headers[\"x-user-id\"], client_id = headers[\"x-client-id\"] })
        }",
    );
    run(issuer, &[settings, &[answers]].concat())
}

fn run(issuer: SocketAddr, settings: &[(&str, &str)]) -> Started {
    let port = free_port();
    let (issuer, address) = (issuer.to_string(), format!("127.0.0.1:{port}"));
    let addresses = [("127.0.0.1:8080", &*issuer), ("127.0.0.1:8000", &*address)];
    let folder = example_folder("openresty", &[settings, &addresses].concat());
    let process = Process::spawn("nginx", (NGINX.program)().current_dir(folder.path()));
    Started {
        example: Example::new("openresty", port),
        _process: process,
        folder,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_with_lua_lets_good_tokens_through_names_the_user_and_obeys_revocations() {
    let scene = Scene::start().await;
    let back_end = scene.back_end.address.to_string();
    let Started { example, .. } = &run(scene.address(), &[("127.0.0.1:3000", &back_end)]);
    eventually("it has keys", PATIENCE, async || {
        scene.is_let_in(example).await
    })
    .await;
    checks::identity_headers(&scene, example).await;
    checks::paths(&scene, example).await;
    checks::obeys_revocations(&scene, example).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_over_http_is_taken_only_on_this_machine() {
    let instead = (
        "if ngx.var.is_open == \"1\" then",
        "local options = { issuer = ngx.unescape_uri(ngx.var.arg_issuer), audience = \"https://api.example.com\" }
            ngx.say(tostring(pcall(require(\"wxmint\").new, options)))
            if ngx.headers_sent then",
    );
    let nobody = ([127, 0, 0, 1], free_port()).into();
    let Started { example, .. } = &run(nobody, &[instead]);
    let http = Http::new();
    let address = example.address;
    until("nginx listens", PATIENCE, async || {
        TcpStream::connect(address).await.is_ok()
    })
    .await;
    for (issuer, is_taken) in [
        ("https://login.example.com", true),
        ("http://127.0.0.1:8080", true),
        ("http://127.1.2.3", true),
        ("http://localhost:8080/login", true),
        ("http://login.example.com", false),
        ("http://localhost.evil.example", false),
        ("http://localhostevil.example", false),
        ("http://127.evil.example", false),
        ("http://127.0.0.1.evil.example", false),
        ("http://localhost:8080@evil.example", false),
        ("http://127.0.0.1@evil.example", false),
        ("http://", false),
    ] {
        let url = Url::parse_with_params(&format!("http://{address}/"), [("issuer", issuer)]);
        let said = http.get(url.expect("a URL").as_str()).await.body;
        assert_eq!(said.starts_with("true"), is_taken, "{issuer}: {said}");
    }
}
