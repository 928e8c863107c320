//! `.env.example` and the tables of settings, held against what the program reads.

use std::{collections::HashMap, fs, path::Path};

use super::variable::{ENTRIES, EXAMPLE, IN_FILE, VariableEntry};
use super::{Settings, SidecarSettings, parse_duration, reader::Fault, variables::own_names};

fn page(name: &str) -> Option<String> {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).ok()
}

fn is_known(name: &str) -> bool {
    ENTRIES.iter().any(|entry| entry.name == name)
}

/// The faults of both commands if this variable alone is set. A fault of `X_FILE` is one of `X`.
fn faults(name: &str, value: &str) -> Vec<Fault> {
    let vars = [(name.to_owned(), value.to_owned())];
    let name = Some(name)
        .filter(|name| is_known(name))
        .unwrap_or_else(|| name.trim_end_matches("_FILE"));
    let serve = Settings::from_vars(vars.clone()).expect_err("more is required");
    let sidecar = SidecarSettings::from_vars(vars).expect_err("more is required");
    serve
        .0
        .into_iter()
        .chain(sidecar.0)
        .filter(|fault| fault.variable == name)
        .collect()
}

#[test]
fn the_example_file_has_an_entry_for_each_variable() {
    for name in own_names() {
        assert_eq!(
            ENTRIES.iter().filter(|entry| entry.name == name).count(),
            1,
            "{name}"
        );
    }
    for entry in ENTRIES.iter() {
        assert!(
            !entry.form.is_empty() && !entry.form.contains('#') && !entry.example.is_empty(),
            "{}",
            entry.name
        );
    }
}

#[test]
fn the_example_file_changes_nothing_until_it_is_changed() {
    let example = page(".env.example").expect("our own .env.example");
    let pairs = |text: &str| {
        text.split_once('=')
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    let set: HashMap<_, _> = example
        .lines()
        .filter(|line| line.starts_with("WXMINT_"))
        .filter_map(pairs)
        .collect();
    let defaults = ENTRIES
        .iter()
        .filter_map(|entry| Some((entry.name.to_owned(), entry.default?.to_owned())));
    let all = set.clone().into_iter().chain(defaults);
    let [explicit, implicit] =
        [all.collect(), set].map(|vars: HashMap<_, _>| format!("{:?}", Settings::from_vars(vars)));
    assert!(
        explicit.starts_with("Ok") && explicit == implicit,
        "{explicit}\n{implicit}"
    );
}

#[test]
fn every_variable_is_read_by_a_command_and_refused_while_it_holds_its_placeholder_or_stands_in_quotes()
 {
    for entry in ENTRIES.iter() {
        let refuses = |name: &str, value: &str, words: &str| {
            let faults = faults(name, value);
            assert!(
                faults.iter().any(|fault| fault.problem.contains(words)),
                "{name}={value}: {faults:?}"
            );
            assert!(!format!("{faults:?}").contains("hunter2"), "{faults:?}");
        };
        refuses(entry.name, "REPLACE-ME", "still holds its placeholder");
        for quoted in ["\"hunter2\"", "'hunter2'", "“hunter2”", "\"\""] {
            [Some(entry.name.to_owned()), entry.file_variable()]
                .iter()
                .flatten()
                .for_each(|name| {
                    refuses(
                        name,
                        quoted,
                        "stands in quotation marks, which `docker --env-file` keeps: remove them",
                    );
                });
        }
    }
}

#[test]
fn the_range_in_words_is_the_range_that_holds() {
    let beyond = |text: &str, by: i64| match parse_duration(text) {
        Some(span) => format!("{}s", span.as_secs() as i64 + by),
        None => (text.parse::<i64>().expect("a number") + by).to_string(),
    };
    let mut ranges = 0;
    for entry in ENTRIES
        .iter()
        .filter(|entry| !entry.form.contains("a slash and a time"))
    {
        let Some((_, range)) = entry.form.split_once(" from ") else {
            continue;
        };
        let words: Vec<_> = range.split([' ', ',', ';']).collect();
        let [least, "to", most, ..] = words[..] else {
            panic!("{}: {range}", entry.name)
        };
        ranges += 1;
        for (value, is_good) in [
            (least.to_owned(), true),
            (most.to_owned(), true),
            (beyond(least, -1), false),
            (beyond(most, 1), false),
        ] {
            assert_eq!(
                faults(entry.name, &value).is_empty(),
                is_good,
                "{}={value}",
                entry.name
            );
        }
    }
    assert!(ranges > 8, "{ranges}");
}

/// The second cell of the row that names the variable, and the variable's part of it if the row has
/// several variables.
fn default_in<'a>(text: &'a str, name: &str) -> Option<(&'a str, &'a str)> {
    let quoted = format!("`{name}`");
    let mut rows = text
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split_once('|'));
    let (names, rest) = rows.find(|(names, _)| names.contains(&quoted))?;
    let place = names
        .split([',', '、'])
        .position(|part| part.trim() == quoted)?;
    let cell = rest.split('|').next()?.trim();
    Some((
        cell,
        cell.split([',', '、']).nth(place).unwrap_or(cell).trim(),
    ))
}

