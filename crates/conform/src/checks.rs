//! The checks, level by level.

use std::collections::VecDeque;
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tokio::time::sleep;
use wxmint_upstream::{Tls, Upstream};

use crate::issuer::{Issuer, Manner};
use crate::key::TestKey;
use crate::report::{Outcome, Report};
use crate::subject::Subject;
use crate::{Options, now};

const APP: &str = "wx0123456789abcdef";
const OTHER_APP: &str = "wxfedcba9876543210";
const DAY: i64 = 86_400;
/// How long the verifier may take to start.
const START: Duration = Duration::from_mins(1);
const ANSWERED_WITHIN: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(200);
/// How many tokens with made-up keys a stranger sends, and how often the keys may be fetched for
/// them.
const STRANGERS: usize = 30;
const MOST_FETCHES: usize = 5;

/// A set of checks. Each level needs the levels before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Lets in good tokens, and no others.
    Tokens,
    /// Obeys the revocations of good pages, and no others.
    Follows,
    /// Answers 503 while its knowledge is too old. For closed verifiers.
    Closed,
    /// Keeps what it knows while the issuer fails, and goes on afterwards.
    Robust,
}

impl Level {
    const NAMES: [(Self, &'static str); 4] = [
        (Self::Tokens, "tokens"),
        (Self::Follows, "follows"),
        (Self::Closed, "closed"),
        (Self::Robust, "robust"),
    ];
}

impl Display for Level {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let named = Self::NAMES.iter().find(|(level, _)| level == self);
        f.write_str(named.map_or("", |(_, name)| name))
    }
}

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::NAMES.iter().find(|(_, name)| *name == text);
        named
            .map(|(level, _)| *level)
            .ok_or_else(|| "must be tokens, follows, closed or robust".to_owned())
    }
}

/// The fault that a check has found, if there is one.
type Checked = Result<(), String>;

/// A bad page is made of the header and the claims of a good one.
type Spoil = fn(&Issuer, Value, Value) -> String;

struct Conformance<'a> {
    options: &'a Options,
    issuer: &'a Issuer,
    subject: Subject,
    report: Report,
    tell: &'a dyn Fn(&Outcome),
}

/// Runs the checks of the levels. `tell` hears of each outcome at once.
///
/// # Errors
///
/// If the verifier cannot be asked at all, or lets in no good token within a minute.
pub async fn run(
    options: &Options,
    issuer: &Issuer,
    tell: &dyn Fn(&Outcome),
) -> Result<Report, String> {
    let http = Tls::reaching([&options.verifier])
        .and_then(|tls| Upstream::new(&tls, ANSWERED_WITHIN, ANSWERED_WITHIN))
        .map_err(|error| error.to_string())?;
    let mut conformance = Conformance {
        options,
        issuer,
        subject: Subject {
            http,
            url: options.verifier.clone(),
        },
        report: Report::default(),
        tell,
    };
    conformance.wait_for_start().await?;
    for level in &options.levels {
        match level {
            Level::Tokens => conformance.tokens().await,
            Level::Follows => conformance.follows().await,
            Level::Closed => conformance.closed().await,
            Level::Robust => conformance.robust().await,
        }
    }
    Ok(conformance.report)
}

