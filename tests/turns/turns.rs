//! Takes every turn of every use case.

use std::collections::BTreeSet;
use std::env;
use std::rc::Rc;
use std::time::Instant;

use futures_util::future::LocalBoxFuture;
use serde_json::Value;

use crate::answer::Answer;
use crate::case::{Prepared, UseCase};
use crate::house::{House, Setup};
use crate::laws::{After, Held, hold};
use crate::rivals::{self, Act, rival};
use crate::store::{self, Fault, with_fault};
use crate::wechat::{self, around};
use crate::{operators, pages, people, sites};

/// More calls than any use case makes.
const MOST: usize = 200;
/// How often a request is repeated that was not answered as done.
const TIMES: usize = 3;
/// After so many seconds nobody waits any more for whoever was about to fetch the access token.
const LEASE: i64 = 7;
/// Routes without a use case, and why they need none.
const WITHOUT: &[(&str, &str)] = &[
    ("GET /device", "a page that asks the store nothing"),
    (
        "GET /.well-known/openid-configuration",
        "asks the store nothing",
    ),
    (
        "GET /.well-known/ssf-configuration",
        "asks the store nothing",
    ),
    (
        "GET /.well-known/jwks.json",
        "every look of the laws asks for it",
    ),
    ("GET /revocations", "every look of the laws asks for it"),
    (
        "POST /ssf/stream",
        "always refused, after the secret was looked at",
    ),
    (
        "GET /doctor",
        "asks what the doctor asks, which is given to it from outside",
    ),
    ("GET /activity", "asks the log of this process alone"),
    (
        "POST /wechat/platform/{component_appid}",
        "tests/it/platforms",
    ),
    ("POST /wechat/{appid}/merchant", "tests/it/platforms"),
];

pub(crate) fn use_cases() -> Vec<UseCase> {
    let all = [
        people::use_cases(),
        operators::use_cases(),
        pages::use_cases(),
        sites::use_cases(),
    ];
    all.into_iter().flatten().collect()
}

/// Whether somebody may be told this, because the store did not answer.
fn is_told_to_wait(answer: &Answer) -> bool {
    answer.status == 503 && answer.header("retry-after").parse::<u64>().is_ok()
}

/// The outcome of a turn: the call that it was about, `None` if the use case makes fewer calls; or a law that is
/// broken.
type Taken = Result<Option<String>, String>;

/// Takes a turn in which nobody else comes.
async fn take(case: &UseCase, number: usize, fault: Fault) -> Taken {
    let scene = Scene::of(case).await;
    let (answer, met) = with_fault(Some((number, fault)), None, scene.act(0)).await;
    let Some(met) = met else { return Ok(None) };
    scene.repeat_and_judge(&met, answer, number).await?;
    Ok(Some(met))
}

/// Takes a turn in which a call of WeChat's API fails.
async fn take_at_wechat(case: &UseCase, number: usize, fault: wechat::Fault) -> Taken {
    let scene = Scene::of(case).await;
    let (answer, met) = around()
        .with_fault((number, fault), None, scene.act(0))
        .await;
    let Some(met) = met else { return Ok(None) };
    scene.repeat_and_judge(&met, answer, number).await?;
    Ok(Some(met))
}

/// Takes a turn in which somebody else comes before this call.
async fn take_between(case: &UseCase, number: usize, other: Act) -> Taken {
    let scene = Scene::of(case).await;
    if !other.can_be(&scene.prepared.whose) {
        return Ok(None);
    }
    let (come, came) = rival(other, &scene.house, &scene.prepared.whose);
    let (answer, met) = with_fault(Some((number, Fault::Between)), Some(come), scene.act(0)).await;
    let Some(met) = met else { return Ok(None) };
    scene.judge_between(&met, answer, (other, came)).await?;
    Ok(Some(met))
}

/// Takes a turn in which somebody else comes while WeChat keeps the use case waiting for an answer.
async fn take_while_held(case: &UseCase, number: usize, other: Act) -> Taken {
    let scene = Scene::of(case).await;
    if !other.can_be(&scene.prepared.whose) {
        return Ok(None);
    }
    let (come, came) = rival(other, &scene.house, &scene.prepared.whose);
    let (answer, met) = around()
        .with_fault((number, wechat::Fault::Held), Some(come), scene.act(0))
        .await;
    let Some(met) = met else { return Ok(None) };
    scene.judge_between(&met, answer, (other, came)).await?;
    Ok(Some(met))
}

