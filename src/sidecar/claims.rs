//! Claims as headers (`WXMINT_SIDECAR_CLAIMS`).

use actix_web::http::header::HeaderValue;
use serde_json::Value;
use wxmint_verify::Claims;

/// The value of a claim's header. It is empty if the token has no such claim, or one that a header cannot say.
pub(super) fn value(name: &str, claims: &Claims) -> HeaderValue {
    match claims.others.get(name) {
        None | Some(Value::Null) => super::EMPTY,
        Some(claim) => value_of(claim).unwrap_or_else(|| {
            tracing::debug!(claim = name, "a header cannot say this claim, so its header is empty");
            super::EMPTY
        }),
    }
}

/// Visible ASCII without a blank at either end, which the next server would cut off.
fn value_of(claim: &Value) -> Option<HeaderValue> {
    let text = text_of(claim)?;
    let is_whole = text.trim() == text && text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    is_whole.then(|| HeaderValue::from_str(&text).ok())?
}

/// A list is joined by commas, so a comma within an element would make two of one: such a list has no text.
fn text_of(claim: &Value) -> Option<String> {
    match claim {
        Value::String(text) => Some(text.clone()),
        Value::Array(list) => {
            let parts = list.iter().map(|element| text_of(element).filter(|text| !text.contains(',')));
            Some(parts.collect::<Option<Vec<_>>>()?.join(","))
        }
        Value::Null => None,
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => Some(ascii(&claim.to_string())),
    }
}

/// The same JSON with `\u` escapes in place of other characters than ASCII, which it has in strings alone.
fn ascii(json: &str) -> String {
    let written = |unit| match u8::try_from(unit) {
        Ok(byte) if byte.is_ascii() => char::from(byte).to_string(),
        _ => format!("\\u{unit:04x}"),
    };
    json.encode_utf16().map(written).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_claim_is_handed_on_in_one_unambiguous_spelling_or_not_at_all() {
        for (claim, header) in [
            (json!("north"), Some("north")),
            (json!(""), Some("")),
            (json!("a b"), Some("a b")),
            (json!(7), Some("7")),
            (json!(true), Some("true")),
            (json!(["admin", "ops"]), Some("admin,ops")),
            (json!([1, "a"]), Some("1,a")),
            (json!([]), Some("")),
            (json!({"id": 7, "名": "华东😀"}), Some(r#"{"id":7,"\u540d":"\u534e\u4e1c\ud83d\ude00"}"#)),
            (json!({"line": "a\r\nX-User-Id: root"}), Some(r#"{"line":"a\r\nX-User-Id: root"}"#)),
            (json!("a\r\nX-User-Id: root"), None),
            (json!("a\nb"), None),
            (json!("a\0b"), None),
            (json!("a\tb"), None),
            (json!("华东"), None),
            (json!(" admin"), None),
            (json!("admin "), None),
            (json!(["user,admin"]), None),
            (json!(["user", "a\nb"]), None),
            (json!(["user", null]), None),
            (json!([{"a": 1, "b": 2}]), None),
        ] {
            let value = value_of(&claim);
            assert_eq!(value.as_ref().map(|value| value.to_str().expect("ASCII")), header, "{claim}");
        }
    }
}
