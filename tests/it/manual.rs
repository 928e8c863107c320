//! Shell completions and manual pages say what the help says.

use crate::support::prelude::*;

#[track_caller]
fn wxmint_says(words: &[&str]) -> String {
    let output = wxmint().args(words).env_clear().output().expect("wxmint runs");
    assert!(output.status.success(), "{words:?}: {}", said(&output));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The commands below a command, by its help.
fn commands(words: &[&str]) -> Vec<String> {
    let help = wxmint_says(&[words, &["--help"]].concat());
    let list = help.split("Commands:\n").nth(1).unwrap_or_default();
    let names =
        list.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    names.filter(|name| !["", "help"].contains(name)).map(str::to_owned).collect()
}

#[test]
fn every_command_has_a_page_with_the_options_of_its_help() {
    let mut all: Vec<Vec<String>> = vec![Vec::new()];
    for name in commands(&[]) {
        all.extend(commands(&[&name]).into_iter().map(|below| vec![name.clone(), below]));
        all.push(vec![name]);
    }
    assert!(all.len() > 25, "{all:?}");
    for command in &all {
        let words: Vec<_> = command.iter().map(String::as_str).collect();
        let page = wxmint_says(&[&["man"], &words[..]].concat()).replace("\\-", "-");
        let title = [&["wxmint"], &words[..]].concat().join("-");
        assert!(page.contains(&format!(".TH {title} 1  \"wxmint {}\"", env!("CARGO_PKG_VERSION"))), "{page}");
        let help = wxmint_says(&[&words[..], &["--help"]].concat());
        let options = help.split_whitespace().filter(|word| word.starts_with("--") && word.len() > 3);
        let options: BTreeSet<_> = options.map(|word| word.trim_end_matches([',', '.', ':', ')', ';'])).collect();
        assert!(
            !options.is_empty() && options.iter().all(|option| page.contains(option)),
            "{title}: {options:?}\n{page}"
        );
    }
    let unknown = wxmint().args(["man", "keys", "spin"]).output().expect("wxmint runs");
    assert!(
        unknown.status.code() == Some(64) && said(&unknown).contains("keys has no command spin"),
        "{}",
        said(&unknown)
    );
}

#[test]
fn each_shell_completes_every_command() {
    for (shell, mark) in [("bash", "complete -F _wxmint"), ("zsh", "#compdef wxmint"), ("fish", "complete -c wxmint")] {
        let script = wxmint_says(&["completions", shell]);
        assert!(script.contains(mark) && commands(&[]).iter().all(|name| script.contains(name)), "{shell}: {script}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("wxmint.bash"), wxmint_says(&["completions", "bash"])).expect("written");
    let complete =
        ". ./wxmint.bash; COMP_WORDS=(wxmint keys ro); COMP_CWORD=2; _wxmint wxmint ro keys; echo ${COMPREPLY[*]}";
    let output = Command::new("bash").args(["-c", complete]).current_dir(folder.path()).output().expect("bash");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "rotate\n", "{}", said(&output));
    assert_eq!(wxmint().args(["completions", "tcsh"]).output().expect("wxmint runs").status.code(), Some(64));
}
