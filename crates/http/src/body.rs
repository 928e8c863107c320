//! Bounds the size of request bodies and the time that they take, even if no handler reads them.
//! Sends answers in pieces and tells the connection how much of an answer has been sent.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use std::{cell::RefCell, error, io, mem::take, pin::Pin, rc::Rc, sync::Arc};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{self, ServiceRequest, ServiceResponse};
use actix_web::http::{StatusCode, header::CONTENT_ENCODING};
use actix_web::web::{Bytes, BytesMut, Payload};
use actix_web::{HttpMessage, error::PayloadError};
use futures_util::{FutureExt, Stream, StreamExt};
use tokio::task::yield_now;
use tokio::time::{Sleep, sleep_until};

use super::Problem;
use super::connection::{ClientConnection, Phase};

/// The limit in bytes for routes whose requests have a few hundred bytes.
pub const SMALL_BODY: usize = 16 * 1024;
/// How long a body may take after its head. actix-web has no such limit, so a client that sends one byte a second would
/// keep its connection open for ever.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads the whole body. 413 if it is larger than `limit` bytes, 408 if it takes longer than 10 s,
/// 415 if it is compressed.
pub async fn read_body(mut payload: Payload, limit: usize) -> Result<Bytes, Problem> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| incomplete(&error))?;
        if body.len() + chunk.len() > limit {
            let detail = format!(
                "The body is larger than {} KiB, the most that is read here.",
                limit / 1024
            );
            return Err(Problem::invalid(detail).with_status(StatusCode::PAYLOAD_TOO_LARGE));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

fn incomplete(error: &PayloadError) -> Problem {
    match error {
        PayloadError::Io(error) if error.kind() == io::ErrorKind::TimedOut => {
            Problem::invalid("The body did not arrive within 10 seconds. Send the request again.")
                .with_status(StatusCode::REQUEST_TIMEOUT)
        }
        PayloadError::EncodingCorrupted => Problem::invalid(
            "The body is compressed (Content-Encoding). Send it as it is, without that header.",
        )
        .with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE),
        _ => Problem::invalid("The body could not be read to its end. Send the request again."),
    }
}

/// The body of a request, shared by its handler and its answer.
///
/// After an answer actix-web closes the connection if the body has not arrived whole, but only if
/// the body has not been dropped. If a chunked body has been dropped, actix-web waits for the rest
/// of it without a deadline. So the answer holds the body until it has been sent.
#[derive(Clone)]
pub(super) struct RequestBody(Rc<RefCell<Arriving>>);

struct Arriving {
    payload: dev::Payload,
    begun: Instant,
    /// Set when a reader first waits for bytes. Most bodies arrive with their head and need no
    /// timer.
    deadline: Option<Pin<Box<Sleep>>>,
    connection: Option<Arc<ClientConnection>>,
    is_over: bool,
    /// The reader of a compressed body gets an error at its end, because wxmint decompresses no
    /// body.
    is_compressed: bool,
}

impl RequestBody {
    /// Replaces the request's body with itself, if the request has a body.
    pub(super) fn take_from(
        request: &mut ServiceRequest,
        connection: Option<&Arc<ClientConnection>>,
    ) -> Option<Self> {
        let payload = Some(request.take_payload())
            .filter(|payload| !matches!(payload, dev::Payload::None))?;
        let connection = connection.map(Arc::clone);
        let mut encodings = request.headers().get_all(CONTENT_ENCODING);
        let is_compressed =
            encodings.any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"));
        let arriving = Arriving {
            payload,
            begun: Instant::now(),
            deadline: None,
            connection,
            is_over: false,
            is_compressed,
        };
        let body = Self(Rc::new(RefCell::new(arriving)));
        request.set_payload(dev::Payload::Stream {
            payload: Box::pin(body.clone()),
        });
        Some(body)
    }

    pub(super) fn is_over(&self) -> bool {
        self.0.borrow().is_over
    }

    /// Drops the bytes that have already arrived. If they complete the body, the connection can be kept.
    pub(super) async fn skip_what_has_arrived(&self) {
        let mut body = self.clone();
        // actix-web calls the handler before it decodes the bytes that came with the head, and reads on once asked.
        for _ in 0..2 {
            // After an encoding error actix-web sends an answer only if the answer is ready at once.
            if self.is_over() {
                return;
            }
            yield_now().await;
            while let Some(Some(Ok(_))) = body.next().now_or_never() {}
        }
    }
}

impl Stream for RequestBody {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Arriving {
            payload,
            begun,
            deadline,
            connection,
            is_over,
            is_compressed,
        } = &mut *self.0.borrow_mut();
        let polled = Pin::new(payload).poll_next(cx);
        *is_over = matches!(polled, Poll::Ready(None | Some(Err(_))));
        if polled.is_ready() {
            if let Some(connection) = connection {
                connection.is_in(Phase::Works);
            }
            return match polled {
                Poll::Ready(None) if take(is_compressed) => {
                    Poll::Ready(Some(Err(PayloadError::EncodingCorrupted)))
                }
                polled => polled,
            };
        }
        let deadline =
            deadline.get_or_insert_with(|| Box::pin(sleep_until((*begun + BODY_TIMEOUT).into())));
        if deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(PayloadError::Io(io::ErrorKind::TimedOut.into()))));
        }
        if let Some(connection) = connection {
            connection.is_in(Phase::Body(*begun));
        }
        Poll::Pending
    }
}

/// An answer is copied to a connection's buffer in pieces of this many bytes, and only while the
/// buffer holds less than one piece. So the buffer of a client that does not read holds two pieces,
/// and not the whole answer.
pub(super) const PIECE: usize = 4 * 1024;

/// The part of an answer that has not been copied to the connection's buffer yet. Dropped once all
/// of the answer is in that buffer.
pub(super) struct AnswerBody {
    unsent: Bytes,
    /// The rest of the answer after `unsent`.
    rest: BoxBody,
    size: BodySize,
    /// Held until the answer has been sent: see [`RequestBody`].
    _request_body: Option<RequestBody>,
    connection: Option<Arc<ClientConnection>>,
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        if let Some(connection) = &self.connection {
            connection.has_buffered_answer();
        }
    }
}

impl AnswerBody {
    pub(super) fn send(
        response: ServiceResponse<BoxBody>,
        request_body: Option<RequestBody>,
        connection: Option<Arc<ClientConnection>>,
    ) -> ServiceResponse<Self> {
        response.map_body(|_, mut rest| {
            let size = rest.size();
            // Our answers are one chunk of bytes, but the layers around the app hide that in a
            // `BoxBody`.
            let first = poll_fn(|cx| Pin::new(&mut rest).poll_next(cx)).now_or_never();
            let unsent = first.flatten().and_then(Result::ok).unwrap_or_default();
            let long = Some(&unsent).filter(|all| all.len() > PIECE);
            if let Some(connection) = &connection {
                connection.answers(long);
            }
            Self {
                unsent,
                rest,
                size,
                _request_body: request_body,
                connection,
            }
        })
    }
}

impl MessageBody for AnswerBody {
    type Error = Box<dyn error::Error>;

    fn size(&self) -> BodySize {
        self.size
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if self.unsent.is_empty() {
            match ready!(Pin::new(&mut self.rest).poll_next(cx)) {
                Some(Ok(chunk)) => self.unsent = chunk,
                end => return Poll::Ready(end),
            }
        }
        let piece = self.unsent.len().min(PIECE);
        Poll::Ready(Some(Ok(self.unsent.split_to(piece))))
    }
}
