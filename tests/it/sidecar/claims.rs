//! Claims that are handed on as headers.

use super::{Signer, told};
use crate::support::prelude::*;

const HEADERS: [&str; 3] = ["x-user-roles", "x-tenant", "x-limits"];

#[tokio::test(flavor = "multi_thread")]
async fn claims_are_handed_on_as_headers_that_are_always_there_once() {
    let signer = Signer::new();
    let issuer = Answering::of(&signer.set(), 600);
    let sidecar = SidecarSettings::new(&issuer.url("/jwks"))
        .with(
            "WXMINT_SIDECAR_CLAIMS",
            "roles=X-User-Roles, tenant=X-Tenant,limits=X-Limits",
        )
        .ready()
        .await;
    // Whatever the client sends in their place.
    let forged = [
        "X-User-Roles: root",
        "X_User_Roles: root",
        "X-Tenant: root",
        "X-Limits: {}",
    ];
    let handed_on = async |what: &str, token: &str| {
        let bearer = format!("Authorization: Bearer {token}");
        let headers: Vec<_> = forged.into_iter().chain([&*bearer]).collect();
        let received = sidecar.raw("GET /verify HTTP/1.1", &headers, "").await;
        assert!(!received.text().contains("root"), "{received:?}");
        told(what, &received, HEADERS)
    };
    let all = signer.token_with(
        json!({"roles": ["admin", "ops"], "tenant": "north", "limits": {"a": [1, true]}}),
    );
    for what in ["verified", "remembered"] {
        assert_eq!(
            handed_on(what, &all).await,
            ["admin,ops", "north", r#"{"a":[1,true]}"#],
            "{what}"
        );
    }
    assert_eq!(handed_on("no such claims", &signer.token()).await, [""; 3]);
    let injected = json!({"roles": "a\r\nX-User-Id: root", "tenant": "\n", "limits": ["a,root"]});
    assert_eq!(
        handed_on("no header says this", &signer.token_with(injected)).await,
        [""; 3]
    );
}
