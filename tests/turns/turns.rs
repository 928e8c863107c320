//! Takes every turn of every use case.

use std::collections::BTreeSet;
use std::env;
use std::rc::Rc;
use std::time::Instant;

use serde_json::Value;

use crate::answer::Answer;
use crate::case::{Prepared, UseCase};
use crate::house::{House, Setup};
use crate::laws::{After, Held, hold};
use crate::rivals::{self, Act, rival};
use crate::store::{self, Fault, with_fault};
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
    ("GET /.well-known/openid-configuration", "asks the store nothing"),
    ("GET /.well-known/ssf-configuration", "asks the store nothing"),
    ("GET /.well-known/jwks.json", "every look of the laws asks for it"),
    ("GET /revocations", "every look of the laws asks for it"),
    ("POST /ssf/stream", "always refused, after the secret was looked at"),
    ("GET /doctor", "asks what the doctor asks, which is given to it from outside"),
    ("GET /activity", "asks the log of this process alone"),
    ("POST /wechat/platform/{component_appid}", "tests/it/platforms"),
    ("POST /wechat/{appid}/merchant", "tests/it/platforms"),
];

pub(crate) fn use_cases() -> Vec<UseCase> {
    let all = [people::use_cases(), operators::use_cases(), pages::use_cases(), sites::use_cases()];
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
    store::begin_anew();
    let house = House::open(case.setup).await;
    let Prepared { act, holds, .. } = (case.prepare)(house.clone()).await;
    let before = house.tokens();
    let (mut answer, met) = with_fault(Some((number, fault)), None, act(house.clone(), 0)).await;
    let Some(met) = met else { return Ok(None) };
    let at = |what: String| format!("{met}: {what}");
    let is_spent = |answer: &Answer| case.spent.contains(&answer.code().as_str());
    hold((case.is_done)(&answer) || is_told_to_wait(&answer), || at(format!("answered {answer:?}")))?;
    for time in 1..=TIMES {
        if (case.is_done)(&answer) || is_spent(&answer) {
            break;
        }
        let wait = answer.header("retry-after").parse().unwrap_or_default();
        store::let_pass(if case.asks_wechat { LEASE } else { wait });
        // Whoever repeats comes to any process.
        let again = if number.is_multiple_of(2) { house.clone() } else { house.replica().await };
        answer = act(again, time).await;
        let may_be = (case.is_done)(&answer) || is_spent(&answer) || is_told_to_wait(&answer);
        hold(may_be, || at(format!("repeated and answered {answer:?}")))?;
    }
    let after = Rc::new(After::of(&house, before).await);
    let is_done = (case.is_done)(&answer);
    hold(is_done || is_spent(&answer), || at(format!("never done: {answer:?}")))?;
    let holds: Held = if is_done { holds(Rc::clone(&after), answer).await } else { Ok(()) };
    holds.map_err(at)?;
    after.laws().await.map_err(at)?;
    Ok(Some(met))
}

/// Takes a turn in which somebody else comes before this call.
async fn take_between(case: &UseCase, number: usize, other: Act) -> Taken {
    store::begin_anew();
    let house = House::open(case.setup).await;
    let Prepared { act, holds, whose } = (case.prepare)(house.clone()).await;
    if !other.can_be(&whose) {
        return Ok(None);
    }
    let before = house.tokens();
    let (come, came) = rival(other, &house, &whose);
    let (answer, met) = with_fault(Some((number, Fault::Between)), Some(come), act(house.clone(), 0)).await;
    let Some(met) = met else { return Ok(None) };
    let at = |what: String| format!("{met}: {what}");
    let may_be = answer.status < 500 || is_told_to_wait(&answer);
    hold(may_be, || at(format!("answered {answer:?}")))?;
    let after = Rc::new(After::of(&house, before).await);
    // An unblock is what lets a blocked user in again.
    let is_undone = other == Act::Block && case.name == "an unblock";
    if !is_undone {
        rivals::holds(other, &whose, &came, &after).map_err(at)?;
    }
    if case.is_final && (case.is_done)(&answer) {
        holds(Rc::clone(&after), answer).await.map_err(at)?;
    }
    let is_known = KNOWN.contains(&(case.name, case.setup, other));
    after.laws().await.map_err(at).or_else(|law| if is_known { Ok(()) } else { Err(law) })?;
    Ok(Some(met))
}