#[test]
fn the_tables_of_settings_have_a_row_for_each_variable_with_its_default() {
    for (file, required) in [(".md", "required"), (".zh-CN.md", "必填")] {
        let [serve, sidecar] =
            ["settings", "sidecar"].map(|name| page(&format!("docs/{name}{file}")).expect(name));
        let text = serve + &sidecar;
        for entry in ENTRIES.iter() {
            let name = entry.name;
            let (cell, told) =
                default_in(&text, name).unwrap_or_else(|| panic!("{name} has no row in {file}"));
            match entry.default {
                None => assert!(cell.contains(required), "{name} in {file}: {cell}"),
                Some("") => assert!(
                    !told.starts_with('`'),
                    "{name} has no default in {file}: {told}"
                ),
                Some(default) => assert_eq!(told, format!("`{default}`"), "{name} in {file}"),
            }
            let is_named = |other: String| text.contains(&format!("`{other}`"));
            assert!(
                entry.file_variable().is_none_or(is_named),
                "{name}_FILE in {file}"
            );
        }
    }
}

/// The words of a row of the Chinese tables about a variable, as comments: a sentence a line, and
/// then the pages that it links to.
fn comments(row: &str, is_set: bool) -> String {
    let mut cells = row.trim_end_matches(" |").split(" | ").skip(1);
    let (default, meaning) = (
        cells.next().unwrap_or_default(),
        cells.next().expect("a meaning"),
    );
    let mut pieces = meaning.split('[');
    let (mut text, mut pages) = (pieces.next().unwrap_or_default().to_owned(), Vec::new());
    for piece in pieces {
        let Some((words, rest)) = piece.split_once("](") else {
            text = text + "[" + piece;
            continue;
        };
        let (target, rest) = rest.split_once(')').expect("the end of a link");
        let page = format!("docs/{}", target.split('#').next().unwrap_or_default());
        pages.extend(Some(page).filter(|page| !pages.contains(page)));
        text = text + words + rest;
    }
    let default = match default {
        _ if is_set || default == "无" || default.starts_with('`') => String::new(),
        required if required.contains("必填") => format!("{required}。"),
        default => format!("默认值：{default}。"),
    };
    let links = if pages.is_empty() {
        String::new()
    } else {
        format!("详见 {}。", pages.join("、"))
    };
    let text = format!("{default}{text}。{links}");
    // In a file, only what has blanks needs quotation marks.
    let is_marked = |(n, piece): (usize, &str)| n % 2 == 1 && piece.contains(' ');
    let text = text.split('`').enumerate().map(|it| {
        if is_marked(it) {
            format!("`{}`", it.1)
        } else {
            it.1.to_owned()
        }
    });
    text.collect::<String>()
        .split_inclusive('。')
        .flat_map(|sentence| ["# ", sentence, "\n"])
        .collect()
}

