//! A million ends that a verifier has to know: what they cost at Redis, at the issuer and at a sidecar.

use std::{
    iter,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::{Client, StatusCode, header::RETRY_AFTER};
use serde_json::{Value, json};
use tokio::{runtime::Runtime, time::sleep};
use wxmint::{
    http::now,
    ids::{AppId, UserId},
    store::Ended,
    token::new_token_id,
};

use crate::{
    Fault, Plan,
    kernel::{memory_mb, peak_memory_mb},
    load::{Phases, Target, saturate},
    report::Report,
    spread::Spread,
    stage::{ReadySidecar, STREAM, Stage},
    support::APPID,
};

const DAY: Duration = Duration::from_secs(86_400);
/// How often a verifier asks.
const EVERY: Duration = Duration::from_secs(5);
const USER: &str = "0193f5b2-9c5e-7cc0-8000-000000000000";
/// The last token that is ended.
const LAST: &str = "ABCDEFGHIJKLMNOPQRSTUV";
/// The longest wait for a sidecar that is ready to learn the last end.
const LONGEST: Duration = Duration::from_secs(60);
/// The number of people who come again and again.
const REGULARS: usize = 500;
const CONNECTIONS: usize = 64;
const PHASES: Phases = Phases { warm_up: Duration::from_millis(1500), measured: Duration::from_secs(4) };

pub(crate) fn measure(plan: &Plan, runtime: &Runtime, report: &mut Report) -> Result<(), Fault> {
    eprintln!("million: a sidecar without ends");
    let without = runtime.block_on(Stage::start())?;
    let sidecar_without = runtime.block_on(without.sidecar())?;

    eprintln!("million: {} ends are written", plan.ends);
    let with = runtime.block_on(Stage::start())?;
    with.write_ends(a_day_of_ends(plan.ends)?)?;
    let memory: u64 = with.scene.bed.redis.command(&["MEMORY", "USAGE", STREAM, "SAMPLES", "0"]);
    report.add("Redis: ends in the stream", plan.ends as f64, 0, None);
    report.add("Redis: the stream, MB", memory as f64 / 1e6, 1, None);

    eprintln!("million: a sidecar that has to learn them");
    let before = with.cpu()?;
    let began = Instant::now();
    let sidecar = runtime.block_on(with.sidecar())?;
    let knows = Asked { sidecar: &sidecar, stage: &with };
    runtime.block_on(knows.learns_the_last())?;
    let (used, took) = (before.since()?, began.elapsed());
    report.add("sidecar: from its start until ready, s", sidecar.took.as_secs_f64(), 2, Some(10.0));
    // A sidecar that stays open without ends is ready after 10 s in any case.
    report.add("sidecar: from its start until it knows the last end, s", took.as_secs_f64(), 2, Some(10.0));
    report.add("sidecar: the same without ends, s", sidecar_without.took.as_secs_f64(), 2, None);
    report.add("sidecar: memory, MB", memory_mb(sidecar.pid)?, 1, Some(100.0));
    report.add("sidecar: peak memory, MB", peak_memory_mb(sidecar.pid)?, 1, Some(100.0));
    report.add("sidecar: memory without ends, MB", memory_mb(sidecar_without.pid)?, 1, None);
    report.add("issuer: CPU for all pages, s", used.issuer.as_secs_f64(), 2, None);
    report.add("Redis: CPU for all pages, s", used.redis.as_secs_f64(), 2, None);

    let knows_none = Asked { sidecar: &sidecar_without, stage: &without };
    let (mut with_ends, mut without_ends, mut dearer) = (Vec::new(), Vec::new(), Vec::new());
    for run in 1..=plan.runs {
        eprintln!("million: a remembered token, run {run} of {}", plan.runs);
        // In turns, because a machine is slower at one time than at another.
        let (less, more) = if run % 2 == 0 {
            (knows_none.remembered_us()?, knows.remembered_us()?)
        } else {
            let more = knows.remembered_us()?;
            (knows_none.remembered_us()?, more)
        };
        without_ends.push(less);
        with_ends.push(more);
        dearer.push(more - less);
    }
    report.add("sidecar: a remembered token, CPU µs", Spread::of(&with_ends).median, 2, None);
    report.add("sidecar: the same without ends, CPU µs", Spread::of(&without_ends).median, 2, None);
    report.add(
        "sidecar: a remembered token is dearer by, CPU µs (median of pairs)",
        Spread::of(&dearer).median,
        2,
        Some(0.5),
    );

    eprintln!("million: all pages");
    let pages = runtime.block_on(all_pages(&with))?;
    report.add("feed: pages", pages.number as f64, 0, None);
    report.add("feed: all pages, MB", pages.bytes as f64 / 1e6, 1, None);
    report.add("feed: bytes for each end", pages.bytes as f64 / plan.ends as f64, 1, None);
    report.add("feed: a page without ends, with its headers, bytes", pages.empty as f64, 0, None);
    let questions = DAY.as_secs() / EVERY.as_secs();
    let daily = pages.bytes as f64 / plan.ends as f64 * 1e6 + (questions * pages.empty) as f64;
    report.add("feed: a day with a million ends, MB received by each sidecar", daily / 1e6, 1, None);
    Ok(())
}

/// Ends in the service's form with the ids of their entries, written in the course of the last day. Eight of ten end one
/// token, one all tokens of a user, one those of a user in an app. None may be forgotten yet.
fn a_day_of_ends(number: usize) -> Result<impl Iterator<Item = (String, String)>, Fault> {
    let (app, now): (AppId, _) = (APPID.parse()?, now());
    let last = Ended::Token { id: LAST.parse()?, expires_at: now.timestamp() + DAY.as_secs() as i64 };
    let ends = (0..number - 1).map(move |index| {
        let since = DAY.mul_f64(1.0 - index as f64 / number as f64);
        let at = now - since;
        let before = at.timestamp();
        let user = || -> UserId { format!("0193f5b2-9c5e-7cc0-9000-{index:012x}").parse().expect("a user") };
        let ended = match index % 10 {
            0 => Ended::User { user: user(), before },
            1 => Ended::UserInApp { user: user(), app: app.clone(), before },
            _ => {
                Ended::Token { id: new_token_id().expect("random bits"), expires_at: before + 2 * DAY.as_secs() as i64 }
            }
        };
        (format!("{}-0", at.timestamp_millis()), ended.to_string())
    });
    Ok(ends.chain(iter::once((format!("{}-0", now.timestamp_millis()), last.to_string()))))
}

/// A sidecar that is asked, and its issuer.
struct Asked<'a> {
    sidecar: &'a ReadySidecar,
    stage: &'a Stage,
}

