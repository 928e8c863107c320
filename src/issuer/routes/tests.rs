//! The paths of the public listener.

use super::*;

#[test]
fn a_further_path_of_the_login_is_none_that_wxmint_has_itself() {
    for taken in [
        "/login",
        "/LOGIN/",
        "/revocations",
        "/wechat/userdata/",
        "/docs",
        "/docs/",
        "/docs/a/b",
        "/DOCS/a",
        "/openapi.json/",
        "/.well-known/anything",
        "/.Well-Known/jwks.json",
        "/wechat/anything",
        "/",
    ] {
        assert!(!is_free(taken, &[]), "{taken}");
    }
    for free in [
        "/login/wechat",
        "/user/login/",
        "/revocations.php",
        "/documents",
        "/wechat",
        "/api/docs",
        "/.well-known",
    ] {
        assert!(is_free(free, &[]), "{free}");
    }
}
