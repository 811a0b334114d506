//! `wegent-executor run`: what an agent may do on a person's machine, and whom it asks.

use std::{fs, path::PathBuf, process::Stdio};

use testkit::{
    ModelServer,
    model::{Options, Script},
    procs,
};
use tokio::process::Command;
use wegent_executor_tests::{API_KEY, CLAUDE, PATIENCE, binary, private_folder};

/// A person's home, with a folder to work in.
struct Home {
    root: tempfile::TempDir,
    /// Neither the folder to work in nor a temporary one, which Codex lets commands write.
    outside: tempfile::TempDir,
    model: ModelServer,
    codex: PathBuf,
    claude: PathBuf,
}

impl Home {
    async fn build(test: &str) -> Option<Self> {
        let codex = testkit::cli::require_codex(test)?;
        let claude = testkit::cli::require_claude(CLAUDE, test)?;
        let root = private_folder();
        for folder in ["home", "work", "tmp"] {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        Some(Self {
            root,
            outside: tempfile::tempdir_in("/var/tmp").unwrap(),
            model: ModelServer::start(Options::default()).await.unwrap(),
            codex,
            claude,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// A program in the person's environment.
    #[expect(
        clippy::disallowed_methods,
        reason = "a test starts the program from outside, as a person would"
    )]
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .envs([
                ("PATH", env!("PATH")),
                ("LANG", "C.UTF-8"),
                ("TERM", "xterm-256color"),
            ])
            .env("HOME", self.path("home"))
            .env("TMPDIR", self.path("tmp"))
            .env("CODEX_BINARY_PATH", &self.codex)
            .env("CLAUDE_BINARY_PATH", &self.claude)
            .envs([("OPENAI_API_KEY", API_KEY), ("ANTHROPIC_API_KEY", API_KEY)])
            .current_dir(self.path("work"))
            .kill_on_drop(true);
        command
    }

    /// The arguments of a turn.
    fn run(&self, shell: &str, prompt: &str) -> Vec<String> {
        let url = match shell {
            "codex" => self.model.base_url(),
            _ => self.model.anthropic_url(),
        };
        [
            "run",
            "--shell",
            shell,
            "--model",
            "scripted-model",
            "--base-url",
            &url,
            "--prompt",
            prompt,
        ]
        .map(str::to_owned)
        .into()
    }

    /// Runs a turn without a terminal, and gives what was printed.
    async fn piped(&self, arguments: &[String]) -> String {
        let mut command = self.command(binary().to_str().unwrap());
        command.args(arguments).stdin(Stdio::null());
        let output = tokio::time::timeout(PATIENCE, command.output()).await;
        let output = output.unwrap().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a turn in a terminal, where a person does these steps.
    async fn typed(&self, arguments: &[String], steps: &str) {
        let file = self.path("steps");
        fs::write(&file, steps).unwrap();
        let mut driver = self.command("python3");
        driver
            .arg(testkit::cli::terminal_driver())
            .arg(PATIENCE.as_secs().to_string())
            .arg(binary())
            .args(arguments)
            .stdin(fs::File::open(file).unwrap());
        let output = driver.output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{said}");
    }

    async fn nothing_runs(&self) {
        let home = self.path("home");
        let mine = || procs::with_variable("HOME", home.to_str());
        let gone = procs::wait_until_gone(mine, PATIENCE).await;
        gone.unwrap_or_else(|left| panic!("still there: {left:?}"));
    }
}

const SHELLS: [&str; 2] = ["codex", "claude-code"];

#[tokio::test]
async fn without_being_asked_nobody_leaves_the_folder_unless_it_was_allowed() {
    let test = "without_being_asked_nobody_leaves_the_folder_unless_it_was_allowed";
    let Some(home) = Home::build(test).await else {
        return;
    };
    for shell in SHELLS {
        let out = home.outside.path().join(shell);
        let prompt = format!("Run. #script:shell\n#cmd:touch {}; true", out.display());
        let said = home.piped(&home.run(shell, &prompt)).await;
        assert!(said.contains("The command said:"), "{shell}: {said}");
        assert!(!out.exists(), "{shell}: {said}");
        let mut allowed = home.run(shell, &prompt);
        allowed.push("--full-access".to_owned());
        home.piped(&allowed).await;
        assert!(out.exists(), "{shell}");
    }
    home.nothing_runs().await;
}

#[tokio::test]
async fn at_a_terminal_the_person_is_asked_and_the_turn_goes_on() {
    let test = "at_a_terminal_the_person_is_asked_and_the_turn_goes_on";
    let Some(mut home) = Home::build(test).await else {
        return;
    };
    // The second choice is that for the whole conversation.
    for (shell, word, allows) in [
        ("codex", "2", true),
        ("codex", "deny", false),
        ("claude-code", "2", true),
    ] {
        let out = home.outside.path().join(format!("{shell}-{word}"));
        let touch = format!("touch {}", out.display());
        let model = Options {
            script: Script::ShellEscalated,
            command: Some(touch.clone()),
            ..Options::default()
        };
        home.model = ModelServer::start(model).await.unwrap();
        // What can't be meant is asked again.
        let steps = format!(
            "expect {touch}\nexpect 3.\ntype maybe\nenter\nexpect Type a number\ntype {word}\nenter\n\
             expect The command said:\n"
        );
        home.typed(&home.run(shell, "Go."), &steps).await;
        assert_eq!(out.exists(), allows, "{shell}");
    }
    home.nothing_runs().await;
}
