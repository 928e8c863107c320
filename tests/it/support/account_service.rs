//! A business's account service, in the test's own process. The users are those of the simulator's stand-in; here they
//! get a server that keeps each call and misbehaves in what it answers.

use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use wxmint_simulator::AccountBook;

use super::{Answering, Call, Manner, Step, locked};

const HUGE: usize = 10 << 20;

/// A reply in place of the answer. The call has been carried out all the same, unless the service is away.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// 503, and the call has not been carried out.
    #[allow(dead_code, reason = "of tests/campaign")]
    Away,
    /// This status, with the answer's own body.
    Status(u16),
    /// 200 and this text.
    Text(&'static str),
    /// 307 to the same path below `/elsewhere`.
    Redirect,
    Huge,
    Lost,
    /// The right answer, so much later.
    Late(Duration),
}

impl Reply {
    /// No answer for longer than anybody waits.
    pub(crate) const STALLED: Self = Self::Late(Duration::from_mins(1));
}

/// Its server tells what it was asked.
pub(crate) struct AccountService {
    book: Arc<AccountBook>,
    replies: Arc<Mutex<Replies>>,
    server: Answering,
}

#[derive(Default)]
struct Replies {
    once: Option<Reply>,
    always: Option<Reply>,
}

impl AccountService {
    /// With a user `alice`, whose password is `wonderland` and whose user id is `user-alice`.
    pub(crate) fn start() -> Self {
        let book = AccountBook::with([("alice", "wonderland", "13800138001")]);
        let (replies, server) = (Arc::<Mutex<Replies>>::default(), Answering::start());
        let (known, told) = (Arc::clone(&book), Arc::clone(&replies));
        server.otherwise(Manner::of(move |call| {
            let mut replies = locked(&told);
            let reply = replies.once.take().or_else(|| replies.always.clone());
            steps(&known, call, reply)
        }));
        Self {
            book,
            replies,
            server,
        }
    }

    /// As `WXMINT_ACCOUNTS` has it: with a path.
    pub(crate) fn url(&self) -> String {
        self.server.url("/wxmint")
    }

    pub(crate) fn misbehave(&self, reply: Reply) {
        locked(&self.replies).always = Some(reply);
    }

    pub(crate) fn misbehave_once(&self, reply: Reply) {
        locked(&self.replies).once = Some(reply);
    }

    pub(crate) fn heal(&self) {
        *locked(&self.replies) = Replies::default();
    }

    pub(crate) fn users_made(&self) -> usize {
        self.book
            .users()
            .iter()
            .filter(|user| user.credentials.is_none())
            .count()
    }

    pub(crate) fn book(&self) -> &AccountBook {
        &self.book
    }
}

impl Deref for AccountService {
    type Target = Answering;

    fn deref(&self) -> &Answering {
        &self.server
    }
}

fn steps(book: &AccountBook, call: &Call, reply: Option<Reply>) -> Vec<Step> {
    let Some(path) = call.path.strip_prefix("/wxmint") else {
        return kept(404, "", "no such path");
    };
    if matches!(reply, Some(Reply::Away)) {
        return kept(503, "", "");
    }
    let answer = book
        .answer(path, &call.body)
        .expect("a call as it is documented");
    let body = Value::from(answer.clone()).to_string();
    // No answer stands for the refusal of a login.
    let right = kept(if answer.is_some() { 200 } else { 403 }, "", &body);
    match reply {
        None | Some(Reply::Away) => right,
        Some(Reply::Status(status)) => kept(status, "", &body),
        Some(Reply::Text(text)) => kept(200, "", text),
        Some(Reply::Redirect) => kept(307, &format!("Location: /elsewhere{}\r\n", call.path), ""),
        Some(Reply::Huge) => kept(200, "", &format!(r#"{{"user_id":"{}"}}"#, "a".repeat(HUGE))),
        Some(Reply::Lost) => vec![Step::Send(
            b"HTTP/1.1 200 OK\r\nContent-Length: 600\r\n\r\n".to_vec(),
        )],
        Some(Reply::Late(delay)) => [vec![Step::Wait(delay)], right].concat(),
    }
}

/// An answer after which the connection is kept.
fn kept(status: u16, headers: &str, body: &str) -> Vec<Step> {
    let head = format!(
        "HTTP/1.1 {status} \r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    );
    vec![Step::Send((head + body).into()), Step::Next]
}
