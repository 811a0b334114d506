//! The scripts themselves.

mod faults;
mod files;
mod offers;
mod talk;
mod tools;

use super::{
    Script,
    reply::{Played, Reply},
};

/// Plays `script` to its end.
pub(super) async fn play(script: Script, reply: &mut Reply) -> Played {
    if faults::is_over(script, reply) {
        return faults::recovered(reply).await;
    }
    match script {
        Script::Text => talk::text(reply).await,
        Script::Echo => talk::echo(reply).await,
        Script::Spell => talk::spell(reply).await,
        Script::Remember => talk::remember(reply).await,
        Script::Reasoning => talk::reasoning(reply).await,
        Script::TwoMessages => talk::two_messages(reply).await,
        Script::Slow => talk::slow(reply).await,
        Script::Hang => talk::hang(reply).await,
        Script::Silent => talk::silent(reply).await,
        Script::SlowStart => talk::slow_start(reply).await,
        Script::Huge => talk::huge(reply).await,
        Script::OneBig => talk::one_big(reply).await,
        Script::Unicode => talk::unicode(reply).await,
        Script::Empty => talk::empty(reply).await,
        Script::NearlyFull => talk::nearly_full(reply).await,
        Script::CommentaryToolFinal => tools::commentary_tool_final(reply).await,
        Script::Mixed => tools::mixed(reply).await,
        Script::Shell => tools::shell(reply).await,
        Script::Background => tools::background(reply).await,
        Script::ShellEscalated => tools::shell_escalated(reply).await,
        Script::Parallel => tools::parallel(reply).await,
        Script::Patch => files::patch(reply).await,
        Script::Edit => files::edit(reply).await,
        Script::Mcp => tools::mcp(reply).await,
        Script::Form => tools::form(reply).await,
        Script::Plan => tools::plan(reply).await,
        Script::ExitPlan => tools::exit_plan(reply).await,
        Script::Ask => tools::ask(reply).await,
        Script::Subagent => tools::subagent(reply, false).await,
        Script::SubagentLate => tools::subagent(reply, true).await,
        Script::BadToolJson => tools::bad_tool_json(reply).await,
        Script::UnknownTool => tools::unknown_tool(reply).await,
        Script::Tool => tools::tool(reply).await,
        Script::Calls => tools::calls(reply).await,
        Script::ToolsList => tools::tools_list(reply).await,
        Script::WebSearch => tools::web_search(reply).await,
        Script::Loop => tools::endless(reply).await,
        Script::Garbage => faults::garbage(reply).await,
        Script::Failed => faults::failed(reply).await,
        Script::ContextFull => faults::context_full(reply).await,
        Script::Incomplete => faults::incomplete(reply).await,
        Script::Refusal => faults::refusal(reply).await,
        Script::Truncated => faults::truncated(reply).await,
        Script::Disconnect => faults::disconnect(reply).await,
        Script::DisconnectOnce => faults::disconnect_once(reply).await,
        Script::DisconnectEqualOnce => faults::disconnect_equal_once(reply).await,
        Script::DisconnectDifferOnce => faults::disconnect_differ_once(reply).await,
        Script::Reset => faults::reset(reply).await,
        Script::Flaky => faults::flaky(reply).await,
        Script::Err400
        | Script::Err401
        | Script::Err403
        | Script::Err404
        | Script::Err413
        | Script::Err429
        | Script::Quota
        | Script::UsageLimit
        | Script::Err500
        | Script::Err503
        | Script::Err529 => Err(faults::refused(reply, script)),
    }
}
