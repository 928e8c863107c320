//! Whether the description of the API has what was answered.

use std::sync::LazyLock;

use serde_json::Value;

static API: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(&wxmint::issuer::openapi_json(wxmint::doors::DOORS)).expect("the description is JSON")
});

/// True, too, where the request is to no route.
pub(super) fn is_described(request: &[u8], status: u16, code: &str) -> bool {
    let request = String::from_utf8_lossy(request);
    let mut words = request.split([' ', '?']);
    let method = words.next().unwrap_or_default().to_ascii_lowercase();
    let operation = &API["paths"][words.next().unwrap_or_default()][method];
    let answers = &operation["responses"][status.to_string()]["content"]["application/problem+json"]["examples"];
    operation.is_null() || answers.get(code).is_some()
}
