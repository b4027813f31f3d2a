//! The files of `configs/` and `docs/configuration.md` agree with the code.

use std::collections::BTreeSet;

use super::super::yaml;
use super::*;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

pub(super) fn configs() -> PathBuf {
    root().join("configs")
}

#[test]
fn every_file_of_configs_is_valid() {
    let files = fs::read_dir(configs()).unwrap().map(|entry| entry.unwrap().path());
    let yaml: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|e| e == "yaml")).collect();
    assert!(yaml.len() >= 2, "{yaml:?}");
    for path in yaml {
        if let Err(errors) = load(&path, &environment()) {
            panic!("{errors}");
        }
    }
}

/// The annotated reference has every key, each with its default where it has one.
#[test]
fn the_reference_has_every_key_with_its_default() {
    let text = fs::read_to_string(configs().join("sluice.yaml")).unwrap();
    let tree = yaml::read(&text, &mut ConfigErrors::new("")).unwrap();
    let mut found = BTreeSet::new();
    collect("", &tree, &mut found);
    for key in keys() {
        let given = found.iter().filter(|(path, _)| path == key.path).map(|(_, value)| value);
        let given: Vec<&String> = given.collect();
        match key.fallback {
            Fallback::Without(_) => assert!(
                text.contains(&format!("# {}: ", key.name())),
                "{} is missing, as a comment",
                key.path
            ),
            Fallback::Value(default) => {
                assert_eq!(given, [default], "{} with its default", key.path);
            }
            _ => assert!(!given.is_empty(), "{} is missing", key.path),
        }
        let unit = key.kind.unit();
        assert!(unit.is_empty() || text.contains(unit), "{unit} is not explained");
    }
}

/// The path and the text of every node of a tree.
fn collect(path: &str, node: &yaml::Node, found: &mut BTreeSet<(String, String)>) {
    match &node.content {
        yaml::Content::Mapping(entries) => {
            for entry in entries {
                let dot = if path.is_empty() { "" } else { "." };
                collect(&format!("{path}{dot}{}", entry.key), &entry.value, found);
            }
        }
        yaml::Content::Sequence(items) => {
            for item in items {
                collect(&format!("{path}[]"), item, found);
            }
        }
        _ => {}
    }
    let text = match &node.content {
        yaml::Content::Text(text, _) | yaml::Content::Number(_, text) => text.clone(),
        yaml::Content::Bool(value) => value.to_string(),
        other => other.shown(),
    };
    found.insert((path.to_owned(), text));
}

/// Every default is a value that its key takes, and no path is in the list twice.
#[test]
fn the_list_of_keys_is_consistent() {
    let mut paths = BTreeSet::new();
    for key in keys() {
        assert!(paths.insert(key.path), "{} is in the list twice", key.path);
        let section = key.section().trim_end_matches("[]");
        assert!(section.is_empty() || paths.contains(section), "{} has no section", key.path);
        assert!(!key.help.is_empty() && !key.help.ends_with('.'), "{}", key.path);
    }
    assert!(parse_text(PORT).is_ok());
}

/// `REGENERATE=1 cargo test -p appliance documentation` rewrites the table.
#[test]
fn the_documentation_has_the_table_of_keys() {
    const BEGIN: &str = "<!-- The table is checked against the list of keys in the code. -->\n\n";
    const END: &str = "\n<!-- End of the table. -->\n";
    let path = root().join("docs/configuration.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the table begins");
    let (table, after) = rest.split_once(END).expect("the table ends");
    if std::env::var_os("REGENERATE").is_some() {
        fs::write(&path, [before, BEGIN, &markdown_table(), END, after].concat()).unwrap();
    } else {
        assert_eq!(table, markdown_table(), "REGENERATE=1 rewrites the table");
    }
}

/// The YAML blocks of pages whose examples are whole configurations.
#[test]
fn the_examples_of_the_documentation_are_valid() {
    let names = lb_core::ipvsadm::Numeric;
    let check = |lines: &[&str]| crate::assemble::check_services(lines, &names);
    let environment = Environment { check_services: &check, ..environment() };
    for (name, least) in [("docs/configuration.md", 1), ("docs/deploy.md", 6)] {
        let page = fs::read_to_string(root().join(name)).unwrap();
        let blocks: Vec<&str> = page.split("```yaml\n").skip(1).collect();
        assert!(blocks.len() >= least, "{name}");
        for block in blocks {
            let text = block.split("```").next().unwrap();
            if let Err(errors) = parse(name, text, &environment) {
                panic!("{errors}\n{text}");
            }
        }
    }
}
