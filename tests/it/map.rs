//! The map of crates and rooms in CONTRIBUTING.md, held against Cargo.toml and the imports of the code.

use crate::support::prelude::*;

type Rooms = BTreeMap<String, BTreeSet<String>>;

/// Each row of the table of `what` (`crate` or `room`), and what it may import.
fn map_of(what: &str) -> Rooms {
    let page = read(&repository("CONTRIBUTING.md"));
    let table = page
        .split(&format!("| {what} |"))
        .nth(1)
        .expect("the table");
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let names = |cell: &str| {
        cell.split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect::<BTreeSet<_>>()
    };
    let row = |line: &str| {
        let cells: Vec<_> = line.trim_matches('|').split('|').collect();
        (
            names(cells[0]).pop_first().expect("a room"),
            names(cells.last().expect("cells")),
        )
    };
    rows.map(row).collect()
}

/// The rooms that the files of each room import, without their unit tests.
fn rooms_of_the_code() -> Rooms {
    let src = repository("src");
    let mut rooms = Rooms::new();
    for path in files_of("rs", &src) {
        let place = path
            .strip_prefix(&src)
            .expect("below src")
            .with_extension("");
        let room = place
            .iter()
            .next()
            .expect("a name")
            .to_str()
            .expect("UTF-8")
            .to_owned();
        let is_test = place.iter().any(|name| name == "tests");
        let found = if is_test {
            BTreeSet::new()
        } else {
            imports(&code_of(&read(&path)))
        };
        rooms.entry(room).or_default().extend(found);
    }
    for (room, imported) in &mut rooms {
        imported.retain(|other| other != room && other != "test_limit");
    }
    rooms.retain(|room, _| room != "lib" && room != "main");
    rooms
}

/// The files with this ending below a folder, but for what is built there.
pub(crate) fn files_of(language: &str, folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path());
    let entries =
        entries.filter(|path| !path.ends_with("target") && !path.ends_with("node_modules"));
    let files = entries.flat_map(|path| {
        if path.is_dir() {
            files_of(language, &path)
        } else {
            vec![path]
        }
    });
    files
        .filter(|path| path.extension().is_some_and(|ending| ending == language))
        .collect()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("readable")
}

/// Without the lines that are comments, and without unit tests.
fn code_of(file: &str) -> String {
    let code = file
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or_default();
    code.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The first names behind `crate::`, with or without braces.
fn imports(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            Some(list) => found.extend(top_names(list)),
            // A macro is in no room.
            None if rest[first_word(rest).len()..].starts_with('!') => {}
            None => found.extend([first_word(rest)]),
        }
    }
    found.retain(|name| {
        !name.is_empty()
            && name
                .chars()
                .all(|char| char.is_ascii_lowercase() || char == '_')
    });
    found.extend(crates(code));
    found
}

/// Those of our crates that are named.
fn crates(code: &str) -> BTreeSet<String> {
    let named = code
        .split("wxmint_")
        .skip(1)
        .filter_map(|rest| rest.split_once("::"));
    let named = named.map(|(name, _)| name).filter(|name| {
        name.chars()
            .all(|char| char.is_ascii_lowercase() || char == '_')
    });
    named.map(|name| format!("wxmint_{name}")).collect()
}

/// Those of our crates that each crate depends on, without what only its tests need.
fn crates_of_the_manifests() -> Rooms {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["metadata", "--no-deps", "--format-version=1", "--offline"])
        .current_dir(repository(""));
    let told: Value =
        serde_json::from_str(&Ended::of(&mut cargo, "").expect_success().stdout).expect("JSON");
    let ours = |named: &Value| {
        let name = named["name"].as_str().expect("a name");
        name.starts_with("wxmint-").then(|| name.replace('-', "_"))
    };
    let needs = |package: &Value| {
        let all = package["dependencies"]
            .as_array()
            .expect("dependencies")
            .iter();
        all.filter(|needed| needed["kind"].is_null())
            .filter_map(ours)
            .collect()
    };
    let packages = told["packages"].as_array().expect("packages").iter();
    packages
        .filter_map(|package| Some((ours(package)?, needs(package))))
        .collect()
}

fn first_word(text: &str) -> String {
    text.trim_start()
        .chars()
        .take_while(|char| char.is_alphanumeric() || *char == '_')
        .collect()
}

/// The names `a` and `c` of `a::b, c::{d, e}}`.
fn top_names(list: &str) -> Vec<String> {
    let mut depth = 1;
    let inside = list.chars().map_while(|char| {
        depth += i32::from(char == '{') - i32::from(char == '}');
        (depth > 0).then_some(if depth == 1 { char } else { ' ' })
    });
    inside
        .collect::<String>()
        .split(',')
        .map(first_word)
        .collect()
}

#[test]
fn every_crate_depends_on_what_the_map_allows() {
    assert_eq!(crates_of_the_manifests(), map_of("crate"));
}

