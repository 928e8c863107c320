//! The gateways of examples/peers that cannot be had from a registry. Higress is Envoy: the filters of its example run
//! in the Envoy that the other tests have, and so do its plugins where somebody has them. APISIX' files are only
//! compared with the settings of its plugins, and with each other.

use std::{env, fs, net::SocketAddr, path::Path, process::Command};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::example::{Started, example_folder};
use crate::raw::Request;
use crate::scene::Scene;
use crate::support::{Breakable, repository, tools};
use crate::{checks, envoy};

#[tokio::test(flavor = "multi_thread")]
async fn higress_filters_with_the_sidecar_let_good_tokens_through_and_nothing_else() {
    let scene = Scene::start().await;
    let sidecar = scene.sidecar().await;
    let link = Breakable::before(sidecar.public).await;
    let Started { example, .. } = &higress(&scene, link.address()).await;
    checks::asks_a_sidecar(&scene, example, &link).await;
    envoy::asks_again_and_blames_no_token(&scene, example, &link).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn higress_filters_refuse_revoked_users_and_retired_keys() {
    let scene = Scene::start().await;
    let sidecar = scene.sidecar().await;
    checks::obeys_revocations(&scene, &higress(&scene, sidecar.public).await.example).await;
}

/// The question goes to the back end, whose 200 names nobody.
#[tokio::test(flavor = "multi_thread")]
async fn higress_filters_show_the_sidecar_the_token_alone_and_its_yes_must_name_a_user() {
    let scene = Scene::start().await;
    let gateway = higress(&scene, scene.back_end.address).await;
    let request = Request::get("/orders?page=2")
        .bearer("a.b.c")
        .lines(["Cookie: secret=1", "X-User-Id: forged"]);
    assert_eq!(
        request
            .send(gateway.example.address)
            .await
            .expect("an answer")
            .status,
        403
    );
    let seen = scene.back_end.take();
    let [question] = &seen[..] else {
        panic!("one question: {seen:?}")
    };
    assert_eq!(
        (&*question.method, &*question.path),
        ("GET", "/verify/orders?page=2")
    );
    let names = question.headers.iter().map(|(name, _)| &**name);
    let shown: Vec<_> = names
        .filter(|name| ["cookie", "authorization", "x-user-id"].contains(name))
        .collect();
    assert_eq!(shown, ["authorization"], "{question:?}");
}

/// Its own plugins, in the folder `HIGRESS_PLUGINS`: transformer.wasm and ext-auth.wasm, in which the export
/// `proxy_abi_version_0_2_100`, which Higress' Envoy alone knows, is called `proxy_abi_version_0_2_1`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the plugins of Higress: examples/peers/higress"]
async fn higress_plugins_with_the_sidecar_let_good_tokens_through_and_nothing_else() {
    let scene = Scene::start().await;
    let sidecar = scene.sidecar().await;
    let link = Breakable::before(sidecar.public).await;
    let Started { example, .. } = &higress_with_plugins(&scene, link.address()).await;
    checks::asks_a_sidecar(&scene, example, &link).await;
    checks::obeys_revocations(&scene, example).await;
    envoy::blames_no_token(&scene, example, &link).await;
}

#[test]
fn higress_plugins_ask_the_sidecar_once_the_clients_identity_headers_are_gone_in_each_spelling() {
    let [first, then] = &plugins()[..] else {
        panic!("two plugins")
    };
    for plugin in [first, then] {
        let placed = ["phase", "failStrategy"].map(|setting| plugin["spec"][setting].as_str());
        assert_eq!(placed, [Some("AUTHN"), Some("FAIL_CLOSE")], "{plugin}");
    }
    assert!(first["spec"]["priority"].as_u64() > then["spec"]["priority"].as_u64());
    let removed = &first["spec"]["defaultConfig"]["reqRules"][0]["headers"];
    let spellings = ["User", "Client", "Token"].into_iter().flat_map(|name| {
        let all = ["-", "_", "."]
            .into_iter()
            .flat_map(|one| ["-", "_", "."].map(|other| (one, other)));
        all.map(move |(one, other)| json!({"key": format!("X{one}{name}{other}Id")}))
    });
    assert_eq!(*removed, spellings.collect::<Value>());

    let asks = &then["spec"]["defaultConfig"];
    assert_eq!(
        [&asks["failure_mode_allow"], &asks["status_on_error"]],
        [&json!(false), &json!(503)]
    );
    let cluster = &documents(&repository("examples/peers/higress/envoyfilter.yaml"))[0]["spec"]["configPatches"]
        [0];
    let endpoint = &cluster["patch"]["value"]["load_assignment"]["endpoints"][0]["lb_endpoints"][0]
        ["endpoint"];
    let (filters, service) = (
        &endpoint["address"]["socket_address"],
        &asks["http_service"]["endpoint"],
    );
    assert_eq!(
        [&service["service_name"], &service["service_port"]],
        [&filters["address"], &filters["port_value"]]
    );
    let named = |name: &str| json!({"exact": name});
    let taken = &asks["http_service"]["authorization_response"]["allowed_upstream_headers"];
    assert_eq!(
        *taken,
        json!(["x-user-id", "x-client-id", "x-token-id"].map(named))
    );
}

type Setting = (&'static str, fn(&Value) -> bool);

/// The settings of APISIX 3.18.0 (apisix/plugins/forward-auth.lua) that we use, and what each may be. APISIX ignores
/// others.
const FORWARD_AUTH: [Setting; 9] = [
    ("uri", Value::is_string),
    ("allow_degradation", Value::is_boolean),
    ("status_on_error", |it| {
        it.as_u64().is_some_and(|it| (200..600).contains(&it))
    }),
    ("request_headers", are_names),
    ("extra_headers", |it| {
        it.as_object()
            .is_some_and(|it| !it.is_empty() && it.values().all(Value::is_string))
    }),
    ("upstream_headers", are_names),
    ("client_headers", are_names),
    ("timeout", |it| {
        it.as_u64().is_some_and(|it| (1..=60_000).contains(&it))
    }),
    ("keepalive_pool", |it| it.as_u64().is_some_and(|it| it > 0)),
];

fn are_names(value: &Value) -> bool {
    value.as_array().is_some_and(|names| {
        names
            .iter()
            .all(|name| name.as_str().is_some_and(|it| !it.contains(':')))
    })
}

#[test]
fn apisix_plugins_know_each_setting_and_the_ingress_controller_gets_the_same_ones() {
    let read = |file: &str| documents(&repository("examples/peers/apisix").join(file));
    let plugins = read("apisix.yaml")[0]["routes"][0]["plugins"].clone();
    for (setting, value) in plugins["forward-auth"].as_object().expect("settings") {
        let known = FORWARD_AUTH.iter().find(|(name, _)| name == setting);
        assert!(
            known.is_some_and(|(_, may_be)| may_be(value)),
            "forward-auth: {setting}: {value}"
        );
    }
    let identity = json!(["X-User-Id", "X-Client-Id", "X-Token-Id"]);
    assert_eq!(
        plugins["proxy-rewrite"],
        json!({"headers": {"remove": identity}}),
        "the client's own"
    );
    assert_eq!(
        plugins["forward-auth"]["upstream_headers"], identity,
        "the sidecar's"
    );

    let ingress = read("ingress.yaml");
    let [config, route] = &ingress[..] else {
        panic!("two objects: {ingress:?}")
    };
    assert_eq!(
        route["spec"]["http"][0]["plugin_config_name"],
        config["metadata"]["name"]
    );
    for plugin in config["spec"]["plugins"].as_array().expect("plugins") {
        let (name, mut given) = (
            plugin["name"].as_str().expect("a name"),
            plugin["config"].clone(),
        );
        if let Some(uri) = given.get_mut("uri") {
            assert_eq!(
                *uri,
                "http://wxmint-sidecar.wxmint.svc.cluster.local:8181/verify"
            );
            *uri = plugins[name]["uri"].clone();
        }
        assert_eq!(
            (&plugin["enable"], given),
            (&json!(true), plugins[name].clone()),
            "{name}"
        );
    }
}

/// Envoy as Higress would have it before the scene's back end: with the filters and the cluster of the example.
async fn higress(scene: &Scene, sidecar: SocketAddr) -> Started {
    let (url, port) = (
        format!("http://{sidecar}"),
        format!("127.0.0.1, {}", envoy::port_value(sidecar)),
    );
    let service = "wxmint-sidecar.wxmint.svc.cluster.local";
    let addresses = [
        (format!("http://{service}:8181"), url),
        (format!("{service}, port_value: 8181 }}"), port),
    ];
    let folder = example_folder(
        "higress",
        &addresses.each_ref().map(|(old, new)| (&**old, &**new)),
    );
    let filters = documents(&folder.path().join("envoyfilter.yaml"));
    let configuration = Gateway::of(&filters, "GATEWAY").before(scene.back_end.address);
    fs::write(folder.path().join("envoy.json"), configuration.to_string()).expect("written");
    run(folder).await
}

/// The same with the plugins of the example, as Higress' controller hands them on.
async fn higress_with_plugins(scene: &Scene, sidecar: SocketAddr) -> Started {
    let files = env::var("HIGRESS_PLUGINS").expect("HIGRESS_PLUGINS, the folder with the plugins");
    let mut gateway = Gateway::default();
    for plugin in plugins() {
        let (spec, name) = (
            &plugin["spec"],
            plugin["metadata"]["name"].as_str().expect("a name"),
        );
        let kind = spec["url"]
            .as_str()
            .and_then(|url| url.rsplit_once("/plugins/")?.1.split_once(':'))
            .expect("OCI")
            .0;
        let mut filter = extension("wasm.v3.Wasm", name);
        filter["typed_config"]["config"] = json!({
            "vm_config": {
                "vm_id": kind, "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"filename": format!("{files}/{kind}.wasm")}},
            },
            "configuration": {
                "@type": "type.googleapis.com/google.protobuf.StringValue", "value": spec["defaultConfig"].to_string(),
            },
        });
        gateway.filters.push(filter);
    }
    gateway.clusters.push(cluster(
        "outbound|8181||wxmint-sidecar.wxmint.svc.cluster.local",
        sidecar,
    ));
    let configuration = gateway.before(scene.back_end.address);
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("envoy.json"), configuration.to_string()).expect("written");
    run(folder).await
}

/// Nothing is public there.
async fn run(folder: TempDir) -> Started {
    let mut envoy = envoy::run("higress", folder, "envoy.json").await;
    envoy.example.public = None;
    envoy
}

fn plugins() -> Vec<Value> {
    documents(&repository("examples/peers/higress/wasmplugin.yaml"))
}

/// The addition to the bootstrap of a gateway. It leaves paths as they are, though Istio's normalize them by default.
#[derive(Default)]
pub(crate) struct Gateway {
    pub(crate) filters: Vec<Value>,
    clusters: Vec<Value>,
}

impl Gateway {
    /// A gateway with `EnvoyFilters` applied, as by Istio: one that is inserted first runs before the others.
    pub(crate) fn of<'a>(filters: impl IntoIterator<Item = &'a Value>, context: &str) -> Self {
        let mut gateway = Self::default();
        let patches = filters
            .into_iter()
            .flat_map(|filter| filter["spec"]["configPatches"].as_array().expect("patches"));
        for patch in patches {
            assert_eq!(patch["match"]["context"], context);
            let value = patch["patch"]["value"].clone();
            match (
                patch["applyTo"].as_str(),
                patch["patch"]["operation"].as_str(),
            ) {
                (Some("CLUSTER"), Some("ADD")) => gateway.clusters.push(value),
                (Some("HTTP_FILTER"), Some("INSERT_FIRST")) => gateway.filters.insert(0, value),
                other => panic!("the test does not apply {other:?}"),
            }
        }
        gateway
    }

    pub(crate) fn before(self, back_end: SocketAddr) -> Value {
        let filters = [
            &self.filters[..],
            &[extension("router.v3.Router", "envoy.filters.http.router")],
        ]
        .concat();
        let clusters = [&self.clusters[..], &[cluster("back-end", back_end)]].concat();
        let all = json!({"match": {"prefix": "/"}, "route": {"cluster": "back-end"}});
        let manager = json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "peer", "use_remote_address": true, "http_filters": filters,
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [all]}]},
        });
        let manager = json!({"name": "envoy.filters.network.http_connection_manager", "typed_config": manager});
        let any = address(SocketAddr::from(([127, 0, 0, 1], 0)));
        let listener =
            json!({"name": "peer", "address": any, "filter_chains": [{"filters": [manager]}]});
        json!({"admin": {"address": any}, "static_resources": {"listeners": [listener], "clusters": clusters}})
    }
}

fn address(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": "127.0.0.1", "port_value": address.port()}})
}

fn cluster(name: &str, at: SocketAddr) -> Value {
    let endpoint = json!({"endpoint": {"address": address(at)}});
    let endpoints = json!({"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]});
    json!({"name": name, "type": "STATIC", "load_assignment": endpoints})
}

pub(crate) fn extension(kind: &str, name: &str) -> Value {
    json!({"name": name, "typed_config": {"@type": format!("type.googleapis.com/envoy.extensions.filters.http.{kind}")}})
}

/// The documents of a YAML file.
pub(crate) fn documents(file: &Path) -> Vec<Value> {
    const READ: &str =
        "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
    let read = Command::new(tools("python/bin/python"))
        .args(["-c", READ])
        .arg(file)
        .output()
        .expect("Python runs");
    assert!(
        read.status.success(),
        "{}: {}",
        file.display(),
        String::from_utf8_lossy(&read.stderr)
    );
    serde_json::from_slice(&read.stdout).expect("JSON")
}
