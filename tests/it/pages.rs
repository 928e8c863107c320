//! Every page of docs is there in both languages and in the index of both, and what files other than pages call a page
//! is one. tests/it/readme.rs follows the links.

use wxmint::doors::DOORS;
use wxmint_http::ProblemCode;

use crate::support::prelude::*;
use crate::{readme::pages, support::repository};

#[test]
fn every_page_of_docs_is_there_in_both_languages_and_in_both_indexes() {
    let (pages, docs) = (pages(), repository("docs"));
    let names = pages
        .keys()
        .filter_map(|path| path.strip_prefix(&docs).ok()?.to_str());
    let english: Vec<_> = names
        .filter(|name| !name.contains(".zh-CN.") && !name.contains('/'))
        .collect();
    for ending in [".md", ".zh-CN.md"] {
        let index = &pages[&docs.join(format!("README{ending}"))];
        for name in english.iter().map(|name| name.replace(".md", ending)) {
            assert!(pages.contains_key(&docs.join(&name)), "{name} is missing");
            assert!(
                name.starts_with("README") || index.contains(&format!("]({name}")),
                "{name}: not in README{ending}"
            );
        }
    }
}

#[test]
fn every_page_of_docs_begins_with_whom_it_is_for_and_errors_stand_in_one_table() {
    for (path, page) in pages()
        .iter()
        .filter(|(path, _)| path.parent() == Some(&repository("docs")))
    {
        let mut lines = page
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with(['#', '[', '!']));
        let (first, name) = (lines.next().unwrap_or_default(), path.display());
        assert!(
            first.starts_with("For ") || first.starts_with('给'),
            "{name}: {first}"
        );
        let is_api = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("api."));
        assert_eq!(
            page.contains("\n| `code` |"),
            is_api,
            "{name}: codes of errors stand in api.md, and nowhere else"
        );
    }
}

/// The files that git knows, or would add.
fn tracked() -> Vec<String> {
    let listed = Command::new("git")
        .arg("ls-files")
        .current_dir(repository(""))
        .output()
        .expect("git");
    String::from_utf8(listed.stdout)
        .expect("names")
        .lines()
        .map(str::to_owned)
        .collect()
}

/// Otherwise a browser asks for /favicon.ico, which nobody has, and notes a 404 for each page.
#[test]
fn every_page_for_browsers_names_its_icon() {
    let mut pages = 0;
    for path in tracked()
        .iter()
        .filter(|path| !path.starts_with("tests/") && !path.ends_with(".md"))
    {
        let Ok(text) = fs::read_to_string(repository(path)) else {
            continue;
        };
        let text = text.to_ascii_lowercase().replace("\\\"", "\"");
        for page in text.split("<!doctype html").skip(1) {
            assert!(page.contains("<link rel=\"icon\" "), "{path}");
            pages += 1;
        }
    }
    assert!(pages >= 9, "{pages}");
}

const GLOSSARY: &str = "| word | 中文 | meaning | not |";

/// The words of the glossary's last column.
fn refused_words() -> Vec<String> {
    let page = fs::read_to_string(repository("src/README.md")).expect("our own page");
    let (_, table) = page.split_once(GLOSSARY).expect("a glossary");
    let rows = table.lines().skip(2).take_while(|row| row.starts_with('|'));
    let cells = rows.map(|row| {
        row.trim_end_matches('|')
            .rsplit('|')
            .next()
            .expect("a last cell")
            .to_owned()
    });
    let words = cells.flat_map(|cell| {
        cell.split(',')
            .map(|word| word.trim().to_owned())
            .collect::<Vec<_>>()
    });
    words.filter(|word| !word.is_empty()).collect()
}

/// The words that people read on a line of Markdown: without code, and without what links lead to. A fence is code.
fn read_aloud(page: &str) -> Vec<String> {
    let (mut fenced, mut read) = (false, Vec::new());
    for line in page.lines() {
        fenced ^= line.trim_start().starts_with("```");
        let texts = line.split('`').step_by(2).collect::<String>();
        let pieces = texts.split("](").enumerate();
        let pieces = pieces.map(|(n, text)| {
            if n == 0 {
                text
            } else {
                text.split_once(')').map_or("", |(_, rest)| rest)
            }
        });
        read.push(if fenced {
            String::new()
        } else {
            pieces.collect()
        });
    }
    read
}

/// Whether the line has the word, and not as a part of a longer one.
fn has_word(line: &str, word: &str) -> bool {
    let is_part = |letter: Option<char>| {
        letter.is_some_and(|it| it.is_ascii_alphanumeric() || "-_/".contains(it))
    };
    let alone = |at: usize| {
        !is_part(line[..at].chars().next_back()) && !is_part(line[at + word.len()..].chars().next())
    };
    line.match_indices(word)
        .any(|(at, _)| !word.is_ascii() || alone(at))
}

