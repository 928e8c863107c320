//! The acts of people, and how each answer is judged.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use reqwest::Method;
use tokio::time::sleep;
use wxmint_verify::peer::{NotVerified, Peer};

use crate::books::Books;
use crate::client::{Client, Received};
use crate::model::{Identity, Judged, Life, Message, Model, Standing, Token, Way};
use crate::plan::Plan;
use crate::support::prelude::*;

pub(crate) const APP_IDS: [&str; 2] = [APPID, OTHER_APPID];

/// A request without a clear answer may still be carried out: a login takes at most 7 s, and Redis is frozen for 3 s.
const REST: Duration = Duration::from_secs(15);
/// A login that has begun takes 7 s at most; nothing else uses a code twice.
const LAST_LOGIN: Duration = Duration::from_secs(8);
/// The feed's times are whole seconds.
const WHOLE_SECOND: Duration = Duration::from_secs(1);

/// Everything that the tasks of the load share.
pub(crate) struct Campaign {
    pub(crate) plan: Plan,
    pub(crate) books: Books,
    pub(crate) client: Client,
    pub(crate) wechat: Simulator,
    pub(crate) accounts: AccountService,
    pub(crate) peer: Peer,
    /// How many faults go on that let wxmint send a code twice.
    codes_may_repeat: AtomicUsize,
    model: Mutex<Model>,
    repeatable: Mutex<HashSet<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    LogIn,
    /// In both mini programs at once.
    LogInTwice,
    /// The same code at both replicas.
    SendCodeTwice,
    ByPhone,
    Unbind,
    LogOut,
    LogOutEverywhere,
    AskSession,
    Verify,
}

impl Campaign {
    pub(crate) fn new(
        plan: &Plan,
        client: Client,
        wechat: Simulator,
        accounts: AccountService,
        peer: Peer,
    ) -> Self {
        let (plan, books, model) = (plan.clone(), Books::open(plan), Mutex::new(Model::of(plan)));
        let (codes_may_repeat, repeatable) = (AtomicUsize::new(0), Mutex::default());
        Self {
            plan,
            books,
            client,
            wechat,
            accounts,
            peer,
            codes_may_repeat,
            model,
            repeatable,
        }
    }

    /// A fault in which wxmint may send a code twice.
    pub(crate) async fn repeating(&self, fault: impl Future<Output = ()>) {
        self.codes_may_repeat.fetch_add(1, Ordering::SeqCst);
        fault.await;
        sleep(LAST_LOGIN).await;
        self.codes_may_repeat.fetch_sub(1, Ordering::SeqCst);
    }

