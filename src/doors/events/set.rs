//! One security event token: `session-revoked` of CAEP 1.0, with the subject of SSF 1.0 section 3.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use wxmint_store::Ended;

pub(super) const EVENTS: [&str; 1] = ["https://schemas.openid.net/secevent/caep/event-type/session-revoked"];

/// SSF 1.0 section 4.1: neither `sub` nor `exp`, which would make it look like an access token. A token that was logged
/// out is named by its `jti`; all tokens of a user up to the second `event_timestamp` by the user, or by the user and
/// the app.
pub(super) fn claims(ended: &Ended, iss: &str, aud: &str, jti: &str, iat: i64) -> Value {
    let user = |user: &str| json!({"format": "iss_sub", "iss": iss, "sub": user});
    let (sub_id, before) = match ended {
        Ended::User { user: id, before } => (user(id.as_str()), Some(before)),
        Ended::UserInApp { user: id, app, before } => {
            let app = json!({"format": "opaque", "id": app});
            (json!({"format": "complex", "user": user(id.as_str()), "application": app}), Some(before))
        }
        Ended::Token { id, .. } => (json!({"format": "jwt_id", "iss": iss, "jti": id.as_str()}), None),
        Ended::Key { kid } => (json!({"format": "opaque", "id": kid}), None),
    };
    let event = before.map_or_else(|| json!({}), |before| json!({"event_timestamp": before}));
    json!({"iss": iss, "aud": aud, "iat": iat, "jti": jti, "sub_id": sub_id, "events": { EVENTS[0]: event }})
}

/// The same whenever the event is sent, so that a receiver recognises it.
pub(super) fn event_id(iss: &str, aud: &str, ended: &Ended) -> String {
    let hash = digest(&SHA256, format!("{iss}\0{aud}\0{ended}").as_bytes());
    URL_SAFE_NO_PAD.encode(&hash.as_ref()[..16])
}
