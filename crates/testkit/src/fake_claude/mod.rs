//! A stand-in for Claude Code: it speaks stream-json over stdio and does what the prompt says.
//!
//! It is for what the real CLI can't be made to do (crash at a chosen moment, write garbage, ignore an interrupt,
//! linger) and for measuring (its deltas can carry the time at which they were written, see [`crate::clock`]).
//! It keeps the order and the forms of version 2.1.329 and checks its host's input as that does: a line that is not
//! JSON, a user message without a message, a control request without a request end the process with status 1.
//!
//! The prompt is read line by line. Lines that begin with `#fake:` are done in their order; a prompt without
//! any is answered with `fake: ` and the prompt itself. After the last line the turn's result follows.
//!
//! | line | what happens |
//! |---|---|
//! | `#fake:say TEXT` | a message, word by word |
//! | `#fake:history` | a message that names all prompts of the session so far |
//! | `#fake:seen` | a message with what the process was given: arguments, `initialize`, model and permission mode as JSON |
//! | `#fake:env NAME` | a message with the value of an environment variable of the process |
//! | `#fake:slow millis=N TEXT` | a message, word by word with a pause after each |
//! | `#fake:backwards TEXT` | a message that is TEXT read backwards, three characters at a time: what no prompt is to hold |
//! | `#fake:deltas count=N rate=R size=B` | a message of N deltas, R per second (0: no pause), B bytes each, with time stamps |
//! | `#fake:reason TEXT` | a thinking block |
//! | `#fake:whole TEXT` | a message without deltas, as after the CLI's fall-back to a request without a stream |
//! | `#fake:wholes count=N size=B` | N messages without deltas, B bytes each, with time stamps |
//! | `#fake:born` | a message with the time at which the process was started, as a time stamp |
//! | `#fake:void TEXT` | deltas that no message confirms |
//! | `#fake:retry STATUS ERROR` | a notice that a request to the model is tried again |
//! | `#fake:tool COMMAND` | a call of Bash that prints its own text and ends well; nothing is run |
//! | `#fake:run COMMAND` | a call of Bash that `sh` runs indeed, without output |
//! | `#fake:permit COMMAND` | the same, if the host allows it |
//! | `#fake:ask QUESTION\|ANSWER\|ANSWER…` | a question to the user, then what the host answered as a message |
//! | `#fake:hook EVENT` | calls the host's hooks of that event, then says what they answered |
//! | `#fake:subagent TEXT` | a sub-agent that calls a tool and reports TEXT |
//! | `#fake:replay NAME` | what the [transcript](crate::transcript) NAME of 2.1.329 has of its first turn, without its result |
//! | `#fake:big bytes=N` | one delta of N bytes: one long line |
//! | `#fake:garbage` | lines that are not JSON and not UTF-8, and messages of unknown types |
//! | `#fake:stderr TEXT` | a line on the standard error |
//! | `#fake:halfline` | half a line, then the end of the process |
//! | `#fake:exit CODE` | the end of the process |
//! | `#fake:fail STATUS ERROR TEXT` | the turn fails at the model's provider, e.g. `429 rate_limit Too much`; `-` is no status |
//! | `#fake:end SUBTYPE REASON` | the turn ends with that result, e.g. `error_max_turns max_turns` |
//! | `#fake:wait millis=N` | a pause |
//! | `#fake:hang` | nothing more, until an interrupt |
//! | `#fake:ignore-interrupt` | interrupts are answered, but change nothing from here on |
//! | `#fake:later millis=N LINE` | that long after this turn a turn of its own, which nobody asked for, does LINE, e.g. `say hi` |
//! | `#fake:linger millis=N` | the process stays that long after its input was closed |
//!
//! What was asked for while a turn runs is done after it, all of it as one turn. Sessions lie, once they have had a
//! turn, under `projects` of the configuration folder, so that another process can resume them.

mod arguments;
mod directive;
mod perform;
mod session;
mod shapes;
mod speech;
mod store;
mod turn;
mod voice;

use std::{io, path::PathBuf};

use tokio::io::{AsyncRead, AsyncWrite};

use crate::notes::Notebook;

/// What `claude --version` prints.
pub const VERSION_LINE: &str = "2.1.329 (Claude Code)";

/// How the fake is set up.
#[derive(Clone, Debug, Default)]
pub struct FakeClaude {
    /// Its configuration folder (`CLAUDE_CONFIG_DIR`); without one, sessions are not kept.
    pub config: Option<PathBuf>,
    /// Its working folder.
    pub folder: PathBuf,
    /// Its arguments, without its name. [`FakeClaude::serve`] looks at those only that concern the conversation.
    pub arguments: Vec<String>,
    /// Where it writes down what it says.
    pub notes: Notebook,
}

/// The session that arguments of the real CLI name, if they do.
pub(crate) fn named_session(arguments: &[String]) -> Option<String> {
    let arguments = arguments::Arguments::read(arguments);
    arguments.resume.or(arguments.session)
}

impl FakeClaude {
    /// Serves one host until it leaves or a prompt ends the fake. Gives the exit code.
    ///
    /// # Errors
    /// If the connection fails in any way but its end.
    pub async fn serve<R, W, E>(self, stdin: R, stdout: W, stderr: E) -> io::Result<u8>
    where
        R: AsyncRead + Unpin + Send + 'static,
        W: AsyncWrite + Unpin + Send + 'static,
        E: AsyncWrite + Unpin + Send + 'static,
    {
        session::serve(self, stdin, stdout, stderr).await
    }

    /// Does what the program does: `--version`, or a conversation if the arguments ask for one in the way that the
    /// real CLI accepts. Gives the exit code.
    pub fn run(self) -> u8 {
        if self
            .arguments
            .iter()
            .any(|argument| argument == "--version" || argument == "-v")
        {
            println!("{VERSION_LINE}");
            return 0;
        }
        if let Err(complaint) = arguments::check(&self.arguments) {
            eprintln!("{complaint}");
            return 1;
        }
        let runtime = match tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
        {
            Ok(runtime) => runtime,
            Err(error) => {
                eprintln!("fake claude has no runtime: {error}");
                return 1;
            }
        };
        let (stdin, stderr) = (tokio::io::stdin(), tokio::io::stderr());
        let end = runtime.block_on(self.serve(stdin, crate::stdout::Direct, stderr));
        // Reading stdin blocks a thread that nobody can stop.
        runtime.shutdown_background();
        end.unwrap_or_else(|error| {
            eprintln!("fake claude lost its connection: {error}");
            1
        })
    }
}
