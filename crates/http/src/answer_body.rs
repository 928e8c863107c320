//! Sends answers in pieces, and tells the connection how far they are.

use std::error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::ServiceResponse;
use actix_web::web::Bytes;

use super::{body::RequestBody, connection::ClientConnection};

/// How much of an answer is copied to a connection's buffer at once, and how full the buffer may be before that. So a
/// client that does not read holds two pieces there, and not a copy of the whole answer.
pub(super) const PIECE: usize = 4 * 1024;

/// While it lives, not all of an answer is in the connection's buffer.
struct OnTheWay(Arc<ClientConnection>);

impl Drop for OnTheWay {
    fn drop(&mut self) {
        self.0.has_buffered_answer();
    }
}

pub(super) struct AnswerBody {
    unsent: Bytes,
    /// The rest of a stream, whose bytes come one after another.
    rest: Option<BoxBody>,
    size: BodySize,
    /// Dropped with the answer and not before: see [`RequestBody`].
    _request_body: Option<RequestBody>,
    _on_the_way: Option<OnTheWay>,
}

impl AnswerBody {
    pub(super) fn send(
        response: ServiceResponse<BoxBody>,
        request_body: Option<RequestBody>,
        connection: Option<Arc<ClientConnection>>,
    ) -> ServiceResponse<Self> {
        response.map_body(|_, body| {
            let size = body.size();
            let (unsent, rest) = match body.try_into_bytes() {
                Ok(bytes) => (bytes, None),
                Err(stream) => (Bytes::new(), Some(stream)),
            };
            let on_the_way = connection.map(OnTheWay);
            on_the_way
                .iter()
                .for_each(|OnTheWay(connection)| connection.answers(Some(&unsent).filter(|all| all.len() > PIECE)));
            Self { unsent, rest, size, _request_body: request_body, _on_the_way: on_the_way }
        })
    }
}

impl MessageBody for AnswerBody {
    type Error = Box<dyn error::Error>;

    fn size(&self) -> BodySize {
        self.size
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if let (true, Some(rest)) = (self.unsent.is_empty(), &mut self.rest) {
            match ready!(Pin::new(rest).poll_next(cx)) {
                Some(Ok(chunk)) => self.unsent = chunk,
                end => return Poll::Ready(end),
            }
        }
        let piece = self.unsent.len().min(PIECE);
        Poll::Ready((piece > 0).then(|| Ok(self.unsent.split_to(piece))))
    }
}
