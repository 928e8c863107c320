//! The functions that Envoy calls. Envoy 1.38, 1.39 and 1.40 look up all of these names when they
//! load the configuration, and refuse the module if one is missing.
//!
//! A panic must not leave a hook, because it would end Envoy. Each hook that does something catches
//! it: the request is answered with 500, and Envoy goes on.

use std::any::Any;
use std::ffi::c_char;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::abi::{
    ABI_VERSION, CONTINUE, EnvoyBuffer, EnvoyConfiguration, EnvoyFilter, EnvoyHeader,
    STOP_ITERATION,
};
use crate::envoy::{NewConfiguration, Stream};
use crate::filter::{Configuration, Filter};
use crate::peers::runtime;

/// `type_http_filter_config_module_ptr`: an `Arc<Configuration>`.
type ConfigurationPointer = *const Configuration;
/// `type_http_filter_module_ptr`: a `Box<Filter>`.
type FilterPointer = *mut Filter;

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the clock here"
)]
fn now() -> DateTime<Utc> {
    Utc::now()
}

/// Logs a panic. `what` names the hook.
fn log_panic(what: &str, panic: &(dyn Any + Send)) {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(
        panic = text.unwrap_or("of another type"),
        "a defect in {what}"
    );
}

/// Answers 500 to a request in whose hook a panic was caught.
fn answer_panic(stream: &mut Stream, what: &str, panic: &(dyn Any + Send)) {
    log_panic(what, panic);
    let headers = [("content-type", "application/problem+json")];
    let body = r#"{"type":"urn:wxmint:problem:internal_error","title":"This service has made a mistake","status":500,"detail":"The log of the proxy says more.","code":"internal_error"}"#;
    stream.respond(500, &headers, body, "wxmint_panic");
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_program_init() -> *const c_char {
    ABI_VERSION.as_ptr()
}

/// # Safety
/// Envoy calls it with its own pointers, on the main thread. Null refuses the configuration.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_new(
    envoy: EnvoyConfiguration,
    _name: EnvoyBuffer,
    configuration: EnvoyBuffer,
) -> ConfigurationPointer {
    let made = catch_unwind(|| {
        // First, because it installs the log.
        runtime()?;
        // SAFETY: both stay until this hook returns.
        let (envoy, text) = unsafe { (NewConfiguration::new(envoy), configuration.bytes()) };
        Configuration::new(&envoy, text)
    });
    match made {
        Ok(Ok(configuration)) => Arc::into_raw(Arc::new(configuration)),
        Ok(Err(reason)) => {
            tracing::error!("the configuration is refused: {reason}");
            ptr::null()
        }
        Err(panic) => {
            log_panic("the configuration", &*panic);
            ptr::null()
        }
    }
}

/// # Safety
/// Envoy calls it once, with a pointer of `config_new`.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_destroy(
    configuration: ConfigurationPointer,
) {
    // SAFETY: the pointer is that of `Arc::into_raw`.
    let destroyed = catch_unwind(AssertUnwindSafe(|| {
        drop(unsafe { Arc::from_raw(configuration) });
    }));
    if let Err(panic) = destroyed {
        log_panic("the end of a configuration", &*panic);
    }
}

/// # Safety
/// Envoy calls it with a pointer of `config_new` that it has not destroyed.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_new(
    configuration: ConfigurationPointer,
    _envoy: EnvoyFilter,
) -> FilterPointer {
    // SAFETY: the pointer is that of `Arc::into_raw`, and Envoy still has its own count.
    let configuration = unsafe {
        Arc::increment_strong_count(configuration);
        Arc::from_raw(configuration)
    };
    Box::into_raw(Box::new(Filter::new(configuration)))
}

/// # Safety
/// Envoy calls it on the request's worker, with its own pointer and that of `filter_new`.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_request_headers(
    envoy: EnvoyFilter,
    filter: FilterPointer,
    _end_of_stream: bool,
) -> u32 {
    // SAFETY: nothing else uses the filter while one of its hooks runs.
    let (mut stream, filter) = unsafe { (Stream::new(envoy), &mut *filter) };
    let judge = AssertUnwindSafe(|| filter.request_headers(&mut stream, now()));
    match catch_unwind(judge) {
        Ok(status) => status,
        Err(panic) => {
            answer_panic(&mut stream, "a request", &*panic);
            STOP_ITERATION
        }
    }
}

