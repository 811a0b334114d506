//! `check` and `doctor`: what is wrong, and what mends it, also when no daemon runs.

use std::path::Path;

use codex_app_server::find_program;
use host::{error_chain, program::on_path};
use serde::Serialize;

use super::{CliError, Cx, print, print_json};
use crate::{
    client::{Client, ClientError},
    config::{Access, folder_of},
    exit, owner, paths,
    protocol::{HealthView, Mode, Operation, StatusView, Warmth},
};

/// One thing that was looked at.
#[derive(Serialize)]
struct Finding {
    what: &'static str,
    /// `ok`, `note` or `wrong`.
    verdict: Verdict,
    says: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    Ok,
    Note,
    Wrong,
}

#[derive(Default)]
struct Findings {
    all: Vec<Finding>,
    /// The exit code, that of the first thing that is wrong.
    code: u8,
}

impl Findings {
    fn ok(&mut self, what: &'static str, says: impl Into<String>) {
        self.add(what, Verdict::Ok, says.into());
    }

    fn note(&mut self, what: &'static str, says: impl Into<String>) {
        self.add(what, Verdict::Note, says.into());
    }

    fn wrong(&mut self, what: &'static str, code: u8, says: impl Into<String>) {
        self.add(what, Verdict::Wrong, says.into());
        if self.code == exit::SUCCESS {
            self.code = code;
        }
    }

    fn add(&mut self, what: &'static str, verdict: Verdict, says: String) {
        self.all.push(Finding {
            what,
            verdict,
            says,
        });
    }

    fn print(self, json: bool) -> u8 {
        if json {
            print_json(&self.all);
            return self.code;
        }
        for finding in &self.all {
            let verdict = match finding.verdict {
                Verdict::Ok => "ok",
                Verdict::Note => "note",
                Verdict::Wrong => "WRONG",
            };
            print(&format!(
                "{verdict:6} {:10} {}\n",
                finding.what, finding.says
            ));
        }
        self.code
    }
}

/// Looks at the socket, the lock, files and folders.
pub(super) async fn check(cx: &Cx) -> Result<u8, CliError> {
    let mut found = Findings::default();
    places(cx, &mut found);
    socket(cx, &mut found).await;
    Ok(found.print(cx.json))
}

/// Looks at everything.
pub(super) async fn doctor(cx: &Cx) -> Result<u8, CliError> {
    let mut found = Findings::default();
    places(cx, &mut found);
    let client = socket(cx, &mut found).await;
    machine(cx, &mut found);
    if let Some(mut client) = client {
        running(&mut client, &mut found).await;
    } else {
        found.note(
            "codex",
            "start the daemon to see whether Codex and its sandbox work",
        );
    }
    Ok(found.print(cx.json))
}

fn places(cx: &Cx, found: &mut Findings) {
    let config = &cx.config;
    let before = found.code;
    let checks = [
        paths::check_folder(folder_of(&config.socket)),
        paths::check_folder(&config.state_dir),
        paths::check_file(&config.state_dir.join("sessions.json")),
        paths::check_folder(folder_of(&config.log_file)),
        paths::check_file(&config.log_file),
        paths::check_file(&config.pid_file),
        paths::check_file(&owner::lock_path(&config.socket)),
    ];
    for wrong in checks.into_iter().filter_map(Result::err) {
        found.wrong("files", exit::UNSAFE_PATH, error_chain(&wrong));
    }
    if found.code == before {
        found.ok("files", "yours alone");
    }
}

