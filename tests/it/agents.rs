//! llms.txt and the skill for agents: what they name is there, and the commands are the README's, which a test runs.

use crate::readme::blocks;
use crate::support::prelude::*;

fn text(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn the_commands_of_the_skill_are_those_of_the_readme_and_its_paths_exist() {
    let skill = text("skills/log-in-with-wxmint/SKILL.md");
    assert!(skill.starts_with("---\nname: log-in-with-wxmint\ndescription: "));
    let readme = text("README.md");
    let own = blocks(&skill);
    let readme = blocks(&readme);
    assert_eq!(own.keys().copied().collect::<Vec<_>>(), ["login", "run"]);
    for (name, commands) in &own {
        assert_eq!(readme.get(name), Some(commands), "{name}");
    }
    let blocks = skill.matches("```sh").count();
    assert_eq!(blocks, own.len(), "each block is one that runs");
    let named: Vec<_> = skill
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| {
            ["docs/", "examples/", "clients/"]
                .iter()
                .any(|at| name.starts_with(at))
        })
        .collect();
    assert!(named.len() >= 8, "{named:?}");
    for path in named {
        assert!(repository(path).exists(), "{path}");
    }
}

#[test]
fn llms_txt_has_the_form_of_its_kind_and_leads_to_pages_that_exist() {
    let text = text("llms.txt");
    let lines: Vec<_> = text.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(lines[0], "# wxmint");
    assert!(lines[1].starts_with("> "));
    let links: Vec<_> = text
        .split("](")
        .skip(1)
        .map(|rest| rest.split(')').next().expect("an end"))
        .collect();
    assert!(links.len() > 15, "{links:?}");
    for link in links {
        assert!(repository(link).is_file(), "{link}");
    }
}
