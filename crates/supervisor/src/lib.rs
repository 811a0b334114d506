//! Starts a child through its guard, gives its pipes as bounded lines, stops everything it started and proves it.
//!
//! # Theory of operation
//!
//! ```text
//!  executor ──control (Unix socket)──► guard ──fork, exec──► CLI ──► MCP servers, tools, shells …
//!     ▲                                  ▲ child subreaper          │
//!     │                                  └──── orphans come here ◄──┘
//!     └──────────── stdin, stdout, stderr: straight to the CLI, no hop ────────────
//! ```
//!
//! A command line agent starts programs which start programs. Some call `setsid`, some fork twice, some drop their
//! environment. A process group, or a list of pids kept on the side, loses them. So each CLI gets a **guard**: a small
//! process without threads or async runtime, made by executing our own binary again. It is the *child subreaper* of the
//! session: whatever is orphaned below it becomes its child, so the tree below the guard is the session, always. When
//! the guard has no children left (`waitpid` says `ECHILD`), the session has no process left. That is the proof.
//!
//! The guard holds one end of a socket. Orders go down (`sweep`, `term`, `kill`), facts come up (`started`, `exited`,
//! `swept`, `gone`). When the executor dies, or drops its [`Process`], the socket ends, and the guard kills all its
//! descendants until none is left. The socket is what this relies on, not `PR_SET_PDEATHSIG`: that fires when the
//! spawning *thread* ends, which in a thread pool is not when the process does. From guard to CLI, where there is one
//! thread, it's safe, and used.
//!
//! Every process of a session also inherits [`SESSION_MARK`] in its environment. It is the second net: if the guard
//! itself is killed, the CLI dies with it, and the executor kills what carries the mark; and [`end_stale_sessions`]
//! looks at start for what an earlier life left behind.
//!
//! # Guarantees
//!
//! * When [`Process`] is dropped, or the executor is killed by `SIGKILL`, no process of the session remains, whatever it
//!   did to its session, group, parent or environment.
//! * When the guard is killed, no process remains that carries the session's mark or descends from one that does. A
//!   process that dropped its environment *and* was orphaned can survive this one case.
//! * [`ProcessHandle::sweep`] ends what tools started and leaves the CLI and its own servers alone.
//! * The control socket isn't inherited by the CLI or anything below it.
//! * A reader never holds more than its line limit and one read, nor the stderr tail more than its own limit.
//! * Killing is bounded (3 s); what can't be killed is named in the report.
//!
//! # Code map
//!
//! `command` (what to start, and how) → `guard` (the other process; its loop is `guard::watch`) ⇄ `control` (their
//! words) ⇄ `link` (our end). `child` is what the caller holds, `shutdown` the ladder, `lines` the reader, `tail` the
//! end of stderr. `output` runs a short program to its end. `proc` reads `/proc`, `stale` kills by mark.
//!
//! # Example
//!
//! ```no_run
//! use std::time::Duration;
//! use supervisor::{ChildEnv, Guard, Ladder, Line, SessionMark, Spec};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     supervisor::run_guard_if_asked(); // Before any thread or runtime.
//!     tokio::runtime::Runtime::new()?.block_on(async {
//!         let child = Guard::own()
//!             .spawn(Spec {
//!                 program: "/bin/echo".into(),
//!                 args: vec!["hello".into()],
//!                 env: ChildEnv::default(),
//!                 cwd: "/".into(),
//!                 session: SessionMark::new("example"),
//!                 max_line: 1 << 20,
//!                 stderr_tail: 8 << 10,
//!             })
//!             .await?;
//!         let (_stdin, mut lines, process) = child.split();
//!         while let Some(line) = lines.next().await? {
//!             if let Line::Complete(line) = line {
//!                 println!("{}", String::from_utf8_lossy(&line));
//!             }
//!         }
//!         let ladder = Ladder {
//!             after_stdin: Duration::from_secs(1),
//!             after_term: Duration::from_secs(1),
//!             kill_deadline: Duration::from_secs(4),
//!         };
//!         let report = process.shutdown(&ladder).await;
//!         assert!(report.survivors.is_empty());
//!         Ok(())
//!     })
//! }
//! ```

#![warn(missing_docs)]

mod child;
mod command;
mod control;
mod detached;
mod guard;
mod lines;
mod link;
mod mark;
mod output;
mod proc;
mod replacement;
mod shutdown;
mod stale;
mod status;
mod tail;

pub use child::{Child, GuardError, PipedChild, Process, ProcessHandle};
pub use command::{ChildEnv, Guard, SpawnError, Spec};
pub use detached::{Detached, DetachedChild};
pub use guard::run_guard_if_asked;
pub use lines::{Line, LineReader};
pub use mark::{SESSION_MARK, SessionMark};
pub use output::{Output, OutputError};
pub use replacement::Replacement;
pub use shutdown::{Ladder, ShutdownReport, StopStep};
pub use stale::{end_stale_sessions, end_with_variable, session_processes, stray_processes};
pub use status::{ExitStatus, Pid, SweepReport};