/// Who has the socket; a connection if it's the daemon.
async fn socket(cx: &Cx, found: &mut Findings) -> Option<Client> {
    let path = &cx.config.socket;
    let shown = path.display();
    let held = owner::is_held(path);
    match Client::connect(path).await {
        Ok(client) => {
            let hello = client.hello();
            found.ok(
                "socket",
                format!("{shown}: daemon {}, process {}", hello.daemon, hello.pid),
            );
            return Some(client);
        }
        Err(ClientError::NotRunning { .. }) if held => {
            found.wrong(
                "socket",
                exit::FAILURE,
                "a daemon holds the lock but does not listen; end it with `codex-daemon restart`",
            );
        }
        Err(ClientError::NotRunning { .. }) => {
            match paths::check_socket(path) {
                Err(wrong) => found.wrong("socket", exit::UNSAFE_PATH, error_chain(&wrong)),
                Ok(()) if path.exists() => {
                    found.note("socket", format!("{shown}: left behind by a daemon that was killed; the next one removes it"));
                }
                Ok(()) => found.note(
                    "socket",
                    format!("{shown}: no daemon is running; `codex-daemon start` starts one"),
                ),
            }
        }
        Err(ClientError::Fault(fault)) => found.wrong("socket", exit::FAILURE, fault.to_string()),
        Err(_) => {
            let pid = owner::listener(path).flatten();
            let who = pid.map_or_else(String::new, |pid| format!(" (process {pid})"));
            found.wrong(
                "socket",
                exit::OTHER_OWNER,
                format!("{shown} is in use by another program{who}: end that program, or choose another socket with --socket"),
            );
        }
    }
    None
}

/// What the machine has.
fn machine(cx: &Cx, found: &mut Findings) {
    match find_program(cx.config.codex.as_deref(), cx.environment.get("PATH")) {
        Ok(path) => found.ok("cli", path.display().to_string()),
        Err(error) => found.wrong(
            "cli",
            exit::FAILURE,
            format!("{error}; install Codex, or set `codex`"),
        ),
    }
    login(cx, found);
    if cx.environment.get("XDG_RUNTIME_DIR").is_some() {
        found.ok("runtime", "XDG_RUNTIME_DIR is set");
    } else {
        found.note(
            "runtime",
            "XDG_RUNTIME_DIR is not set: the socket lies in the state folder",
        );
    }
    if on_path("systemctl", cx.environment.get("PATH")).is_some()
        && Path::new("/run/systemd/system").exists()
    {
        found.ok(
            "systemd",
            "there is one; the units are in the documentation",
        );
    } else {
        found.note("systemd", "there is none: use `codex-daemon start`");
    }
    if cx.config.access == Access::Full {
        found.note(
            "access",
            "full: Codex does whatever you may, without asking",
        );
    }
}

fn login(cx: &Cx, found: &mut Findings) {
    let home = cx.environment.path("CODEX_HOME").or_else(|| {
        let home = cx.environment.path("HOME")?;
        Some(home.join(".codex"))
    });
    let Some(home) = home else { return };
    if cx.environment.get("CODEX_HOME").is_some() && !home.is_dir() {
        let says = format!(
            "CODEX_HOME names no folder; mend it with: mkdir -m 700 '{}'",
            home.display()
        );
        return found.wrong("login", exit::FAILURE, says);
    }
    if home.join("auth.json").is_file() {
        found.ok("login", format!("{}", home.join("auth.json").display()));
    } else {
        found.note("login", "Codex has no login of its own: `codex login`, or a provider with a key in its config.toml");
    }
}

/// What the running daemon says.
async fn running(client: &mut Client, found: &mut Findings) {
    match client.call::<StatusView>(Operation::Status {}).await {
        Ok(status) => {
            match status.codex {
                Warmth::Ready { version, .. } => found.ok("codex", version),
                Warmth::Starting => found.note("codex", "it starts"),
                Warmth::Failed { why } => found.wrong("codex", exit::UNHEALTHY, why),
            }
            if let Mode::Exec { why } = status.mode {
                found.note("mode", format!("codex exec: {why}"));
            }
            match status.sandbox.as_str() {
                "works" | "not used" => found.ok("sandbox", status.sandbox),
                "untried" => found.note("sandbox", status.sandbox),
                _ => found.wrong("sandbox", exit::UNHEALTHY, status.sandbox),
            }
        }
        Err(error) => found.wrong("codex", exit::UNHEALTHY, error_chain(&error)),
    }
    match client.call::<HealthView>(Operation::Health {}).await {
        Ok(health) if health.healthy => found.ok("health", "well"),
        Ok(health) => {
            for reason in health.reasons {
                found.wrong("health", exit::UNHEALTHY, reason);
            }
        }
        Err(error) => found.wrong("health", exit::UNHEALTHY, error_chain(&error)),
    }
}
