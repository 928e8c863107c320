//! Audit events as tests compare them.

use serde_json::{Value, json};

use super::Process;

/// Whoever reads a log tells audit events from other lines by this.
pub(crate) fn is_audit(line: &Value) -> bool {
    line["target"] == "audit"
}

/// The events of requests on the admin listener, in short.
pub(crate) fn requests(process: &Process) -> Vec<Value> {
    let requests = process
        .events()
        .into_iter()
        .filter(|event| is_audit(event) && event["class_uid"] == 6003);
    requests.map(|event| in_short(&event)).collect()
}

/// Says what was done, by whom, about whom, and what came of it.
pub(crate) fn in_short(event: &Value) -> Value {
    let known = |name: &Value| {
        if name == "unknown" {
            Value::Null
        } else {
            name.clone()
        }
    };
    let outcome = if event["status_id"] == 1 {
        json!("ok")
    } else {
        event["status_detail"].clone()
    };
    json!({
        "action": event["metadata"]["event_code"],
        "by": known(&event["actor"]["user"]["name"]),
        "user": if event["user"].is_null() { &event["resources"][0]["uid"] } else { &event["user"]["uid"] },
        "app": event["unmapped"]["app"],
        "outcome": outcome,
        "limit": event["unmapped"]["limit"],
        "request_id": event["metadata"]["correlation_uid"],
    })
}
