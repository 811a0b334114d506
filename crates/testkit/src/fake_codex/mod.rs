//! A stand-in for the codex CLI: it speaks `codex app-server` over stdio and does what the prompt says.
//!
//! It is for what the real CLI can't be made to do (crash at a chosen moment, write garbage, ignore an interrupt)
//! and for measuring (its deltas can carry the time at which they were written, see [`crate::clock`]).
//! It keeps codex 0.169's order and checks its client's: a request before `initialize` is refused, an unknown
//! thread or turn is an error -32600, malformed lines are dropped in silence.
//!
//! The prompt is read line by line. Lines that begin with `#fake:` are done in their order; a prompt without
//! any is answered with `fake: ` and the prompt itself. After the last line the turn completes.
//!
//! | line | what happens |
//! |---|---|
//! | `#fake:say TEXT` | a message, word by word |
//! | `#fake:history` | a message that names all prompts of the thread so far |
//! | `#fake:slow millis=N TEXT` | a message, word by word with a pause after each |
//! | `#fake:backwards TEXT` | a message that is TEXT read backwards, three characters at a time: what no prompt is to hold |
//! | `#fake:heard` | a message with the time at which the turn's request was read, as a time stamp |
//! | `#fake:deltas count=N rate=R size=B` | a message of N deltas, R per second (0: no pause), B bytes each, with time stamps |
//! | `#fake:reason TEXT` | a reasoning item |
//! | `#fake:tool COMMAND` | a command execution that prints its own text and ends well; nothing is run |
//! | `#fake:run COMMAND` | a command execution that `sh` runs indeed, without output |
//! | `#fake:ask METHOD {PARAMS}` | a request to the client, with the ids of the turn; the answer is said as a message |
//! | `#fake:replay NAME` | the notifications of a turn of the [transcript](crate::transcript) NAME |
//! | `#fake:big bytes=N` | one delta of N bytes: one long line |
//! | `#fake:garbage` | lines that are not JSON and not UTF-8, and an unknown notification |
//! | `#fake:halfline` | half a line, then the end of the process |
//! | `#fake:exit CODE` | the end of the process |
//! | `#fake:break TEXT` | a message that the end of the process cuts off in its middle; whole when the prompt comes again |
//! | `#fake:fail MESSAGE` | the turn fails |
//! | `#fake:wait millis=N` | a pause |
//! | `#fake:hang` | nothing more, until an interrupt |
//! | `#fake:ignore-interrupt` | interrupts are answered, but change nothing from here on |
//!
//! Threads live in memory and, once they have had a turn, under `sessions` of the home folder, so that another
//! process can resume them.

mod asks;
pub(crate) mod directive;
pub(crate) mod errand;
mod session;
mod shapes;
mod store;
mod turn;

use std::{ffi::OsString, io, path::PathBuf};

use tokio::io::{AsyncRead, AsyncWrite};

use crate::notes::Notebook;

/// What `codex --version` prints.
pub const VERSION_LINE: &str = "codex-cli 0.169.0";

/// How the fake is set up.
#[derive(Clone, Debug, Default)]
pub struct FakeCodex {
    /// Its home folder (`CODEX_HOME`); without one, threads are not kept.
    pub home: Option<PathBuf>,
    /// Where it writes down what it says.
    pub notes: Notebook,
}

/// Why the fake ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its client closed the connection.
    Closed,
    /// A prompt said so; the exit code.
    Exit(u8),
}

impl FakeCodex {
    /// Serves one client until it leaves or a prompt ends the fake.
    ///
    /// # Errors
    /// If the connection fails in any way but its end.
    pub async fn serve<R, W>(self, reader: R, writer: W) -> io::Result<End>
    where
        R: AsyncRead + Unpin + Send + 'static,
        W: AsyncWrite + Unpin + Send + 'static,
    {
        session::serve(self, reader, writer).await
    }

    /// Does what the program does with these arguments (without its name): `--version`, or `app-server` with
    /// options before and after, which are not looked at. Gives the exit code.
    pub fn run(self, arguments: &[OsString]) -> u8 {
        if arguments
            .iter()
            .any(|argument| argument == "--version" || argument == "-V")
        {
            println!("{VERSION_LINE}");
            return 0;
        }
        if !arguments.iter().any(|argument| argument == "app-server") {
            eprintln!("fake codex knows `app-server` and `--version` only");
            return 2;
        }
        let runtime = match tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
        {
            Ok(runtime) => runtime,
            Err(error) => {
                eprintln!("fake codex has no runtime: {error}");
                return 1;
            }
        };
        let end = runtime.block_on(self.serve(tokio::io::stdin(), crate::stdout::Direct));
        // Reading stdin blocks a thread that nobody can stop.
        runtime.shutdown_background();
        match end {
            Ok(End::Closed) => 0,
            Ok(End::Exit(code)) => code,
            Err(error) => {
                eprintln!("fake codex lost its connection: {error}");
                1
            }
        }
    }
}
