//! The gateways of examples/peers that cannot be had from a registry. Higress is Envoy: the filters of its example run in
//! the Envoy that the other tests have. APISIX' files are only compared with the settings of its plugins, and with each other.

use std::{fs, net::SocketAddr, path::Path, process::Command};

use serde_json::{Value, json};

use crate::{
    checks, envoy,
    example::{Started, example_folder},
    raw::Request,
    scene::Scene,
    support::{Breakable, repository, tools},
};

/// Its sidecar also knows what is public.
const HIGRESS_RULES: [(&str, &str); 2] =
    [("WXMINT_SIDECAR_ANONYMOUS", "/public"), ("WXMINT_SIDECAR_PATH_HEADER", "path")];

#[tokio::test(flavor = "multi_thread")]
async fn higress_filters_with_the_sidecar_let_good_tokens_through_and_nothing_else() {
    let scene = Scene::start().await;
    let sidecar = scene.sidecar(&HIGRESS_RULES).await;
    let link = Breakable::before(sidecar.address).await;
    let Started { example, .. } = &higress(&scene, link.address()).await;
    checks::asks_a_sidecar(&scene, example, &link).await;
    let refused = Request::get("/orders").send(example.address).await.expect("an answer");
    assert_eq!(refused.header("content-type"), ["application/problem+json"], "the sidecar's answer: {refused:?}");
    // As when the sidecar restarts.
    link.lose_next_answer();
    assert_eq!(scene.is_let_in(example).await, Some(()), "asked again");
    assert!(link.has_lost_answer());
    link.cut().await;
    let reply = Request::get("/orders").bearer(&scene.lin.token).send(example.address).await.expect("an answer");
    assert_eq!(reply.status, 503, "the token is not to blame: {reply:?}");
}

/// The question goes to the back end, whose 200 names nobody.
#[tokio::test(flavor = "multi_thread")]
async fn higress_filters_show_the_sidecar_the_token_alone_and_its_yes_must_name_a_user() {
    let scene = Scene::start().await;
    let gateway = higress(&scene, scene.back_end.address).await;
    let request = Request::get("/orders?page=2").bearer("a.b.c").lines(["Cookie: secret=1", "X-User-Id: forged"]);
    assert_eq!(request.send(gateway.example.address).await.expect("an answer").status, 403);
    let seen = scene.back_end.take();
    let [question] = &seen[..] else { panic!("one question: {seen:?}") };
    assert_eq!((&*question.method, &*question.path), ("GET", "/verify/orders?page=2"));
    let names = question.headers.iter().map(|(name, _)| &**name);
    let shown: Vec<_> = names.filter(|name| ["cookie", "authorization", "x-user-id"].contains(name)).collect();
    assert_eq!(shown, ["authorization"], "{question:?}");
}

/// The settings of the two plugins in APISIX 3.18.0 (apisix/plugins/forward-auth.lua and proxy-rewrite.lua). APISIX ignores
/// others without a word.
const FORWARD_AUTH: [&str; 14] = [
    "uri",
    "allow_degradation",
    "status_on_error",
    "ssl_verify",
    "request_method",
    "max_req_body_size",
    "request_headers",
    "extra_headers",
    "upstream_headers",
    "client_headers",
    "timeout",
    "keepalive",
    "keepalive_timeout",
    "keepalive_pool",
];
const HEADERS_OF_PROXY_REWRITE: [&str; 3] = ["add", "set", "remove"];