#[test]
fn pages_and_programs_use_the_words_of_the_glossary() {
    let refused = refused_words();
    // In a program, a name in its code is no word that people read.
    let printed: Vec<_> = refused
        .iter()
        .filter(|word| word.contains(' ') || !word.is_ascii())
        .cloned()
        .collect();
    assert!(printed.len() > 15, "{refused:?}");
    let says = |file: &str, line: &str, words: &[String]| {
        let word = words
            .iter()
            .find(|word| has_word(&line.to_lowercase(), word))?;
        Some(format!("{file}: {word:?} in {line}"))
    };
    let mut found = Vec::new();
    for file in tracked() {
        let text = fs::read_to_string(repository(&file)).unwrap_or_default();
        if file.ends_with(".md") {
            let is_glossary = |line: &&str| file == "src/README.md" && line.starts_with('|');
            let text: String = text
                .lines()
                .filter(|line| !is_glossary(line))
                .flat_map(|line| [line, "\n"])
                .collect();
            found.extend(
                read_aloud(&text)
                    .iter()
                    .filter_map(|line| says(&file, line, &refused)),
            );
        } else if file.contains("src/")
            && [".rs", ".js", "page.json", "texts.json"]
                .iter()
                .any(|end| file.ends_with(end))
        {
            let lines = text
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"));
            found.extend(lines.filter_map(|line| says(&file, line, &printed)));
        }
    }
    assert!(
        found.is_empty(),
        "{} lines do not use the glossary of src/README.md:\n{}",
        found.len(),
        found.join("\n")
    );
}

/// Words that make a number larger than its digits are.
const SIZES: [(&str, f64); 6] = [
    ("thousand", 1e3),
    ("million", 1e6),
    ("billion", 1e9),
    ("万亿", 1e12),
    ("万", 1e4),
    ("亿", 1e8),
];

/// The numbers of a line, in order of size.
fn numbers(line: &str) -> Vec<f64> {
    let (mut found, mut rest) = (Vec::new(), line);
    while let Some(start) = rest.find(|letter: char| letter.is_ascii_digit()) {
        let is_part = |letter: char| letter.is_ascii_digit() || ",.".contains(letter);
        let end = rest[start..]
            .find(|letter| !is_part(letter))
            .map_or(rest.len(), |length| start + length);
        let size = SIZES
            .iter()
            .find(|(word, _)| rest[end..].trim_start().starts_with(word))
            .map_or(1.0, |size| size.1);
        let number = rest[start..end]
            .replace(',', "")
            .trim_end_matches('.')
            .parse::<f64>();
        found.extend(number.map(|number| number * size));
        rest = &rest[end..];
    }
    found.sort_by(f64::total_cmp);
    found
}

/// A page in Chinese says line by line what the English one says, so that a number changed in one is missed.
#[test]
fn each_number_of_an_english_line_stands_in_the_chinese_line_too() {
    let (pages, mut different) = (pages(), Vec::new());
    let twin = |page: &Path| PathBuf::from(page.to_string_lossy().replace(".md", ".zh-CN.md"));
    let both = pages
        .iter()
        .filter_map(|(path, page)| Some((path, page, pages.get(&twin(path))?)));
    for (path, english, chinese) in both.filter(|(path, ..)| !path.ends_with("CONTRIBUTING.md")) {
        let [english, chinese] = [english, chinese].map(|page| read_aloud(page));
        assert_eq!(
            english.len(),
            chinese.len(),
            "lines of {} and of its twin",
            path.display()
        );
        for (at, (line, twin)) in english.iter().zip(&chinese).enumerate() {
            let mut there = numbers(twin);
            let mut take = |number: &f64| {
                there
                    .iter()
                    .position(|it| it == number)
                    .map(|at| there.remove(at))
            };
            let missing: Vec<_> = numbers(line)
                .into_iter()
                .filter(|number| take(number).is_none())
                .collect();
            if !missing.is_empty() {
                different.push(format!("{}:{} {missing:?}", path.display(), at + 1));
            }
        }
    }
    assert!(
        different.is_empty(),
        "not in the Chinese line:\n{}",
        different.join("\n")
    );
}

#[test]
fn every_variable_that_a_page_names_is_in_the_example_file() {
    let known = fs::read_to_string(repository(".env.example")).expect("our own file");
    for (path, page) in pages() {
        for (start, _) in page.match_indices("WXMINT_") {
            let rest = &page[start..];
            let name = rest
                .split(|letter: char| !letter.is_ascii_uppercase() && letter != '_')
                .next()
                .unwrap_or(rest);
            let is_ours = name.starts_with("WXMINT_TEST_") || name.ends_with('_');
            assert!(
                is_ours || known.contains(&format!("{name}=")),
                "{name} in {}",
                path.display()
            );
        }
    }
}

