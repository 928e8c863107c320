//! The facts about every person that follow from the answers alone, and which answers cannot be true.
//!
//! A person does one thing at a time, so an answer is judged by what was known when it came; of two logins at once,
//! either may be the earlier one. A request without a clear answer may have been carried out or not: then several
//! standings are possible, until an answer excludes some of them.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Instant;

use crate::plan::Plan;
use crate::support::prelude::*;

/// How many mini programs there are. They have one owner, so a person has the same unionid in all of them.
pub(crate) const APPS: usize = 2;
/// Tokens that are remembered of a person; the oldest is forgotten first.
const TOKENS_KEPT: usize = 8;
/// Answers that are remembered of a person.
const PAST_KEPT: usize = 12;
/// wxmint has restored its ends by then. What was ended as late before Redis was emptied may be lost.
const RESTORED: Duration = Duration::from_secs(10);
/// A token is not used in its last minute, in which its leeway counts.
const LAST_MINUTE: i64 = 60;

/// The states of a person in one mini program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Never bound.
    Fresh,
    Bound(String),
    /// A login without an answer may have bound the person to somebody who was in no answer yet.
    BoundUnseen,
    /// The person has left a user, and must not be bound without being asked.
    Dissolved,
}

/// Whether a token has been ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    Live,
    /// An end was asked for and not clearly answered, or answered in the second in which the token was made.
    Unsure,
    /// Since when an answer has said so.
    Ended(Instant),
}

#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) id: u64,
    pub(crate) app: usize,
    pub(crate) user: String,
    pub(crate) text: String,
    pub(crate) issued_at: i64,
    pub(crate) expires_at: i64,
    pub(crate) life: Life,
    /// The act that has ended it, or may have.
    pub(crate) ended_by: &'static str,
}

/// The names that WeChat has for a person.
#[derive(Debug, Clone, Default)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) openids: [String; APPS],
    pub(crate) phone: String,
}

#[derive(Default)]
pub(crate) struct Person {
    pub(crate) identity: Identity,
    pub(crate) standings: [Vec<Standing>; APPS],
    pub(crate) tokens: Vec<Token>,
    pub(crate) is_busy: bool,
    /// Until when nothing is done, because a request without an answer may still be carried out.
    pub(crate) rests_until: Option<Instant>,
    /// The last answers, each with what the person was before. A finding shows them.
    pub(crate) past: VecDeque<String>,
    /// The last second in which an end of several tokens may have been: tokens made in it may be ended too.
    ended_until: i64,
}

/// How somebody logs in.
#[derive(Debug, Clone)]
pub(crate) enum Way {
    Silent,
    /// By phone number, with the user whom the account service knows by it when the answer has come. If none has come,
    /// the account service may be asked later.
    Phone(Option<String>),
}

/// The content of an answer.
#[derive(Debug, Clone)]
pub(crate) enum Message {
    Login {
        user: String,
        is_new: bool,
        token: String,
        issued_at: i64,
        expires_at: i64,
    },
    /// Another answer of success.
    Done,
    Problem {
        status: u16,
        code: String,
    },
    /// No answer, or one that was cut off, and why.
    Nothing(String),
}

impl Message {
    pub(crate) fn is(&self, wanted: &str) -> bool {
        matches!(self, Self::Problem { code, .. } if code == wanted)
    }

    /// Without the token.
    pub(crate) fn in_short(&self) -> String {
        match self {
            Self::Login {
                user,
                is_new: false,
                ..
            } => user.clone(),
            Self::Login { user, .. } => format!("{user}, who is new"),
            Self::Done => "done".into(),
            Self::Problem { status, code } => format!("{status} {code}"),
            Self::Nothing(why) => format!("no answer: {why}"),
        }
    }
}

/// Says what cannot be true.
pub(crate) type Judged = Result<(), String>;

fn hold(holds: bool, law: impl FnOnce() -> String) -> Judged {
    if holds { Ok(()) } else { Err(law()) }
}

#[derive(Default)]
pub(crate) struct Model {
    pub(crate) people: Vec<Person>,
    /// The person to whom each user id belongs.
    owners: HashMap<String, usize>,
    /// Users who were in an answer before, and those who were called new.
    seen: HashSet<String>,
    told_new: HashSet<String>,
    tokens: u64,
    computed: bool,
    /// Whether a person has another user in each mini program.
    apart: bool,
    /// wxmint may not know to whom it has issued a token up to this second, if user ids are computed.
    lost_until: i64,
    /// Until when wxmint may not know an end again.
    restored_by: Option<Instant>,
}