impl Conformance<'_> {
    fn token(&self, user: &str) -> String {
        self.token_with(user, &json!({}))
    }

    /// A good token with these claims in place of its own.
    fn token_with(&self, user: &str, claims: &Value) -> String {
        let key = self.issuer.key();
        key.sign(&key.header("at+jwt"), &self.claims_with(user, claims))
    }

    fn claims_with(&self, user: &str, claims: &Value) -> Value {
        merged(self.issuer.claims(&self.options.audience, user), claims)
    }

    fn note(&mut self, level: Level, name: &'static str, began: Instant, checked: Checked) {
        let outcome = Outcome {
            level,
            name,
            fault: checked.err(),
            took: began.elapsed(),
        };
        (self.tell)(&outcome);
        self.report.0.push(outcome);
    }

    async fn wait_for_start(&self) -> Result<(), String> {
        let token = self.token("starting");
        let became = self.subject.becomes(&token, 200, START).await;
        became.map_err(|status| format!("the verifier lets in no good token: {status}"))
    }

    /// Waits until the feed was asked this many times more.
    async fn wait_for_looks(&self, looks: usize) -> Checked {
        let wanted = self.issuer.asked_for_pages() + looks;
        let began = Instant::now();
        while self.issuer.asked_for_pages() < wanted {
            if began.elapsed() > self.options.within * looks as u32 {
                return Err("it asks for no page any more".to_owned());
            }
            sleep(PAUSE).await;
        }
        Ok(())
    }

    async fn tokens(&mut self) {
        let began = Instant::now();
        let good = self.subject.is(&self.token("mei"), 200).await;
        self.note(Level::Tokens, "a good token", began, good);
        let second = self.issuer.second_key();
        let claims = self.claims_with("mei", &json!({}));
        let by_second = second.sign(&second.header("at+jwt"), &claims);
        let began = Instant::now();
        let good = self.subject.is(&by_second, 200).await;
        self.note(
            Level::Tokens,
            "a token of another key of the issuer",
            began,
            good,
        );
        let began = Instant::now();
        let status = self.subject.status_without_token().await;
        let refused = expect(status, 401);
        self.note(Level::Tokens, "no token", began, refused);
        for (name, token) in self.bad_tokens() {
            let began = Instant::now();
            let refused = self.subject.is(&token, 401).await;
            self.note(Level::Tokens, name, began, refused);
        }
    }

    fn bad_tokens(&self) -> Vec<(&'static str, String)> {
        let key = self.issuer.key();
        let foreign = TestKey::generate();
        let header = key.header("at+jwt");
        let claims = self.claims_with("mei", &json!({}));
        let good = key.sign(&header, &claims);
        let with = |members: Value| self.token_with("mei", &members);
        let headed = |members: Value| key.sign(&merged(header.clone(), &members), &claims);
        let (signed, _) = good.rsplit_once('.').expect("three parts");
        vec![
            ("a text that is no token", "not-a-token".to_owned()),
            (
                "another issuer",
                with(json!({"iss": "https://other.example.com"})),
            ),
            (
                "another audience",
                with(json!({"aud": "https://other.example.com"})),
            ),
            ("no audience", with(json!({"aud": null}))),
            (
                "an expired token",
                with(json!({"iat": now() - DAY, "exp": now() - 90})),
            ),
            ("no exp", with(json!({"exp": null}))),
            (
                "an iat in the future",
                with(json!({"iat": now() + 3_600, "exp": now() + DAY})),
            ),
            ("no sub", with(json!({"sub": null}))),
            ("no jti", with(json!({"jti": null}))),
            ("no client_id", with(json!({"client_id": null}))),
            ("another typ", headed(json!({"typ": "JWT"}))),
            ("no typ", headed(json!({"typ": null}))),
            (
                "a page of the feed",
                key.sign(
                    &key.header("revocations+jwt"),
                    &merged(claims.clone(), &self.issuer.page("")),
                ),
            ),
            ("no kid", headed(json!({"kid": null}))),
            ("an unknown kid", headed(json!({"kid": "nobody"}))),
            ("crit", headed(json!({"crit": ["exp"]}))),
            (
                "crit with b64",
                headed(json!({"crit": ["b64"], "b64": true})),
            ),
            (
                "a foreign key",
                foreign.sign(&foreign.header("at+jwt"), &claims),
            ),
            (
                "a foreign key under the issuer's kid",
                foreign.sign(&header, &claims),
            ),
            (
                "another key of the issuer under this kid",
                self.issuer.second_key().sign(&header, &claims),
            ),
            (
                "alg none",
                format!("{}.", unsigned(&header, "none", &claims)),
            ),
            ("HMAC with the public key", by_hmac(key, &header, &claims)),
            ("no signature", format!("{signed}.")),
            ("a changed signature", tampered(&good)),
        ]
    }

    async fn follows(&mut self) {
        let at = now();
        let second = self.issuer.second_key();
        let app = json!({"client_id": OTHER_APP});
        let by_second = second.sign(
            &second.header("at+jwt"),
            &self.claims_with("of-second-key", &json!({})),
        );
        let revocations: [(&'static str, Value, String, Option<String>); 4] = [
            (
                "the revocation of one token",
                self.issuer.of_token("jti-of-lin"),
                self.token("lin"),
                Some(self.token_with("lin", &json!({"jti": "another"}))),
            ),
            (
                "the revocation of a user up to a second",
                self.issuer.of_user("sun", at),
                self.token_with("sun", &json!({"iat": at})),
                Some(self.token_with("sun", &json!({"iat": at + 1}))),
            ),
            (
                "the revocation of a user in one app",
                self.issuer.of_user_in_app("qian", APP, now()),
                self.token("qian"),
                Some(self.token_with("qian", &app)),
            ),
            (
                "the revocation of a key",
                self.issuer.of_second_key(),
                by_second,
                Some(self.token("of-first-key")),
            ),
        ];
        for (name, revocation, revoked, other) in revocations {
            let began = Instant::now();
            let checked = self.obeys(revocation, &revoked, other).await;
            self.note(Level::Follows, name, began, checked);
        }
        let began = Instant::now();
        self.issuer.revoke(json!(["later", {"a": 1}]));
        self.issuer
            .revoke(json!(["sid", "AAAAAAAAAAAAAAAA", now() + DAY]));
        let user = self.issuer.of_user("zhou", now());
        let longer = json!([user[0], user[1], user[2], user[3], "later"]);
        let checked = self.obeys(longer, &self.token("zhou"), None).await;
        let name = "kinds and elements that nobody knows yet are skipped";
        self.note(Level::Follows, name, began, checked);
        self.bad_pages().await;
        let began = Instant::now();
        self.issuer.loses_cursors();
        let again = self.issuer.of_user("wu", now());
        let checked = self.obeys(again, &self.token("wu"), None).await;
        let name = "the feed begins at its oldest revocation again";
        self.note(Level::Follows, name, began, checked);
        let began = Instant::now();
        let checked = self.subject.is(&self.token("lin"), 401).await;
        let name = "an earlier revocation still counts";
        self.note(Level::Follows, name, began, checked);
    }

    /// Publishes a revocation. The token that it names is refused soon, and the other one is not.
    async fn obeys(&self, revocation: Value, revoked: &str, other: Option<String>) -> Checked {
        self.subject.is(revoked, 200).await?;
        self.issuer.revoke(revocation);
        self.subject
            .becomes(revoked, 401, self.options.within)
            .await?;
        match other {
            Some(other) => {
                let let_in = self.subject.is(&other, 200).await;
                let_in.map_err(|status| format!("a token that it does not name gets {status}"))
            }
            None => Ok(()),
        }
    }

    /// Serves bad pages one after the other, each of which would revoke the tokens of a user of its
    /// own.
    async fn bad_pages(&mut self) {
        let began = Instant::now();
        let page = |at: usize| -> String {
            let (_, spoil) = BAD_PAGES[at];
            let key = self.issuer.key();
            let mut claims = self.issuer.page("");
            let user = self.issuer.of_user(&format!("bad-{at}"), now() + 60);
            claims["revoked"] = json!([user]);
            claims["more"] = json!(false);
            spoil(self.issuer, key.header("revocations+jwt"), claims)
        };
        let bodies: VecDeque<_> = (0..BAD_PAGES.len()).map(page).collect();
        self.issuer.behaves(Manner::Each(bodies));
        let mut served = Ok(());
        while served.is_ok() && self.issuer.bodies_left() > 0 {
            served = self.wait_for_looks(1).await;
        }
        // The last page is judged by now.
        let served = match served {
            Ok(()) => self.wait_for_looks(1).await,
            fault => fault,
        };
        self.issuer.behaves(Manner::Good);
        // A closed verifier lets tokens in again with the next good page.
        let served = match served {
            Ok(()) => self.wait_for_looks(2).await,
            fault => fault,
        };
        for (at, (name, _)) in BAD_PAGES.iter().enumerate() {
            let checked = match &served {
                Ok(()) => {
                    let token = self.token(&format!("bad-{at}"));
                    let let_in = self.subject.is(&token, 200).await;
                    let_in.map_err(|status| format!("it was believed: {status}"))
                }
                Err(fault) => Err(fault.clone()),
            };
            self.note(Level::Follows, name, began, checked);
        }
        let began = Instant::now();
        let good = self.issuer.of_user("after-bad-pages", now());
        let checked = self.obeys(good, &self.token("after-bad-pages"), None).await;
        self.note(Level::Follows, "a good page after them", began, checked);
    }

    async fn closed(&mut self) {
        let began = Instant::now();
        let revoked = self.token("known");
        let known = self.issuer.of_user("known", now());
        let checked = self.obeys(known, &revoked, None).await;
        self.note(
            Level::Closed,
            "a revocation while the feed is there",
            began,
            checked,
        );
        let began = Instant::now();
        self.issuer.behaves(Manner::Status(503));
        let patience = self.options.max_age + self.options.within;
        let mei = self.token("mei");
        let checked = self.subject.becomes(&mei, 503, patience).await;
        self.note(
            Level::Closed,
            "503 once its knowledge is too old",
            began,
            checked,
        );
        let began = Instant::now();
        let status = self.subject.status(&revoked).await;
        let checked = match status {
            401 | 503 => Ok(()),
            status => Err(format!("{status}")),
        };
        self.note(
            Level::Closed,
            "a revoked token stays refused",
            began,
            checked,
        );
        let began = Instant::now();
        self.issuer.behaves(Manner::Good);
        let checked = self.subject.becomes(&mei, 200, patience).await;
        self.note(
            Level::Closed,
            "it goes on with the next page",
            began,
            checked,
        );
    }

    async fn robust(&mut self) {
        let faults = [
            ("the feed answers 500", Manner::Status(500)),
            ("the feed answers 429", Manner::Status(429)),
            ("the feed redirects", Manner::Redirect),
            ("the feed stalls within a page", Manner::Stalls),
            ("the feed ends within a page", Manner::Truncated),
            ("the feed answers 3 MiB", Manner::TooLong),
        ];
        let began = Instant::now();
        let revoked = self.token("robust");
        let known = self.issuer.of_user("robust", now());
        let checked = self.obeys(known, &revoked, None).await;
        self.note(
            Level::Robust,
            "a revocation before the faults",
            began,
            checked,
        );
        for (at, (name, manner)) in faults.into_iter().enumerate() {
            let began = Instant::now();
            let checked = self.survives(manner, at, &revoked).await;
            self.note(Level::Robust, name, began, checked);
        }
        let began = Instant::now();
        let checked = self.subject.is(&self.token("redirected"), 200).await;
        self.note(
            Level::Robust,
            "the page behind the redirect was not read",
            began,
            checked,
        );
        let began = Instant::now();
        self.issuer.hides_keys(true);
        let checked = match self.wait_for_looks(2).await {
            Ok(()) => self.subject.is(&self.token("mei"), 200).await,
            fault => fault,
        };
        self.issuer.hides_keys(false);
        self.note(Level::Robust, "the keys are away", began, checked);
        let began = Instant::now();
        let checked = self.is_not_driven_by_strangers().await;
        let name = "made-up keys have the issuer asked a few times at most";
        self.note(Level::Robust, name, began, checked);
    }

    /// While the feed misbehaves, known revocations and good tokens count as before. Afterwards the
    /// verifier goes on.
    async fn survives(&self, manner: Manner, at: usize, revoked: &str) -> Checked {
        self.issuer.behaves(manner);
        let looked = self.wait_for_looks(2).await;
        let known = self.subject.is(revoked, 401).await;
        let good = self.subject.is(&self.token("mei"), 200).await;
        self.issuer.behaves(Manner::Good);
        looked?;
        // A closed one may answer 503 to both.
        if !self.options.is_closed {
            known.map_err(|status| format!("a revoked token gets {status}"))?;
            good.map_err(|status| format!("a good token gets {status}"))?;
        }
        let user = format!("after-fault-{at}");
        let next = self.issuer.of_user(&user, now());
        self.obeys(next, &self.token(&user), None).await
    }

    async fn is_not_driven_by_strangers(&self) -> Checked {
        let before = self.issuer.asked_for_keys();
        let foreign = TestKey::generate();
        let claims = self.claims_with("mei", &json!({}));
        for number in 0..STRANGERS {
            let header = merged(
                foreign.header("at+jwt"),
                &json!({"kid": format!("made-up-{number}")}),
            );
            let status = self.subject.status(&foreign.sign(&header, &claims)).await;
            expect(status, 401)?;
        }
        let fetches = self.issuer.asked_for_keys() - before;
        if fetches > MOST_FETCHES {
            return Err(format!("{fetches} fetches for {STRANGERS} tokens"));
        }
        Ok(())
    }
}