impl Asked<'_> {
    /// A token of the issuer with this `jti`.
    fn token(&self, id: &str) -> String {
        let forge = self.stage.scene.forge();
        forge.by_issuer(&forge.header, &forge.claims_with(json!({"sub": USER, "jti": id})))
    }

    /// Waits until the sidecar refuses the token that was ended last. Another token it accepts.
    async fn learns_the_last(&self) -> Result<(), Fault> {
        let [ended, other] = [LAST, "0000000000000000000000"].map(|id| self.token(id));
        let began = Instant::now();
        while self.verify(&ended).await? != StatusCode::UNAUTHORIZED {
            if began.elapsed() > LONGEST {
                return Err(format!("the sidecar does not know the last end {LONGEST:?} after it is ready").into());
            }
            sleep(Duration::from_millis(20)).await;
        }
        match self.verify(&other).await? {
            StatusCode::OK => Ok(()),
            status => Err(format!("the sidecar answers {status} to a token that nobody has ended").into()),
        }
    }

    async fn verify(&self, token: &str) -> Result<StatusCode, Fault> {
        let url = format!("http://{}/verify", self.sidecar.sidecar.address);
        Ok(self.stage.scene.bed.http.0.get(&url).bearer_auth(token).send().await?.status())
    }

    /// CPU µs for a token that the sidecar remembers.
    fn remembered_us(&self) -> Result<f64, Fault> {
        let tokens: Vec<_> = (0..REGULARS).map(|number| self.token(&format!("{number:022}"))).collect();
        let target = Target {
            address: self.sidecar.sidecar.address,
            pids: vec![self.sidecar.pid],
            request: |token| format!("GET /verify HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n"),
            is_good: |answer| answer.starts_with("HTTP/1.1 200 "),
        };
        Ok(saturate(target, CONNECTIONS, Box::new(tokens.into_iter().cycle()), PHASES)?.cpu_us())
    }
}

struct Pages {
    number: u64,
    /// Of the pages with ends, without HTTP headers.
    bytes: u64,
    /// Of the page that a verifier gets who knows all ends, with HTTP headers.
    empty: u64,
}

/// Reads the feed from its beginning as a verifier does.
async fn all_pages(stage: &Stage) -> Result<Pages, Fault> {
    let client = &stage.scene.bed.http.0;
    let mut pages = Pages { number: 0, bytes: 0, empty: 0 };
    let mut cursor = String::new();
    let began = Instant::now();
    loop {
        let Some(page) = page(client, &stage.feed_url(&cursor)).await? else { continue };
        cursor = page.cursor;
        pages.number += 1;
        pages.bytes += page.body;
        if !page.more {
            break;
        }
    }
    eprintln!("million: read in {:?}", began.elapsed());
    let last = loop {
        if let Some(page) = page(client, &stage.feed_url(&cursor)).await? {
            break page;
        }
    };
    pages.empty = last.body + last.head;
    Ok(pages)
}

/// What the benchmark needs of a page.
pub(crate) struct Page {
    pub(crate) cursor: String,
    more: bool,
    head: u64,
    body: u64,
}

/// `None` if the issuer asked for a pause, after which it can be asked again.
pub(crate) async fn page(client: &Client, url: &str) -> Result<Option<Page>, Fault> {
    let answer = client.get(url).send().await?;
    if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
        let seconds = answer.headers().get(RETRY_AFTER).ok_or("no Retry-After")?.to_str()?.parse()?;
        eprintln!("the feed asks for a pause of {seconds} s");
        sleep(Duration::from_secs(seconds)).await;
        return Ok(None);
    }
    let answer = answer.error_for_status()?;
    let lines = answer.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    let head = lines.sum::<usize>() + "HTTP/1.1 200 OK\r\n\r\n".len();
    let text = answer.text().await?;
    let claims = URL_SAFE_NO_PAD.decode(text.split('.').nth(1).ok_or("no claims")?)?;
    let claims: Value = serde_json::from_slice(&claims)?;
    let cursor = claims["cursor"].as_str().ok_or("no cursor")?.to_owned();
    let more = claims["more"].as_bool().ok_or("no more")?;
    Ok(Some(Page { cursor, more, head: head as u64, body: text.len() as u64 }))
}
