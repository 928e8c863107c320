//! The part of Envoy's ABI for dynamic modules that this module uses: declarations alone, with the
//! names of Envoy's `source/extensions/dynamic_modules/abi/abi.h` after `envoy_dynamic_module_`.
//!
//! All of them are in Envoy 1.38, 1.39 and 1.40.

use std::ffi::{c_char, c_void};

/// The version of the ABI by which the module was written (`ENVOY_DYNAMIC_MODULES_ABI_VERSION`).
/// Envoy 1.40 has this one. 1.38 and 1.39 have v0.1.0, log one warning, and load the module.
pub(crate) const ABI_VERSION: &std::ffi::CStr = c"v0.2.0";

/// `type_http_filter_envoy_ptr`: the filter of one request, in Envoy.
pub(crate) type EnvoyFilter = *mut c_void;
/// `type_http_filter_config_envoy_ptr`: a configuration of the filter, in Envoy.
pub(crate) type EnvoyConfiguration = *mut c_void;
/// `type_http_filter_scheduler_module_ptr`: wakes a filter on its worker, from any thread. It does
/// nothing if the filter is gone.
pub(crate) type Scheduler = *mut c_void;

/// `type_module_buffer`: bytes of this module.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct ModuleBuffer {
    pub(crate) at: *const c_char,
    pub(crate) length: usize,
}

/// `type_envoy_buffer`: bytes of Envoy. They stay until the hook returns, or until a header is set.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct EnvoyBuffer {
    pub(crate) at: *const c_char,
    pub(crate) length: usize,
}

/// `type_module_http_header`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct ModuleHeader {
    pub(crate) key: ModuleBuffer,
    pub(crate) value: ModuleBuffer,
}

/// `type_envoy_http_header`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct EnvoyHeader {
    pub(crate) key: EnvoyBuffer,
    pub(crate) value: EnvoyBuffer,
}

/// `type_http_header_type_RequestHeader`.
pub(crate) const REQUEST_HEADER: u32 = 0;

/// `type_on_http_filter_request_headers_status`, and the first of each other status.
pub(crate) const CONTINUE: u32 = 0;
/// The filter has answered by itself.
pub(crate) const STOP_ITERATION: u32 = 1;
/// Nothing of the request goes on until `continue_decoding`.
pub(crate) const STOP_ALL_ITERATION_AND_WATERMARK: u32 = 4;

/// `type_log_level`.
pub(crate) const TRACE: u32 = 0;
pub(crate) const DEBUG: u32 = 1;
pub(crate) const INFO: u32 = 2;
pub(crate) const WARN: u32 = 3;
pub(crate) const ERROR: u32 = 4;

/// `type_metrics_result_Success`.
pub(crate) const SUCCESS: u32 = 0;

unsafe extern "C" {
    #[link_name = "envoy_dynamic_module_callback_log"]
    pub(crate) fn log(level: u32, message: ModuleBuffer);

    #[link_name = "envoy_dynamic_module_callback_log_enabled"]
    pub(crate) fn log_enabled(level: u32) -> bool;

    #[link_name = "envoy_dynamic_module_callback_http_get_header"]
    pub(crate) fn get_header(
        filter: EnvoyFilter,
        kind: u32,
        key: ModuleBuffer,
        result: *mut EnvoyBuffer,
        index: usize,
        count: *mut usize,
    ) -> bool;

    #[link_name = "envoy_dynamic_module_callback_http_get_headers_size"]
    pub(crate) fn get_headers_size(filter: EnvoyFilter, kind: u32) -> usize;

    #[link_name = "envoy_dynamic_module_callback_http_get_headers"]
    pub(crate) fn get_headers(filter: EnvoyFilter, kind: u32, result: *mut EnvoyHeader) -> bool;

    /// A value whose `at` is null removes the header.
    #[link_name = "envoy_dynamic_module_callback_http_set_header"]
    pub(crate) fn set_header(
        filter: EnvoyFilter,
        kind: u32,
        key: ModuleBuffer,
        value: ModuleBuffer,
    ) -> bool;

    #[link_name = "envoy_dynamic_module_callback_http_send_response"]
    pub(crate) fn send_response(
        filter: EnvoyFilter,
        status: u32,
        headers: *const ModuleHeader,
        count: usize,
        body: ModuleBuffer,
        details: ModuleBuffer,
    );

    #[link_name = "envoy_dynamic_module_callback_http_set_dynamic_metadata_string"]
    pub(crate) fn set_dynamic_metadata_string(
        filter: EnvoyFilter,
        namespace: ModuleBuffer,
        key: ModuleBuffer,
        value: ModuleBuffer,
    );

    #[link_name = "envoy_dynamic_module_callback_http_filter_continue_decoding"]
    pub(crate) fn continue_decoding(filter: EnvoyFilter);

    #[link_name = "envoy_dynamic_module_callback_http_filter_scheduler_new"]
    pub(crate) fn scheduler_new(filter: EnvoyFilter) -> Scheduler;

    #[link_name = "envoy_dynamic_module_callback_http_filter_scheduler_delete"]
    pub(crate) fn scheduler_delete(scheduler: Scheduler);

    #[link_name = "envoy_dynamic_module_callback_http_filter_scheduler_commit"]
    pub(crate) fn scheduler_commit(scheduler: Scheduler, event: u64);

    #[link_name = "envoy_dynamic_module_callback_http_filter_config_define_counter"]
    pub(crate) fn define_counter(
        configuration: EnvoyConfiguration,
        name: ModuleBuffer,
        labels: *const ModuleBuffer,
        count: usize,
        id: *mut usize,
    ) -> u32;

    #[link_name = "envoy_dynamic_module_callback_http_filter_config_define_gauge"]
    pub(crate) fn define_gauge(
        configuration: EnvoyConfiguration,
        name: ModuleBuffer,
        labels: *const ModuleBuffer,
        count: usize,
        id: *mut usize,
    ) -> u32;

    #[link_name = "envoy_dynamic_module_callback_http_filter_increment_counter"]
    pub(crate) fn increment_counter(
        filter: EnvoyFilter,
        id: usize,
        labels: *const ModuleBuffer,
        count: usize,
        value: u64,
    ) -> u32;

    #[link_name = "envoy_dynamic_module_callback_http_filter_set_gauge"]
    pub(crate) fn set_gauge(
        filter: EnvoyFilter,
        id: usize,
        labels: *const ModuleBuffer,
        count: usize,
        value: u64,
    ) -> u32;
}
