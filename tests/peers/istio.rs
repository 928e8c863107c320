//! The chart's objects for a service in an Istio mesh, run in Envoy: the `EnvoyFilters` as they are; and as filters, as
//! istiod would make them, `RequestAuthentication` and `AuthorizationPolicy`. A public path is a policy of the user's
//! own.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use serde_json::{Value, json};

use crate::example::Started;
use crate::gateways::{Gateway, documents, extension};
use crate::raw::Request;
use crate::scene::Scene;
use crate::support::{Breakable, repository, tools};
use crate::{checks, envoy};

const IDENTITY_HEADERS: &str = "orders-wxmint-identity-headers";

#[tokio::test(flavor = "multi_thread")]
async fn a_mesh_that_asks_the_sidecar_lets_good_tokens_through_and_nothing_else() {
    let scene = Scene::start().await;
    let sidecar = scene.sidecar().await;
    let link = Breakable::before(sidecar.public).await;
    let mut envoy = mesh(&scene, "istio-sidecar", Some(link.address()), &[]).await;
    // The sidecar wants a token there too.
    envoy.example.public = None;
    let example = &envoy.example;
    checks::tokens(&scene, example, &[]).await;
    checks::identity_headers(&scene, example).await;
    checks::paths(&scene, example).await;
    // A sidecar that says yes and no name has no say in who it is: the mesh has verified the token too.
    let mut open = checks::fails_closed_faults(&scene, example, &link).await;
    open.retain(|fault| !fault.starts_with("sidecar, a yes without a name: "));
    assert!(open.is_empty(), "{open:?}");
    checks::issuer_away(&scene, example).await;
    scene.log_out_everywhere(&scene.lin).await;
    example
        .becomes(&scene.lin.token, 401, "after a logout")
        .await;
    assert_eq!(
        example.status(&scene.mei.token).await,
        Some(200),
        "another user"
    );
    envoy::blames_no_token(&scene, example, &link).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mesh_alone_takes_identity_headers_away_and_wants_one_token_in_its_header() {
    let scene = Scene::start().await;
    let forgeable = mesh(&scene, "istio", None, &[IDENTITY_HEADERS]).await;
    assert!(
        !checks::identity_header_faults(&scene, &forgeable.example)
            .await
            .is_empty(),
        "nothing is asked"
    );

    let Started { example, .. } = &mesh(&scene, "istio", None, &[]).await;
    checks::identity_headers(&scene, example).await;
    let token = &scene.lin.token;
    let bad = scene
        .bad_tokens()
        .into_iter()
        .find(|bad| bad.name == "signature")
        .expect("a bad token")
        .credentials;
    let in_the_query = format!("/orders?access_token={token}");
    let requests = [
        (200, Request::get("/orders").bearer(token)),
        (403, Request::get("/orders")),
        (403, Request::get(&in_the_query)),
        (401, Request::get("/orders").bearer(token).bearer(token)),
        (
            401,
            Request::get("/orders").lines(bad.0.iter().map(String::as_str)),
        ),
        (
            401,
            Request::get("/public/hello").lines(bad.0.iter().map(String::as_str)),
        ),
    ];
    for (status, request) in requests {
        let reply = request.send(example.address).await.expect("an answer");
        assert_eq!(reply.status, status, "{reply:?}");
    }
    envoy::passes_on_who_it_is_and_no_token(&scene, example, true).await;
}

/// Envoy before the scene's back end, as the mesh has it by these values of the chart, but for the filters `without`.
async fn mesh(
    scene: &Scene,
    values: &str,
    sidecar: Option<SocketAddr>,
    without: &[&str],
) -> Started {
    let folder = tempfile::tempdir().expect("a folder");
    let mut helm = Command::new(tools("python/bin/helm"));
    helm.args(["template", "orders"])
        .arg(repository("k8s/chart"));
    helm.arg("--values")
        .arg(repository(format!("k8s/chart/ci/{values}-values.yaml")));
    let rendered = helm.output().expect("helm runs");
    let said = String::from_utf8_lossy(&rendered.stderr);
    let mut text = String::from_utf8_lossy(&rendered.stdout)
        .replace("https://login.example.com", &scene.issuer);
    text = text.replace("https://orders.example.com", &scene.issuer);
    if let Some(sidecar) = sidecar {
        text = text.replace("http://127.0.0.1:8181", &format!("http://{sidecar}"));
        text = text.replace(
            "port_value: 8181",
            &format!("port_value: {}", sidecar.port()),
        );
    }
    let file = folder.path().join("rendered.yaml");
    fs::write(&file, text).expect("written");
    let objects = documents(&file);
    let of_kind = |kind: &'static str| objects.iter().filter(move |object| object["kind"] == kind);

    let is_left_out = |filter: &&Value| {
        without
            .iter()
            .any(|name| filter["metadata"]["name"] == *name)
    };
    let mut filters: Vec<_> = of_kind("EnvoyFilter")
        .filter(|filter| !is_left_out(filter))
        .collect();
    filters.sort_by_key(|filter| filter["spec"]["priority"].as_i64().unwrap_or(0));
    let mut gateway = Gateway::of(filters, "SIDECAR_INBOUND");
    let authentication = of_kind("RequestAuthentication")
        .next()
        .unwrap_or_else(|| panic!("none: {said}"));
    let keys = scene.bed.service().get("/.well-known/jwks.json").await.body;
    gateway
        .filters
        .push(verifies(&authentication["spec"]["jwtRules"][0], keys));
    let policy = of_kind("AuthorizationPolicy")
        .next()
        .expect("an AuthorizationPolicy");
    let principals = &policy["spec"]["rules"][0]["from"][0]["source"]["requestPrincipals"];
    assert_eq!(*principals, json!([format!("{}/*", scene.issuer)]));
    gateway.filters.push(allows(&scene.issuer));
    let configuration = gateway.before(scene.back_end.address);
    fs::write(folder.path().join("envoy.json"), configuration.to_string()).expect("written");
    envoy::run("istio", folder, "envoy.json").await
}

/// A `RequestAuthentication`'s rule: a bad token is refused, and no token is let through.
fn verifies(rule: &Value, keys: String) -> Value {
    let [mut headers, mut told] =
        ["fromHeaders", "outputClaimToHeaders"].map(|list| rule[list].clone());
    for header in headers.as_array_mut().expect("headers") {
        *header = json!({"name": header["name"], "value_prefix": header["prefix"]});
    }
    for header in told.as_array_mut().expect("headers") {
        *header = json!({"header_name": header["header"], "claim_name": header["claim"]});
    }
    let mut filter = extension(
        "jwt_authn.v3.JwtAuthentication",
        "envoy.filters.http.jwt_authn",
    );
    filter["typed_config"]["providers"] = json!({"wxmint": {
        "issuer": rule["issuer"], "audiences": rule["audiences"], "local_jwks": {"inline_string": keys},
        "from_headers": headers, "claim_to_headers": told, "forward": rule["forwardOriginalToken"],
        "payload_in_metadata": "payload",
    }});
    let one_or_none = json!([{"provider_name": "wxmint"}, {"allow_missing": {}}]);
    let requires = json!({"requires_any": {"requirements": one_or_none}});
    filter["typed_config"]["rules"] = json!([{"match": {"prefix": "/"}, "requires": requires}]);
    filter
}

/// An `AuthorizationPolicy`: a token of the issuer, or a public path.
fn allows(issuer: &str) -> Value {
    let path = json!([{"key": "payload"}, {"key": "iss"}]);
    let value = json!({"string_match": {"exact": issuer}});
    let of_issuer = json!({"filter": "envoy.filters.http.jwt_authn", "path": path, "value": value});
    let public = json!({"url_path": {"path": {"exact": "/public/hello"}}});
    let mut filter = extension("rbac.v3.RBAC", "envoy.filters.http.rbac");
    filter["typed_config"]["rules"] = json!({"policies": {
        "wxmint": {"permissions": [{"any": true}], "principals": [{"metadata": of_issuer}]},
        "public": {"permissions": [public], "principals": [{"any": true}]},
    }});
    filter
}