/// Forms that the Chinese tables do not say with the meaning.
const FORMS: [(&str, &str); 26] = [
    (
        "the https URL at which clients reach this service",
        "https URL（本机地址可用 http），不含 query、fragment 和末尾的斜杠，因为验证方逐字节比较",
    ),
    (
        "one number and one unit, s, m, h or d (90m, not 1h30m), from",
        "一个数字加一个单位 s、m、h 或 d（写 90m，不写 1h30m），",
    ),
    ("true or false", "true 或 false"),
    (
        "an address and a port that the public cannot reach",
        "地址:端口，公网不能访问",
    ),
    (
        "an address and a port that only the proxy can reach",
        "地址:端口，只有代理能访问",
    ),
    ("an address and a port", "地址:端口，例如 0.0.0.0:8080"),
    (
        "an https URL (http only on loopback)",
        "https URL（只有本机地址可以用 http）",
    ),
    (
        "https URLs (http only on loopback), separated by commas",
        "https URL（只有本机地址可以用 http），用逗号分隔",
    ),
    (
        "a number from 1 to 1000000, a slash and a time",
        "次数/时长，例如 600/5m：次数 1 到 1000000，时长 1s 到 30d；最多连续这么多次，每段时长内也最多这么多次",
    ),
    (
        "a number from 1 to 1000000;",
        "1 到 1000000 的整数；每个连接最多占 64 KiB",
    ),
    ("a number from 1 to 100000000", "1 到 100000000 的整数"),
    ("a number from 1 to 10000", "1 到 10000 的整数"),
    ("a number from 1 to 1000", "1 到 1000 的整数"),
    ("auto, or a number from 0 to 5", "auto，或 0 到 5 的整数"),
    ("random, openid or unionid", "random、openid 或 unionid"),
    ("open or closed", "open 或 closed"),
    ("at+jwt, or JWT", "at+jwt 或 JWT"),
    (
        "names of letters, digits and _ that",
        "名称由字母、数字和 _ 组成，响应里还没有，用逗号分隔",
    ),
    (
        "paths that wxmint does not use itself",
        "wxmint 自己没有使用的路径，用逗号分隔",
    ),
    (
        "log, off, or file:PATH",
        "log、off，或 file:路径（以 JSON 行追加写入）",
    ),
    (
        "auto, file:PATH, or the https URL of your own",
        "auto、file:路径，或账号服务的 https URL（http 只能用于本机，或者设置 WXMINT_DANGEROUS_ACCOUNTS_OVER_HTTP=true）",
    ),
    (
        "addresses or networks of your proxies",
        "代理的地址或网段（192.0.2.0/28,2001:db8::/64）以及 private，用逗号分隔；none 只能单独写",
    ),
    (
        "http://[user:password@]host",
        "http://[用户名:密码@]主机[:端口] 或 https://…；用户名和密码里的 @ 写成 %40，: 写成 %3A，/ 写成 %2F，% 写成 %25",
    ),
    (
        "http/protobuf",
        "http/protobuf，wxmint 只支持这一种；collector 对应的端口一般是 4318",
    ),
    (
        "a file with one or more certificates in PEM",
        "PEM 文件，里面有一个或多个证书",
    ),
    (
        "the https or http URL to which spans are posted",
        "接收 span 的完整 URL（https 或 http），不带查询参数",
    ),
];

/// As a comment, with the bounds of a time.
fn chinese_form(form: &str) -> String {
    let Some((start, chinese)) = FORMS.iter().find(|(start, _)| form.starts_with(start)) else {
        return String::new();
    };
    let bounds = form[start.len()..]
        .split([' ', ','])
        .filter(|word| word.starts_with(|first: char| first.is_ascii_digit()));
    let bounds: Vec<_> = bounds
        .take(if chinese.ends_with('，') { 2 } else { 0 })
        .collect();
    format!("# 格式：{chinese}{}\n", bounds.join(" 到 "))
}

/// `WXMINT_TEST_WRITE=1` writes the file again. Only its paragraphs without a variable are written
/// by hand.
#[test]
fn the_chinese_example_file_has_the_settings_of_the_other_one_and_the_texts_of_the_chinese_tables()
{
    const FILE: &str = ".env.example.zh-CN";
    let [chinese, serve, sidecar] = [FILE, "docs/settings.zh-CN.md", "docs/sidecar.zh-CN.md"]
        .map(|name| page(name).expect(name));
    let rows = serve + &sidecar;
    let is_value = |line: &str, name: &str| {
        line.trim_start_matches("# ")
            .starts_with(&format!("{name}="))
    };
    let is_setting = |text: &str| {
        text.lines()
            .any(|line| ENTRIES.iter().any(|entry| is_value(line, entry.name)))
    };
    let mut by_hand = chinese
        .trim_end()
        .split("\n\n")
        .filter(|text| !is_setting(text));
    let paragraph = |english: &'static str| {
        let Some(VariableEntry {
            name,
            default,
            form,
            ..
        }) = VariableEntry::read(english)
        else {
            return by_hand.next().expect("a paragraph by hand").to_owned();
        };
        let row = rows
            .lines()
            .find(|row| row.starts_with(&format!("| `{name}` |")))
            .expect(name);
        let values = english
            .lines()
            .skip_while(|line| !line.starts_with(EXAMPLE) && !is_value(line, name));
        let values = values.map(|line| {
            line.replace(EXAMPLE, "# 例如：")
                .replace(IN_FILE, "# 也可以写进文件，这里写文件的路径：")
        });
        comments(row, default.is_none())
            + &chinese_form(&form)
            + &values.collect::<Vec<_>>().join("\n")
    };
    let paragraphs = include_str!("../../.env.example")
        .trim_end()
        .split("\n\n")
        .map(paragraph);
    let expected = paragraphs.collect::<Vec<_>>().join("\n\n") + "\n";
    if std::env::var_os("WXMINT_TEST_WRITE").is_some() {
        fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE), &expected)
            .expect("our own file");
    }
    assert_eq!(
        page(FILE),
        Some(expected),
        "run this test with WXMINT_TEST_WRITE=1"
    );
}
