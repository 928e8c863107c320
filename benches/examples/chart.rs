//! The result as a bar chart.

use std::fmt::Write;

use crate::{
    report::{Measure, Report},
    running::EXAMPLES,
};

const LEFT: f64 = 200.0;
const WIDTH: f64 = 760.0;
/// The width of the longest bar, which leaves room for its numbers.
const LONGEST: f64 = WIDTH - LEFT - 90.0;
const BAR: f64 = 12.0;
const ROW: f64 = 38.0;
const TOP: f64 = 76.0;

/// An SVG for light and dark pages.
pub(crate) fn svg(report: &Report) -> String {
    let height = TOP + ROW * EXAMPLES.len() as f64 + 8.0;
    let mut svg = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" font-family="system-ui, sans-serif" font-size="13">
<title>CPU microseconds for each request through the examples</title>
<style>
  text {{ fill: #24292f }} .quiet {{ fill: #6e7781 }}
  .token {{ fill: #07a35a }} .none {{ fill: #c8cfd6 }} .first {{ fill: #7cd3a5 }}
  @media (prefers-color-scheme: dark) {{
    text {{ fill: #e6edf3 }} .quiet {{ fill: #9198a1 }}
    .token {{ fill: #1fc77a }} .none {{ fill: #444c56 }} .first {{ fill: #0d6b42 }}
  }}
</style>
<text x="16" y="26" font-size="16" font-weight="600">CPU µs a request, of all processes of an example</text>
<text x="16" y="50" class="quiet">green: with a token; pale green: what it costs more at first sight; grey: without token, on a public path</text>
"#
    );
    let longest = EXAMPLES.iter().flat_map(|example| values(report, example.name)).fold(1.0, f64::max);
    for (index, example) in EXAMPLES.iter().enumerate() {
        row(&mut svg, TOP + ROW * index as f64, example.title, values(report, example.name), LONGEST / longest);
    }
    svg.push_str("</svg>\n");
    svg
}

/// The bars: a new token, a known token, no token.
fn values(report: &Report, example: &'static str) -> [f64; 3] {
    [Measure::New, Measure::Known, Measure::Public].map(|measure| report.median(example, measure).unwrap_or_default())
}

/// A name and its bars. Writing to a `String` does not fail.
fn row(svg: &mut String, top: f64, title: &str, [first, token, none]: [f64; 3], pixels_per_us: f64) {
    let middle = top + BAR + 5.0;
    let _ = writeln!(svg, r#"<text x="{}" y="{middle}" text-anchor="end">{title}</text>"#, LEFT - 12.0);
    let below = top + BAR + 2.0;
    // Longer bars are drawn first, so that shorter ones cover them.
    for (class, us, y) in [("first", first, top), ("token", token, top), ("none", none, below)] {
        let width = us * pixels_per_us;
        let _ = writeln!(svg, r#"<rect x="{LEFT}" y="{y}" width="{width:.1}" height="{BAR}" rx="2" class="{class}"/>"#);
    }
    let mut number = |us: f64, text: String, y: f64| {
        let (x, y) = (LEFT + us * pixels_per_us + 6.0, y + BAR - 2.0);
        let _ = writeln!(svg, r#"<text x="{x:.1}" y="{y}" class="quiet" font-size="11">{text}</text>"#);
    };
    let text = if first > token { format!("{token:.0} – {first:.0}") } else { format!("{token:.0}") };
    number(first.max(token), text, top);
    number(none, format!("{none:.0}"), below);
}