#[test]
fn the_table_of_errors_names_every_code_and_no_other() {
    let of_doors = DOORS
        .iter()
        .flat_map(|row| row.public.rows)
        .flat_map(|route| route.codes)
        .copied()
        .flatten();
    let known: BTreeSet<_> = ProblemCode::ALL
        .iter()
        .chain(of_doors)
        .map(|code| code.as_str())
        .collect();
    let pages = pages();
    for name in ["api.md", "api.zh-CN.md"] {
        let (_, table) = pages[&repository("docs").join(name)]
            .rsplit_once("\n| `code` |")
            .expect("a table of errors");
        let codes = table
            .lines()
            .skip(2)
            .map_while(|row| row.strip_prefix("| ")?.split(" | ").next());
        let named: BTreeSet<_> = codes
            .flat_map(|cell| cell.split('`').skip(1).step_by(2))
            .collect();
        assert_eq!(named, known, "{name}");
    }
}

/// A comment that says where a rule is written leads nobody astray.
#[test]
fn every_page_that_a_file_names_is_in_the_repository() {
    let (pages, mut named) = (pages(), 0);
    for file in tracked().iter().filter(|name| !name.ends_with(".md")) {
        // A picture, or a file that is being removed, names no page.
        let text = fs::read_to_string(repository(file)).unwrap_or_default();
        let words =
            text.split(|letter: char| !letter.is_ascii_alphanumeric() && !"_./-".contains(letter));
        let words = words.map(|word| word.trim_end_matches('.').trim_start_matches("../"));
        // Not an ending alone, and not a URL.
        for word in words.filter(|word| {
            word.ends_with(".md") && !word.starts_with('.') && !word.starts_with("//")
        }) {
            assert!(
                pages.keys().any(|page: &PathBuf| page.ends_with(word)),
                "{file}: there is no page {word}"
            );
            named += 1;
        }
    }
    assert!(named > 0, "git lists no file that names a page");
}

/// The page of security names tests as the proof of a sentence.
#[test]
fn every_test_that_the_page_of_security_names_is_in_the_tree() {
    let sources = tracked().into_iter().filter(|name| name.ends_with(".rs"));
    let sources: String = sources
        .map(|name| fs::read_to_string(repository(&name)).unwrap_or_default())
        .collect();
    for name in ["security.md", "security.zh-CN.md"] {
        let page = &pages()[&repository("docs").join(name)];
        let tests = page
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|word| word.split('_').count() > 4);
        let (named, unknown): (Vec<_>, Vec<_>) =
            tests.partition(|test| sources.contains(&format!("fn {test}()")));
        assert!(
            named.len() > 12 && unknown.is_empty(),
            "{name}: there is no test {unknown:?}"
        );
    }
}

/// The number that stands between two texts of a page.
fn number(page: &str, before: &str, after: &str) -> f64 {
    let rest = page
        .split_once(before)
        .unwrap_or_else(|| panic!("no {before:?}"))
        .1;
    let number = rest
        .split_once(after)
        .unwrap_or_else(|| panic!("no {after:?} after {before:?}"))
        .0;
    number
        .replace(',', "")
        .parse()
        .unwrap_or_else(|_| panic!("{number} after {before:?}"))
}

