//! Scripts that only speak.

use std::time::Duration;

use crate::model::{
    anthropic,
    reply::{Figures, Played, Reply},
    request::Wire,
};

/// For how long a script that hangs hangs at most.
const LONG: Duration = Duration::from_secs(600);

pub(super) async fn text(reply: &mut Reply) -> Played {
    reply.created().await?;
    reply
        .say(
            "Hello from the scripted model. This reply is streamed in small pieces.",
            None,
        )
        .await?;
    reply.completed().await
}

pub(super) async fn echo(reply: &mut Reply) -> Played {
    reply.created().await?;
    let text = format!("echo: {}", reply.request.last_user_text());
    reply.say(&text, None).await?;
    reply.completed().await
}

pub(super) async fn spell(reply: &mut Reply) -> Played {
    reply.created().await?;
    let text = format!("echo: {}", reply.request.last_user_text());
    let letters: Vec<String> = text.chars().map(String::from).collect();
    reply.text(letters, reply.options.delta_delay, None).await?;
    reply.completed().await
}

pub(super) async fn remember(reply: &mut Reply) -> Played {
    reply.created().await?;
    let text = format!("I remember: {}", reply.request.user_texts.join(" | "));
    reply.say(&text, None).await?;
    reply.completed().await
}

pub(super) async fn reasoning(reply: &mut Reply) -> Played {
    reply.created().await?;
    reply
        .reasoning(&[
            "**Looking around**\n\nI read the question first.",
            "**Deciding**\n\nA short answer fits.",
        ])
        .await?;
    reply.say("The answer is 42.", Some("final_answer")).await?;
    (reply.figures.output, reply.figures.reasoning) = (80, 64);
    reply.completed().await
}

pub(super) async fn two_messages(reply: &mut Reply) -> Played {
    reply.created().await?;
    reply.say("The first message.", Some("commentary")).await?;
    reply
        .say("The second message.", Some("final_answer"))
        .await?;
    reply.completed().await
}

pub(super) async fn slow(reply: &mut Reply) -> Played {
    reply.created().await?;
    let ticks = (0..reply.options.slow_count).map(|number| format!("tick{number} "));
    reply.text(ticks, reply.options.slow_delay, None).await?;
    reply.completed().await
}

pub(super) async fn hang(reply: &mut Reply) -> Played {
    reply.created().await?;
    if reply.wire() == Wire::OpenAi {
        reply.silence(LONG).await;
        return Ok(());
    }
    // Anthropic's streams are never silent.
    let second = Duration::from_secs(1);
    for _ in 0..LONG.as_secs() {
        reply.silence(second).await;
        anthropic::ping(reply).await?;
    }
    Ok(())
}

pub(super) async fn silent(reply: &mut Reply) -> Played {
    reply.silence(LONG).await;
    Ok(())
}

pub(super) async fn slow_start(reply: &mut Reply) -> Played {
    reply.silence(reply.options.slow_delay * 10).await;
    text(reply).await
}

/// Sixteen bytes that show where a text was cut.
const RULER: &str = "0123456789abcdef";

pub(super) async fn huge(reply: &mut Reply) -> Played {
    reply.created().await?;
    let unit = RULER.repeat((reply.options.huge_chunk / RULER.len()).max(1));
    let count = (reply.options.huge_bytes / unit.len()).max(1);
    reply
        .text(std::iter::repeat_n(unit, count), Duration::ZERO, None)
        .await?;
    reply.completed().await
}

pub(super) async fn one_big(reply: &mut Reply) -> Played {
    reply.created().await?;
    let text = RULER.repeat(reply.options.huge_bytes / RULER.len());
    reply.text([text], Duration::ZERO, None).await?;
    reply.completed().await
}

/// A family joined by zero-width joiners, a flag, a skin tone, CJK, a combining mark, right-to-left, a line
/// separator (raw inside JSON), JSON's own special characters, an escape sequence.
const GRAPHEMES: [&str; 16] = [
    "\u{1F468}",
    "\u{200d}\u{1F469}",
    "\u{200d}\u{1F467} ",
    "\u{1F1E8}",
    "\u{1F1F3} ",
    "\u{1F44D}",
    "\u{1F3FD} ",
    "\u{4f60}\u{597d}\u{ff0c}",
    "\u{4e16}\u{754c} ",
    "e",
    "\u{301} ",
    "\u{5e9}\u{5dc}\u{5d5}\u{5dd} ",
    "\u{2028}line-sep ",
    "tab\tquote\" back\\slash ",
    "\u{1b}[31mred\u{1b}[0m ",
    "end\n",
];

pub(super) async fn unicode(reply: &mut Reply) -> Played {
    reply.split_bytes();
    reply.created().await?;
    reply
        .text(
            GRAPHEMES.map(str::to_owned),
            reply.options.delta_delay,
            None,
        )
        .await?;
    reply.completed().await
}

pub(super) async fn empty(reply: &mut Reply) -> Played {
    (reply.figures.output, reply.figures.reasoning) = (0, 0);
    reply.created().await?;
    reply.completed().await
}

pub(super) async fn nearly_full(reply: &mut Reply) -> Played {
    reply.figures = Figures {
        input: 190_000,
        ..Figures::default()
    };
    text(reply).await
}