/// Each would revoke the tokens of a user if it were believed.
const BAD_PAGES: &[(&str, Spoil)] = &[
    (
        "a page with the typ of a token",
        |issuer, header, claims| {
            issuer
                .key()
                .sign(&merged(header, &json!({"typ": "at+jwt"})), &claims)
        },
    ),
    ("a page without typ", |issuer, header, claims| {
        issuer
            .key()
            .sign(&merged(header, &json!({"typ": null})), &claims)
    }),
    ("a page with crit", |issuer, header, claims| {
        issuer
            .key()
            .sign(&merged(header, &json!({"crit": ["exp"]})), &claims)
    }),
    ("a page without kid", |issuer, header, claims| {
        issuer
            .key()
            .sign(&merged(header, &json!({"kid": null})), &claims)
    }),
    (
        "a page of a foreign key under the issuer's kid",
        |_, header, claims| TestKey::generate().sign(&header, &claims),
    ),
    ("a page of the revoked key", |issuer, _, claims| {
        let second = issuer.second_key();
        second.sign(&second.header("revocations+jwt"), &claims)
    }),
    (
        "a page that revokes its own key",
        |issuer, header, mut claims| {
            let until = now() + DAY;
            let own = json!(["kid", issuer.key().kid(), until]);
            claims["revoked"]
                .as_array_mut()
                .expect("revocations")
                .push(own);
            issuer.key().sign(&header, &claims)
        },
    ),
    ("a page by alg none", |_, header, claims| {
        format!("{}.", unsigned(&header, "none", &claims))
    }),
    (
        "a page with a changed signature",
        |issuer, header, claims| tampered(&issuer.key().sign(&header, &claims)),
    ),
    ("a page of another issuer", |issuer, header, claims| {
        let other = json!({"iss": "https://other.example.com"});
        issuer.key().sign(&header, &merged(claims, &other))
    }),
    ("a page that has expired", |issuer, header, claims| {
        let past = json!({"iat": now() - 400, "exp": now() - 90});
        issuer.key().sign(&header, &merged(claims, &past))
    }),
    ("a page from the future", |issuer, header, claims| {
        let ahead = json!({"iat": now() + 90, "exp": now() + 390});
        issuer.key().sign(&header, &merged(claims, &ahead))
    }),
    (
        "a page much older than the newest",
        |issuer, header, claims| {
            let old = json!({"iat": now() - 90, "exp": now() + 210});
            issuer.key().sign(&header, &merged(claims, &old))
        },
    ),
    ("the answer to another cursor", |issuer, header, claims| {
        issuer
            .key()
            .sign(&header, &merged(claims, &json!({"after": "another"})))
    }),
    ("a page without cursor", |issuer, header, claims| {
        issuer
            .key()
            .sign(&header, &merged(claims, &json!({"cursor": null})))
    }),
    ("a page with a text as more", |issuer, header, claims| {
        issuer
            .key()
            .sign(&header, &merged(claims, &json!({"more": "false"})))
    }),
    (
        "a page with one wrong revocation",
        |issuer, header, mut claims| {
            let short = json!(["sub", "AAAAAAAAAAAAAAAA"]);
            claims["revoked"]
                .as_array_mut()
                .expect("revocations")
                .push(short);
            issuer.key().sign(&header, &claims)
        },
    ),
    (
        "a page with an empty revocation",
        |issuer, header, mut claims| {
            claims["revoked"]
                .as_array_mut()
                .expect("revocations")
                .push(json!([]));
            issuer.key().sign(&header, &claims)
        },
    ),
    ("an access token in place of a page", |issuer, _, claims| {
        let key = issuer.key();
        let mut token = issuer.claims("https://api.example.com", "mei");
        token["revoked"] = claims["revoked"].clone();
        key.sign(&key.header("at+jwt"), &token)
    }),
    ("a page that is no JWT", |_, _, claims| claims.to_string()),
];

