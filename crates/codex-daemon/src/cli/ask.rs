//! `ask` and `watch`: a question from a terminal or a pipe.

mod screen;
mod talk;

use std::{
    io::{self, IsTerminal as _, Read as _},
    path::Path,
};

use super::{
    CliError, Cx,
    control::starter,
    print_json,
    values::{AskArguments, TargetArguments},
};
use crate::{
    client::{Client, ClientError, Connect, Patience},
    exit,
    protocol::{Ask, OnLoss, Operation, Outcome, Watch},
};
use screen::Screen;
use talk::Talk;

/// Asks, and shows the answer as it comes.
pub(super) async fn ask(cx: &Cx, arguments: AskArguments) -> Result<u8, CliError> {
    let question = question(&arguments)?;
    let target = cx.target(&arguments.target)?;
    let mut ask = Ask::new(target, question);
    ask.interactive = !cx.json && io::stdin().is_terminal() && io::stderr().is_terminal();
    if arguments.ask_again {
        ask.on_loss = OnLoss::AskAgain;
    }
    let mut connect = Door {
        cx,
        start: !arguments.no_start,
    };
    let talk = Talk {
        screen: Screen::new(cx.json),
        patience: Patience::default(),
    };
    let outcome = talk.ask(&mut connect, ask).await?;
    Ok(match outcome {
        Outcome::Completed { .. } => exit::SUCCESS,
        Outcome::Failed { .. } => exit::FAILURE,
        Outcome::Interrupted => exit::INTERRUPTED,
        Outcome::Lost { .. } => exit::LOST,
    })
}

/// Shows what happens in a session, until it is interrupted.
pub(super) async fn watch(cx: &Cx, arguments: TargetArguments) -> Result<u8, CliError> {
    let target = cx.target(&arguments)?;
    let watch = Watch {
        session: target.session,
        cwd: target.cwd,
        after: None,
        interactive: !cx.json && io::stdin().is_terminal(),
    };
    let talk = Talk {
        screen: Screen::new(cx.json),
        patience: Patience::default(),
    };
    talk.watch(cx.client().await?, Operation::Watch(watch))
        .await?;
    Ok(exit::SUCCESS)
}

fn question(arguments: &AskArguments) -> Result<String, CliError> {
    let stdin = || {
        let mut text = String::new();
        io::stdin()
            .read_to_string(&mut text)
            .map(|_| text)
            .map_err(CliError::io(
                "the question can't be read from standard input",
            ))
    };
    let text = match (&arguments.question, &arguments.file) {
        (Some(question), _) => question.clone(),
        (None, Some(file)) if file == Path::new("-") => stdin()?,
        (None, Some(file)) => std::fs::read_to_string(file)
            .map_err(CliError::io(format!("`{}` can't be read", file.display())))?,
        (None, None) if io::stdin().is_terminal() => {
            let how =
                "what is the question? Give it as an argument, with --file, or by standard input";
            return Err(CliError::Usage(how.to_owned()));
        }
        (None, None) => stdin()?,
    };
    if text.trim().is_empty() {
        return Err(CliError::Usage("the question is empty".to_owned()));
    }
    Ok(text)
}

/// The way to the daemon: connects, and starts it if that is wanted.
struct Door<'a> {
    cx: &'a Cx,
    start: bool,
}

impl Connect for Door<'_> {
    async fn connect(&mut self) -> Result<Client, ClientError> {
        if self.start {
            starter(self.cx).connect().await
        } else {
            self.cx.client().await
        }
    }
}

/// Prints an event as a line of JSON.
fn print_event(event: &crate::protocol::Event) {
    match serde_json::to_string(event) {
        Ok(line) => super::print(&format!("{line}\n")),
        Err(_) => print_json(&"an event that can't be written"),
    }
}
