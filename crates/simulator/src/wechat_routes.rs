//! The endpoints of WeChat and of other platforms over HTTP. Each request is answered correctly or with a
//! fault, and recorded in the journal.

use std::convert::Infallible;
use std::future::ready;
use std::io;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use actix_web::body::SizedStream;
use actix_web::http::{StatusCode, header};
use actix_web::web::{self, Bytes, Data, ServiceConfig};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, HttpResponseBuilder};
use futures_util::stream;
use tokio::time::sleep;

use super::call::{Answer, Call, Endpoint, Params};
use super::faults::{Fault, Kind, LONGEST};
use super::journal::{Answered, Exchange};
use super::now;
use super::other_platforms::{named, status};
use super::world::World;

const HTML: &str = "text/html; charset=utf-8";
const BAD_GATEWAY: &str = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad \
                           Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n";
const NOT_JSON: &str = "errcode=0&session_key=none, this is not JSON";
const HUGE_BYTES: usize = 10 * 1024 * 1024;
const DRIP_EVERY: Duration = Duration::from_secs(1);

pub(super) fn routes(
    world: Arc<World>,
    reset_on_close: fn(&HttpRequest),
) -> impl FnOnce(&mut ServiceConfig) + Clone {
    move |config| {
        let world = Data::from(world);
        for endpoint in Endpoint::ALL {
            let handler = move |request: HttpRequest, body: Bytes, world: Data<World>| async move {
                serve(endpoint, request, body, &world, reset_on_close).await
            };
            config.service(
                web::resource(endpoint.path())
                    .app_data(world.clone())
                    .to(handler),
            );
        }
    }
}

async fn serve(
    endpoint: Endpoint,
    request: HttpRequest,
    body: Bytes,
    world: &World,
    reset_on_close: fn(&HttpRequest),
) -> HttpResponse {
    let (started, at) = (Instant::now(), now());
    let params = Params::parse(request.query_string());
    let code = match named(endpoint, &params, &body) {
        Some([_, code]) => code,
        None => params
            .first("js_code")
            .or(params.first("code"))
            .map(str::to_owned),
    };
    world.arrived(endpoint, code.as_deref());
    let call = Call {
        endpoint,
        method: request.method(),
        params: &params,
        content_type: Some(request.content_type()).filter(|text| !text.is_empty()),
        body: &body,
        now: at,
    };
    let plan = world
        .faults
        .draw(endpoint.path(), world.app_of(&call).as_deref());
    let act = || world.answer(&call);
    let reply = match &plan.misconduct {
        None => {
            let answer = act();
            Reply::Whole(status(endpoint, &answer.body), answer)
        }
        Some(fault) => Reply::misconduct(
            fault,
            world,
            &call,
            if plan.acts { act() } else { nothing(endpoint) },
        ),
    };
    world.journal.record(Exchange {
        at,
        took: started.elapsed() + plan.delay,
        method: request.method().clone(),
        path: endpoint.path(),
        query: request.query_string().to_owned(),
        request_body: body,
        fault: plan.name,
        answer: reply.answered(),
    });
    // The request has taken effect, so a client that disconnects during the delay has spent its
    // code.
    if !plan.delay.is_zero() {
        sleep(plan.delay).await;
    }
    reply.send(|| reset_on_close(&request)).await
}

fn nothing(endpoint: Endpoint) -> Answer {
    Answer::json(endpoint, String::new())
}

enum Reply {
    Whole(StatusCode, Answer),
    /// Half of an answer, and the length of the whole answer.
    Cut(Answer, usize),
    Drip(Answer),
    Reset,
    Stall,
}

impl Reply {
    fn proper(answer: Answer) -> Self {
        Self::Whole(StatusCode::OK, answer)
    }