impl Model {
    pub(crate) fn of(plan: &Plan) -> Self {
        Self {
            computed: plan.is_computed(),
            apart: plan.ids == "openid",
            ..Self::default()
        }
    }

    /// Redis begins to lose what nobody has confirmed, or everything, and then gets ends from the memory of wxmint.
    pub(crate) fn begin_loss(&mut self, of_everything: bool) {
        self.lost_until = i64::MAX;
        self.restored_by = of_everything.then(|| Instant::now() + RESTORED);
    }

    /// Nothing more is lost. Nobody may have read the last ends from Redis.
    pub(crate) fn end_loss(&mut self, of_everything: bool) {
        self.lost_until = wxmint::clock::now().timestamp();
        for token in self.people.iter_mut().flat_map(|person| &mut person.tokens) {
            if matches!(token.life, Life::Ended(at) if of_everything && at.elapsed() < RESTORED) {
                token.life = Life::Unsure;
            }
        }
    }

    pub(crate) fn add(&mut self, identity: Identity) -> usize {
        self.people.push(Person {
            identity,
            standings: [(); APPS].map(|()| vec![Standing::Fresh]),
            is_busy: true,
            ..Person::default()
        });
        self.people.len() - 1
    }

    /// A login. `alone` says that the person did nothing else meanwhile, so that a new user must be called new.
    pub(crate) fn login(
        &mut self,
        who: usize,
        app: usize,
        way: &Way,
        said: &Message,
        alone: bool,
    ) -> Judged {
        match said {
            Message::Login { user, is_new, .. } => {
                self.judge_user(who, app, way, user)?;
                self.judge_new(who, app, way, user, *is_new, alone)?;
                self.people[who].standings[app] = vec![Standing::Bound(user.clone())];
                self.owners.insert(user.clone(), who);
                self.remember_token(who, app, said);
                Ok(())
            }
            said if said.is("binding_required") => {
                let standings = &mut self.people[who].standings[app];
                let asked = matches!(way, Way::Silent) && standings.contains(&Standing::Dissolved);
                hold(asked, || {
                    format!("somebody is asked who they are, who is {standings:?}")
                })?;
                *standings = vec![Standing::Dissolved];
                Ok(())
            }
            said if said.is("already_bound") => self.judge_already_bound(who, app, way),
            _ => {
                self.people[who].may_have_logged_in(app, way);
                Ok(())
            }
        }
    }

    /// The apps in the order in which two silent logins can have been carried out that were sent at the same time. If
    /// neither order can be true, the first answer or the second is then judged to be wrong.
    pub(crate) fn order_of_two(&mut self, who: usize, said: [&Message; APPS]) -> [usize; APPS] {
        let before = self.people[who].standings.clone();
        let mut can_be = |order: [usize; APPS]| {
            let mut sound = true;
            for app in order {
                if let Message::Login { user, .. } = said[app] {
                    sound &= self.judge_user(who, app, &Way::Silent, user).is_ok();
                    self.people[who].standings[app] = vec![Standing::Bound(user.clone())];
                }
            }
            self.people[who].standings.clone_from(&before);
            sound
        };
        if can_be([0, 1]) { [0, 1] } else { [1, 0] }
    }

    fn judge_user(&self, who: usize, app: usize, way: &Way, user: &str) -> Judged {
        let owner = self.owners.get(user);
        hold(owner.is_none_or(|owner| *owner == who), || {
            format!("{user} is the user of two people, {owner:?} and {who}")
        })?;
        let standings = &self.people[who].standings;
        let other = &standings[1 - app];
        let allowed = |standing: &Standing| match (way, standing) {
            (Way::Phone(by_phone), Standing::Bound(bound)) => {
                bound == user && by_phone.as_deref() == Some(user)
            }
            (Way::Phone(by_phone), _) => by_phone.as_deref() == Some(user),
            (Way::Silent, Standing::Bound(bound)) => bound == user,
            (Way::Silent, Standing::Dissolved) => false,
            // The unionid says who the person is.
            (Way::Silent, Standing::Fresh) => match &other[..] {
                [Standing::Bound(known)] => (known == user) != self.apart,
                _ => true,
            },
            (Way::Silent, Standing::BoundUnseen) => true,
        };
        hold(standings[app].iter().any(allowed), || {
            format!(
                "{user} is answered, but the person is {:?} here and {other:?} in the other app",
                standings[app]
            )
        })
    }

