//! What a prompt asks for.

use std::time::Duration;

/// One thing to do in a turn.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Directive {
    Say(String),
    Slow {
        pause: Duration,
        text: String,
    },
    Backwards(String),
    History,
    /// When the turn's request was read.
    Heard,
    Deltas {
        count: u32,
        rate: f64,
        size: usize,
    },
    Reason(String),
    Tool(String),
    Run(String),
    /// A request to the client: its method and its parameters beside the ids.
    Ask {
        method: String,
        params: String,
    },
    Replay(String),
    Big {
        bytes: usize,
    },
    Garbage,
    HalfLine,
    Exit(u8),
    Break(String),
    Fail(String),
    Wait(Duration),
    Hang,
    IgnoreInterrupt,
}

const MARK: &str = "#fake:";

/// The directives of a prompt; an unknown one is answered with a complaint, so that a test sees its mistake.
pub(super) fn parse(prompt: &str) -> Vec<Directive> {
    let directives: Vec<Directive> = prompt
        .lines()
        .filter_map(|line| line.trim().strip_prefix(MARK))
        .map(one)
        .collect();
    if directives.is_empty() {
        vec![Directive::Say(format!("fake: {prompt}"))]
    } else {
        directives
    }
}

fn one(text: &str) -> Directive {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let rest = rest.trim();
    match word {
        "say" => Directive::Say(rest.to_owned()),
        "slow" => {
            let (pause, text) = slow(rest);
            Directive::Slow { pause, text }
        }
        "backwards" => Directive::Backwards(rest.to_owned()),
        "heard" => Directive::Heard,
        "history" => Directive::History,
        "deltas" => Directive::Deltas {
            count: number(rest, "count").map_or(10, |count| count as u32),
            rate: number(rest, "rate").unwrap_or(0.0),
            size: number(rest, "size").map_or(20, |size| size as usize),
        },
        "reason" => Directive::Reason(rest.to_owned()),
        "tool" => Directive::Tool(rest.to_owned()),
        "run" => Directive::Run(rest.to_owned()),
        "ask" => {
            let (method, params) = rest.split_once(' ').unwrap_or((rest, "{}"));
            Directive::Ask {
                method: method.to_owned(),
                params: params.to_owned(),
            }
        }
        "replay" => Directive::Replay(rest.to_owned()),
        "big" => Directive::Big {
            bytes: number(rest, "bytes").map_or(1 << 20, |bytes| bytes as usize),
        },
        "garbage" => Directive::Garbage,
        "halfline" => Directive::HalfLine,
        "exit" => Directive::Exit(rest.parse().unwrap_or(1)),
        "break" => Directive::Break(rest.to_owned()),
        "fail" => Directive::Fail(rest.to_owned()),
        "wait" => Directive::Wait(Duration::from_millis(
            number(rest, "millis").map_or(0, |millis| millis as u64),
        )),
        "hang" => Directive::Hang,
        "ignore-interrupt" => Directive::IgnoreInterrupt,
        _ => Directive::Say(format!("(fake codex does not know #fake:{word})")),
    }
}

/// The pause and the text of a message that is said slowly.
pub(crate) fn slow(rest: &str) -> (Duration, String) {
    let (pause, text) = rest.split_once(' ').unwrap_or((rest, ""));
    let millis = number(pause, "millis").map_or(0, |millis| millis as u64);
    (Duration::from_millis(millis), text.to_owned())
}

/// The pieces in which a text is said backwards.
pub(crate) fn backwards(text: &str) -> Vec<String> {
    let letters: Vec<char> = text.chars().rev().collect();
    letters.chunks(3).map(String::from_iter).collect()
}

/// A text's words, each with the blank after it.
pub(crate) fn words(text: &str) -> Vec<String> {
    text.split_inclusive(' ').map(str::to_owned).collect()
}

pub(crate) fn number(fields: &str, name: &str) -> Option<f64> {
    let value = fields
        .split_whitespace()
        .find_map(|field| field.strip_prefix(name)?.strip_prefix('='))?;
    value.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_read_line_by_line() {
        let prompt = "please\n#fake:say a b\n#fake:deltas count=3 rate=0.5 size=30\n#fake:exit 7";
        let deltas = Directive::Deltas {
            count: 3,
            rate: 0.5,
            size: 30,
        };
        assert_eq!(
            parse(prompt),
            [Directive::Say("a b".into()), deltas, Directive::Exit(7)]
        );
        assert_eq!(parse("hi"), [Directive::Say("fake: hi".into())]);
    }
}
