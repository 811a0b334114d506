//! The fallback: `codex exec --json`, one process per turn, for a CLI whose app-server can't be talked to.
//!
//! It gives whole messages instead of deltas, asks nothing and takes no images, but a turn runs, and a form of the platform's
//! tool is shown: its process is ended with that, and the answer is the next one's prompt. Its configuration can't go
//! over a pipe and must not go into arguments, so it has a home of its own in the session's temporary folder, whose
//! `config.toml` is removed as soon as Codex has read it, before any tool runs.

use std::{
    ffi::OsString,
    fs, io,
    io::Write,
    os::unix::fs::{OpenOptionsExt, symlink},
    path::{Path, PathBuf},
    time::Duration,
};

use agent_core::{
    AgentError, AgentEvent, CancelReason, Completed, Notice, NoticeKind, Outcome, Question, Resume,
    Retry, SessionStore, StopReason, StopStep, scratch::Scratch, workspace::create_private,
};
use codex_app_server::{
    InstanceError, MAX_LINE, RpcError,
    protocol::{Notification, ThreadId, TurnId, UserInput},
};
use supervisor::{Guard, Ladder, Line, LineReader, Process, SessionMark, Spec};
use tokio::{
    io::{AsyncRead, AsyncWriteExt},
    time::{sleep, sleep_until},
};

use crate::{
    binary,
    exec_lines::{Lines, Said},
    failure::{failed, is_hopeless, retried, state_error},
    form, home,
    input::input,
    launch, login,
    map::Mapper,
    thread_config::{ThreadSettings, thread_settings},
    turn::{Drive, cancelled, session},
    watch::Watchdog,
};

/// What the person reads, once per executor.
pub(crate) const ANNOUNCEMENT: &str = "This version of Codex can't be driven in the usual way: answers come in whole messages, and images are left out.";

/// How the process is ended before its time: a turn has four seconds to stop.
const LADDER: Ladder = Ladder {
    after_stdin: Duration::ZERO,
    after_term: Duration::from_secs(1),
    kill_deadline: Duration::from_millis(1500),
};
/// How a process whose turn is over comes to its end: by itself, as it has the conversation to write.
const PATIENT: Ladder = Ladder {
    after_stdin: Duration::from_secs(5),
    ..LADDER
};
/// How much of stderr is kept, in bytes.
const STDERR_TAIL: usize = 16 << 10;

/// Whether an app-server failed because the CLI has none, or one that speaks otherwise, and not for a reason that may pass.
pub(crate) fn is_called_for(error: &AgentError) -> bool {
    let AgentError::Spawn { source, .. } = error else {
        return false;
    };
    match source.downcast_ref::<InstanceError>() {
        Some(InstanceError::Handshake { source, .. }) => {
            matches!(source, RpcError::Remote { .. } | RpcError::Decode { .. })
        }
        Some(InstanceError::Start(lost)) => {
            let words = lost.to_string();
            // The last is what a CLI says that takes the word for a prompt.
            [
                "unrecognized subcommand",
                "unexpected argument",
                "stdin is not a terminal",
            ]
            .iter()
            .any(|known| words.contains(known))
        }
        _ => false,
    }
}

/// A run of `codex exec`.
struct Run {
    process: Process,
    lines: Lines,
    mapper: Mapper,
    watch: Watchdog,
    /// What holds the settings until they have been read.
    config: Option<Secret>,
    retry_told: bool,
    retries: u32,
}

/// A file with secrets; removed when this is dropped.
struct Secret(PathBuf);

impl Drop for Secret {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::warn!(%error, "a file with settings can't be removed");
        }
    }
}

/// How listening ended.
enum End {
    Completed,
    Failed(AgentError),
    Cancelled(CancelReason),
    /// The person sees a form of the platform's own tool.
    Form(Question),
    /// The process ended without a word about the turn.
    Silent,
}

