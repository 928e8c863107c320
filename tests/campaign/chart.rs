//! The campaign over time: answers a second with the faults as bands, and resident memory.

use std::fmt::Write;

use crate::books::{Books, Pages, Part};

const WIDTH: f64 = 760.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 744.0;
const TOP: f64 = 60.0;
const BOTTOM: f64 = 260.0;
const HEIGHT: f64 = 296.0;
/// The most points of a line.
const POINTS: usize = 344;

/// The scales of a chart.
struct Scale {
    seconds: f64,
    most: f64,
}

impl Scale {
    fn x(&self, second: f64) -> f64 {
        LEFT + (RIGHT - LEFT) * second / self.seconds
    }

    fn y(&self, value: f64) -> f64 {
        BOTTOM - (BOTTOM - TOP) * value / self.most
    }
}

/// Good and improper answers a second. A band is a fault, in the colour of what it hits.
pub(crate) fn answers(pages: &Pages, books: &Books) -> String {
    let each = pages.seconds.len().div_ceil(POINTS).max(1);
    let mean = |of: fn(&crate::books::Second) -> u32| {
        let chunks = pages.seconds.chunks(each).enumerate();
        chunks
            .map(|(place, chunk)| {
                let sum: u32 = chunk.iter().map(of).sum();
                ((place * each) as f64, f64::from(sum) / chunk.len() as f64)
            })
            .collect::<Vec<_>>()
    };
    let (good, refused) = (mean(|second| second.good), mean(|second| second.refused + second.lost));
    let most = good.iter().chain(&refused).map(|(_, value)| *value).fold(1.0, f64::max);
    let scale = Scale { seconds: pages.seconds.len().max(1) as f64, most: most * 1.05 };
    let mut svg = head("Answers a second", "green: as they should be; red: 503 or none; bands: faults of");
    legend(&mut svg);
    for played in &pages.played {
        let from = (played.began - books.began).as_secs_f64();
        let to = played.ended.map_or(scale.seconds, |ended| (ended - books.began).as_secs_f64());
        let (x, width) = (scale.x(from), (scale.x(to) - scale.x(from)).max(1.0));
        let (class, height) = (class_of(played.part), BOTTOM - TOP);
        let _ = writeln!(svg, r#"<rect x="{x:.1}" y="{TOP}" width="{width:.1}" height="{height}" class="{class}"/>"#);
    }
    line(&mut svg, &scale, &good, "good");
    line(&mut svg, &scale, &refused, "refused");
    axes(&mut svg, &scale, "");
    svg + "</svg>\n"
}

/// Resident memory of each process, in MB.
pub(crate) fn memory(pages: &Pages) -> String {
    let mut names: Vec<_> = pages.samples.iter().flat_map(|sample| sample.resident_kib.keys()).collect();
    names.sort();
    names.dedup();
    let of = |name: &String| -> Vec<(f64, f64)> {
        let samples = pages.samples.iter();
        let points =
            samples.filter_map(|it| Some((it.at.as_secs_f64(), *it.resident_kib.get(name)? as f64 * 1.024e-3)));
        points.collect()
    };
    let lines: Vec<_> = names.iter().map(|name| of(name)).collect();
    let most = lines.iter().flatten().map(|(_, value)| *value).fold(1.0, f64::max);
    let scale = Scale { seconds: pages.seconds.len().max(1) as f64, most: most * 1.05 };
    let mut svg = head("Resident memory, MB", &names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", "));
    for (number, points) in lines.iter().enumerate() {
        line(&mut svg, &scale, points, ["simulator", "good", "second"][number.min(2)]);
    }
    axes(&mut svg, &scale, " MB");
    svg + "</svg>\n"
}

fn class_of(part: Part) -> &'static str {
    match part {
        Part::Redis => "redis",
        Part::WeChat | Part::Accounts => "wechat",
        Part::Replica | Part::Nothing => "own",
    }
}

fn head(title: &str, words: &str) -> String {
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" font-family="system-ui, sans-serif" font-size="13">
<title>{title}</title>
<style>
  text {{ fill: #24292f }} .quiet {{ fill: #6e7781 }} path {{ fill: none; stroke-width: 1.5 }}
  .good {{ stroke: #07a35a }} .refused {{ stroke: #cf222e }} .second {{ stroke: #0969da }} .simulator {{ stroke: #8c959f }}
  rect {{ opacity: .3 }} .redis {{ fill: #bf8700 }} .wechat {{ fill: #8c959f }} .own {{ fill: #0969da }}
  @media (prefers-color-scheme: dark) {{
    text {{ fill: #e6edf3 }} .quiet {{ fill: #9198a1 }} .good {{ stroke: #1fc77a }} .refused {{ stroke: #f85149 }}
  }}
</style>
<text x="16" y="24" font-size="16" font-weight="600">{title}</text>
<text x="16" y="46" class="quiet">{words}</text>
"#
    )
}

fn legend(svg: &mut String) {
    for (place, (class, name)) in
        [("redis", "Redis"), ("wechat", "WeChat, accounts"), ("own", "wxmint")].iter().enumerate()
    {
        let x = 400.0 + 90.0 * place as f64 + if place == 2 { 50.0 } else { 0.0 };
        let _ = writeln!(svg, r#"<rect x="{x}" y="36" width="12" height="12" class="{class}"/>"#);
        let _ = writeln!(svg, r#"<text x="{}" y="46" class="quiet">{name}</text>"#, x + 16.0);
    }
}

fn line(svg: &mut String, scale: &Scale, points: &[(f64, f64)], class: &str) {
    let mut path = String::new();
    for (place, (second, value)) in points.iter().enumerate() {
        let letter = if place == 0 { 'M' } else { 'L' };
        let _ = write!(path, "{letter}{:.1} {:.1}", scale.x(*second), scale.y(*value));
    }
    let _ = writeln!(svg, r#"<path d="{path}" class="{class}"/>"#);
}

fn axes(svg: &mut String, scale: &Scale, unit: &str) {
    for part in [0.0, 0.5, 1.0] {
        let (y, value) = (scale.y(scale.most * part) + 4.0, scale.most * part);
        let _ = writeln!(
            svg,
            r#"<text x="{}" y="{y:.1}" text-anchor="end" class="quiet">{value:.0}{unit}</text>"#,
            LEFT - 6.0
        );
        let (x, minutes) = (scale.x(scale.seconds * part), scale.seconds * part / 60.0);
        let y = BOTTOM + 20.0;
        let _ = writeln!(svg, r#"<text x="{x:.1}" y="{y}" text-anchor="middle" class="quiet">{minutes:.0} min</text>"#);
    }
}
