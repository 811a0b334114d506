//! What a prompt asks for.

use std::time::Duration;

use crate::fake_codex::directive::{number, slow};

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
    Seen,
    Env(String),
    Deltas {
        count: u32,
        rate: f64,
        size: usize,
    },
    Reason(String),
    Whole(String),
    /// Many finished messages, without a stream.
    Wholes {
        count: u32,
        size: usize,
    },
    /// When the process was started.
    Born,
    Void(String),
    Retry {
        status: Option<u16>,
        error: String,
    },
    Tool(String),
    Run(String),
    Permit(String),
    Ask {
        question: String,
        answers: Vec<String>,
    },
    Hook(String),
    Subagent(String),
    Replay(String),
    Big {
        bytes: usize,
    },
    Garbage,
    Stderr(String),
    HalfLine,
    Exit(u8),
    Fail {
        status: Option<u16>,
        error: String,
        text: String,
    },
    End {
        subtype: String,
        reason: String,
    },
    Wait(Duration),
    Hang,
    IgnoreInterrupt,
    Later {
        after: Duration,
        line: String,
    },
    Linger(Duration),
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

/// A single directive, without its mark.
pub(super) fn one(text: &str) -> Directive {
    let (word, rest) = split(text);
    match word {
        "say" => Directive::Say(rest.to_owned()),
        "slow" => {
            let (pause, text) = slow(rest);
            Directive::Slow { pause, text }
        }
        "backwards" => Directive::Backwards(rest.to_owned()),
        "history" => Directive::History,
        "seen" => Directive::Seen,
        "env" => Directive::Env(rest.to_owned()),
        "deltas" => Directive::Deltas {
            count: number(rest, "count").map_or(10, |count| count as u32),
            rate: number(rest, "rate").unwrap_or(0.0),
            size: number(rest, "size").map_or(20, |size| size as usize),
        },
        "reason" => Directive::Reason(rest.to_owned()),
        "whole" => Directive::Whole(rest.to_owned()),
        "wholes" => Directive::Wholes {
            count: number(rest, "count").map_or(10, |count| count as u32),
            size: number(rest, "size").map_or(20, |size| size as usize),
        },
        "born" => Directive::Born,
        "void" => Directive::Void(rest.to_owned()),
        "retry" => {
            let (status, error) = split(rest);
            Directive::Retry {
                status: status.parse().ok(),
                error: error.to_owned(),
            }
        }
        "tool" => Directive::Tool(rest.to_owned()),
        "run" => Directive::Run(rest.to_owned()),
        "permit" => Directive::Permit(rest.to_owned()),
        "ask" => {
            let mut parts = rest.split('|').map(|part| part.trim().to_owned());
            Directive::Ask {
                question: parts.next().unwrap_or_default(),
                answers: parts.collect(),
            }
        }
        "hook" => Directive::Hook(rest.to_owned()),
        "subagent" => Directive::Subagent(rest.to_owned()),
        "replay" => Directive::Replay(rest.to_owned()),
        "big" => Directive::Big {
            bytes: number(rest, "bytes").map_or(1 << 20, |bytes| bytes as usize),
        },
        "garbage" => Directive::Garbage,
        "stderr" => Directive::Stderr(rest.to_owned()),
        "halfline" => Directive::HalfLine,
        "exit" => Directive::Exit(rest.parse().unwrap_or(1)),
        "fail" => {
            let (status, rest) = split(rest);
            let (error, text) = split(rest);
            Directive::Fail {
                status: status.parse().ok(),
                error: error.to_owned(),
                text: text.to_owned(),
            }
        }
        "end" => {
            let (subtype, reason) = split(rest);
            Directive::End {
                subtype: subtype.to_owned(),
                reason: reason.to_owned(),
            }
        }
        "wait" => Directive::Wait(millis(rest)),
        "hang" => Directive::Hang,
        "ignore-interrupt" => Directive::IgnoreInterrupt,
        "later" => {
            let (time, line) = split(rest);
            Directive::Later {
                after: millis(time),
                line: line.to_owned(),
            }
        }
        "linger" => Directive::Linger(millis(rest)),
        _ => Directive::Say(format!("(fake claude does not know #fake:{word})")),
    }
}

fn split(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    (word, rest.trim())
}

fn millis(fields: &str) -> Duration {
    Duration::from_millis(number(fields, "millis").map_or(0, |millis| millis as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_read_line_by_line() {
        let prompt = "please\n#fake:fail 429 rate_limit Too much\n#fake:later millis=5 say late\n#fake:ask Which?|a|b c";
        let fail = Directive::Fail {
            status: Some(429),
            error: "rate_limit".into(),
            text: "Too much".into(),
        };
        let later = Directive::Later {
            after: Duration::from_millis(5),
            line: "say late".into(),
        };
        let ask = Directive::Ask {
            question: "Which?".into(),
            answers: vec!["a".into(), "b c".into()],
        };
        assert_eq!(parse(prompt), [fail, later, ask]);
        assert_eq!(parse("hi"), [Directive::Say("fake: hi".into())]);
    }
}
