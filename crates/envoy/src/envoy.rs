//! Envoy's callbacks as safe methods.

use std::{ptr, slice};

use crate::abi::{self, EnvoyBuffer, EnvoyHeader, ModuleBuffer, ModuleHeader};

impl ModuleBuffer {
    /// With it, `set_header` removes the header.
    const NOTHING: Self = Self {
        at: ptr::null(),
        length: 0,
    };

    fn of(bytes: &[u8]) -> Self {
        Self {
            at: bytes.as_ptr().cast(),
            length: bytes.len(),
        }
    }
}

impl EnvoyBuffer {
    const NOTHING: Self = Self {
        at: ptr::null(),
        length: 0,
    };

    /// The bytes, which are empty if Envoy has none.
    ///
    /// # Safety
    /// Envoy's bytes must stay for `'a`.
    pub(crate) unsafe fn bytes<'a>(self) -> &'a [u8] {
        if self.at.is_null() {
            return &[];
        }
        // SAFETY: Envoy gives `length` bytes at `at`, and the caller vouches for the time.
        unsafe { slice::from_raw_parts(self.at.cast(), self.length) }
    }
}

/// Writes a line to Envoy's log, under `dynamic_modules`.
pub(crate) fn log(level: u32, line: &str) {
    // SAFETY: Envoy copies the line before it returns, and takes lines from any thread.
    unsafe { abi::log(level, ModuleBuffer::of(line.as_bytes())) }
}

/// Whether Envoy's log has lines of this level.
pub(crate) fn is_logged(level: u32) -> bool {
    // SAFETY: it has no pointers.
    unsafe { abi::log_enabled(level) }
}

/// The configuration of a filter, while Envoy creates it.
pub(crate) struct NewConfiguration(abi::EnvoyConfiguration);

impl NewConfiguration {
    /// # Safety
    /// Envoy must have given the pointer to the hook that is running.
    pub(crate) unsafe fn new(pointer: abi::EnvoyConfiguration) -> Self {
        Self(pointer)
    }

    /// The id of a new counter with these labels; `None` if Envoy takes no more metrics.
    pub(crate) fn counter(&self, name: &str, labels: &[&str]) -> Option<usize> {
        self.define(abi::define_counter, name, labels)
    }

    /// The id of a new gauge with these labels; `None` if Envoy takes no more metrics.
    pub(crate) fn gauge(&self, name: &str, labels: &[&str]) -> Option<usize> {
        self.define(abi::define_gauge, name, labels)
    }

    fn define(&self, callback: Define, name: &str, labels: &[&str]) -> Option<usize> {
        let labels = buffers(labels);
        let name = ModuleBuffer::of(name.as_bytes());
        let mut id = 0;
        // SAFETY: all pointers are to values that outlive the call.
        let result = unsafe { callback(self.0, name, labels.as_ptr(), labels.len(), &raw mut id) };
        (result == abi::SUCCESS).then_some(id)
    }
}

type Define = unsafe extern "C" fn(
    abi::EnvoyConfiguration,
    ModuleBuffer,
    *const ModuleBuffer,
    usize,
    *mut usize,
) -> u32;

fn buffers(texts: &[&str]) -> Vec<ModuleBuffer> {
    let bytes = texts.iter().map(|text| ModuleBuffer::of(text.as_bytes()));
    bytes.collect()
}

/// A request in Envoy, for as long as a hook runs on its worker.
pub(crate) struct Stream(abi::EnvoyFilter);

impl Stream {
    /// # Safety
    /// Envoy must have given the pointer to the hook that is running.
    pub(crate) unsafe fn new(pointer: abi::EnvoyFilter) -> Self {
        Self(pointer)
    }

    /// The first two values of a header of the request. The name is in lower case.
    pub(crate) fn header(&self, name: &str) -> [Option<&[u8]>; 2] {
        let mut count = 0;
        let first = self.value(name, 0, &mut count);
        let mut unused = 0;
        let second = (count > 1).then(|| self.value(name, 1, &mut unused));
        [first, second.flatten()]
    }

    fn value(&self, name: &str, index: usize, count: &mut usize) -> Option<&[u8]> {
        let name = ModuleBuffer::of(name.as_bytes());
        let mut value = EnvoyBuffer::NOTHING;
        // SAFETY: all pointers are to values that outlive the call.
        let is_there = unsafe {
            abi::get_header(
                self.0,
                abi::REQUEST_HEADER,
                name,
                &raw mut value,
                index,
                &raw mut *count,
            )
        };
        // SAFETY: the bytes stay until a header is set, which takes `&mut self`.
        (is_there && *count > index).then(|| unsafe { value.bytes() })
    }

