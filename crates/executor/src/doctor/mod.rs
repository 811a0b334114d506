//! `wegent-executor doctor`: what is wrong with a machine or a configuration, and what mends it.
//!
//! It only looks: nothing is changed, but for a file that is made and removed again where something must be writable, and
//! nothing is ended. It can be asked while an executor serves.

mod disk;
mod kernel;
mod network;

use std::fmt;

use http_client::HttpClients;
use serde::Serialize;

use crate::{
    config::Config,
    validate::{self, Found, Machine, NotUsable, Version},
};

/// Everything that was looked at.
#[derive(Debug, Default, Serialize)]
pub struct Diagnosis {
    /// Whether nothing is wrong.
    pub ok: bool,
    /// What was found, in the order in which it was looked at.
    pub findings: Vec<Finding>,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// What.
    pub what: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// In words.
    pub says: String,
    /// What mends it, where it isn't well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Well.
    Ok,
    /// Good to know; it works all the same.
    Note,
    /// Something won't work.
    Wrong,
}

impl Diagnosis {
    fn ok(&mut self, what: &'static str, says: impl Into<String>) {
        self.add(what, Verdict::Ok, says.into(), None);
    }

    fn note(&mut self, what: &'static str, says: impl Into<String>, remedy: impl Into<String>) {
        self.add(what, Verdict::Note, says.into(), Some(remedy.into()));
    }

    fn wrong(&mut self, what: &'static str, says: impl Into<String>, remedy: impl Into<String>) {
        self.add(what, Verdict::Wrong, says.into(), Some(remedy.into()));
    }

    fn add(&mut self, what: &'static str, verdict: Verdict, says: String, remedy: Option<String>) {
        self.findings.push(Finding {
            what,
            verdict,
            says,
            remedy,
        });
    }

    /// The same as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("it is made of texts and a truth value")
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            let verdict = match finding.verdict {
                Verdict::Ok => "ok",
                Verdict::Note => "note",
                Verdict::Wrong => "WRONG",
            };
            writeln!(f, "{verdict:6} {:12} {}", finding.what, finding.says)?;
            if let Some(remedy) = &finding.remedy {
                writeln!(f, "{:20}→ {remedy}", "")?;
            }
        }
        Ok(())
    }
}

/// Looks at everything.
pub async fn examine(config: &Config, clients: HttpClients) -> Diagnosis {
    let mut found = Diagnosis::default();
    for problem in &config.warnings {
        found.note(
            "settings",
            problem.to_string(),
            "README.md lists the variables",
        );
    }
    programs(config, &mut found).await;
    credentials(config, &mut found);
    disk::folders(config, &mut found);
    network::reach(config, &clients, &mut found).await;
    kernel::features(config, &mut found);
    processes(&mut found).await;
    found.ok = found
        .findings
        .iter()
        .all(|one| one.verdict != Verdict::Wrong);
    found
}

async fn programs(config: &Config, found: &mut Diagnosis) {
    let machine = Machine::new(config);
    let (own, codex, claude, git, node, python) = tokio::join!(
        machine.executor(),
        machine.codex(),
        machine.claude(),
        machine.git(),
        machine.on_path("node"),
        machine.on_path("python3")
    );
    // That it starts at all shows that guards work.
    program(
        found,
        "executor",
        own,
        Verdict::Wrong,
        "this binary must be allowed to start itself: is /proc mounted?",
    );
    if config.codex.enabled {
        let remedy = "install it (npm install -g @openai/codex), or name it in CODEX_BINARY_PATH";
        program(found, "codex", codex, Verdict::Wrong, remedy);
    } else {
        found.note(
            "codex",
            "switched off",
            "CODEX_SHELL_ENABLED switches it on",
        );
    }
    let remedy =
        "install it (npm install -g @anthropic-ai/claude-code), or name it in CLAUDE_BINARY_PATH";
    program(found, "claude-code", claude, Verdict::Wrong, remedy);
    program(found, "git", git, Verdict::Wrong, "install git");
    let remedy = "MCP servers that are started by npx need 20.0.0 or newer";
    tool(found, "node", node, validate::NODE, remedy);
    let remedy = "skills with scripts need 3.12.0 or newer";
    tool(found, "python", python, validate::PYTHON, remedy);
}

/// A program that agents' tools may need.
fn tool(
    found: &mut Diagnosis,
    what: &'static str,
    tool: Result<Found, NotUsable>,
    least: Version,
    remedy: &'static str,
) {
    match tool {
        Ok(old) if old.version.is_some_and(|version| version < least) => {
            found.note(what, format!("{}: it is too old", old.said), remedy);
        }
        tool => program(found, what, tool, Verdict::Note, remedy),
    }
}

fn program(
    found: &mut Diagnosis,
    what: &'static str,
    program: Result<Found, NotUsable>,
    without: Verdict,
    remedy: &str,
) {
    match program {
        Ok(program) => found.ok(
            what,
            format!("{} ({})", program.said, program.path.display()),
        ),
        Err(error) => found.add(what, without, error.to_string(), Some(remedy.to_owned())),
    }
}

/// Which there are, never what they are.
fn credentials(config: &Config, found: &mut Diagnosis) {
    let keys = [
        ("OPENAI_API_KEY", config.openai_api_key.is_some()),
        ("ANTHROPIC_API_KEY", config.anthropic_api_key.is_some()),
    ];
    let set: Vec<&str> = keys
        .iter()
        .filter(|(_, set)| *set)
        .map(|(name, _)| *name)
        .collect();
    let own = codex_login(config);
    match (set.as_slice(), own) {
        ([], false) => found.note(
            "credentials",
            "none of this machine's own",
            "tasks bring theirs; `run` needs OPENAI_API_KEY or ANTHROPIC_API_KEY, and use_user_config a `codex login`",
        ),
        (set, own) => {
            let mut there: Vec<&str> = set.to_vec();
            there.extend(own.then_some("Codex's own login"));
            found.ok("credentials", there.join(", "));
        }
    }
}

fn codex_login(config: &Config) -> bool {
    let home = config.image_environment.get("CODEX_HOME").map(Into::into);
    let home: Option<std::path::PathBuf> =
        home.or_else(|| Some(config.paths.user_home.as_ref()?.join(".codex")));
    home.is_some_and(|home| home.join("auth.json").is_file())
}

async fn processes(found: &mut Diagnosis) {
    let strays = tokio::task::spawn_blocking(supervisor::stray_processes).await;
    let strays = strays.unwrap_or_default();
    if strays.is_empty() {
        found.ok("processes", "nothing is left of earlier runs");
        return;
    }
    let pids: Vec<String> = strays.iter().map(ToString::to_string).collect();
    found.wrong(
        "processes",
        format!("left over from earlier runs: {}", pids.join(", ")),
        "they end when an executor of the same name starts; otherwise `kill` them",
    );
}
