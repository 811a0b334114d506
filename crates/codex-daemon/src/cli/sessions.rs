//! Commands about sessions.

use serde::Deserialize;

use super::{
    CliError, Cx, print, print_json,
    values::{Answer, SetArguments, TargetArguments},
};
use crate::{
    exit,
    protocol::{Configure, Decide, Fork, Operation, SessionName, SessionView, Target},
};

fn shown(cx: &Cx, view: &SessionView) {
    if cx.json {
        return print_json(view);
    }
    let settings = &view.settings;
    let or = |text: &Option<String>| text.clone().unwrap_or_else(|| "(codex's own)".to_owned());
    let on = |on: bool| if on { "on" } else { "off" };
    print(&format!(
        "{}\n  folder      {}\n  model       {}\n  effort      {}\n  reasoning   {}\n  final only  {}\n  \
         thread      {}\n  running     {}\n  queued      {}\n",
        view.name,
        view.cwd.display(),
        or(&settings.model),
        or(&settings.effort),
        on(settings.reasoning),
        on(settings.final_only),
        view.thread.as_deref().unwrap_or("(none yet)"),
        on(view.running.is_some()),
        view.queued,
    ));
    for approval in &view.approvals {
        print(&format!("  waits for   permission {approval}\n"));
    }
}

/// Lists the sessions.
pub(super) async fn list(cx: &Cx) -> Result<u8, CliError> {
    let views: Vec<SessionView> = cx.client().await?.call(Operation::Sessions {}).await?;
    if cx.json {
        print_json(&views);
        return Ok(exit::SUCCESS);
    }
    for view in views {
        let state = match (&view.running, view.queued) {
            (Some(_), 0) => "running".to_owned(),
            (Some(_), queued) => format!("running, {queued} queued"),
            (None, _) => "idle".to_owned(),
        };
        print(&format!("{}  {state}  {}\n", view.name, view.cwd.display()));
    }
    Ok(exit::SUCCESS)
}

async fn view_of(cx: &Cx, operation: Operation) -> Result<u8, CliError> {
    let view: SessionView = cx.client().await?.call(operation).await?;
    shown(cx, &view);
    Ok(exit::SUCCESS)
}

/// Shows a session.
pub(super) async fn show(cx: &Cx, arguments: TargetArguments) -> Result<u8, CliError> {
    view_of(cx, Operation::Show(cx.target(&arguments)?)).await
}

/// Lets a conversation begin anew.
pub(super) async fn reset(cx: &Cx, arguments: TargetArguments) -> Result<u8, CliError> {
    view_of(cx, Operation::Reset(cx.target(&arguments)?)).await
}

/// Copies a conversation.
pub(super) async fn fork(
    cx: &Cx,
    arguments: TargetArguments,
    name: SessionName,
) -> Result<u8, CliError> {
    let Target { session, cwd } = cx.target(&arguments)?;
    let fork = Fork { session, cwd, name };
    view_of(cx, Operation::Fork(fork)).await
}

/// Changes settings.
pub(super) async fn set(cx: &Cx, arguments: SetArguments) -> Result<u8, CliError> {
    let Target { session, cwd } = cx.target(&arguments.target)?;
    let change = Configure {
        session,
        cwd,
        model: arguments.model,
        effort: arguments.effort,
        reasoning: arguments.reasoning.map(bool::from),
        final_only: arguments.final_only.map(bool::from),
    };
    view_of(cx, Operation::Configure(change)).await
}

/// Stops questions.
pub(super) async fn interrupt(cx: &Cx, arguments: TargetArguments) -> Result<u8, CliError> {
    #[derive(Deserialize)]
    struct Stopped {
        stopped: usize,
    }
    let operation = Operation::Interrupt(cx.target(&arguments)?);
    let Stopped { stopped } = cx.client().await?.call(operation).await?;
    print(&format!("stopped: {stopped}\n"));
    Ok(exit::SUCCESS)
}

/// Answers a request for permission.
pub(super) async fn decide(cx: &Cx, approval: String, answer: Answer) -> Result<u8, CliError> {
    let decide = Decide {
        approval,
        decision: answer.into(),
    };
    let mut client = cx.client().await?;
    client
        .call::<serde_json::Value>(Operation::Decide(decide))
        .await?;
    Ok(exit::SUCCESS)
}
