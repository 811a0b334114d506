//! The parity matrix tells the truth: what it names exists, is run, and is the same in both languages.

use std::{collections::BTreeSet, fs};

const EN: &str = include_str!("../../docs/en/parity-matrix.md");
const ZH: &str = include_str!("../../docs/zh/parity-matrix.md");

/// How many rows each part has.
const PARTS: [(&str, u32); 4] = [("A", 14), ("B", 14), ("C", 21), ("D", 18)];

/// The states by name, in both languages.
const STATES: [(&str, &str); 3] = [
    ("done", "完成"),
    ("open", "未完成"),
    ("other protocol", "另一协议"),
];

/// By these a test gets a real CLI; with `CI=true` each of them fails where there is none.
const REAL: [&str; 7] = [
    "real_world(",
    "World::build",
    "World::with_claude",
    "require_codex",
    "require_claude",
    "require_claudes",
    "require_cli",
];

/// One row, without what is in a language.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    id: String,
    /// In English.
    state: String,
    cli: String,
    tests: Vec<String>,
}

fn rows(page: &str) -> Vec<Row> {
    let ids: BTreeSet<String> = ids().into_iter().collect();
    let cells = page.lines().map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        cells
    });
    cells
        .filter(|cells| cells.len() > 6 && ids.contains(cells[1]))
        .map(|cells| Row {
            id: cells[1].to_owned(),
            state: STATES
                .iter()
                .find(|(_, zh)| *zh == cells[3])
                .map_or(cells[3], |(en, _)| en)
                .to_owned(),
            cli: cells[4].to_owned(),
            tests: cells[5]
                .split('`')
                .skip(1)
                .step_by(2)
                .map(str::to_owned)
                .collect(),
        })
        .collect()
}

fn ids() -> Vec<String> {
    PARTS
        .iter()
        .flat_map(|(part, count)| (1..=*count).map(move |row| format!("{part}{row}")))
        .collect()
}

/// What is wrong with the pages, given the project's files.
fn mistakes(en: &str, zh: &str, file: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let (en, zh) = (rows(en), rows(zh));
    let mut wrong = Vec::new();
    for (language, rows) in [("en", &en), ("zh", &zh)] {
        let found: Vec<String> = rows.iter().map(|row| row.id.clone()).collect();
        if found != ids() {
            wrong.push(format!("{language}: the rows are {found:?}"));
        }
    }
    for (en, zh) in en.iter().zip(&zh) {
        if en != zh {
            wrong.push(format!("the pages differ: {en:?} and {zh:?}"));
        }
    }
    for row in &en {
        if !STATES.iter().any(|(state, _)| *state == row.state) {
            wrong.push(format!("{}: no state `{}`", row.id, row.state));
        }
        if row.state == "done" && row.tests.is_empty() {
            wrong.push(format!("{}: done, but nothing proves it", row.id));
        }
        if !matches!(row.cli.as_str(), "" | "real") {
            wrong.push(format!("{}: no CLI `{}`", row.id, row.cli));
        }
        for test in &row.tests {
            if let Some(mistake) = mistake(test, row.cli == "real", &file) {
                wrong.push(format!("{}: `{test}` {mistake}", row.id));
            }
        }
    }
    wrong
}

fn mistake(test: &str, real: bool, file: &impl Fn(&str) -> Option<String>) -> Option<&'static str> {
    let Some((path, name)) = test.split_once("::") else {
        return Some("is no `file::function`");
    };
    let Some(source) = file(path) else {
        return Some("is in no file");
    };
    let Some(function) = Function::find(&source, name) else {
        return Some("does not exist");
    };
    let attributes = &function.attributes;
    if !attributes.contains("test]") && !attributes.contains("test(") {
        return Some("is no test");
    }
    if attributes.contains("ignore") {
        return Some("is ignored");
    }
    if real && !function.runs_a_real_cli(&source) {
        return Some("runs no real CLI");
    }
    None
}