#[test]
fn apisix_plugins_know_each_setting_and_the_ingress_controller_gets_the_same_ones() {
    let read = |file: &str| documents(&repository("examples/peers/apisix").join(file));
    let plugins = read("apisix.yaml")[0]["routes"][0]["plugins"].clone();
    let names = |value: &Value| value.as_object().expect("settings").keys().cloned().collect::<Vec<_>>();
    for setting in names(&plugins["forward-auth"]) {
        assert!(FORWARD_AUTH.contains(&&*setting), "forward-auth has no {setting}");
    }
    for setting in names(&plugins["proxy-rewrite"]["headers"]) {
        assert!(HEADERS_OF_PROXY_REWRITE.contains(&&*setting), "proxy-rewrite's headers have no {setting}");
    }
    let identity = json!(["X-User-Id", "X-Client-Id", "X-Token-Id"]);
    assert_eq!(plugins["proxy-rewrite"]["headers"]["remove"], identity, "the client's own");
    assert_eq!(plugins["forward-auth"]["upstream_headers"], identity, "the sidecar's");

    let ingress = read("ingress.yaml");
    let [config, route] = &ingress[..] else { panic!("two objects: {ingress:?}") };
    assert_eq!(route["spec"]["http"][0]["plugin_config_name"], config["metadata"]["name"]);
    for plugin in config["spec"]["plugins"].as_array().expect("plugins") {
        let (name, mut given) = (plugin["name"].as_str().expect("a name"), plugin["config"].clone());
        if let Some(uri) = given.get_mut("uri") {
            assert_eq!(*uri, "http://wxmint-sidecar.wxmint.svc.cluster.local:8181/verify");
            *uri = plugins[name]["uri"].clone();
        }
        assert_eq!((&plugin["enable"], given), (&json!(true), plugins[name].clone()), "{name}");
    }
}

/// Envoy as Higress would have it before the scene's back end: with the filters and the cluster of the example.
async fn higress(scene: &Scene, sidecar: SocketAddr) -> Started {
    let (url, port) = (format!("http://{sidecar}"), format!("127.0.0.1, {}", envoy::port_value(sidecar)));
    let service = "wxmint-sidecar.wxmint.svc.cluster.local";
    let addresses = [(format!("http://{service}:8181"), url), (format!("{service}, port_value: 8181 }}"), port)];
    let folder = example_folder("higress", &addresses.each_ref().map(|(old, new)| (&**old, &**new)));
    let configuration = gateway_with(&documents(&folder.path().join("envoyfilter.yaml"))[0], scene.back_end.address);
    fs::write(folder.path().join("envoy.json"), configuration.to_string()).expect("written");
    envoy::run("higress", folder, "envoy.json").await
}

/// The bootstrap of a gateway to which an EnvoyFilter has been applied, as Istio does: a filter that is inserted first runs
/// before those that were inserted before.
fn gateway_with(filter: &Value, back_end: SocketAddr) -> Value {
    let (mut filters, mut clusters) = (vec![extension("router.v3.Router", "envoy.filters.http.router")], Vec::new());
    for patch in filter["spec"]["configPatches"].as_array().expect("patches") {
        assert_eq!(patch["match"]["context"], "GATEWAY");
        let value = patch["patch"]["value"].clone();
        match (patch["applyTo"].as_str(), patch["patch"]["operation"].as_str()) {
            (Some("CLUSTER"), Some("ADD")) => clusters.push(value),
            (Some("HTTP_FILTER"), Some("INSERT_FIRST")) => filters.insert(0, value),
            other => panic!("the test does not apply {other:?}"),
        }
    }
    let address =
        |address: SocketAddr| json!({"socket_address": {"address": "127.0.0.1", "port_value": address.port()}});
    let endpoint = json!({"endpoint": {"address": address(back_end)}});
    let endpoints = json!({"cluster_name": "back-end", "endpoints": [{"lb_endpoints": [endpoint]}]});
    clusters.push(json!({"name": "back-end", "type": "STATIC", "load_assignment": endpoints}));
    let all = json!({"match": {"prefix": "/"}, "route": {"cluster": "back-end"}});
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "peer", "use_remote_address": true, "normalize_path": true, "http_filters": filters,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [all]}]},
    });
    let manager = json!({"name": "envoy.filters.network.http_connection_manager", "typed_config": manager});
    let any = address(SocketAddr::from(([127, 0, 0, 1], 0)));
    let listener = json!({"name": "peer", "address": any, "filter_chains": [{"filters": [manager]}]});
    json!({"admin": {"address": any}, "static_resources": {"listeners": [listener], "clusters": clusters}})
}

fn extension(kind: &str, name: &str) -> Value {
    json!({"name": name, "typed_config": {"@type": format!("type.googleapis.com/envoy.extensions.filters.http.{kind}")}})
}

/// The documents of a YAML file.
fn documents(file: &Path) -> Vec<Value> {
    const READ: &str = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
    let read = Command::new(tools("python/bin/python")).args(["-c", READ]).arg(file).output().expect("Python runs");
    assert!(read.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&read.stderr));
    serde_json::from_slice(&read.stdout).expect("JSON")
}