/// Faults that are known and not mended yet: the issuer refuses the token of a login that came between, because the act
/// has taken the person from the list of the computed user after the login was noted there.
const KNOWN: &[(&str, Setup, Act)] = &[
    ("a dissolution", Setup::OfOpenid, Act::LogIn),
    ("a dissolution", Setup::OfUnionid, Act::LogIn),
    ("an unbinding", Setup::OfOpenid, Act::LogIn),
    ("an unbinding", Setup::OfUnionid, Act::LogIn),
    ("an erasure", Setup::OfOpenid, Act::LogIn),
    ("an erasure", Setup::OfUnionid, Act::LogIn),
];

/// The gate takes one in so many turns, at another call for each kind of turn. `TURNS=all` takes all of them, as `make
/// nightly` does.
const ONE_IN: usize = 19;

#[derive(Default)]
struct Turns {
    kinds: usize,
    taken: usize,
    wrong: Vec<String>,
}

impl Turns {
    /// Takes the turns of one kind until the use case makes no more calls.
    async fn all(&mut self, what: String, take: impl AsyncFn(usize) -> Taken) {
        let one_in = if env::var("TURNS").is_ok_and(|wanted| wanted == "all") { 1 } else { ONE_IN };
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
        println!("{taken} turns of {cases} use cases in {:?}", began.elapsed());
        assert!(taken > 0, "no turns");
        assert!(wrong.is_empty(), "{} laws broken:\n{}", wrong.len(), wrong.join("\n"));
    }
}

#[actix_web::test]
async fn the_laws_hold_whichever_call_of_a_use_case_fails() {
    let (began, mut turns, cases) = (Instant::now(), Turns::default(), use_cases());
    for case in &cases {
        for fault in Fault::ALONE {
            let what = format!("{} ({:?}), {fault:?}", case.name, case.setup);
            turns.all(what, async |number| take(case, number, fault).await).await;
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
            turns.all(what, async |number| take_between(case, number, other).await).await;
        }
    }
    turns.end(cases.len(), began);
}

/// The routes of a listener, by the description that it gives of itself.
pub(crate) fn routes(description: &Value) -> BTreeSet<String> {
    let paths = description["paths"].as_object().into_iter().flatten();
    let of_path = |(path, item): (&String, &Value)| {
        let methods = item.as_object().into_iter().flatten();
        methods.map(|(method, _)| format!("{} {path}", method.to_uppercase())).collect::<Vec<_>>()
    };
    paths.flat_map(of_path).collect()
}

#[actix_web::test]
async fn every_route_has_a_use_case_or_a_reason() {
    store::begin_anew();
    let house = House::open(Setup::Platform).await;
    let public = house.json("GET", "/openapi.json", Value::Null).await;
    let admin = house.operate("GET", "/openapi.json", Value::Null).await;
    let there: BTreeSet<_> = routes(&public.json()).into_iter().chain(routes(&admin.json())).collect();
    let cases = use_cases();
    let taken = cases.iter().map(|case| case.route).chain(WITHOUT.iter().map(|(route, _)| *route));
    let taken: BTreeSet<_> = taken.map(str::to_owned).collect();
    assert!(there.len() > 40, "{there:?}");
    let lacking: Vec<_> = there.difference(&taken).collect();
    let unknown: Vec<_> = taken.difference(&there).collect();
    assert_eq!((lacking, unknown), (vec![], vec![]), "routes without a use case, and use cases without a route");
}
