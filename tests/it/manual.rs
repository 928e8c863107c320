//! Shell completions and manual pages say what the help says. Both are made of it by libraries.

use crate::support::prelude::*;

#[track_caller]
fn wxmint_says(words: &[&str]) -> String {
    Ended::of(wxmint().args(words).env_clear(), "")
        .expect_success()
        .stdout
}

#[test]
fn a_command_has_a_page_with_the_options_of_its_help() {
    for words in [
        &[][..],
        &["serve"],
        &["keys", "rotate"],
        &["clients", "add"],
    ] {
        let page = wxmint_says(&[&["man"], words].concat()).replace("\\-", "-");
        let title = [&["wxmint"], words].concat().join("-");
        assert!(
            page.contains(&format!(
                ".TH {title} 1  \"wxmint {}\"",
                env!("CARGO_PKG_VERSION")
            )),
            "{page}"
        );
        let help = wxmint_says(&[words, &["--help"]].concat());
        let options = help
            .split_whitespace()
            .filter(|word| word.starts_with("--") && word.len() > 3);
        let options: BTreeSet<_> = options
            .map(|word| word.trim_end_matches([',', '.', ':', ')', ';']))
            .collect();
        assert!(
            !options.is_empty() && options.iter().all(|option| page.contains(option)),
            "{options:?}\n{page}"
        );
    }
    Ended::of(wxmint().args(["man", "keys", "spin"]), "")
        .expect_end(64, &["keys has no command spin"]);
}

#[test]
fn each_shell_completes_commands() {
    for (shell, mark) in [
        ("bash", "complete -F _wxmint"),
        ("zsh", "#compdef wxmint"),
        ("fish", "complete -c wxmint"),
    ] {
        let script = wxmint_says(&["completions", shell]);
        assert!(
            script.contains(mark) && script.contains("doctor"),
            "{shell}: {script}"
        );
    }
    let complete = "eval \"$1\"; COMP_WORDS=(wxmint keys ro); COMP_CWORD=2; _wxmint wxmint ro keys; echo ${COMPREPLY[*]}";
    let mut bash = Command::new("bash");
    let completed = Ended::of(
        bash.args([
            "-c",
            complete,
            "bash",
            &wxmint_says(&["completions", "bash"]),
        ]),
        "",
    );
    assert_eq!(completed.expect_success().stdout, "rotate\n");
    Ended::of(wxmint().args(["completions", "tcsh"]), "").expect_end(64, &[]);
}