    /// `answer` is the real answer if the fault needs it, otherwise empty.
    fn misconduct(fault: &Fault, world: &World, call: &Call<'_>, answer: Answer) -> Self {
        let endpoint = call.endpoint;
        let text = |content_type, text: &'static str| Answer {
            content_type,
            body: Bytes::from_static(text.as_bytes()),
        };
        let page = |status| Self::Whole(status, text(HTML, BAD_GATEWAY));
        match fault.kind {
            Kind::Latency => Self::proper(answer),
            form if form.is_form() => Self::proper(Answer {
                body: world.reshaped(call, form, &answer.body).into(),
                ..answer
            }),
            Kind::Stall => Self::Stall,
            Kind::Reset => Self::Reset,
            Kind::Errcode => {
                let answer = world.refusal(call, fault.errcode.unwrap_or(-1));
                Self::Whole(status(endpoint, &answer.body), answer)
            }
            Kind::Html => page(StatusCode::OK),
            Kind::Status => {
                let status = fault
                    .status
                    .and_then(|status| StatusCode::from_u16(status).ok());
                page(status.unwrap_or(StatusCode::BAD_GATEWAY))
            }
            Kind::Truncated => {
                let promised = answer.body.len();
                Self::Cut(
                    Answer {
                        body: answer.body.slice(..promised / 2),
                        ..answer
                    },
                    promised,
                )
            }
            Kind::Empty => Self::proper(nothing(endpoint)),
            Kind::Huge => Self::proper(Answer {
                body: HUGE.clone(),
                ..nothing(endpoint)
            }),
            Kind::Drip => Self::Drip(answer),
            _ => Self::proper(text("text/plain", NOT_JSON)),
        }
    }

    /// The part of the reply that the journal shows.
    fn answered(&self) -> Option<Answered> {
        let (status, answer) = match self {
            Self::Whole(status, answer) => (status.as_u16(), answer),
            Self::Cut(answer, _) | Self::Drip(answer) => (200, answer),
            Self::Reset | Self::Stall => return None,
        };
        Some(Answered {
            status,
            content_type: answer.content_type,
            body: answer.body.clone(),
        })
    }

    async fn send(self, reset_on_close: impl FnOnce()) -> HttpResponse {
        match self {
            Self::Whole(status, Answer { content_type, body }) => {
                let mut response = head(status, content_type);
                if status.is_redirection() {
                    response.insert_header((header::LOCATION, "/redirected"));
                }
                response.body(body)
            }
            Self::Cut(Answer { content_type, body }, promised) => {
                head(StatusCode::OK, content_type)
                    .body(SizedStream::new(promised as u64, cut(body)))
            }
            Self::Drip(Answer { content_type, body }) => head(StatusCode::OK, content_type)
                .body(SizedStream::new(body.len() as u64, drip(body))),
            Self::Reset => reset(reset_on_close),
            Self::Stall => {
                sleep(LONGEST).await;
                reset(reset_on_close)
            }
        }
    }
}

fn head(status: StatusCode, content_type: &'static str) -> HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    response.insert_header((header::CONTENT_TYPE, content_type));
    response
}

/// Closes the connection with a TCP RST. actix-web drops the connection before it sends the head,
/// because the body fails at its first byte. The system then resets the connection, because the
/// socket does not linger.
fn reset(reset_on_close: impl FnOnce()) -> HttpResponse {
    reset_on_close();
    HttpResponse::Ok().body(SizedStream::new(1, stream::once(ready(Err(broken())))))
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "a fault of the simulator")
}

/// Sends `body`, then breaks the connection.
fn cut(body: Bytes) -> impl stream::Stream<Item = io::Result<Bytes>> + 'static {
    stream::unfold(Some(body), |unsent| async move {
        match unsent {
            Some(body) => Some((Ok(body), None)),
            None => {
                // Without this pause actix-web would drop what it has not sent yet.
                tokio::task::yield_now().await;
                Some((Err(broken()), None))
            }
        }
    })
}

/// Sends `body` a byte at a time.
fn drip(body: Bytes) -> impl stream::Stream<Item = Result<Bytes, Infallible>> + 'static {
    stream::unfold(body, |mut unsent| async move {
        if unsent.is_empty() {
            return None;
        }
        sleep(DRIP_EVERY).await;
        let byte = unsent.split_to(1);
        Some((Ok(byte), unsent))
    })
}

/// An answer whose `session_key` is far too long. The bytes are shared, so that a hundred answers at
/// a time need no more memory.
static HUGE: LazyLock<Bytes> = LazyLock::new(|| {
    let (opening, closing) = (r#"{"openid":"oHuge","session_key":""#, r#""}"#);
    let filling = "A".repeat(HUGE_BYTES - opening.len() - closing.len());
    [opening, &filling, closing].concat().into()
});