/// The crates that a crate is compiled with, on any way.
fn reached(crates: &Rooms, from: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut left = vec![from.to_owned()];
    while let Some(name) = left.pop() {
        for needed in &crates[&name] {
            if found.insert(needed.clone()) {
                left.push(needed.clone());
            }
        }
    }
    found
}

#[test]
fn the_http_server_compiles_without_redis_wechat_and_private_keys() {
    let crates = crates_of_the_manifests();
    let reached = reached(&crates, "wxmint_http");
    for other in [
        "wxmint_keys",
        "wxmint_redis_link",
        "wxmint_store",
        "wxmint_wechat",
    ] {
        assert!(crates.contains_key(other), "{other} is a crate");
        assert!(
            !reached.contains(other),
            "wxmint_http is compiled with {other}: {reached:?}"
        );
    }
}

#[test]
fn every_room_imports_what_the_map_allows_and_no_rooms_import_each_other() {
    let (map, code) = (map_of("room"), rooms_of_the_code());
    assert!(
        map.keys().eq(code.keys()),
        "the rooms of CONTRIBUTING.md and of src: {:?} {:?}",
        map.keys(),
        code.keys()
    );
    for (room, imported) in &code {
        let unexpected: Vec<_> = imported.difference(&map[room]).collect();
        assert!(
            unexpected.is_empty(),
            "{room} imports {unexpected:?}: change the code, or the map first"
        );
        let unused: Vec<_> = map[room].difference(imported).collect();
        assert!(
            unused.is_empty(),
            "the map lets {room} import {unused:?}, and it does not"
        );
    }
    assert_eq!(
        circle_of(code),
        Rooms::new(),
        "these rooms import each other in a circle"
    );
}

/// So that each door can be taken out alone.
#[test]
fn no_door_imports_another() {
    let doors = repository("src/doors");
    let mut seen = 0;
    for path in files_of("rs", &doors) {
        let place = path.strip_prefix(&doors).expect("below src/doors");
        let own = first_word(&place.to_string_lossy());
        let code = read(&path);
        for other in ["events", "oidc", "platform", "scan"] {
            let is_imported = code.contains(&format!("doors::{other}::"))
                || code.contains(&format!("super::{other}::"));
            seen += usize::from(own == other);
            assert!(
                own == other || own == "tests" || !is_imported,
                "{} imports the door {other}",
                place.display()
            );
        }
    }
    assert!(seen > 4, "there are files of doors");
}

/// Rooms whose imports have all been taken away leave, one after another: the rest is a circle. Crates have none.
fn circle_of(mut left: Rooms) -> Rooms {
    let names: BTreeSet<_> = left.keys().cloned().collect();
    for imported in left.values_mut() {
        imported.retain(|name| names.contains(name));
    }
    while let Some(free) = left
        .iter()
        .find(|(_, imported)| imported.is_empty())
        .map(|(room, _)| room.clone())
    {
        left.remove(&free);
        for imported in left.values_mut() {
            imported.remove(&free);
        }
    }
    left
}

/// The modules of `issuer`, each a file or a folder, and those of them that each names.
fn modules_of_the_issuer() -> Rooms {
    let root = repository("src/issuer");
    let place = |path: &Path| {
        first_word(
            &path
                .strip_prefix(&root)
                .expect("below it")
                .to_string_lossy(),
        )
    };
    let files = files_of("rs", &root);
    let mut modules: Rooms = files
        .iter()
        .map(|path| (place(path), BTreeSet::new()))
        .collect();
    let names: Vec<_> = modules
        .keys()
        .filter(|name| *name != "mod")
        .cloned()
        .collect();
    for path in &files {
        let code = format!(";{}", code_of(&read(path)));
        // Rooms may have the names of these modules.
        let own: String = code
            .split("use crate::")
            .filter_map(|part| part.split_once(';'))
            .map(|(_, own)| own)
            .collect();
        let is_word = |char: char| char.is_alphanumeric() || char == '_';
        let words: BTreeSet<_> = own
            .split("::")
            .filter_map(|text| text.rsplit(|char| !is_word(char)).next())
            .collect();
        let named = names
            .iter()
            .filter(|name| **name != place(path) && words.contains(name.as_str()))
            .cloned();
        modules
            .get_mut(&place(path))
            .expect("it is there")
            .extend(named);
    }
    modules
}

#[test]
fn no_modules_of_the_issuer_import_each_other() {
    let modules = modules_of_the_issuer();
    let names = |one: &str, other| modules[one].contains(other);
    assert!(
        names("routes", "login_route") && names("login_route", "cross_origin"),
        "{modules:?}"
    );
    assert_eq!(
        circle_of(modules),
        Rooms::new(),
        "these modules of src/issuer import each other in a circle"
    );
}

#[test]
fn imports_are_found_in_each_form() {
    let code = "use crate::one;\nuse crate::{\n    two::A,\n    three::{self, b::{C, D}},\n};\nlet x = crate::four::f();\n// crate::no";
    assert_eq!(
        Vec::from_iter(imports(&code_of(code))),
        ["four", "one", "three", "two"]
    );
}
