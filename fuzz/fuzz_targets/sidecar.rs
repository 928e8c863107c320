//! A request to the sidecar: the path that the proxy reports (the first line), and Authorization headers (one per
//! line). A path that is allowed without a token must mean the same to every program.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use wxmint::sidecar::{Demand, Prefix, Rules};
use wxmint_verify::bearer;

static RULES: LazyLock<Rules> = LazyLock::new(|| {
    let prefix = |text: &str| Prefix::parse(text).expect("a prefix");
    Rules {
        header: None,
        audiences: vec![(prefix("/orders"), "orders".to_owned()), (prefix("/public/mine"), "mine".to_owned())],
        anonymous: vec![prefix("/public"), prefix("/orders/help")],
    }
});

fuzz_target!(|input: &[u8]| {
    let mut lines = input.split(|byte| *byte == b'\n');
    let target = lines.next().and_then(|line| str::from_utf8(line).ok());
    if RULES.of(target) == Demand::Nothing {
        let path = target.and_then(|target| target.split('?').next()).expect("a path");
        let open = path == "/public" || path.starts_with("/public/") || path.starts_with("/orders/help");
        assert!(open, "{path:?}");
        let plain = path.to_ascii_lowercase();
        let mine = plain.strip_prefix("/public/mine");
        assert!(mine.is_none_or(|rest| rest.starts_with(is_of_a_word)), "{path:?}");
        let ambiguous = ["//", "/./", "/../", ";", "\\", "%", "+", "#", " "];
        assert!(plain.is_ascii() && !ambiguous.iter().any(|odd| plain.contains(odd)), "{path:?}");
        assert!(!["/.", "/.."].iter().any(|end| plain.ends_with(end)), "{path:?}");
    }
    let headers: Vec<&[u8]> = lines.collect();
    if let Ok(token) = bearer(headers.iter().copied()) {
        assert_eq!(headers.len(), 1);
        assert!(!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic() && !b",;\"".contains(&byte)));
    }
});

fn is_of_a_word(char: char) -> bool {
    char.is_alphanumeric() || ['-', '_'].contains(&char)
}
