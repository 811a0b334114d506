//! The one table of what codex can say and ask (`tests/schema/table.txt`), against the types and against the schema that
//! the installed codex prints.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use codex_app_server::protocol::{
    CodexErrorKind, Notification, OPTED_OUT, ServerRequest, ThreadItem, UserInput,
};
use serde_json::{Value, json};

const TABLE: &str = include_str!("../schema/table.txt");

/// A line of the table.
struct Row {
    kind: &'static str,
    name: &'static str,
    treatment: &'static str,
    why: &'static str,
}

fn table() -> Vec<Row> {
    let lines = TABLE
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let mut words = line.splitn(4, ' ');
            let mut word = || words.next().unwrap_or_default();
            Row {
                kind: word(),
                name: word(),
                treatment: word(),
                why: word(),
            }
        })
        .collect()
}

fn names(kind: &str, treatment: &str) -> BTreeSet<&'static str> {
    table()
        .iter()
        .filter(|row| row.kind == kind && row.treatment == treatment)
        .map(|row| row.name)
        .collect()
}

/// Whether notifications of that method are read.
pub(crate) fn is_typed(method: &str) -> bool {
    let row = table()
        .into_iter()
        .find(|row| row.kind == "notification" && row.name == method);
    row.is_some_and(|row| row.treatment == "typed")
}

fn set(names: &[&'static str]) -> BTreeSet<&'static str> {
    names.iter().copied().collect()
}

#[test]
fn the_table_says_what_the_types_do() {
    assert_eq!(names("item", "typed"), set(ThreadItem::KNOWN));
    assert_eq!(names("request", "typed"), set(ServerRequest::KNOWN));
    assert_eq!(names("notification", "typed"), set(Notification::KNOWN));
    assert_eq!(names("notification", "off"), set(OPTED_OUT));
    assert_eq!(names("error", "typed"), set(CodexErrorKind::KNOWN));
    for row in table().iter().filter(|row| row.kind == "input") {
        let input = json!({"type": row.name, "text": "t", "url": "u", "path": "/p", "name": "n"});
        let input: UserInput = serde_json::from_value(input).unwrap();
        let typed = input != UserInput::Unknown;
        assert_eq!(typed, row.treatment == "typed", "{}", row.name);
    }
}

#[test]
fn every_line_of_the_table_is_complete_and_what_is_not_typed_has_a_reason() {
    let mut seen = BTreeSet::new();
    for Row {
        kind,
        name,
        treatment,
        why,
    } in table()
    {
        assert!(seen.insert((kind, name)), "{kind} {name} is there twice");
        let possible: &[&str] = match kind {
            "item" | "error" => &["typed"],
            "input" => &["typed", "skipped"],
            "request" => &["typed", "refused"],
            "notification" => &["typed", "off", "skipped"],
            other => panic!("`{other}` is no kind"),
        };
        assert!(possible.contains(&treatment), "{kind} {name} {treatment}");
        assert_eq!(why.is_empty(), treatment == "typed", "{kind} {name}: {why}");
    }
}

#[test]
fn the_installed_codex_has_nothing_that_the_table_lacks() {
    let test = "the_installed_codex_has_nothing_that_the_table_lacks";
    let Some(codex) = testkit::cli::require_codex(test) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let printed = print_schema(&codex, folder.path());
    let table: BTreeSet<String> = table()
        .iter()
        .map(|row| format!("{} {}", row.kind, row.name))
        .collect();
    let new: Vec<_> = printed.difference(&table).collect();
    let gone: Vec<_> = table.difference(&printed).collect();
    assert!(
        new.is_empty() && gone.is_empty(),
        "tests/schema/table.txt has to be brought up to date\n  new: {new:#?}\n  gone: {gone:#?}"
    );
}

/// What the schema of that binary names, as `kind name`.
fn print_schema(codex: &Path, folder: &Path) -> BTreeSet<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a command that prints files and ends"
    )]
    let mut command = Command::new(codex);
    let home = folder.join("home");
    fs::create_dir(&home).unwrap();
    let status = command
        .args([
            "app-server",
            "generate-json-schema",
            "--experimental",
            "--out",
        ])
        .arg(folder)
        .env("CODEX_HOME", &home)
        .output()
        .unwrap()
        .status;
    assert!(status.success(), "{status}");
    let read = |name: &str| -> Value {
        serde_json::from_slice(&fs::read(folder.join(name)).unwrap()).unwrap()
    };
    let (notifications, requests) = (read("ServerNotification.json"), read("ServerRequest.json"));
    let types = &notifications["definitions"];
    let mut printed = BTreeSet::new();
    let mut add = |kind: &str, names: Vec<String>| {
        assert!(!names.is_empty(), "the schema lists no {kind}");
        printed.extend(names.iter().map(|name| format!("{kind} {name}")));
    };
    add("item", tags(&types["ThreadItem"], "type"));
    add("input", tags(&types["UserInput"], "type"));
    add("notification", tags(&notifications, "method"));
    add("request", tags(&requests, "method"));
    add("error", values(&types["CodexErrorInfo"]));
    printed
}

/// What `member` can be in a schema of alternatives.
fn tags(schema: &Value, member: &str) -> Vec<String> {
    let alternatives = schema["oneOf"].as_array().into_iter().flatten();
    alternatives
        .flat_map(|alternative| texts(&alternative["properties"][member]["enum"]))
        .collect()
}

/// The values of an enum of which some are strings and some are objects with one member.
fn values(schema: &Value) -> Vec<String> {
    let alternatives = ["anyOf", "oneOf"]
        .into_iter()
        .filter_map(|list| schema[list].as_array())
        .flatten();
    alternatives
        .flat_map(|alternative| match &alternative["enum"] {
            Value::Null => texts(&alternative["required"]),
            names => texts(names),
        })
        .collect()
}

fn texts(list: &Value) -> Vec<String> {
    let texts = list.as_array().into_iter().flatten();
    texts
        .filter_map(|text| text.as_str().map(str::to_owned))
        .collect()
}
