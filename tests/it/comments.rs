//! Comments are sentences with a subject, and stay within 120 columns.

use std::fs;

use crate::{map::files_of, support::repository};

/// A comment that begins so has no subject: it is the end of a sentence whose beginning is the item's name.
const NO_SUBJECTS: [&str; 6] = ["Of", "Who", "Whose", "Whom", "What", "Which"];
const COLUMNS: usize = 120;

fn comment<'a>(line: &'a str, marks: &[&str]) -> Option<&'a str> {
    marks
        .iter()
        .find_map(|mark| line.trim_start().strip_prefix(mark))
}

fn faults(text: &str, marks: &[&str]) -> Vec<String> {
    let (mut faults, mut is_inside) = (Vec::new(), false);
    for (number, line) in text.lines().enumerate() {
        let said = comment(line, marks);
        if let Some(said) = said {
            let first = said.split_whitespace().next().unwrap_or_default();
            if !is_inside && NO_SUBJECTS.contains(&first) {
                faults.push(format!(
                    "line {}: begins with {first}, and has no subject",
                    number + 1
                ));
            }
            if line.chars().count() > COLUMNS && !said.contains("https://") {
                faults.push(format!("line {}: more than {COLUMNS} columns", number + 1));
            }
        }
        is_inside = said.is_some_and(|said| !said.trim().is_empty());
    }
    faults
}

#[test]
fn comments_have_subjects_and_fit_into_their_columns() {
    let mut found = Vec::new();
    for folder in ["src", "crates", "tests", "benches", "examples", "fuzz"] {
        for (language, marks) in [("rs", &["//!", "///", "//"][..]), ("lua", &["--"])] {
            for path in files_of(language, &repository(folder)) {
                let text = fs::read_to_string(&path).expect("UTF-8");
                found.extend(
                    faults(&text, marks)
                        .into_iter()
                        .map(|fault| format!("{}, {fault}", path.display())),
                );
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_comment_without_a_subject_or_over_its_columns_is_found() {
    let long = format!("// A line of {}", "x".repeat(COLUMNS));
    let text = format!(
        "/// Of a back end.\nsecret\n// The one\n// Of a page.\n\n// Office\n{long}\n//! What it is.\n"
    );
    let [first, columns] = [
        faults(&text, &["//!", "///", "//"]),
        faults("-- Who asks\n", &["--"]),
    ];
    assert_eq!(
        first,
        [
            "line 1: begins with Of, and has no subject",
            "line 7: more than 120 columns"
        ]
    );
    assert_eq!(columns, ["line 1: begins with Who, and has no subject"]);
}