/// The longest times of the faults in a row of the page, and how many requests there were.
#[test]
fn how_long_faults_last_is_what_the_last_campaign_has_measured() {
    let pages = pages();
    let run = pages[&repository("benches/README.md")]
        .split("<!-- campaign: ")
        .nth(1)
        .expect("the last run");
    let worst = |(names, column): (&str, usize)| {
        let of = |name| {
            run.lines()
                .find_map(|line| line.split_once(&format!("| {name} |")))
                .expect(name)
                .1
        };
        let seconds = |name| {
            of(name)
                .split('|')
                .nth(column)
                .and_then(|cell| cell.trim().strip_suffix(" s"))
        };
        let each = names
            .split("; ")
            .map(|name| seconds(name).expect(name).parse::<f64>().expect("a number"));
        each.fold(0.0, f64::max)
    };
    const FROM_ITS_BEGINNING: usize = 4;
    const FROM_ITS_END: usize = 5;
    let expected = [
        ("primary killed; primary frozen for 3 s", FROM_ITS_BEGINNING),
        ("primary killed, then its successor", FROM_ITS_BEGINNING),
        (
            "failover on request; slots move, and back",
            FROM_ITS_BEGINNING,
        ),
        (
            "connections to Redis cut again and again; Redis has no memory left; password of Redis changed",
            FROM_ITS_BEGINNING,
        ),
        (
            "WeChat does not answer; WeChat answers -1; WeChat answers garbage; WeChat's answers are cut off",
            FROM_ITS_END,
        ),
        ("account service answers 503", FROM_ITS_END),
        (
            "replica of wxmint killed; replicas of wxmint rolled; vault key rotated",
            FROM_ITS_BEGINNING,
        ),
    ];
    let expected = expected.map(worst);
    let requests = run
        .split_once(" requests and verifications")
        .and_then(|(before, _)| before.rsplit(' ').next());
    let millions = requests
        .and_then(|count| count.parse::<f64>().ok())
        .expect("a number")
        / 1e6;
    for (name, title, said) in [
        (
            "performance.md",
            "longest time without",
            format!("{millions:.1} million requests"),
        ),
        (
            "performance.zh-CN.md",
            "没有正常响应的最长时间",
            format!("{:.0} 万个请求", (millions * 10.0).round() * 10.0),
        ),
    ] {
        let page = &pages[&repository("docs").join(name)];
        let rows = page
            .lines()
            .skip_while(|line| !line.contains(title))
            .skip(2)
            .take(expected.len());
        let cells = rows.map(|row| {
            row.trim_end_matches(" |")
                .rsplit(" | ")
                .next()
                .expect("a cell")
        });
        let is_no_digit = |letter: char| !letter.is_ascii_digit() && letter != '.';
        let shown = cells.map(|cell| {
            cell.split(is_no_digit)
                .find_map(|word| word.parse::<f64>().ok())
        });
        assert_eq!(shown.collect::<Vec<_>>(), expected.map(Some), "{name}");
        assert!(page.contains(&said), "{said} in {name}");
    }
}

#[test]
fn how_much_to_buy_follows_from_what_was_measured() {
    let pages = pages();
    let page = |name: &str| pages[&repository("docs").join(Path::new(name))].as_str();
    let logbook = pages[&repository("benches/README.md")].as_str();
    let each = |key: &str| number(logbook, &format!("| `{key}` | "), " |");
    let person = each("…:binding") + each("wxmint:user:…") + each("wxmint:union:…");
    let end = each("…:ends") + number(logbook, "| `wxmint:revoked`, each end | ", " |");
    let (a_second, gb) = (
        number(logbook, "there are ", " logins a second"),
        number(logbook, "| together | | | ", " |"),
    );
    let (saturated, paced) = logbook
        .split_once("500 a second, 50 ms upstream delay")
        .expect("the paced scenario");
    let [least, most] =
        [saturated, paced].map(|scenario| number(scenario, "| CPU µs a login | ", " |"));
    let cores = a_second * most / 1e6;
    assert!(logbook.contains(&format!("at {least:.0} to {most:.0} µs a login")));
    let sum = format!(
        "0.8 × {person} + 0.5 × {} + 0.01 × {end}",
        each("…:session")
    );
    assert!(
        ((0.8 * person + 0.5 * each("…:session") + 0.01 * end) / gb - 1.0).abs() < 0.01,
        "{sum} bytes and {gb}"
    );
    let [bound, session, end] = [person, each("…:session"), end].map(|bytes| format!("{bytes} × "));
    for name in ["performance.md", "performance.zh-CN.md"] {
        let page = page(name);
        for said in [
            &sum,
            &bound,
            &session,
            &end,
            &format!("{least:.0} µs"),
            &format!(" × {most:.0} µs`"),
        ] {
            assert!(page.contains(said), "{said} in {name}");
        }
        let rows: Vec<_> = page
            .lines()
            .filter(|line| line.starts_with("| 1"))
            .take(4)
            .collect();
        for (row, part) in rows.iter().zip([1e-5, 1e-3, 0.1, 1.0]) {
            let mut cells = row
                .split(" | ")
                .skip(1)
                .map(|cell| cell.replace(',', "").parse::<f64>().expect("a number"));
            for value in [a_second, cores, gb] {
                let shown = cells.next().expect("a cell");
                assert!(
                    (shown / (value * part) - 1.0).abs() < 0.1,
                    "{shown} instead of {} in {row}",
                    value * part
                );
            }
            // Three quarters of 32 GB.
            let primaries = (gb * part / 24.0).ceil();
            let said = ["primaries", "主"].map(|word| format!("{primaries} {word}"));
            assert!(
                primaries < 2.0 || said.iter().any(|said| row.contains(said)),
                "{primaries} primaries in {row}"
            );
        }
        assert_eq!(rows.len(), 4, "{name}");
    }
}
