//! Runs steps as a task of their own, to their end.

use std::{future::pending, panic::resume_unwind};

use actix_web::rt::spawn;
use tracing::Instrument;
use wxmint_telemetry::Trace;

/// Runs `steps` to their end even if the client disconnects, which makes actix-web drop the handler. Otherwise WeChat
/// might replace a session key that the store keeps, or a try of a session key might not be counted. `steps` need
/// deadlines of their own, and must not read the request's body.
///
/// `steps` begin at once, and not when the returned future is first polled, so that the caller does not keep room for
/// them. Whatever they wait for wakes their own task and not the connection's, which would go through all layers and
/// look for another request each time.
pub fn to_the_end<T: 'static>(steps: impl Future<Output = T> + 'static) -> impl Future<Output = T> {
    // On the heap before it is handed on from layer to layer: the future of a login takes several kilobytes.
    let steps = Box::pin(steps).in_current_span();
    let task = match Trace::current() {
        Some(trace) => spawn(trace.around(steps)),
        None => spawn(steps),
    };
    async move {
        match task.await.map_err(|failed| failed.try_into_panic()) {
            Ok(done) => done,
            Err(Ok(panic)) => resume_unwind(panic),
            // The task was cancelled because its worker is ending, and this task ends with it.
            Err(Err(_)) => pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, rc::Rc};

    use tokio::sync::oneshot;

    use super::*;

    #[actix_web::test]
    async fn steps_go_on_when_nobody_waits_for_them_any_more() {
        let (go_on, waits) = oneshot::channel::<()>();
        let (tells, told) = oneshot::channel();
        let handler = spawn(to_the_end(async move {
            waits.await.expect("told to go on");
            tells.send("done").expect("somebody listens");
        }));
        actix_web::rt::task::yield_now().await;
        handler.abort();
        assert!(handler.await.is_err_and(|error| error.is_cancelled()));
        go_on.send(()).expect("the steps wait");
        assert_eq!(told.await, Ok("done"));
    }

    #[actix_web::test]
    async fn their_result_is_answered_and_so_is_their_panic() {
        let seen = Rc::new(Cell::new(1));
        let counted = Rc::clone(&seen);
        assert_eq!(to_the_end(async move { counted.replace(2) }).await, 1);
        assert_eq!(seen.get(), 2);
        let panics = spawn(to_the_end(async { panic!("on purpose") }));
        assert!(panics.await.is_err_and(|error| error.is_panic()));
    }
}