    pub(crate) fn model(&self) -> MutexGuard<'_, Model> {
        locked(&self.model)
    }

    /// A person who was never seen.
    pub(crate) async fn newcomer(&self) -> usize {
        let who = self.model().add(Identity::default());
        let name = format!("person-{who}");
        // The simulator's own number follows from the name, and two of 20,000 people may have the same.
        self.wechat.phone_of(&name, &format!("139{who:08}")).await;
        let known = self.wechat.person(&name).await;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let openids = APP_IDS.map(|app| text(&known["apps"][app]["openid"]));
        self.model().people[who].identity = Identity {
            name,
            openids,
            phone: text(&known["phone"]),
        };
        who
    }

    pub(crate) async fn act(&self, who: usize, action: Action) {
        let app = usize::from(fastrand::bool());
        self.model().people[who].forget_old_tokens(second());
        match action {
            Action::LogIn => self.log_in(who, app).await,
            Action::LogInTwice => self.log_in_twice(who).await,
            Action::SendCodeTwice => self.send_code_twice(who, app).await,
            Action::ByPhone => self.log_in_by_phone(who, app).await,
            Action::Unbind => self.unbind(who).await,
            Action::LogOut => self.log_out(who, false).await,
            Action::LogOutEverywhere => self.log_out(who, true).await,
            Action::AskSession => self.ask_session(who).await,
            Action::Verify => self.verify(who).await,
        }
        let mut model = self.model();
        model.people[who].is_busy = false;
        model.people[who].forget_old_tokens(second());
    }

    pub(crate) async fn log_in(&self, who: usize, app: usize) {
        let received = self.send_code(app, self.code(who, app).await).await;
        self.settle_login("login", who, app, &Way::Silent, received, true)
            .await;
    }

    async fn log_in_twice(&self, who: usize) {
        let codes = (self.code(who, 0).await, self.code(who, 1).await);
        let (here, there) = tokio::join!(self.send_code(0, codes.0), self.send_code(1, codes.1));
        let order = self.model().order_of_two(who, [&here.said, &there.said]);
        let mut received = [Some(here), Some(there)];
        for app in order {
            let received = received[app].take().expect("each app once");
            self.settle_login("one of two logins", who, app, &Way::Silent, received, false)
                .await;
        }
    }

    async fn send_code(&self, app: usize, code: String) -> Received {
        let received = self
            .send_login(json!({"code": code, "appid": APP_IDS[app]}))
            .await;
        self.allow_repetition(code);
        received
    }

    async fn log_in_by_phone(&self, who: usize, app: usize) {
        let Identity { name, phone, .. } = self.model().people[who].identity.clone();
        let code = self.code(who, app).await;
        let phone_code = self.wechat.mint_phone_code_in(APP_IDS[app], &name).await;
        let body = json!({"code": code, "appid": APP_IDS[app], "phone_code": phone_code});
        let received = self.send_login(body).await;
        self.allow_repetition(code);
        let found = self
            .accounts
            .book()
            .users()
            .into_iter()
            .find(|user| user.phone.as_ref() == Some(&phone));
        let way = Way::Phone(found.map(|user| user.user_id));
        self.settle_login("login by phone", who, app, &way, received, true)
            .await;
    }

    async fn send_code_twice(&self, who: usize, app: usize) {
        let body = json!({"code": self.code(who, app).await, "appid": APP_IDS[app]});
        let (one, two) = tokio::join!(self.send_login(body.clone()), self.send_login(body.clone()));
        self.allow_repetition(body["code"].as_str().unwrap_or_default().to_owned());
        let is_login = |received: &Received| matches!(received.said, Message::Login { .. });
        if is_login(&one) && is_login(&two) {
            self.books
                .find(format!("person-{who}: one code gave two tokens"));
        }
        let (first, second) = if is_login(&two) {
            (two, one)
        } else {
            (one, two)
        };
        for received in [first, second] {
            // The other request may have used the code.
            if !received.said.is("code_used") {
                self.settle_login("one code twice", who, app, &Way::Silent, received, false)
                    .await;
            }
        }
    }

    /// Enters and judges an answer to a login, and has a verifier look at the token.
    async fn settle_login(
        &self,
        what: &'static str,
        who: usize,
        app: usize,
        way: &Way,
        it: Received,
        alone: bool,
    ) {
        self.enter(what, who, &it);
        let judged = self.model().login(who, app, way, &it.said, alone);
        self.judge(what, who, judged);
        if let Message::Login { token, .. } = &it.said {
            let known = self.model().people[who]
                .tokens
                .iter()
                .find(|known| known.text == *token)
                .cloned();
            if let Some(known) = known {
                self.show_to_verifier(who, &known).await;
            }
        }
    }

    async fn unbind(&self, who: usize) {
        let Some(token) = self.token(who, |life| !matches!(life, Life::Ended(_))) else {
            return;
        };
        let received = self
            .client
            .ask(Method::DELETE, "/binding", Some(&token.text), None)
            .await;
        // A person dissolves ten bindings a day. Each further request changes nothing.
        if received.said.is("rate_limited") {
            return;
        }
        self.enter("unbinding", who, &received);
        let judged = self.model().unbind(who, &token, &received.said, second());
        self.judge("unbinding", who, judged);
    }

    async fn log_out(&self, who: usize, everywhere: bool) {
        let Some(token) = self.token(who, |life| !matches!(life, Life::Ended(_))) else {
            return;
        };
        let body = json!({"everywhere": everywhere});
        let received = self
            .client
            .ask(Method::POST, "/logout", Some(&token.text), Some(&body))
            .await;
        let what = if everywhere {
            "logout everywhere"
        } else {
            "logout"
        };
        self.enter(what, who, &received);
        let judged = self
            .model()
            .logout(who, &token, everywhere, &received.said, second());
        self.judge(what, who, judged);
    }

    async fn ask_session(&self, who: usize) {
        let Some(token) = self.token(who, |_| true) else {
            return;
        };
        let received = self
            .client
            .ask(Method::GET, "/wechat/session", Some(&token.text), None)
            .await;
        self.enter("session call", who, &received);
        let judged = self.model().used(&token, &received.said);
        self.judge("session call", who, judged);
    }

    async fn verify(&self, who: usize) {
        let tokens = self.model().people[who].tokens.clone();
        for token in tokens {
            self.show_to_verifier(who, &token).await;
        }
    }

    async fn show_to_verifier(&self, who: usize, token: &Token) {
        let age = self
            .peer
            .known()
            .next()
            .and_then(|known| known.revocations_age)
            .unwrap_or(Duration::MAX);
        let knows_until = Instant::now()
            .checked_sub(age.saturating_add(WHOLE_SECOND))
            .unwrap_or(self.books.began);
        let verdict = self.peer.verify(&token.text, wxmint::clock::now()).await;
        *self.books.pages().counts.entry("verification").or_default() += 1;
        let verdict = match &verdict {
            Ok(claims) => Ok(claims.user.as_str().to_owned()),
            // That the feed is not read is found elsewhere.
            Err(NotVerified::StaleRevocations) => return,
            Err(reason) => Err(reason.to_string()),
        };
        let verdict = verdict.as_ref().map(String::as_str).map_err(String::as_str);
        self.judge(
            "verification",
            who,
            Model::verified(token, verdict, knows_until),
        );
    }

    fn enter(&self, what: &'static str, who: usize, received: &Received) {
        if let Some(fault) = &received.fault {
            self.books.find(format!("{what} of person-{who}: {fault}"));
        }
        let is_clear = self.books.enter(what, &received.said, received.sent);
        let (sent, said) = (
            (received.sent - self.books.began).as_secs_f64(),
            received.said.in_short(),
        );
        let mut model = self.model();
        let person = &mut model.people[who];
        person.remember(format!(
            "{sent:.2} s, {:?}: {what}: {said}",
            person.standings
        ));
        if !is_clear {
            person.rest(Instant::now(), REST);
        }
    }

    pub(crate) fn judge(&self, what: &str, who: usize, judged: Judged) {
        if let Err(law) = judged {
            let model = self.model();
            let person = &model.people[who];
            let past = person
                .past
                .iter()
                .map(|answer| format!("\n    {answer}"))
                .collect::<String>();
            self.books.find(format!(
                "{what} of person-{who}, {:?}: {law}; before:{past}",
                person.standings
            ));
        }
    }

    async fn send_login(&self, body: Value) -> Received {
        self.client
            .ask(Method::POST, "/login", None, Some(&body))
            .await
    }

    async fn code(&self, who: usize, app: usize) -> String {
        let name = self.model().people[who].identity.name.clone();
        let code = self.wechat.mint_code_in(APP_IDS[app], &name).await;
        self.allow_repetition(code.clone());
        code
    }

    fn allow_repetition(&self, code: String) {
        if self.codes_may_repeat.load(Ordering::Relaxed) > 0 {
            locked(&self.repeatable).insert(code);
        }
    }

    /// No code was sent to WeChat twice, or more often than twice while WeChat said -1.
    pub(crate) async fn check_codes(&self) {
        let stats = self.wechat.stats().await;
        let repeated = stats["exchanges_by_code"]
            .as_object()
            .cloned()
            .unwrap_or_default();
        for (code, times) in repeated {
            if times.as_u64() > Some(2) || !locked(&self.repeatable).contains(&code) {
                self.books
                    .find(format!("a code was sent to WeChat {times} times"));
            }
        }
    }

    /// One of the person's tokens.
    fn token(&self, who: usize, is_wanted: impl Fn(Life) -> bool) -> Option<Token> {
        let model = self.model();
        let wanted: Vec<_> = model.people[who]
            .tokens
            .iter()
            .filter(|token| is_wanted(token.life))
            .collect();
        fastrand::choice(wanted).cloned()
    }

    /// Whether a login by phone number can succeed in one of the mini programs.
    pub(crate) fn may_need_phone(&self, who: usize) -> bool {
        let model = self.model();
        model.people[who]
            .standings
            .iter()
            .flatten()
            .any(|standing| *standing == Standing::Dissolved)
    }
}

pub(crate) fn second() -> i64 {
    wxmint::clock::now().timestamp()
}
