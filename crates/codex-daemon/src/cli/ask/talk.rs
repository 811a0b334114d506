//! The conversation behind a question: events in, permissions and Ctrl-C out, and coming back when the connection is
//! lost.

use std::io::{self, BufRead as _, Write as _};

use tokio::{sync::mpsc, task::spawn_blocking};

use super::Screen;
use crate::{
    client::{Client, ClientError, Connect, Patience, outcome},
    protocol::{Ask, Cursor, DaemonLine, Decide, Decision, Event, Operation, Outcome},
};

pub(super) struct Talk {
    pub(super) screen: Screen,
    pub(super) patience: Patience,
}

/// How one connection's part of it ended.
enum Part {
    Over(Outcome),
    /// The connection was lost after this event.
    Lost(Option<Cursor>),
}

impl Talk {
    /// Asks, and comes back when the connection is lost.
    pub(super) async fn ask(
        mut self,
        connect: &mut impl Connect,
        mut ask: Ask,
    ) -> Result<Outcome, ClientError> {
        let mut lost = 0;
        loop {
            let mut client = self.patience.connect(connect).await?;
            let start = Cursor {
                epoch: client.hello().epoch.clone(),
                seq: 0,
            };
            match self.part(&mut client, &ask).await? {
                Part::Over(outcome) => return Ok(outcome),
                Part::Lost(seen) if lost < 5 => {
                    lost += 1;
                    self.screen
                        .note("the connection to the daemon was lost; trying again");
                    ask.after = seen.or(ask.after).or(Some(start));
                    tokio::time::sleep(self.patience.wait(lost)).await;
                }
                Part::Lost(_) => return Err(ClientError::Lost(None)),
            }
        }
    }

    async fn part(&mut self, client: &mut Client, ask: &Ask) -> Result<Part, ClientError> {
        let Ok(call) = client.send(Operation::Ask(ask.clone())).await else {
            return Ok(Part::Lost(None));
        };
        let (answers, mut answered) = mpsc::channel(4);
        let mut seen = None;
        let mut ended = false;
        // Calls of one connection run side by side: before the question is known, there is nothing to interrupt.
        let mut interrupt = false;
        loop {
            let line = tokio::select! {
                line = client.next() => line,
                Some(decide) = answered.recv() => {
                    client.send(Operation::Decide(decide)).await?;
                    continue;
                }
                _ = tokio::signal::ctrl_c() => {
                    interrupt = true;
                    if seen.is_some() {
                        client.send(Operation::Interrupt(ask.target())).await?;
                    }
                    continue;
                }
            };
            match line {
                Ok(DaemonLine::Event { id, event, cursor }) if id == call => {
                    if interrupt && seen.is_none() {
                        client.send(Operation::Interrupt(ask.target())).await?;
                    }
                    self.screen.show(&event);
                    ended |= matches!(event, Event::Ended { .. });
                    if let (Event::Approval { approval, .. }, true) = (&event, ask.interactive) {
                        prompt(approval.clone(), answers.clone());
                    }
                    seen = Some(cursor);
                }
                Ok(DaemonLine::Ok { id, ok }) if id == call => {
                    let outcome = self.over(ok, ended)?;
                    return Ok(Part::Over(outcome));
                }
                Ok(DaemonLine::Error { id, error }) if id.is_none_or(|id| id == call) => {
                    return Err(error.into());
                }
                Ok(_) => {}
                Err(ClientError::Lost(_)) => return Ok(Part::Lost(seen)),
                Err(error) => return Err(error),
            }
        }
    }

    fn over(&mut self, ok: serde_json::Value, shown: bool) -> Result<Outcome, ClientError> {
        if !shown && let Ok(event) = serde_json::from_value::<Event>(ok.clone()) {
            self.screen.show(&event);
        }
        outcome(ok)
    }

    /// Shows a session's events until Ctrl-C or the daemon's end.
    pub(super) async fn watch(
        mut self,
        mut client: Client,
        watch: Operation,
    ) -> Result<(), ClientError> {
        let interactive = matches!(&watch, Operation::Watch(watch) if watch.interactive);
        let (answers, mut answered) = mpsc::channel(4);
        client.send(watch).await?;
        loop {
            tokio::select! {
                line = client.next() => match line? {
                    DaemonLine::Event { event, .. } => {
                        self.screen.show(&event);
                        if let (Event::Approval { approval, .. }, true) = (&event, interactive) {
                            prompt(approval.clone(), answers.clone());
                        }
                    }
                    DaemonLine::Error { error, .. } => return Err(error.into()),
                    DaemonLine::Ok { .. } | DaemonLine::Hello(_) => {}
                },
                Some(decide) = answered.recv() => {
                    client.send(Operation::Decide(decide)).await?;
                }
                _ = tokio::signal::ctrl_c() => return Ok(()),
            }
        }
    }
}

/// Asks the person at the terminal. The thread that reads ends with the process.
fn prompt(approval: String, answers: mpsc::Sender<Decide>) {
    spawn_blocking(move || {
        loop {
            eprint!("codex-daemon: [y]es, [a]lways in this session, [n]o, [s]top the question? ");
            let _ = io::stderr().flush();
            let mut line = String::new();
            let read = io::stdin().lock().read_line(&mut line);
            if !matches!(read, Ok(bytes) if bytes > 0) {
                return;
            }
            let decision = match line.trim() {
                "y" | "yes" => Decision::Accept,
                "a" | "always" => Decision::AcceptForSession,
                "n" | "no" => Decision::Decline,
                "s" | "stop" => Decision::Cancel,
                _ => continue,
            };
            let _ = answers.blocking_send(Decide { approval, decision });
            return;
        }
    });
}