/// The value with these members in place of its own. A member of null is taken away.
fn merged(mut value: Value, members: &Value) -> Value {
    for (name, member) in members.as_object().expect("members") {
        match member {
            Value::Null => {
                value.as_object_mut().expect("an object").remove(name);
            }
            member => value[name] = member.clone(),
        }
    }
    value
}

fn expect(status: u16, expected: u16) -> Checked {
    if status == expected {
        return Ok(());
    }
    Err(format!("{status}, and not {expected}"))
}

/// The first two parts of a JWT with this `alg`.
fn unsigned(header: &Value, alg: &str, claims: &Value) -> String {
    let header = merged(header.clone(), &json!({"alg": alg}));
    [header, claims.clone()]
        .map(|part| URL_SAFE_NO_PAD.encode(part.to_string()))
        .join(".")
}

/// Signed with the public key as a secret, which a library that trusts `alg` would accept.
fn by_hmac(key: &TestKey, header: &Value, claims: &Value) -> String {
    let message = unsigned(header, "HS256", claims);
    let public = serde_json::to_vec(key.public()).expect("a JWK");
    let secret = hmac::Key::new(hmac::HMAC_SHA256, &public);
    let tag = hmac::sign(&secret, message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag))
}

fn tampered(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').expect("a signature");
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    format!("{signed}.{first}{}", &signature[1..])
}
