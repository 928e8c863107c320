//! The results of the campaign: a table on the terminal, and in the long form a part of benches/README.md.

use std::{fmt::Write as _, thread, time::Instant};

use crate::actions::Campaign;
use crate::books::{Pages, Played};
use crate::support::prelude::*;
use crate::{faults, store, world::REPLICAS};

/// The page's generated part stands between these lines.
const BEGIN: &str = "<!-- campaign: begin -->";
const END: &str = "<!-- campaign: end -->";
/// A process may hold so much more in the last quarter than in the second.
const GROWTH: f64 = 1.25;

pub(crate) fn write(campaign: &Campaign) {
    let pages = campaign.books.pages();
    let table = rows(introduction(campaign, &pages), &pages.played);
    tell(&format!(
        "{table}requests: {:?}\nproblems: {:?}",
        pages.counts, pages.problems
    ));
    if campaign.plan.minutes.is_some()
        && pages.findings.is_empty()
        && std::env::var_os("CAMPAIGN_PAGE").is_some()
    {
        fill("benches/README.md", &table);
    }
}

/// The things that grew, if the campaign was long enough to tell.
pub(crate) fn growth(pages: &Pages) -> Vec<String> {
    let (quarter, mut grown) = (pages.samples.len() / 4, Vec::new());
    if quarter < 10 {
        return grown;
    }
    let most = |from: usize, replica: usize| {
        pages.samples[from..from + quarter]
            .iter()
            .map(|sample| sample[replica])
            .max()
            .unwrap_or_default() as f64
    };
    for replica in 0..REPLICAS {
        let (early, late) = (
            most(quarter, replica),
            most(pages.samples.len() - quarter, replica),
        );
        if late > early * GROWTH {
            grown.push(format!("replica {replica} grew from {early} KiB in the second quarter to {late} in the last"));
        }
    }
    grown
}

/// The text before the rows, and their heading.
fn introduction(campaign: &Campaign, pages: &Pages) -> String {
    let (minutes, rate, seed) = (
        campaign.plan.minutes.unwrap_or_default(),
        campaign.plan.rate,
        campaign.plan.seed,
    );
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let (asked, people) = (
        pages.counts.values().sum::<u64>(),
        campaign.model().people.len(),
    );
    let (findings, unexplained) = (pages.findings.len(), pages.unexplained.len());
    let slowest = pages.slowest.as_secs_f64();
    format!(
        "The last run took {minutes} minutes at {rate} requests a second, on {cores} cores, with the seed {seed}: \
         {asked} requests and verifications, {people} people. Findings: {findings}. Improper answers without a fault: \
         {unexplained}. The slowest answer took {slowest:.1} s.\n\n\
         | fault | times tried | longest | improper answers | from its beginning to the last of them, median | worst | \
         from its end, worst |\n|---|--:|--:|--:|--:|--:|--:|\n"
    )
}

/// A row for each fault, with all times that it was tried.
fn rows(mut text: String, played: &[Played]) -> String {
    let names = store::FAULTS
        .iter()
        .map(|(_, name)| name)
        .chain(faults::OTHERS.iter().map(|(_, name)| name));
    for name in names {
        let tried: Vec<_> = played.iter().filter(|it| it.name == *name).collect();
        let mut troubled: Vec<_> = tried.iter().map(|it| until_last(it, it.began)).collect();
        troubled.sort_by(f64::total_cmp);
        let Some(worst) = troubled.last() else {
            continue;
        };
        let (times, median) = (tried.len(), troubled[troubled.len() / 2]);
        let ended = |it: &Played| it.ended.unwrap_or(it.began);
        let longest = tried
            .iter()
            .map(|it| (ended(it) - it.began).as_secs_f64())
            .fold(0.0, f64::max);
        let recovered = tried
            .iter()
            .map(|it| until_last(it, ended(it)))
            .fold(0.0, f64::max);
        let refused: usize = tried.iter().map(|it| it.refused.len()).sum();
        let _ = writeln!(
            text,
            "| {name} | {times} | {longest:.1} s | {refused} | {median:.1} s | {worst:.1} s | {recovered:.1} s |"
        );
    }
    text
}

/// From a moment until the last request was sent that got no proper answer because of this fault, in seconds.
fn until_last(played: &Played, since: Instant) -> f64 {
    played.refused.iter().max().map_or(0.0, |last| {
        last.saturating_duration_since(since).as_secs_f64()
    })
}

/// Replaces what stands between the two lines of the page.
fn fill(page: &str, generated: &str) {
    let path = repository(page);
    let text = fs::read_to_string(&path).expect("the page");
    let (before, rest) = text
        .split_once(BEGIN)
        .expect("the line before the generated part");
    let (_, after) = rest
        .split_once(END)
        .expect("the line after the generated part");
    fs::write(path, format!("{before}{BEGIN}\n{generated}{END}{after}")).expect("written");
}
