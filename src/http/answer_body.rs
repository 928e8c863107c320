//! Sends answers, and bounds what clients that read slowly or not at all may hold: bytes and time.

use std::{
    error,
    pin::Pin,
    rc::Rc,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    task::{Context, Poll, ready},
    time::Duration,
};

use actix_web::{
    body::{BodySize, BoxBody, MessageBody},
    dev::ServiceResponse,
    web::Bytes,
};

use super::{ClientConnection, Problem, ProblemCode, body::RequestBody, server::HEAD_TIMEOUT, trace::REQUEST_ID};

/// How much of an answer is copied to a connection's buffer at once, and how full the buffer may be before that. So a client
/// that does not read holds two pieces there, and not a copy of the whole answer.
pub(super) const PIECE: usize = 8 * 1024;
/// The most bytes of answers that wait for their clients, of one listener. Answers of at most a [`PIECE`] do not count,
/// because they fit into the buffer that each connection has.
const MOST_UNREAD: usize = 8 * 1024 * 1024;
/// What a longer answer counts as. A full page of the feed has 51 KB; what is longer is a file that is part of the program.
const MOST_COUNTED: usize = 64 * 1024;
const PAUSE: Duration = Duration::from_secs(1);

/// The bytes of answers that wait until their clients read them.
pub(super) struct Unread {
    bytes: AtomicUsize,
    /// How long a client may take to read an answer while there is room for others.
    timeout: Duration,
    /// Whether the log says that answers are refused.
    told: AtomicBool,
}

impl Unread {
    pub(super) fn new(timeout: Duration) -> Self {
        Self { bytes: AtomicUsize::new(0), timeout, told: AtomicBool::new(false) }
    }

    /// How long a client may take to read an answer: less when half of the room is taken, so that clients that do not read
    /// make room for others.
    pub(super) fn may_take(&self) -> Duration {
        if self.bytes.load(Ordering::Relaxed) <= MOST_UNREAD / 2 { self.timeout } else { HEAD_TIMEOUT }
    }

    /// Whether there is room for so many bytes more, which are then counted.
    fn take(&self, bytes: usize) -> bool {
        let more = |unread: usize| Some(unread + bytes).filter(|sum| bytes == 0 || *sum <= MOST_UNREAD);
        if self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok() {
            return true;
        }
        if !self.told.swap(true, Ordering::Relaxed) {
            let limit = MOST_UNREAD / 1024 / 1024;
            tracing::warn!(
                "clients have not read {limit} MiB of answers: long answers are refused with 503 until they do"
            );
        }
        false
    }

    fn give_back(&self, bytes: usize) {
        if self.bytes.fetch_sub(bytes, Ordering::Relaxed) - bytes <= MOST_UNREAD / 2 {
            self.told.store(false, Ordering::Relaxed);
        }
    }
}

/// An answer of which not all bytes are in the connection's buffer.
struct OnTheWay {
    connection: Rc<ClientConnection>,
    bytes: usize,
}

impl OnTheWay {
    /// `None` if there is no room for the answer.
    fn begin(connection: Rc<ClientConnection>, size: BodySize) -> Option<Self> {
        let bytes = match size {
            BodySize::Sized(bytes) if bytes > PIECE as u64 => bytes.min(MOST_COUNTED as u64) as usize,
            _ => 0,
        };
        if !connection.unread().take(bytes) {
            return None;
        }
        connection.answers(true);
        Some(Self { connection, bytes })
    }
}

impl Drop for OnTheWay {
    fn drop(&mut self) {
        self.connection.answers(false);
        self.connection.unread().give_back(self.bytes);
    }
}

/// Sends an answer's body in pieces, each of which counts as a use of the connection.
pub(super) struct AnswerBody {
    body: BoxBody,
    unsent: Bytes,
    /// Dropped with the answer and not before: see [`RequestBody`].
    _request_body: Option<RequestBody>,
    on_the_way: Option<OnTheWay>,
}

impl AnswerBody {
    /// Sends the answer, or another one if there is no room for it.
    pub(super) fn send(
        response: ServiceResponse<BoxBody>,
        request_body: Option<RequestBody>,
        connection: Option<Rc<ClientConnection>>,
    ) -> ServiceResponse<Self> {
        let size = response.response().body().size();
        let Some(connection) = connection else { return Self::of(response, request_body, None) };
        match OnTheWay::begin(connection, size) {
            Some(on_the_way) => Self::of(response, request_body, Some(on_the_way)),
            None => {
                let (request, response) = response.into_parts();
                let mut refused = too_much_unread().respond(&request);
                if let Some(id) = response.headers().get(REQUEST_ID) {
                    refused.headers_mut().insert(REQUEST_ID, id.clone());
                }
                Self::of(ServiceResponse::new(request, refused), request_body, None)
            }
        }
    }

    fn of(
        response: ServiceResponse<BoxBody>,
        request_body: Option<RequestBody>,
        on_the_way: Option<OnTheWay>,
    ) -> ServiceResponse<Self> {
        response.map_body(|_, body| Self { body, unsent: Bytes::new(), _request_body: request_body, on_the_way })
    }
}

fn too_much_unread() -> Problem {
    let detail =
        "Other clients have not read their answers yet, and there is no room for this one. Wait, then ask again.";
    Problem::new(ProblemCode::StoreUnavailable, detail).retry_after(PAUSE)
}

impl MessageBody for AnswerBody {
    type Error = Box<dyn error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if self.unsent.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_next(cx)) {
                Some(Ok(chunk)) => self.unsent = chunk,
                end => return Poll::Ready(end),
            }
        }
        if let Some(OnTheWay { connection, .. }) = &self.on_the_way {
            connection.used();
        }
        let piece = self.unsent.len().min(PIECE);
        Poll::Ready(Some(Ok(self.unsent.split_to(piece))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn an_answer_is_buffered_in_pieces() {
        let body = BoxBody::new(vec![b'x'; 3 * PIECE + 1]);
        let mut answer = AnswerBody { body, unsent: Bytes::new(), _request_body: None, on_the_way: None };
        let mut pieces = Vec::new();
        while let Some(piece) = std::future::poll_fn(|cx| Pin::new(&mut answer).poll_next(cx)).await {
            pieces.push(piece.expect("a piece").len());
        }
        assert_eq!(pieces, [PIECE, PIECE, PIECE, 1]);
    }
}
