//! The results of the campaign: a table on the terminal, and in the long form a part of benches/README.md.

use std::{collections::BTreeMap, fmt::Write as _, fs, thread, time::Duration};

use crate::actions::Campaign;
use crate::books::{Pages, Played};
use crate::support::{repository, tell};
use crate::{faults, store};

/// The page's generated part stands between these lines.
const BEGIN: &str = "<!-- campaign: begin -->";
const END: &str = "<!-- campaign: end -->";
/// A process may hold so much more in the last quarter than in the second.
const GROWTH: f64 = 1.25;

/// All times that one fault was tried.
#[derive(Default)]
struct Tried {
    times: u64,
    refused: u64,
    recovered: Duration,
    longest: Duration,
    /// The time of each fault from its beginning until the last request was sent that got no proper answer.
    troubled: Vec<Duration>,
}

impl Tried {
    /// The median and the greatest.
    fn troubled(&self) -> [f64; 2] {
        let mut sorted = self.troubled.clone();
        sorted.sort_unstable();
        [sorted.get(sorted.len() / 2), sorted.last()].map(|time| time.map_or(0.0, Duration::as_secs_f64))
    }
}

pub(crate) fn write(campaign: &Campaign) {
    let pages = campaign.books.pages();
    let tried = tried(&pages);
    for (name, it) in &tried {
        tell(&format!(
            "{name:<42} {:>3} times, at most {:>5.1?}, {:>5} refused, {:>6.2?} until all was well",
            it.times, it.longest, it.refused, it.recovered
        ));
    }
    let asked: u64 = pages.counts.values().sum();
    tell(&format!("{asked} requests and verifications: {:?}", pages.counts));
    tell(&format!("problems: {:?}; the slowest answer took {:.1?}", pages.problems, pages.slowest));
    if campaign.plan.minutes.is_some() && pages.findings.is_empty() && std::env::var_os("CAMPAIGN_PAGE").is_some() {
        fill("benches/README.md", &rows(introduction(campaign, &pages), &tried));
    }
}

/// The things that grew, if the campaign was long enough to tell.
pub(crate) fn growth(pages: &Pages) -> Vec<String> {
    let (quarter, mut grown) = (pages.samples.len() / 4, Vec::new());
    if quarter < 10 {
        return grown;
    }
    let most = |from: usize, name: &str| {
        let part = pages.samples[from..from + quarter].iter();
        part.filter_map(|sample| sample.get(name)).max().copied().unwrap_or_default() as f64
    };
    for name in pages.samples[0].keys().filter(|name| name.starts_with("wxmint")) {
        let (early, late) = (most(quarter, name), most(pages.samples.len() - quarter, name));
        if late > early * GROWTH {
            grown.push(format!("{name} grew from {early} KiB in the second quarter to {late} KiB in the last"));
        }
    }
    grown
}

fn tried(pages: &Pages) -> BTreeMap<&'static str, Tried> {
    let mut tried = BTreeMap::<_, Tried>::new();
    for Played { name, began, ended, refused, recovered, troubled, .. } in &pages.played {
        let it = tried.entry(*name).or_default();
        it.times += 1;
        it.refused += refused;
        it.recovered = it.recovered.max(*recovered);
        it.troubled.push(*troubled);
        it.longest = it.longest.max(ended.unwrap_or(*began) - *began);
    }
    tried
}

/// The text before the rows, and their heading.
fn introduction(campaign: &Campaign, pages: &Pages) -> String {
    let (minutes, rate, seed) = (campaign.plan.minutes.unwrap_or_default(), campaign.plan.rate, campaign.plan.seed);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let (asked, people) = (pages.counts.values().sum::<u64>(), campaign.model().people.len());
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

fn rows(mut text: String, tried: &BTreeMap<&str, Tried>) -> String {
    let names = store::FAULTS.iter().map(|(_, name)| name).chain(faults::OTHERS.iter().map(|(_, name)| name));
    for (name, it) in names.filter_map(|name| Some((name, tried.get(name)?))) {
        let [longest, recovered] = [it.longest, it.recovered].map(|time| time.as_secs_f64());
        let (times, refused, [median, worst]) = (it.times, it.refused, it.troubled());
        let row = [longest, median, worst, recovered].map(|seconds| format!("{seconds:.1} s"));
        let [longest, median, worst, recovered] = row;
        let _ = writeln!(text, "| {name} | {times} | {longest} | {refused} | {median} | {worst} | {recovered} |");
    }
    text
}

/// Replaces what stands between the two lines of the page.
fn fill(page: &str, generated: &str) {
    let path = repository(page);
    let text = fs::read_to_string(&path).expect("the page");
    let (before, rest) = text.split_once(BEGIN).expect("the line before the generated part");
    let (_, after) = rest.split_once(END).expect("the line after the generated part");
    fs::write(path, format!("{before}{BEGIN}\n{generated}{END}{after}")).expect("written");
}
