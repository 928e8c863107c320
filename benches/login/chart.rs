//! The results as a bar chart beside those of other implementations.

use std::fmt::Write;

/// CPU µs per login of other implementations: under full load, and at 500 per second with 50 ms upstream latency.
/// Measured in November 2026 with the same method on another machine of two cores, so only orders of magnitude can be
/// compared.
const OTHERS: [(&str, f64, f64); 5] = [
    ("Koa, axios, jsonwebtoken", 240.0, 452.0),
    ("Fastify, undici, jose", 98.0, 298.0),
    ("Go net/http, redigo", 91.0, 268.0),
    ("actix-web, reqwest, redis, one client for all", 55.0, 138.0),
    ("the same, without logs and limits, thin client", 31.5, 62.0),
];

const LEFT: f64 = 320.0;
const PIXELS_PER_US: f64 = 0.85;
const BAR: f64 = 14.0;
const ROW: f64 = 44.0;
const TOP: f64 = 76.0;
const WIDTH: f64 = 760.0;

/// The time to sign one token on that machine, which measures its processor.
const OTHERS_MINT_US: f64 = 12.4;

/// An SVG for light and dark pages. `mint_us` is the time to sign one token on this machine.
pub(crate) fn svg(saturated_us: f64, paced_us: f64, mint_us: f64) -> String {
    let rows: Vec<_> = [("wxmint", saturated_us, paced_us)]
        .into_iter()
        .chain(OTHERS)
        .collect();
    let height = TOP + ROW * rows.len() as f64 + 30.0;
    let mut svg = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" font-family="system-ui, sans-serif" font-size="13">
<title>CPU microseconds for each login</title>
<style>
  text {{ fill: #24292f }} .quiet {{ fill: #6e7781 }}
  .ours.a {{ fill: #07a35a }} .ours.b {{ fill: #7cd3a5 }} .other.a {{ fill: #8c959f }} .other.b {{ fill: #c8cfd6 }}
  @media (prefers-color-scheme: dark) {{
    text {{ fill: #e6edf3 }} .quiet {{ fill: #9198a1 }}
    .ours.a {{ fill: #1fc77a }} .ours.b {{ fill: #0d6b42 }} .other.a {{ fill: #7d8590 }} .other.b {{ fill: #444c56 }}
  }}
</style>
<text x="16" y="26" font-size="16" font-weight="600">CPU µs a login (HTTP, code2Session stand-in, Redis, ES256, JSON)</text>
<text x="16" y="50" class="quiet">upper bar: saturated, 64 connections; lower bar: 500 a second with 50 ms upstream delay</text>
"#
    );
    for (index, (name, saturated, paced)) in rows.into_iter().enumerate() {
        let class = if index == 0 { "ours" } else { "other" };
        row(
            &mut svg,
            TOP + ROW * index as f64,
            name,
            class,
            [saturated, paced],
        );
    }
    let bottom = height - 12.0;
    let _ = writeln!(
        svg,
        r#"<text x="16" y="{bottom}" class="quiet">grey: at another time on another machine, where signing a token took {OTHERS_MINT_US} µs; here it took {mint_us:.1} µs</text>"#
    );
    svg.push_str("</svg>\n");
    svg
}

/// A name and its two bars. Writing to a `String` does not fail.
fn row(svg: &mut String, top: f64, name: &str, class: &str, bars: [f64; 2]) {
    let middle = top + BAR + 5.0;
    let weight = if class == "ours" { 700 } else { 400 };
    let _ = writeln!(
        svg,
        r#"<text x="{}" y="{middle}" text-anchor="end" font-weight="{weight}">{name}</text>"#,
        LEFT - 12.0
    );
    for (shade, (us, y)) in ["a", "b"]
        .into_iter()
        .zip(bars.into_iter().zip([top, top + BAR + 2.0]))
    {
        let width = us * PIXELS_PER_US;
        let _ = writeln!(
            svg,
            r#"<rect x="{LEFT}" y="{y}" width="{width:.1}" height="{BAR}" rx="2" class="{class} {shade}"/>"#
        );
        let (x, y) = (LEFT + width + 6.0, y + BAR - 2.5);
        let _ = writeln!(
            svg,
            r#"<text x="{x:.1}" y="{y}" class="quiet" font-size="12">{us:.0}</text>"#
        );
    }
}
