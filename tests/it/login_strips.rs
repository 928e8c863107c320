//! A strip of a login's steps at the top of a page shows which of them the page is about.
//! `UPDATE_DOCS=1 cargo test --test it login_strips` draws the strips again.

use std::{env, fmt::Write, fs};

use crate::support::repository;

/// Each step: what happens and where, in English and Chinese.
const STEPS: [[[&str; 2]; 2]; 8] = [
    [["wx.login", "mini program"], ["wx.login", "小程序"]],
    [["POST /login", "mini program"], ["POST /login", "小程序"]],
    [["claim the code", "Redis"], ["占用 code", "Redis"]],
    [["code2Session", "WeChat"], ["code2Session", "微信"]],
    [["openid → user id", "your users"], ["openid → 用户 ID", "你的用户"]],
    [["seal session_key", "vault, Redis"], ["加密 session_key", "vault、Redis"]],
    [["sign the JWT", "wxmint"], ["签发 JWT", "wxmint"]],
    [["verify the JWT", "your services"], ["验证 JWT", "业务服务"]],
];

/// A strip, the numbers of its steps, and the pages that it stands on.
const STRIPS: [(&str, &[usize], &[&str]); 4] = [
    ("mini-program", &[1, 2], &["mini-program"]),
    ("user", &[5], &["accounts", "bindings"]),
    ("session-key", &[6], &["vault", "user-data"]),
    ("verify", &[8], &["verify", "peers"]),
];

const LANGUAGES: [(&str, &str, &str, &str); 2] = [
    ("", "en", "The steps of a login; this page is about: ", ", "),
    (".zh-CN", "zh-CN", "登录的各个步骤；本页讲的是：", "、"),
];

/// The colours of login.svg.
const HEAD: &str = r##"
  <style>
    svg { --ink: #1f2328; --soft: #59636e; --line: #d1d9e0; --shade: #f4f6f8; --ours: #0a7f45; --ours-paper: #e9f7ef }
    @media (prefers-color-scheme: dark) {
      svg { --ink: #e6edf3; --soft: #9aa4af; --line: #3d444d; --shade: #161b22; --ours: #4cc38a; --ours-paper: #10281c }
    }
    text { font: 12.5px -apple-system, BlinkMacSystemFont, "Segoe UI", Roboto, "Noto Sans", "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", sans-serif; fill: var(--soft); text-anchor: middle }
    .where { font-size: 11.5px }
    .here { fill: var(--ours); font-weight: 600 }
    rect { fill: var(--shade); stroke: var(--line) }
    .here-box { fill: var(--ours-paper); stroke: var(--ours); stroke-width: 1.5 }
    path { stroke: var(--soft); stroke-width: 1.4; fill: none }
  </style>
"##;

fn said(here: &[usize], language: usize) -> String {
    let (_, _, words, comma) = LANGUAGES[language];
    let steps: Vec<_> = here.iter().map(|number| STEPS[number - 1][language][0]).collect();
    format!("{words}{}", steps.join(comma))
}

fn drawn(here: &[usize], language: usize) -> String {
    let (_, lang, ..) = LANGUAGES[language];
    let title = said(here, language);
    let mut svg = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 980 60" width="980" height="60" role="img" aria-labelledby="title" xml:lang="{lang}">
  <title id="title">{title}</title>"#
    );
    svg.push_str(HEAD);
    for (place, step) in STEPS.iter().enumerate() {
        let ([what, place_name], left) = (step[language], 6 + place * 122);
        let is_here = here.contains(&(place + 1));
        let (rect, text) = if is_here { (r#" class="here-box""#, "here") } else { ("", "what") };
        let middle = left + 57;
        let lines = [
            format!(r#"<rect{rect} x="{left}.5" y="8.5" width="114" height="43" rx="8"/>"#),
            format!(r#"<text class="{text}" x="{middle}" y="27">{what}</text>"#),
            format!(r#"<text class="where" x="{middle}" y="43">{place_name}</text>"#),
        ];
        for line in lines {
            let _ = writeln!(svg, "  {line}");
        }
        if place > 0 {
            let _ = writeln!(svg, r#"  <path d="M{} 26l4 4-4 4"/>"#, left - 5);
        }
    }
    svg + "</svg>\n"
}

#[test]
fn every_strip_is_drawn_from_the_table_and_stands_at_the_top_of_its_pages() {
    for (name, here, pages) in STRIPS {
        for (language, (ending, ..)) in LANGUAGES.iter().enumerate() {
            let (file, svg) = (format!("login-{name}{ending}.svg"), drawn(here, language));
            let path = repository("docs").join(&file);
            if env::var_os("UPDATE_DOCS").is_some() {
                fs::write(&path, &svg).expect("a file of ours");
            }
            assert!(
                fs::read_to_string(&path).is_ok_and(|old| old == svg),
                "draw {file} again: UPDATE_DOCS=1 cargo test --test it login_strips"
            );
            let image = format!("![{}]({file})", said(here, language));
            for page in pages {
                let text = fs::read_to_string(repository(format!("docs/{page}{ending}.md"))).expect("a page");
                assert_eq!(text.lines().nth(4), Some(image.as_str()), "docs/{page}{ending}.md, line 5");
            }
        }
    }
}