/// # Safety
/// As `request_headers`.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_scheduled(
    envoy: EnvoyFilter,
    filter: FilterPointer,
    _event: u64,
) {
    // SAFETY: as in `request_headers`.
    let (mut stream, filter) = unsafe { (Stream::new(envoy), &mut *filter) };
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| filter.woken(&mut stream))) {
        answer_panic(&mut stream, "a request that waited", &*panic);
    }
}

/// # Safety
/// Envoy calls it once, with a pointer of `filter_new`, after the last hook of the request.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_destroy(filter: FilterPointer) {
    // SAFETY: the pointer is that of `Box::into_raw`.
    let destroyed = catch_unwind(AssertUnwindSafe(|| drop(unsafe { Box::from_raw(filter) })));
    if let Err(panic) = destroyed {
        log_panic("the end of a request", &*panic);
    }
}

/// Hooks by which this filter does nothing.
macro_rules! nothing {
    ($($name:ident($($parameter:ty),*) $(-> $status:ident)?;)+) => {
        $(
            #[unsafe(no_mangle)]
            extern "C" fn $name($(_: $parameter),*) $(-> nothing!(type $status))? {
                $($status)?
            }
        )+
    };
    (type $status:ident) => { u32 };
}

nothing! {
    envoy_dynamic_module_on_http_filter_request_body(EnvoyFilter, FilterPointer, bool) -> CONTINUE;
    envoy_dynamic_module_on_http_filter_request_trailers(EnvoyFilter, FilterPointer) -> CONTINUE;
    envoy_dynamic_module_on_http_filter_response_headers(EnvoyFilter, FilterPointer, bool) -> CONTINUE;
    envoy_dynamic_module_on_http_filter_response_body(EnvoyFilter, FilterPointer, bool) -> CONTINUE;
    envoy_dynamic_module_on_http_filter_response_trailers(EnvoyFilter, FilterPointer) -> CONTINUE;
    envoy_dynamic_module_on_http_filter_stream_complete(EnvoyFilter, FilterPointer);
    envoy_dynamic_module_on_http_filter_local_reply(EnvoyFilter, FilterPointer, u32, EnvoyBuffer, bool) -> CONTINUE;
    envoy_dynamic_module_on_http_filter_http_callout_done(EnvoyFilter, FilterPointer, u64, u32, *const EnvoyHeader, usize, *const EnvoyBuffer, usize);
    envoy_dynamic_module_on_http_filter_http_stream_headers(EnvoyFilter, FilterPointer, u64, *const EnvoyHeader, usize, bool);
    envoy_dynamic_module_on_http_filter_http_stream_data(EnvoyFilter, FilterPointer, u64, *const EnvoyBuffer, usize, bool);
    envoy_dynamic_module_on_http_filter_http_stream_trailers(EnvoyFilter, FilterPointer, u64, *const EnvoyHeader, usize);
    envoy_dynamic_module_on_http_filter_http_stream_complete(EnvoyFilter, FilterPointer, u64);
    envoy_dynamic_module_on_http_filter_http_stream_reset(EnvoyFilter, FilterPointer, u64, u32);
    envoy_dynamic_module_on_http_filter_downstream_above_write_buffer_high_watermark(EnvoyFilter, FilterPointer);
    envoy_dynamic_module_on_http_filter_downstream_below_write_buffer_low_watermark(EnvoyFilter, FilterPointer);
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;
    use std::thread;

    use serde_json::{Value, json};

    use super::*;
    use crate::abi::STOP_ALL_ITERATION_AND_WATERMARK;
    use crate::peers::{MOST_WAITING, WaitingRequest};
    use crate::stand_in::{LOG, Request};

    /// Nobody answers there.
    const NOWHERE: &str = "http://127.0.0.1:1/.well-known/jwks.json";

    fn settings() -> Value {
        json!({
            "issuer": "http://127.0.0.1:1",
            "audience": "https://api.example.com",
            "jwks_url": NOWHERE,
            "public": ["/public/*"],
            "claims": {"roles": "X-User-Roles"},
        })
    }

    fn configure(text: &str) -> ConfigurationPointer {
        let buffer = EnvoyBuffer {
            at: text.as_ptr().cast(),
            length: text.len(),
        };
        // SAFETY: the stand-in does not read the configuration of Envoy.
        unsafe { envoy_dynamic_module_on_http_filter_config_new(ptr::null_mut(), buffer, buffer) }
    }

    /// The status of the hook for the headers of a request, from its first hook to its last. A
    /// request that has to wait is woken first.
    fn sent(configuration: ConfigurationPointer, request: &mut Request) -> u32 {
        // SAFETY: the hooks are called in Envoy's order, with the pointers of the hooks before.
        unsafe {
            let filter = envoy_dynamic_module_on_http_filter_new(configuration, request.pointer());
            let status = envoy_dynamic_module_on_http_filter_request_headers(
                request.pointer(),
                filter,
                true,
            );
            if status == STOP_ALL_ITERATION_AND_WATERMARK {
                while request.wakes.load(Ordering::SeqCst) == 0 {
                    thread::yield_now();
                }
            }
            envoy_dynamic_module_on_http_filter_scheduled(request.pointer(), filter, 0);
            envoy_dynamic_module_on_http_filter_destroy(filter);
            status
        }
    }

    #[test]
    fn a_request_whose_judgement_panics_is_answered_with_500_and_does_not_wait_for_ever() {
        let configuration = configure(&settings().to_string());
        let mut request = Request::with(&[(":path", "/orders")]);
        // SAFETY: the hooks are called in Envoy's order, with the pointers of the hooks before.
        unsafe {
            let filter = envoy_dynamic_module_on_http_filter_new(configuration, request.pointer());
            let stream = Stream::new(request.pointer());
            (*filter).wait_for(&stream, async { panic!("a defect") });
            while request.wakes.load(Ordering::SeqCst) == 0 {
                thread::yield_now();
            }
            envoy_dynamic_module_on_http_filter_scheduled(request.pointer(), filter, 0);
            envoy_dynamic_module_on_http_filter_destroy(filter);
        }
        assert_eq!(
            request.answer.as_ref().map(|answer| answer.status),
            Some(500)
        );
        assert!(!request.goes_on);
        destroy(configuration);
    }

    fn destroy(configuration: ConfigurationPointer) {
        // SAFETY: each configuration of a test is destroyed once.
        unsafe { envoy_dynamic_module_on_http_filter_config_destroy(configuration) }
    }

    #[test]
    fn a_configuration_that_is_wrong_is_refused_and_the_log_says_why() {
        for (text, words) in [
            (String::new(), "filter_config is empty"),
            ("{".to_owned(), "EOF"),
            (json!({"issuer": "a"}).to_string(), "missing field"),
        ] {
            assert!(configure(&text).is_null(), "{text}");
            let log = LOG.lock();
            let told = log
                .iter()
                .any(|line| line.contains("is refused") && line.contains(words));
            assert!(told, "{text}: {log:?}");
        }
    }

    #[test]
    fn configurations_with_equal_trust_share_one_gate_and_it_goes_with_the_last() {
        let first = settings().to_string();
        let mut changed = settings();
        changed["public"] = json!([]);
        changed["forward"] = json!(true);
        let (first, second) = (configure(&first), configure(&changed.to_string()));
        // SAFETY: both were made above.
        let gate = |pointer: ConfigurationPointer| unsafe { (*pointer).gate_address() };
        assert_eq!(gate(first), gate(second));
        changed["audience"] = json!("https://other.example.com");
        let third = configure(&changed.to_string());
        assert_ne!(gate(first), gate(third));
        for configuration in [first, second, third] {
            destroy(configuration);
        }
    }

    #[test]
    fn without_a_token_the_answer_is_401_and_without_keys_503() {
        let configuration = configure(&settings().to_string());
        for (authorization, status, code, details) in [
            (vec![], 401, "invalid_token", "wxmint_invalid_token"),
            (
                vec!["Basic YTpi"],
                401,
                "invalid_token",
                "wxmint_invalid_token",
            ),
            (
                vec!["Bearer a", "Bearer b"],
                401,
                "invalid_request",
                "wxmint_invalid_request",
            ),
            (
                vec!["Bearer a,b"],
                401,
                "invalid_request",
                "wxmint_invalid_request",
            ),
            (
                vec!["Bearer a.b.c"],
                503,
                "keys_unavailable",
                "wxmint_keys_unavailable",
            ),
        ] {
            let own = authorization.iter().map(|value| ("authorization", *value));
            let common = [(":path", "/orders"), ("x-request-id", "r-1")];
            let mut request = Request::with(&common.into_iter().chain(own).collect::<Vec<_>>());
            let waits = status == 503;
            let wanted = if waits {
                STOP_ALL_ITERATION_AND_WATERMARK
            } else {
                STOP_ITERATION
            };
            assert_eq!(sent(configuration, &mut request), wanted);
            let answer = request.answer.expect("an answer");
            let body: Value = serde_json::from_str(&answer.body).expect("JSON");
            assert_eq!(answer.status, status, "{authorization:?}: {body}");
            assert_eq!(
                (&body["code"], &body["request_id"]),
                (&json!(code), &json!("r-1"))
            );
            assert_eq!(answer.details, details);
            let names: Vec<_> = answer
                .headers
                .iter()
                .map(|(name, _)| name.as_str())
                .collect();
            let last = if status == 401 {
                "www-authenticate"
            } else {
                "retry-after"
            };
            assert_eq!(names, ["content-type", "cache-control", last]);
            assert!(!request.goes_on);
        }
        // A crowd waits already, so nobody joins it. The token may be good: 401 would be a lie.
        let _crowd: Vec<_> = (0..MOST_WAITING).map(|_| WaitingRequest::new()).collect();
        let other = settings().to_string().replace("api.", "other.");
        let early = configure(&other);
        let mut request = Request::with(&[("authorization", "Bearer a.b.c")]);
        assert_eq!(sent(early, &mut request), STOP_ITERATION);
        assert_eq!(request.answer.expect("an answer").status, 503);
        destroy(early);
        destroy(configuration);
    }

    #[test]
    fn the_clients_own_identity_headers_go_on_every_path_and_the_token_where_nobody_needs_it() {
        let configuration = configure(&settings().to_string());
        let forged = [
            (":path", "/public/page"),
            ("x-user-id", "root"),
            ("x-user-id", "root again"),
            ("x_client_id", "root"),
            ("x.token-id", "root"),
            ("x-user_roles", "admin"),
            ("x-user-name", "kept"),
            ("authorization", "Bearer a.b.c"),
        ];
        let mut request = Request::with(&forged);
        assert_eq!(sent(configuration, &mut request), CONTINUE);
        let left: Vec<_> = request
            .headers
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(left, [":path", "x-user-name"]);
        assert!(request.answer.is_none());
        assert_eq!(request.counted, ["public"]);
        destroy(configuration);
    }

    #[test]
    fn a_panic_in_a_hook_is_answered_with_500_and_the_next_request_is_served() {
        let configuration = configure(&settings().to_string());
        let headers = [(":path", "/public/page"), ("x-user-id", "root")];
        for (is_hidden, is_frozen) in [(true, false), (false, true), (true, true)] {
            let mut request = Request::with(&headers);
            request.is_hidden = is_hidden;
            request.is_frozen = is_frozen;
            assert_eq!(sent(configuration, &mut request), STOP_ITERATION);
            let answer = request.answer.as_ref().expect("an answer");
            assert_eq!((answer.status, &*answer.details), (500, "wxmint_panic"));
            assert_eq!(request.values("x-user-id"), ["root"], "nothing went on");
        }
        let mut request = Request::with(&headers);
        assert_eq!(sent(configuration, &mut request), CONTINUE);
        destroy(configuration);
    }
}
