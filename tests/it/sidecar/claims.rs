//! Claims that are handed on as headers.

use super::{Signer, told};
use crate::support::prelude::*;

const HEADERS: [&str; 3] = ["x-user-roles", "x-tenant", "x-limits"];

#[tokio::test(flavor = "multi_thread")]
async fn claims_are_handed_on_as_headers_that_are_always_there_once() {
    let signer = Signer::new();
    let issuer = Answering::of(&signer.set(), 600);
    let sidecar = SidecarSettings::new(&issuer.url("/jwks"))
        .with("WXMINT_SIDECAR_CLAIMS", "roles=X-User-Roles, tenant=X-Tenant,limits=X-Limits")
        .with("WXMINT_SIDECAR_ANONYMOUS", "/public")
        .with("WXMINT_SIDECAR_PATH_HEADER", "path")
        .ready()
        .await;
    // Whatever the client sends in their place.
    let forged = ["X-User-Roles: root", "X_User_Roles: root", "X-Tenant: root", "X-Limits: {}"];
    let handed_on = async |path: &str, token: Option<&str>| {
        let bearer = token.map(|token| format!("Authorization: Bearer {token}"));
        let headers: Vec<_> = forged.into_iter().chain(bearer.as_deref()).collect();
        let received = sidecar.raw(&format!("GET /verify{path} HTTP/1.1"), &headers, "").await;
        assert!(!received.text().contains("root"), "{received:?}");
        told(path, &received, HEADERS)
    };
    let all = signer.token_with(json!({"roles": ["admin", "ops"], "tenant": "north", "limits": {"a": [1, true]}}));
    for what in ["verified", "remembered"] {
        assert_eq!(handed_on("/", Some(&all)).await, ["admin,ops", "north", r#"{"a":[1,true]}"#], "{what}");
    }
    assert_eq!(handed_on("/", Some(&signer.token())).await, [""; 3], "no such claims");
    assert_eq!(handed_on("/public", None).await, [""; 3], "nobody");
    let injected = json!({"roles": "a\r\nX-User-Id: root", "tenant": "\n", "limits": ["a,root"]});
    assert_eq!(handed_on("/", Some(&signer.token_with(injected))).await, [""; 3], "no header says this");
}
