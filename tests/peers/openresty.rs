//! examples/peers/openresty: Lua in Debian's nginx, which verifies by itself.

use std::net::SocketAddr;

use crate::checks;
use crate::example::{Example, Started, example_folder};
use crate::forward_auth::NGINX;
use crate::scene::Scene;
use crate::support::{PATIENCE, Process, eventually, free_port};

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