    fn judge_new(
        &mut self,
        who: usize,
        app: usize,
        way: &Way,
        user: &str,
        is_new: bool,
        alone: bool,
    ) -> Judged {
        if self.computed {
            return Ok(());
        }
        let unseen = self.seen.insert(user.to_owned());
        hold(!is_new || self.told_new.insert(user.to_owned()), || {
            format!("{user} is new_user for the second time")
        })?;
        let certain = self.people[who]
            .standings
            .iter()
            .all(|all| all.len() == 1 && !all.contains(&Standing::BoundUnseen));
        // The answer of the later one of two logins may come first, or that of the first one never. And a binding that
        // was begun first, and had no clear answer, may be finished last.
        hold(!is_new || unseen || !alone || !certain, || {
            format!("{user} is new_user, and was not before")
        })?;
        let fresh = |standings: &Vec<Standing>| standings[..] == [Standing::Fresh];
        let was_nobody = self.people[who].standings.iter().all(fresh);
        let must_be_new = alone && was_nobody && matches!(way, Way::Silent);
        hold(is_new || !must_be_new, || {
            format!("{user} was made by this login in app {app}, and is not new_user")
        })
    }

    fn judge_already_bound(&self, who: usize, app: usize, way: &Way) -> Judged {
        let Way::Phone(by_phone) = way else {
            return Err("a silent login is already_bound".into());
        };
        let is_another = |standing: &Standing| match standing {
            Standing::Bound(bound) => by_phone.as_ref() != Some(bound),
            Standing::BoundUnseen => true,
            _ => false,
        };
        let [here, there] = [app, 1 - app].map(|app| &self.people[who].standings[app]);
        let by_unionid = here.contains(&Standing::Fresh) && there.iter().any(is_another);
        hold(by_unionid || here.iter().any(is_another), || {
            format!("already_bound, but {here:?} and {there:?}")
        })
    }

    fn remember_token(&mut self, who: usize, app: usize, said: &Message) {
        let Message::Login {
            user,
            token,
            issued_at,
            expires_at,
            ..
        } = said
        else {
            return;
        };
        self.tokens += 1;
        let person = &mut self.people[who];
        let life = if *issued_at <= person.ended_until {
            Life::Unsure
        } else {
            Life::Live
        };
        let (issued_at, expires_at) = (*issued_at, *expires_at);
        let (id, user, text) = (self.tokens, user.clone(), token.clone());
        person.tokens.push(Token {
            id,
            app,
            user,
            text,
            issued_at,
            expires_at,
            life,
            ended_by: "",
        });
        if person.tokens.len() > TOKENS_KEPT {
            person.tokens.remove(0);
        }
    }

    /// `DELETE /binding`, answered in this second at the latest.
    pub(crate) fn unbind(
        &mut self,
        who: usize,
        token: &Token,
        said: &Message,
        second: i64,
    ) -> Judged {
        let (computed, person) = (self.computed, &mut self.people[who]);
        let concerned = |other: &Token| other.app == token.app && other.user == token.user;
        match said {
            Message::Done => {
                if !computed {
                    person.standings[token.app] = vec![Standing::Dissolved];
                }
                person.end(concerned, Life::Ended(Instant::now()), second, "unbinding");
            }
            said if said.is("invalid_token") => {
                return self.must_be_valid(token, "DELETE /binding");
            }
            _ => {
                let standings = &mut person.standings[token.app];
                if !computed && !standings.contains(&Standing::Dissolved) {
                    standings.push(Standing::Dissolved);
                }
                person.end(concerned, Life::Unsure, second, "unbinding");
            }
        }
        Ok(())
    }