/// A use case that is prepared, in a house of its own.
struct Scene<'a> {
    case: &'a UseCase,
    house: House,
    prepared: Prepared,
    /// The tokens that there were before the request under test.
    before: Vec<String>,
}

impl<'a> Scene<'a> {
    async fn of(case: &'a UseCase) -> Self {
        store::begin_anew();
        let house = House::open(case.setup).await;
        let prepared = (case.prepare)(house.clone()).await;
        let before = house.tokens();
        Self {
            case,
            house,
            prepared,
            before,
        }
    }

    fn act(&self, time: usize) -> LocalBoxFuture<'static, Answer> {
        (self.prepared.act)(self.house.clone(), time)
    }

    /// Repeats the request until it is answered as done, and asks the laws.
    async fn repeat_and_judge(self, met: &str, mut answer: Answer, number: usize) -> Held {
        let Self {
            case,
            house,
            prepared,
            before,
        } = self;
        let at = |what: String| format!("{met}: {what}");
        let is_spent = |answer: &Answer| case.spent.contains(&answer.code().as_str());
        let may_be = (case.is_done)(&answer) || is_spent(&answer) || is_told_to_wait(&answer);
        hold(may_be, || at(format!("answered {answer:?}")))?;
        for time in 1..=TIMES {
            if (case.is_done)(&answer) || is_spent(&answer) {
                break;
            }
            let wait = answer.header("retry-after").parse().unwrap_or_default();
            if case.asks_wechat {
                store::let_pass_anywhere(LEASE).await;
            } else {
                store::let_pass(wait);
            }
            // Whoever repeats comes to any process.
            let again = if number.is_multiple_of(2) {
                house.clone()
            } else {
                house.replica().await
            };
            answer = (prepared.act)(again, time).await;
            let may_be = (case.is_done)(&answer) || is_spent(&answer) || is_told_to_wait(&answer);
            hold(may_be, || at(format!("repeated and answered {answer:?}")))?;
        }
        let after = Rc::new(After::of(&house, before).await);
        let is_done = (case.is_done)(&answer);
        hold(is_done || is_spent(&answer), || {
            at(format!("never done: {answer:?}"))
        })?;
        let holds: Held = if is_done {
            (prepared.holds)(Rc::clone(&after), answer).await
        } else {
            Ok(())
        };
        holds.map_err(at)?;
        after.laws().await.map_err(at)
    }

    async fn judge_between(
        self,
        met: &str,
        answer: Answer,
        (other, came): (Act, rivals::Told),
    ) -> Held {
        let Self {
            case,
            house,
            prepared,
            before,
        } = self;
        let at = |what: String| format!("{met}: {what}");
        let may_be = answer.status < 500 || is_told_to_wait(&answer);
        hold(may_be, || at(format!("answered {answer:?}")))?;
        let after = Rc::new(After::of(&house, before).await);
        // An unblock is what lets a blocked user in again.
        let is_undone = other == Act::Block && case.name == "an unblock";
        if !is_undone {
            rivals::holds(other, &prepared.whose, &came, &after).map_err(at)?;
        }
        if case.is_final && (case.is_done)(&answer) {
            (prepared.holds)(Rc::clone(&after), answer)
                .await
                .map_err(at)?;
        }
        after.laws().await.map_err(at)
    }
}

/// The gate takes one in so many turns, at another call for each kind of turn. `TURNS=all` takes all of them, as `make
/// nightly` does, and `TURNS='an erasure'` all of those that are named so.
const ONE_IN: usize = 37;
/// A use case makes few calls of WeChat's API.
const ONE_IN_AT_WECHAT: usize = 5;

#[derive(Default)]
struct Turns {
    kinds: usize,
    taken: usize,
    wrong: Vec<String>,
}

impl Turns {
    /// Takes the turns of one kind until the use case makes no more calls.
    async fn all(&mut self, what: String, one_in: usize, take: impl AsyncFn(usize) -> Taken) {
        let one_in = match env::var("TURNS") {
            Ok(wanted) if wanted == "all" || what.contains(&wanted) => 1,
            Ok(_) => return,
            Err(_) => one_in,
        };
        self.kinds += 1;
        for number in (1 + self.kinds % one_in..MOST).step_by(one_in) {
            match take(number).await {
                Ok(None) => return,
                Ok(Some(_)) => self.taken += 1,
                Err(law) => {
                    self.taken += 1;
                    self.wrong.push(format!("{what}, call {number}: {law}"));
                }
            }
        }
        panic!("{what} makes more than {MOST} calls");
    }

