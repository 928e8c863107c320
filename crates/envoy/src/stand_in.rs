//! Stands in for Envoy in tests: the callbacks, on a request that is a value of the test.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{ffi::c_void, slice};

use parking_lot::Mutex;

use crate::abi::{EnvoyBuffer, EnvoyConfiguration, EnvoyFilter, EnvoyHeader};
use crate::abi::{ModuleBuffer, ModuleHeader, SUCCESS, Scheduler};

/// A request, and what the module has done with it.
#[derive(Default)]
pub(crate) struct Request {
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) answer: Option<Answer>,
    pub(crate) notes: Vec<(String, String)>,
    pub(crate) counted: Vec<String>,
    pub(crate) goes_on: bool,
    /// Envoy shows no list of the headers.
    pub(crate) is_hidden: bool,
    /// Envoy changes no header.
    pub(crate) is_frozen: bool,
    pub(crate) wakes: Arc<AtomicUsize>,
}

pub(crate) struct Answer {
    pub(crate) status: u32,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
    pub(crate) details: String,
}

impl Request {
    pub(crate) fn with(headers: &[(&str, &str)]) -> Self {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self {
            headers: headers.iter().map(own).collect(),
            ..Self::default()
        }
    }

    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        let all = self.headers.iter().filter(|(of, _)| of == name);
        all.map(|(_, value)| value.as_str()).collect()
    }

    pub(crate) fn pointer(&mut self) -> EnvoyFilter {
        (&raw mut *self).cast()
    }
}

/// The lines of Envoy's log, of all tests together.
pub(crate) static LOG: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn request<'a>(filter: EnvoyFilter) -> &'a mut Request {
    // SAFETY: the tests pass the pointer of a request that they use only between the hooks.
    unsafe { &mut *filter.cast() }
}

fn bytes<'a>(buffer: ModuleBuffer) -> &'a [u8] {
    assert!(!buffer.at.is_null() || buffer.length == 0);
    if buffer.length == 0 {
        return &[];
    }
    // SAFETY: the module's bytes stay for the call.
    unsafe { slice::from_raw_parts(buffer.at.cast(), buffer.length) }
}

fn text(buffer: ModuleBuffer) -> String {
    String::from_utf8(bytes(buffer).to_vec()).expect("UTF-8")
}

fn shown(text: &str) -> EnvoyBuffer {
    EnvoyBuffer {
        at: text.as_ptr().cast(),
        length: text.len(),
    }
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_log(_level: u32, message: ModuleBuffer) {
    LOG.lock().push(text(message));
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_log_enabled(_level: u32) -> bool {
    true
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_get_header(
    filter: EnvoyFilter,
    _kind: u32,
    key: ModuleBuffer,
    result: *mut EnvoyBuffer,
    index: usize,
    count: *mut usize,
) -> bool {
    let request = request(filter);
    let key = text(key);
    let values: Vec<_> = request
        .headers
        .iter()
        .filter(|(name, _)| *name == key)
        .collect();
    let value = values.get(index);
    // SAFETY: the module passes pointers to its own values.
    unsafe {
        *count = values.len();
        if let Some((_, value)) = value {
            *result = shown(value);
        }
    }
    value.is_some()
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_get_headers_size(
    filter: EnvoyFilter,
    _kind: u32,
) -> usize {
    request(filter).headers.len()
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_get_headers(
    filter: EnvoyFilter,
    _kind: u32,
    result: *mut EnvoyHeader,
) -> bool {
    let request = request(filter);
    if request.is_hidden {
        return false;
    }
    for (index, (name, value)) in request.headers.iter().enumerate() {
        let (key, value) = (shown(name), shown(value));
        // SAFETY: the module has made room for as many headers as there are.
        unsafe { result.add(index).write(EnvoyHeader { key, value }) }
    }
    true
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_set_header(
    filter: EnvoyFilter,
    _kind: u32,
    key: ModuleBuffer,
    value: ModuleBuffer,
) -> bool {
    let request = request(filter);
    if request.is_frozen {
        return false;
    }
    let key = text(key);
    request.headers.retain(|(name, _)| *name != key);
    if !value.at.is_null() {
        request.headers.push((key, text(value)));
    }
    true
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_send_response(
    filter: EnvoyFilter,
    status: u32,
    headers: *const ModuleHeader,
    count: usize,
    body: ModuleBuffer,
    details: ModuleBuffer,
) {
    // SAFETY: the module passes `count` headers.
    let headers = unsafe { slice::from_raw_parts(headers, count) };
    let headers = headers
        .iter()
        .map(|header| (text(header.key), text(header.value)));
    let before = request(filter).answer.replace(Answer {
        status,
        headers: headers.collect(),
        body: text(body),
        details: text(details),
    });
    assert!(before.is_none(), "a request is answered once");
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_set_dynamic_metadata_string(
    filter: EnvoyFilter,
    namespace: ModuleBuffer,
    key: ModuleBuffer,
    value: ModuleBuffer,
) {
    assert_eq!(text(namespace), "wxmint");
    request(filter).notes.push((text(key), text(value)));
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_filter_continue_decoding(filter: EnvoyFilter) {
    request(filter).goes_on = true;
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_filter_scheduler_new(
    filter: EnvoyFilter,
) -> Scheduler {
    Arc::into_raw(Arc::clone(&request(filter).wakes)) as *mut c_void
}

/// # Safety
/// The pointer is one of `scheduler_new`.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_callback_http_filter_scheduler_delete(
    scheduler: Scheduler,
) {
    // SAFETY: the caller vouches for it.
    drop(unsafe { Arc::from_raw(scheduler.cast::<AtomicUsize>()) });
}

/// # Safety
/// The pointer is one of `scheduler_new` that has not been deleted.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_callback_http_filter_scheduler_commit(
    scheduler: Scheduler,
    _event: u64,
) {
    // SAFETY: the caller vouches for it.
    unsafe { &*scheduler.cast::<AtomicUsize>() }.fetch_add(1, Ordering::SeqCst);
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_filter_config_define_counter(
    _configuration: EnvoyConfiguration,
    _name: ModuleBuffer,
    _labels: *const ModuleBuffer,
    _count: usize,
    id: *mut usize,
) -> u32 {
    // SAFETY: the module passes a pointer to its own value.
    unsafe { *id = 1 }
    SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_filter_config_define_gauge(
    _configuration: EnvoyConfiguration,
    _name: ModuleBuffer,
    _labels: *const ModuleBuffer,
    _count: usize,
    id: *mut usize,
) -> u32 {
    // SAFETY: the module passes a pointer to its own value.
    unsafe { *id = 2 }
    SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_filter_increment_counter(
    filter: EnvoyFilter,
    _id: usize,
    labels: *const ModuleBuffer,
    count: usize,
    _value: u64,
) -> u32 {
    // SAFETY: the module passes `count` labels.
    let labels = unsafe { slice::from_raw_parts(labels, count) };
    let labels = labels.iter().map(|label| text(*label));
    request(filter).counted.extend(labels);
    SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_callback_http_filter_set_gauge(
    _filter: EnvoyFilter,
    _id: usize,
    _labels: *const ModuleBuffer,
    _count: usize,
    _value: u64,
) -> u32 {
    SUCCESS
}
