//! The configuration of an Envoy that answers every request itself, for measurements of `jwt_authn`.

use std::net::SocketAddr;

use serde_json::{Value, json};

/// Where the keys are, of the cluster that is called so.
pub(crate) const JWKS_URL: &str = "http://issuer/.well-known/jwks.json";

/// `provider` of `jwt_authn` stands before the answer, if there is one. Its keys come from all `issuers` in turn.
pub(crate) fn configuration(issuers: &[SocketAddr], provider: Option<Value>) -> Value {
    let typed = |kind: &str| {
        json!(format!(
            "type.googleapis.com/envoy.extensions.filters.{kind}"
        ))
    };
    let address =
        |ip: &str, port: u16| json!({"socket_address": {"address": ip, "port_value": port}});
    let endpoint = |issuer: &SocketAddr| json!({"endpoint": {"address": address(&issuer.ip().to_string(), issuer.port())}});
    let router = json!({"name": "envoy.filters.http.router",
        "typed_config": {"@type": typed("http.router.v3.Router")}});
    let authn = provider.map(|provider| {
        json!({"name": "envoy.filters.http.jwt_authn", "typed_config": {
            "@type": typed("http.jwt_authn.v3.JwtAuthentication"),
            "providers": {"wxmint": provider},
            "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "wxmint"}}],
        }})
    });
    let everything = json!([{"match": {"prefix": "/"}, "direct_response": {"status": 200}}]);
    let connections = json!({"name": "envoy.filters.network.http_connection_manager", "typed_config": {
        "@type": typed("network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "peer",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": everything}]},
        "http_filters": authn.into_iter().chain([router]).collect::<Vec<_>>(),
    }});
    let endpoints: Vec<Value> = issuers.iter().map(endpoint).collect();
    json!({
        "admin": {"address": address("127.0.0.1", 0)},
        "static_resources": {
            "listeners": [{
                "name": "peer",
                "address": address("127.0.0.1", 0),
                "filter_chains": [{"filters": [connections]}],
            }],
            "clusters": [{
                "name": "issuer",
                "type": "STATIC",
                "load_assignment": {"cluster_name": "issuer", "endpoints": [{"lb_endpoints": endpoints}]},
            }],
        },
    })
}