impl Drive<'_> {
    /// Runs the turn by `codex exec`.
    ///
    /// # Errors
    /// As [`agent_core::Agent::run`].
    pub(crate) async fn run_exec(&self) -> Result<Outcome, AgentError> {
        let store = SessionStore::new(&self.workspace.state);
        let resume = store.resume_for(self.turn).map_err(state_error)?;
        match self.try_exec(resume.as_ref()).await {
            Err(AgentError::Exited { stderr_tail, .. })
                if resume.is_some() && stderr_tail.contains("no rollout found") =>
            {
                let kind = NoticeKind::FreshSession;
                let text = "The earlier conversation could not be found, so a new one was started.";
                self.notice(kind, text.to_owned()).await?;
                self.try_exec(None).await
            }
            result => result,
        }
    }

    async fn try_exec(&self, resume: Option<&Resume>) -> Result<Outcome, AgentError> {
        let mark = SessionMark::new(&self.config.owner);
        let scratch = Scratch::for_session(&self.config.image, &self.config.owner)?;
        let settings = thread_settings(
            self.turn,
            self.workspace,
            self.config,
            &mark,
            scratch.path(),
        )?;
        let home = scratch.path().join("codex");
        let config =
            self.prepare_home(&home, &settings)
                .map_err(|source| AgentError::Workspace {
                    message: format!("codex home `{}` can't be prepared", home.display()),
                    source: Some(source),
                })?;
        let (mut run, mut lines) = self
            .start_exec(&home, scratch.path(), mark, resume, config)
            .await?;
        let end = self.hear(&mut run, &mut lines).await;
        if matches!(end, Ok(End::Form(_))) {
            // It notes the call's result just after it has told it.
            sleep(form::NOTED).await;
        }
        let status = run.process.handle();
        let usage = run.mapper.usage();
        let ladder = match end {
            Ok(End::Completed | End::Silent) => &PATIENT,
            _ => &LADDER,
        };
        let report = run.process.shutdown(ladder).await;
        match end? {
            End::Completed => Ok(Outcome::Completed(Completed {
                text: run.mapper.final_answer().unwrap_or_default().to_owned(),
                stop: StopReason::EndTurn,
                usage,
                session: session(&run.lines.thread),
            })),
            End::Failed(error) => Err(error),
            End::Form(question) => {
                let call = question.call.clone();
                let before = run.mapper.pause().into_iter();
                for event in before.chain([AgentEvent::Question(question)]) {
                    self.cx.events.emit(event).await?;
                }
                Ok(self.waiting(&call, &run.lines.thread, usage))
            }
            End::Cancelled(reason) => {
                let survivors = u32::try_from(report.survivors.len()).unwrap_or(u32::MAX);
                Ok(cancelled(reason, StopStep::Kill, survivors, usage))
            }
            End::Silent => Err(AgentError::Exited {
                status: report.status.to_string(),
                stderr_tail: status.stderr_tail(),
            }),
        }
    }

    /// A home for one run, with the settings in it.
    fn prepare_home(&self, home: &Path, settings: &ThreadSettings) -> io::Result<Secret> {
        create_private(home)?;
        home::link_sessions(home, &home::sessions(&self.workspace.state))?;
        login::link(self.config, home, self.turn.model.use_own_login)?;
        let skills = home::skills(&self.config.homes.path(self.turn.key.task));
        if skills.is_dir() {
            symlink(skills, home::skills(home))?;
        }
        let file = home.join("config.toml");
        let text = settings.config_file().map_err(io::Error::other)?;
        let mut options = fs::OpenOptions::new();
        let mut config = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&file)?;
        let secret = Secret(file);
        config.write_all(text.as_bytes())?;
        Ok(secret)
    }

    /// The schema of the answer as a file, if there is to be one.
    fn schema_file(&self, home: &Path) -> Result<Option<PathBuf>, AgentError> {
        let Some(schema) = &self.turn.options.output_schema else {
            return Ok(None);
        };
        let file = home.join("answer.schema.json");
        fs::write(&file, schema.to_string()).map_err(|source| AgentError::Workspace {
            message: format!("the answer's schema `{}` can't be written", file.display()),
            source: Some(source),
        })?;
        Ok(Some(file))
    }

    async fn start_exec(
        &self,
        home: &Path,
        scratch: &Path,
        session: SessionMark,
        resume: Option<&Resume>,
        config: Secret,
    ) -> Result<(Run, LineReader<tokio::process::ChildStdout>), AgentError> {
        let program = binary::find(
            self.config.binary.as_deref(),
            launch::variable(self.config, "PATH").map(std::ffi::OsString::as_os_str),
        )?;
        let mut args: Vec<OsString> = vec![
            "exec".into(),
            "--json".into(),
            "--skip-git-repo-check".into(),
        ];
        if let Some(schema) = self.schema_file(home)? {
            args.extend(["--output-schema".into(), schema.into()]);
        }
        if let Some(resume) = resume {
            args.extend(["resume".into(), resume.id().as_str().into()]);
        }
        // The prompt comes by stdin: arguments can be read by everybody.
        args.push("-".into());
        let turn = TurnId::new(session.as_str());
        let spec = Spec {
            program: program.clone(),
            args,
            env: launch::environment(self.config, home, scratch),
            cwd: self.workspace.cwd.clone(),
            session,
            max_line: MAX_LINE,
            stderr_tail: STDERR_TAIL,
        };
        let child = Guard::own().spawn(spec).await;
        let child = child.map_err(|error| AgentError::Spawn {
            name: program.display().to_string(),
            source: Box::new(error),
        })?;
        let (mut stdin, lines, process) = child.split();
        let texts = input(self.turn, home)?
            .into_iter()
            .filter_map(|part| match part {
                UserInput::Text { text } => Some(text),
                _ => None,
            });
        let prompt = texts.collect::<Vec<_>>().join("\n\n");
        // A CLI that doesn't read has ended, and says why on stderr.
        let _ = stdin.write_all(prompt.as_bytes()).await;
        drop(stdin);
        let thread = ThreadId::new(resume.map_or("", |resume| resume.id().as_str()));
        let run = Run {
            process,
            mapper: Mapper::new(thread.clone(), turn.clone()),
            lines: Lines {
                turn,
                thread,
                fresh: resume.is_none(),
            },
            watch: Watchdog::new(self.config.deadlines),
            config: Some(config),
            retry_told: false,
            retries: 0,
        };
        Ok((run, lines))
    }

    /// Passes on what is printed, until the turn or the process ends, or the turn is told to stop.
    async fn hear<R: AsyncRead + Unpin>(
        &self,
        run: &mut Run,
        lines: &mut LineReader<R>,
    ) -> Result<End, AgentError> {
        loop {
            let line = tokio::select! {
                biased;
                reason = self.cx.cancel.cancelled() => return Ok(End::Cancelled(reason)),
                () = sleep_until(run.watch.until()) => return Ok(End::Failed(run.watch.stalled())),
                line = lines.next() => line,
            };
            // It has read its settings before it says anything.
            run.config = None;
            run.watch.alive();
            let line = match line {
                Ok(Some(Line::Complete(line))) => line,
                Ok(Some(Line::TooLong { .. })) => continue,
                Ok(None) | Err(_) => return Ok(End::Silent),
            };
            match run.lines.read(&line) {
                Said::Thread(thread) => {
                    let turn = run.lines.turn.clone();
                    run.mapper.begin_again(thread.clone(), turn);
                    self.remember(&thread).await?;
                }
                Said::Happened(notification) => {
                    if let Some(question) = form::shown(&notification) {
                        run.mapper.forget(&question.call);
                        return Ok(End::Form(question));
                    }
                    self.pass_on(run, *notification).await?;
                }
                Said::Retry(error) => {
                    if is_hopeless(&error) {
                        return Ok(End::Failed(failed(&error)));
                    }
                    run.retries += 1;
                    let retry = AgentEvent::Retry(Retry {
                        count: run.retries,
                        limit: None,
                        error: failed(&error).to_string(),
                    });
                    self.cx.events.emit(retry).await?;
                    if run.watch.trouble() >= 2
                        && !std::mem::replace(&mut run.retry_told, true)
                        && let Some(text) = retried(&error)
                    {
                        self.notice(NoticeKind::Warning, text).await?;
                    }
                }
                Said::Completed(usage) => {
                    if let Some(usage) = usage {
                        self.pass_on(run, *usage).await?;
                    }
                    return Ok(End::Completed);
                }
                Said::Failed(error) => return Ok(End::Failed(failed(&error))),
                Said::Nothing => {}
            }
        }
    }

    async fn pass_on(&self, run: &mut Run, notification: Notification) -> Result<(), AgentError> {
        for event in run.mapper.map(notification) {
            run.watch.saw(&event);
            self.cx.events.emit(event).await?;
        }
        Ok(())
    }

    /// Tells the person something.
    pub(crate) async fn notice(&self, kind: NoticeKind, text: String) -> Result<(), AgentError> {
        let notice = AgentEvent::Notice(Notice { kind, text });
        Ok(self.cx.events.emit(notice).await?)
    }
}
