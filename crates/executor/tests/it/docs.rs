//! The documents are the same in both languages, and the configuration reference is what the code says.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

const NAMES: &str = include_str!("../../src/config/names.rs");

/// Written in English only: for people who change the code.
const ENGLISH_ONLY: [&str; 2] = ["codex-shell-plan.md", "performance.md"];

fn docs(language: &str) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.join("../../docs").join(language)
}

fn pages(language: &str) -> BTreeSet<String> {
    let files = fs::read_dir(docs(language)).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".md")).collect()
}

fn page(language: &str, name: &str) -> String {
    fs::read_to_string(docs(language).join(name)).unwrap()
}

/// What of a page is in no language: the depth of its headings, its code without comments, the variables and options
/// that it names, and where it links to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Skeleton {
    headings: Vec<usize>,
    code: Vec<String>,
    named: BTreeSet<String>,
    links: BTreeSet<String>,
}

impl Skeleton {
    fn of(page: &str) -> Self {
        let mut skeleton = Self::default();
        let mut fence: Option<&str> = None;
        for line in page.lines() {
            match (fence, line.strip_prefix("```")) {
                (None, Some(language)) => fence = Some(language),
                (Some(_), Some(_)) => fence = None,
                // Prose to be filled in has the language of its page.
                (Some("text"), None) => skeleton.code.push(String::new()),
                (Some(_), None) => skeleton.code.push(without_comment(line)),
                (None, None) => skeleton.prose(line),
            }
        }
        skeleton
    }

    fn prose(&mut self, line: &str) {
        let depth = line.bytes().take_while(|byte| *byte == b'#').count();
        if depth > 0 {
            self.headings.push(depth);
        }
        let code = line.split('`').skip(1).step_by(2);
        for word in code.flat_map(str::split_whitespace) {
            let variable = word.split('=').next().unwrap_or_default();
            let is_variable = variable.len() > 3
                && variable.starts_with(|c: char| c.is_ascii_uppercase())
                && variable
                    .bytes()
                    .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
            if is_variable || word.starts_with("--") {
                self.named.insert(variable.to_owned());
            }
        }
        let targets = line
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next());
        // The link to the other language is the one that differs.
        let links =
            targets.filter(|link| !link.starts_with("../zh/") && !link.starts_with("../en/"));
        self.links.extend(links.map(str::to_owned));
    }
}

fn without_comment(line: &str) -> String {
    let code = line.split_once(" # ").map_or(line, |(code, _)| code);
    let code = if code.starts_with("# ") { "" } else { code };
    code.trim_end().to_owned()
}

#[test]
fn every_page_is_there_in_both_languages_with_the_same_headings_code_options_and_links() {
    let mut english = pages("en");
    english.retain(|name| !ENGLISH_ONLY.contains(&name.as_str()));
    assert_eq!(english, pages("zh"));
    for name in english {
        let (en, zh) = (page("en", &name), page("zh", &name));
        assert_eq!(
            Skeleton::of(&en),
            Skeleton::of(&zh),
            "{name}: English left, Chinese right"
        );
    }
}

#[test]
fn what_the_pages_link_to_is_there() {
    for language in ["en", "zh"] {
        for name in pages(language) {
            for link in Skeleton::of(&page(language, &name)).links {
                let file = link.split('#').next().unwrap_or_default();
                let is_ours = !file.is_empty() && !file.contains("://");
                assert!(
                    !is_ours || docs(language).join(file).exists(),
                    "{language}/{name}: {link}"
                );
            }
        }
    }
}

/// The variables with their documentation, as `names.rs` has them.
fn variables() -> Vec<(Vec<String>, String)> {
    let mut found = Vec::new();
    let mut text: Vec<&str> = Vec::new();
    let mut item = String::new();
    for line in NAMES.lines() {
        if let Some(line) = line.strip_prefix("///") {
            text.push(line.trim());
        } else if !line.starts_with("//") && !line.trim().is_empty() {
            item.push_str(line);
            if line.ends_with(';') {
                let spelt = item.split('"').skip(1).step_by(2).map(str::to_owned);
                let meaning = text.join(" ").replace("[`", "`").replace("`]", "`");
                found.push((spelt.collect(), meaning));
                text.clear();
                item.clear();
            }
        }
    }
    found
}

/// The rows of the reference's table.
fn rows(page: &str) -> Vec<&str> {
    page.lines()
        .filter(|line| line.starts_with("| `"))
        .collect()
}

fn cell(variables: &[String]) -> String {
    let quoted: Vec<String> = variables.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

#[test]
fn the_configuration_reference_is_what_the_code_says() {
    let table: Vec<String> = variables()
        .iter()
        .map(|(names, meaning)| format!("| {} | {meaning} |", cell(names)))
        .collect();
    let english = page("en", "configuration.md");
    if rows(&english) != table {
        let fresh = Path::new(env!("CARGO_TARGET_TMPDIR")).join("configuration-table.md");
        fs::write(&fresh, table.join("\n") + "\n").unwrap();
        panic!(
            "the table of docs/en/configuration.md is old; the new one is in {}",
            fresh.display()
        );
    }
    let chinese = page("zh", "configuration.md");
    let told: Vec<&str> = rows(&chinese)
        .iter()
        .filter_map(|row| row.split(" | ").next())
        .collect();
    let named: Vec<String> = variables()
        .iter()
        .map(|(names, _)| format!("| {}", cell(names)))
        .collect();
    assert_eq!(told, named, "docs/zh/configuration.md");
}

#[test]
fn a_page_that_misses_a_heading_a_command_or_an_option_is_found() {
    let page = "# A\n\n`FOO_BAR=1` and `--baz` [x](y.md)\n\n```sh\nrun it   # why\n```\n";
    let whole = Skeleton::of(page);
    assert_eq!(whole.code, ["run it"]);
    assert_eq!(
        whole.named,
        BTreeSet::from(["FOO_BAR".to_owned(), "--baz".to_owned()])
    );
    for (from, to) in [
        ("# A", "A"),
        ("run it", "run"),
        ("--baz", "baz"),
        ("FOO_BAR", "foo"),
        ("y.md", "z.md"),
    ] {
        assert_ne!(Skeleton::of(&page.replace(from, to)), whole, "{from}");
    }
    assert_eq!(Skeleton::of(&page.replace("why", "为什么")), whole);
}
