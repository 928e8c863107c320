//! A limit for each test. libtest has none, and a test that hangs would hold up everything after it.

use std::io::{Write, stderr};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::{cell::OnceCell, process::abort, thread, time::Duration};

thread_local! {
    /// Dropped when the thread of the test ends.
    static END: OnceCell<Sender<()>> = const { OnceCell::new() };
}

/// Ends the whole program, and says why, if the test on this thread takes longer than `limit` from the first call on.
pub(crate) fn at_most(limit: Duration) {
    END.with(|end| _ = end.get_or_init(|| watched(limit)));
}

fn watched(limit: Duration) -> Sender<()> {
    let (sender, ended) = channel();
    // libtest gives the thread the name of its test.
    let test = thread::current().name().unwrap_or("a test").to_owned();
    thread::spawn(move || {
        if ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            // Nobody is left to be told if this fails.
            let _ = writeln!(stderr(), "{test} takes longer than {limit:?}: it hangs");
            abort();
        }
    });
    sender
}