    /// The names of the request's headers that `wanted` accepts.
    pub(crate) fn names(&self, wanted: impl Fn(&[u8]) -> bool) -> Vec<Vec<u8>> {
        const NONE: EnvoyHeader = EnvoyHeader {
            key: EnvoyBuffer::NOTHING,
            value: EnvoyBuffer::NOTHING,
        };
        // SAFETY: it has no other pointers.
        let count = unsafe { abi::get_headers_size(self.0, abi::REQUEST_HEADER) };
        let mut headers = vec![NONE; count];
        // SAFETY: there is room for as many headers as Envoy has.
        let is_there =
            unsafe { abi::get_headers(self.0, abi::REQUEST_HEADER, headers.as_mut_ptr()) };
        // A request whose headers cannot be read would go on with those of the client.
        assert!(is_there, "Envoy has not shown the headers of the request");
        // SAFETY: no header is set before the last name has been copied.
        let names = headers.iter().map(|header| unsafe { header.key.bytes() });
        names
            .filter(|name| wanted(name))
            .map(<[u8]>::to_vec)
            .collect()
    }

    /// Replaces all values of a header of the request.
    pub(crate) fn set_header(&mut self, name: &str, value: &str) {
        self.replace(name.as_bytes(), ModuleBuffer::of(value.as_bytes()));
    }

    /// Removes a header of the request.
    pub(crate) fn remove_header(&mut self, name: &[u8]) {
        self.replace(name, ModuleBuffer::NOTHING);
    }

    fn replace(&mut self, name: &[u8], value: ModuleBuffer) {
        let name = ModuleBuffer::of(name);
        // SAFETY: Envoy copies both texts before it returns.
        let is_replaced = unsafe { abi::set_header(self.0, abi::REQUEST_HEADER, name, value) };
        // A request whose headers cannot be changed would go on with those of the client.
        assert!(is_replaced, "Envoy has not changed a header of the request");
    }

    /// Answers the request in place of the service. `details` is a word for Envoy's access log.
    pub(crate) fn respond(
        &mut self,
        status: u16,
        headers: &[(&str, &str)],
        body: &str,
        details: &str,
    ) {
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| ModuleHeader {
                key: ModuleBuffer::of(name.as_bytes()),
                value: ModuleBuffer::of(value.as_bytes()),
            })
            .collect();
        // SAFETY: Envoy copies all texts before it returns.
        unsafe {
            abi::send_response(
                self.0,
                status.into(),
                headers.as_ptr(),
                headers.len(),
                ModuleBuffer::of(body.as_bytes()),
                ModuleBuffer::of(details.as_bytes()),
            );
        }
    }

    /// Notes a text of the request for other filters and for Envoy's access log.
    pub(crate) fn note(&mut self, namespace: &str, key: &str, value: &str) {
        let [namespace, key, value] =
            [namespace, key, value].map(|text| ModuleBuffer::of(text.as_bytes()));
        // SAFETY: Envoy copies all texts before it returns.
        unsafe { abi::set_dynamic_metadata_string(self.0, namespace, key, value) }
    }

    /// Lets a request go on that a hook has stopped.
    pub(crate) fn go_on(&mut self) {
        // SAFETY: it has no other pointers.
        unsafe { abi::continue_decoding(self.0) }
    }

    /// Wakes this request's filter from another thread.
    pub(crate) fn waker(&self) -> FilterWaker {
        // SAFETY: it has no other pointers.
        FilterWaker(unsafe { abi::scheduler_new(self.0) })
    }

    /// Adds one to a counter.
    pub(crate) fn count(&self, counter: usize, labels: &[&str]) {
        let labels = buffers(labels);
        // SAFETY: all pointers are to values that outlive the call. A count that Envoy does not
        // take is lost, and nothing depends on it.
        unsafe { abi::increment_counter(self.0, counter, labels.as_ptr(), labels.len(), 1) };
    }

    /// Sets a gauge.
    pub(crate) fn measure(&self, gauge: usize, labels: &[&str], value: u64) {
        let labels = buffers(labels);
        // SAFETY: as in `count`.
        unsafe { abi::set_gauge(self.0, gauge, labels.as_ptr(), labels.len(), value) };
    }
}

/// Wakes the filter of a request on its worker. It does nothing once the request is gone.
pub(crate) struct FilterWaker(abi::Scheduler);

// SAFETY: Envoy's scheduler holds a weak reference to the filter, and posts to the dispatcher of
// its worker. Both may be used and deleted on any thread.
unsafe impl Send for FilterWaker {}

impl FilterWaker {
    pub(crate) fn wake(&self) {
        // SAFETY: the scheduler is deleted by `drop` alone.
        unsafe { abi::scheduler_commit(self.0, 0) }
    }
}

impl Drop for FilterWaker {
    fn drop(&mut self) {
        // SAFETY: nobody else has the pointer.
        unsafe { abi::scheduler_delete(self.0) }
    }
}