/// A function in a source.
struct Function<'a> {
    /// The lines directly above it that begin with `#[`.
    attributes: String,
    body: &'a str,
}

impl<'a> Function<'a> {
    /// Sources are formatted, so a function's body ends with the first line that is `}` and as deep as its beginning.
    fn find(source: &'a str, name: &str) -> Option<Self> {
        let at = source.find(&format!("fn {name}("))?;
        let line = source[..at].rfind('\n').map_or(0, |end| end + 1);
        let depth = source[line..].len() - source[line..].trim_start().len();
        let end = format!("\n{}}}", " ".repeat(depth));
        let body = &source[at..];
        let body = &body[..body.find(&end).unwrap_or(body.len())];
        let above = source[..line].lines().rev();
        let attributes: Vec<&str> = above
            .map(str::trim)
            .take_while(|line| line.starts_with("#[") || line.starts_with("//"))
            .filter(|line| line.starts_with("#["))
            .collect();
        Some(Self {
            attributes: attributes.join("\n"),
            body,
        })
    }

    /// Whether it, or a function of the same file that it calls, asks for a real CLI.
    fn runs_a_real_cli(&self, source: &str) -> bool {
        let asks = |body: &str| REAL.iter().any(|call| body.contains(call));
        let called = self.body.match_indices('(').filter_map(|(at, _)| {
            let before = &self.body[..at];
            let name = before
                .rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .next()?;
            (!name.is_empty())
                .then(|| Function::find(source, name))
                .flatten()
        });
        asks(self.body) || called.into_iter().any(|function| asks(function.body))
    }
}

#[test]
fn every_row_of_the_matrix_holds() {
    let root = testkit::cli::workspace_root();
    let wrong = mistakes(EN, ZH, |path| fs::read_to_string(root.join(path)).ok());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A page with one row as given and all others open.
fn page(id: &str, cells: &str) -> String {
    let line = |row: String| match row == id {
        true => format!("| {row} | what | {cells} | |\n"),
        false => format!("| {row} | what | open | | | |\n"),
    };
    ids().into_iter().map(line).collect()
}

#[test]
fn a_matrix_that_says_too_much_is_found_out() {
    let source = "\
#[test]
fn good() {
    let world = World::build(\"good\");
}

fn helper() {
    require_codex(\"x\");
}

#[tokio::test]
async fn by_a_helper() {
    helper().await;
}

#[test]
#[ignore = \"slow\"]
fn ignored() {}

#[test]
fn pure() {
    assert!(true);
}
";
    let file = |path: &str| (path == "a.rs").then(|| source.to_owned());
    for (cells, found) in [
        ("done | real | `a.rs::good`", None),
        ("done | real | `a.rs::by_a_helper`", None),
        ("done | | `a.rs::pure`", None),
        ("done | real | `a.rs::pure`", Some("runs no real CLI")),
        ("done | | `a.rs::ignored`", Some("is ignored")),
        ("done | | `a.rs::helper`", Some("is no test")),
        ("done | | `a.rs::missing`", Some("does not exist")),
        ("done | | `b.rs::good`", Some("is in no file")),
        ("done | | ", Some("nothing proves it")),
        ("perhaps | | ", Some("no state")),
    ] {
        let page = page("B3", cells);
        let wrong = mistakes(&page, &page, file);
        match found {
            None => assert_eq!(wrong, [""; 0], "{cells}"),
            Some(found) => assert!(
                wrong.len() == 1 && wrong[0].contains(found),
                "{cells}: {wrong:?}"
            ),
        }
    }
    let (one, other) = (page("B3", "done | | `a.rs::pure`"), page("B3", "open | | "));
    assert!(mistakes(&one, &other, file)[0].contains("differ"));
    let short: String = one.lines().skip(1).collect::<Vec<_>>().join("\n");
    assert!(mistakes(&short, &short, file)[0].contains("the rows are"));
}