    /// `POST /logout`, answered in this second at the latest.
    pub(crate) fn logout(
        &mut self,
        who: usize,
        token: &Token,
        everywhere: bool,
        said: &Message,
        second: i64,
    ) -> Judged {
        let person = &mut self.people[who];
        let itself = |other: &Token| other.id == token.id;
        let of_user = |other: &Token| everywhere && other.user == token.user;
        let (second, by) = if everywhere {
            (second, "logout everywhere")
        } else {
            (0, "logout")
        };
        match said {
            Message::Done => {
                person.end(itself, Life::Ended(Instant::now()), second, by);
                // With a token that was ended everywhere before, this is a repetition, which ends no later ones.
                let is_first = token.life == Life::Live;
                person.end(
                    of_user,
                    if is_first {
                        Life::Ended(Instant::now())
                    } else {
                        Life::Unsure
                    },
                    second,
                    by,
                );
            }
            said if said.is("invalid_token") => return self.must_be_valid(token, "POST /logout"),
            _ => person.end(
                |other| itself(other) || of_user(other),
                Life::Unsure,
                second,
                by,
            ),
        }
        Ok(())
    }

    /// A request with this token, as it was when the request was sent.
    pub(crate) fn used(&self, token: &Token, said: &Message) -> Judged {
        match said {
            said if said.is("invalid_token") => self.must_be_valid(token, "wxmint"),
            Message::Nothing(_) => Ok(()),
            Message::Problem { status, .. } if *status >= 500 => Ok(()),
            _ if self.restored_by.is_some_and(|by| Instant::now() < by) => Ok(()),
            _ => hold(!matches!(token.life, Life::Ended(_)), || {
                "wxmint accepts a token that was ended".into()
            }),
        }
    }

    fn must_be_valid(&self, token: &Token, who: &str) -> Judged {
        let is_lost = self.computed && token.issued_at <= self.lost_until;
        hold(token.life != Life::Live || is_lost, || {
            format!("{who} refuses a token that nobody has ended")
        })
    }

    /// Judges what a verifier says of this token. `knows_until` is the time up to which it has read the feed of ends.
    pub(crate) fn verified(
        token: &Token,
        verdict: Result<&str, &str>,
        knows_until: Instant,
    ) -> Judged {
        match (verdict, token.life) {
            (Ok(user), _) if user != token.user => Err(format!(
                "the token of {} is verified as {user}'s",
                token.user
            )),
            (Ok(_), Life::Ended(at)) => hold(at >= knows_until, || {
                let (before, iat, by) = (knows_until - at, token.issued_at, token.ended_by);
                format!(
                    "a verifier accepts a token of second {iat} that {by} ended {before:?} before what it knows"
                )
            }),
            (Err(reason), Life::Live) => Err(format!(
                "a verifier refuses a token that nobody has ended: {reason}"
            )),
            _ => Ok(()),
        }
    }
}

impl Person {
    fn may_have_logged_in(&mut self, app: usize, way: &Way) {
        let standings = &mut self.standings[app];
        let is = |one: &[Standing]| standings.iter().any(|standing| one.contains(standing));
        let follows = match way {
            Way::Silent if is(&[Standing::Fresh]) => Standing::BoundUnseen,
            Way::Phone(user) if is(&[Standing::Fresh, Standing::Dissolved]) => {
                user.clone().map_or(Standing::BoundUnseen, Standing::Bound)
            }
            _ => return,
        };
        if !standings.contains(&follows) {
            standings.push(follows);
        }
    }

    fn end(
        &mut self,
        concerned: impl Fn(&Token) -> bool,
        life: Life,
        second: i64,
        by: &'static str,
    ) {
        self.ended_until = self.ended_until.max(second);
        let live = |token: &&mut Token| concerned(token) && !matches!(token.life, Life::Ended(_));
        self.tokens
            .iter_mut()
            .filter(live)
            .for_each(|token| (token.life, token.ended_by) = (life, by));
    }

    pub(crate) fn remember(&mut self, answer: String) {
        if self.past.len() == PAST_KEPT {
            self.past.pop_front();
        }
        self.past.push_back(answer);
    }

    /// Whether something may be done for the person now.
    pub(crate) fn is_idle(&self, now: Instant) -> bool {
        !self.is_busy && self.rests_until.is_none_or(|until| now >= until)
    }

    pub(crate) fn rest(&mut self, now: Instant, rest: Duration) {
        self.rests_until = Some(now + rest);
    }

    /// Forgets tokens that are about to expire.
    pub(crate) fn forget_old_tokens(&mut self, second: i64) {
        self.tokens
            .retain(|token| token.expires_at > second + LAST_MINUTE);
    }

    /// The user, if the person is certainly bound in the app.
    pub(crate) fn user_in(&self, app: usize) -> Option<&str> {
        match &self.standings[app][..] {
            [Standing::Bound(user)] => Some(user),
            _ => None,
        }
    }
}
