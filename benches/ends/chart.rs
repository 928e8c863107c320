//! From the 204 to the refusal, as a bar chart.

use std::{fmt::Write, time::Duration};

use crate::report::{GOAL, Refusals};

const LEFT: f64 = 200.0;
const WIDTH: f64 = 760.0;
/// The width of [`GOAL`], which leaves room for its number.
const LONGEST: f64 = WIDTH - LEFT - 40.0;
const BAR: f64 = 14.0;
const ROW: f64 = 34.0;
const TOP: f64 = 84.0;

/// An SVG for light and dark pages.
pub(crate) fn svg(refusals: &[Refusals]) -> String {
    let bottom = TOP + ROW * refusals.len() as f64;
    let height = bottom + 8.0;
    let mut svg = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" font-family="system-ui, sans-serif" font-size="13">
<title>Seconds from the 204 of a logout to the refusal</title>
<style>
  text {{ fill: #24292f }} .quiet {{ fill: #6e7781 }} line {{ stroke: #cf222e; stroke-dasharray: 4 3 }}
  .median {{ fill: #07a35a }} .p99 {{ fill: #7cd3a5 }} .worst {{ fill: #c8cfd6 }}
  @media (prefers-color-scheme: dark) {{
    text {{ fill: #e6edf3 }} .quiet {{ fill: #9198a1 }} line {{ stroke: #f85149 }}
    .median {{ fill: #1fc77a }} .p99 {{ fill: #0d6b42 }} .worst {{ fill: #444c56 }}
  }}
</style>
<text x="16" y="26" font-size="16" font-weight="600">Seconds from the 204 of a logout to the refusal</text>
<text x="16" y="50" class="quiet">green: half of the tokens are refused; pale green: 99 of 100; grey: all; red line: the goal for all</text>
"#
    );
    let goal = LEFT + LONGEST;
    let _ = writeln!(svg, r#"<line x1="{goal}" y1="{}" x2="{goal}" y2="{bottom}"/>"#, TOP - 6.0);
    let _ = writeln!(
        svg,
        r#"<text x="{goal}" y="{}" text-anchor="middle" class="quiet" font-size="11">{} s</text>"#,
        TOP - 10.0,
        GOAL.as_secs()
    );
    for (index, peer) in refusals.iter().enumerate() {
        row(&mut svg, TOP + ROW * index as f64, peer);
    }
    svg.push_str("</svg>\n");
    svg
}

/// A name and its bars. Writing to a `String` does not fail.
fn row(svg: &mut String, top: f64, peer: &Refusals) {
    let middle = top + BAR - 3.0;
    let _ = writeln!(svg, r#"<text x="{}" y="{middle}" text-anchor="end">{}</text>"#, LEFT - 12.0, peer.title);
    let pixels = |time: Duration| time.as_secs_f64() / GOAL.as_secs_f64() * LONGEST;
    let [median, p99, worst] = [peer.median(), peer.p99(), peer.worst()];
    // Longer bars are drawn first, so that shorter ones cover them.
    for (class, time) in [("worst", worst), ("p99", p99), ("median", median)] {
        let width = pixels(time);
        let _ =
            writeln!(svg, r#"<rect x="{LEFT}" y="{top}" width="{width:.1}" height="{BAR}" rx="2" class="{class}"/>"#);
    }
    let (x, [median, p99, worst]) = (LEFT + pixels(worst) + 6.0, [median, p99, worst].map(|time| time.as_secs_f64()));
    let _ = writeln!(
        svg,
        r#"<text x="{x:.1}" y="{middle}" class="quiet" font-size="11">{median:.1} – {p99:.1} – {worst:.1}</text>"#
    );
}