    #[expect(clippy::print_stdout, reason = "a proof says how many turns it took")]
    fn end(self, cases: usize, began: Instant) {
        let Self { taken, wrong, .. } = self;
        println!(
            "{taken} turns of {cases} use cases in {:?}",
            began.elapsed()
        );
        assert!(taken > 0, "no turns");
        assert!(
            wrong.is_empty(),
            "{} laws broken:\n{}",
            wrong.len(),
            wrong.join("\n")
        );
    }
}

#[actix_web::test]
async fn the_laws_hold_whichever_call_of_a_use_case_fails() {
    let (began, mut turns, cases) = (Instant::now(), Turns::default(), use_cases());
    for case in &cases {
        for fault in Fault::ALONE {
            let what = format!("{} ({:?}), {fault:?}", case.name, case.setup);
            turns
                .all(what, ONE_IN, async |number| take(case, number, fault).await)
                .await;
        }
    }
    turns.end(cases.len(), began);
}

#[actix_web::test]
async fn the_laws_hold_whoever_comes_between_two_calls_of_a_use_case() {
    let (began, mut turns, cases) = (Instant::now(), Turns::default(), use_cases());
    for case in &cases {
        for other in Act::ALL {
            let what = format!("{} ({:?}) and {other:?}", case.name, case.setup);
            turns
                .all(what, ONE_IN, async |number| {
                    take_between(case, number, other).await
                })
                .await;
        }
    }
    turns.end(cases.len(), began);
}

#[actix_web::test]
async fn the_laws_hold_whichever_call_of_wechat_fails_and_whoever_comes_while_wechat_is_waited_for()
{
    let (began, mut turns, cases) = (Instant::now(), Turns::default(), use_cases());
    for case in &cases {
        for fault in [wechat::Fault::Lost, wechat::Fault::AnswerLost] {
            let what = format!("{} ({:?}), {fault:?} at WeChat", case.name, case.setup);
            turns
                .all(what, ONE_IN_AT_WECHAT, async |number| {
                    take_at_wechat(case, number, fault).await
                })
                .await;
        }
        for other in Act::ALL {
            let what = format!(
                "{} ({:?}) and {other:?} while WeChat is waited for",
                case.name, case.setup
            );
            turns
                .all(what, ONE_IN_AT_WECHAT, async |number| {
                    take_while_held(case, number, other).await
                })
                .await;
        }
    }
    turns.end(cases.len(), began);
}

/// The routes of a listener, by the description that it gives of itself.
pub(crate) fn routes(description: &Value) -> BTreeSet<String> {
    let paths = description["paths"].as_object().into_iter().flatten();
    let of_path = |(path, item): (&String, &Value)| {
        let methods = item.as_object().into_iter().flatten();
        methods
            .map(|(method, _)| format!("{} {path}", method.to_uppercase()))
            .collect::<Vec<_>>()
    };
    paths.flat_map(of_path).collect()
}

#[actix_web::test]
async fn every_route_has_a_use_case_or_a_reason() {
    store::begin_anew();
    let house = House::open(Setup::Platform).await;
    let public = house.json("GET", "/openapi.json", Value::Null).await;
    let admin = house.operate("GET", "/openapi.json", Value::Null).await;
    let there: BTreeSet<_> = routes(&public.json())
        .into_iter()
        .chain(routes(&admin.json()))
        .collect();
    let cases = use_cases();
    let taken = cases
        .iter()
        .map(|case| case.route)
        .chain(WITHOUT.iter().map(|(route, _)| *route));
    let taken: BTreeSet<_> = taken.map(str::to_owned).collect();
    assert!(there.len() > 40, "{there:?}");
    let lacking: Vec<_> = there.difference(&taken).collect();
    let unknown: Vec<_> = taken.difference(&there).collect();
    assert_eq!(
        (lacking, unknown),
        (vec![], vec![]),
        "routes without a use case, and use cases without a route"
    );
}
