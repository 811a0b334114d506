//! Scripts in which something goes wrong.

use std::time::Duration;

use super::talk;
use crate::{
    http::Break,
    model::{
        Script, anthropic, openai,
        reply::{Played, Reply, Stop, words},
        request::Wire,
    },
};

/// Long enough for a client to take deltas in one by one before the connection goes.
const BETWEEN: Duration = Duration::from_millis(20);

/// Whether `#cmd:times=N` says that the fault has happened often enough.
pub(super) fn is_over(script: Script, reply: &Reply) -> bool {
    let in_the_answer = matches!(
        script,
        Script::Failed
            | Script::ContextFull
            | Script::Incomplete
            | Script::Refusal
            | Script::Truncated
            | Script::Disconnect
            | Script::Reset
    );
    let times = reply
        .command
        .as_deref()
        .and_then(|command| command.strip_prefix("times="))
        .and_then(|times| times.parse::<u32>().ok());
    (in_the_answer || script.refuses()) && times.is_some_and(|times| reply.attempt > times)
}

pub(super) async fn recovered(reply: &mut Reply) -> Played {
    reply.created().await?;
    reply.say("Recovered after a fault.", None).await?;
    reply.completed().await
}

/// An HTTP error in the provider's form.
pub(super) fn refused(reply: &Reply, script: Script) -> Stop {
    match reply.wire() {
        Wire::OpenAi => openai::refusal(script),
        Wire::Anthropic => anthropic::refusal(script),
    }
}

pub(super) async fn garbage(reply: &mut Reply) -> Played {
    reply.created().await?;
    match reply.wire() {
        Wire::OpenAi => openai::garbage(reply).await?,
        Wire::Anthropic => anthropic::garbage(reply).await?,
    }
    reply.say("still fine", None).await?;
    reply.completed().await
}

pub(super) async fn failed(reply: &mut Reply) -> Played {
    if !reply.request.streams {
        return Err(refused(reply, Script::Err529));
    }
    reply.created().await?;
    match reply.wire() {
        Wire::OpenAi => openai::failed(reply, "server_error", "the scripted model failed").await,
        Wire::Anthropic => {
            reply
                .begin_text(words("About to fail"), BETWEEN, None)
                .await?;
            anthropic::failed(reply, "overloaded_error", "Overloaded").await
        }
    }
}

pub(super) async fn context_full(reply: &mut Reply) -> Played {
    match reply.wire() {
        Wire::OpenAi => {
            reply.created().await?;
            let message = "Your input exceeds the context window of this model.";
            openai::failed(reply, "context_length_exceeded", message).await
        }
        Wire::Anthropic => Err(anthropic::refusal(Script::ContextFull)),
    }
}

pub(super) async fn incomplete(reply: &mut Reply) -> Played {
    reply.created().await?;
    reply.say("cut short", None).await?;
    match reply.wire() {
        Wire::OpenAi => openai::incomplete(reply).await,
        Wire::Anthropic => anthropic::completed(reply, reply.figures, Some("max_tokens")).await,
    }
}

pub(super) async fn refusal(reply: &mut Reply) -> Played {
    reply.created().await?;
    reply.say("I can't help with that.", None).await?;
    match reply.wire() {
        Wire::OpenAi => reply.completed().await,
        Wire::Anthropic => anthropic::completed(reply, reply.figures, Some("refusal")).await,
    }
}

/// The beginning of a message.
async fn begin(reply: &mut Reply, text: &str) -> Played {
    reply.created().await?;
    reply.begin_text(words(text), BETWEEN, None).await?;
    Ok(())
}

/// The beginning of a message, then the end of the connection.
async fn cut(reply: &mut Reply, text: &str, how: Break) -> Played {
    begin(reply, text).await?;
    Err(Stop::Broken(how))
}

/// The end of the stream is that of the transfer, so the connection stays whole.
pub(super) async fn truncated(reply: &mut Reply) -> Played {
    if !reply.request.streams {
        return Err(Stop::Broken(Break::Close));
    }
    begin(reply, "This stream just ends").await
}

pub(super) async fn disconnect(reply: &mut Reply) -> Played {
    cut(reply, "Hello this will be cut", Break::Close).await
}

pub(super) async fn reset(reply: &mut Reply) -> Played {
    cut(reply, "Hello this will be reset", Break::Reset).await
}

pub(super) async fn disconnect_once(reply: &mut Reply) -> Played {
    if reply.attempt == 1 {
        disconnect(reply).await
    } else {
        talk::text(reply).await
    }
}

pub(super) async fn disconnect_equal_once(reply: &mut Reply) -> Played {
    const TEXT: &str = "The quick brown fox jumps over the lazy dog.";
    if reply.attempt == 1 {
        return cut(reply, &TEXT[..20], Break::Close).await;
    }
    reply.created().await?;
    reply.say(TEXT, None).await?;
    reply.completed().await
}

pub(super) async fn disconnect_differ_once(reply: &mut Reply) -> Played {
    if reply.attempt == 1 {
        let text = "The answer is blue, as far as I can see";
        return cut(reply, text, Break::Close).await;
    }
    reply.created().await?;
    reply.say("The answer is red, beyond doubt.", None).await?;
    reply.completed().await
}

pub(super) async fn flaky(reply: &mut Reply) -> Played {
    if reply.attempt <= 2 {
        Err(refused(reply, Script::Err500))
    } else {
        talk::text(reply).await
    }
}
