//! What executor and guard say to each other: one line of ASCII each, over a Unix stream socket.
//!
//! Both ends are the same binary, so there is no version and nothing optional. A line that can't be parsed is a bug.

use std::{fmt, str::FromStr, time::Duration};

use crate::{ExitStatus, Pid, SweepReport};

/// An order from the executor to the guard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// End what tools started; see [`ProcessHandle::sweep`](crate::ProcessHandle::sweep).
    Sweep {
        id: u64,
        grace: Duration,
        marks: Vec<String>,
    },
    /// SIGTERM to the CLI.
    Term,
    /// SIGKILL to everything.
    Kill,
}

/// A fact from the guard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// The CLI runs.
    Started(Pid),
    /// It doesn't, and the guard ends. `what` is [`EXEC`] or the guard's own step that failed.
    Failed { errno: i32, what: String },
    /// The CLI has ended; the guard is ending the rest.
    Exited(ExitStatus),
    /// The sweep of this id is over.
    Swept { id: u64, report: SweepReport },
    /// The session is over. What couldn't be killed is named.
    Gone { survivors: Vec<Pid> },
}

/// [`Word::Failed`]: the program itself could not be started.
pub(crate) const EXEC: &str = "exec";

/// A line that is no word of the protocol.
#[derive(Debug, thiserror::Error)]
#[error("not a line of the guard's protocol: `{0}`")]
pub(crate) struct NotProtocol(String);

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sweep { id, grace, marks } => {
                write!(f, "sweep {id} {} {}", grace.as_millis(), List(marks))
            }
            Self::Term => f.write_str("term"),
            Self::Kill => f.write_str("kill"),
        }
    }
}

impl FromStr for Order {
    type Err = NotProtocol;

    fn from_str(line: &str) -> Result<Self, NotProtocol> {
        let mut words = line.split(' ');
        let order = match words.next() {
            Some("sweep") => (|| {
                Some(Self::Sweep {
                    id: words.next()?.parse().ok()?,
                    grace: Duration::from_millis(words.next()?.parse().ok()?),
                    marks: list(words.next()?)?,
                })
            })(),
            Some("term") => Some(Self::Term),
            Some("kill") => Some(Self::Kill),
            _ => None,
        };
        order
            .filter(|_| words.next().is_none())
            .ok_or_else(|| NotProtocol(line.to_owned()))
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started(pid) => write!(f, "started {pid}"),
            Self::Failed { errno, what } => write!(f, "failed {errno} {what}"),
            Self::Exited(ExitStatus::Code(code)) => write!(f, "exited code {code}"),
            Self::Exited(ExitStatus::Signal(signal)) => write!(f, "exited signal {signal}"),
            Self::Exited(ExitStatus::Lost) => write!(f, "exited lost 0"),
            Self::Swept { id, report } => {
                let killed = u8::from(report.killed);
                write!(
                    f,
                    "swept {id} {} {killed} {}",
                    report.ended,
                    List(&report.survivors)
                )
            }
            Self::Gone { survivors } => write!(f, "gone {}", List(survivors)),
        }
    }
}

impl FromStr for Word {
    type Err = NotProtocol;

    fn from_str(line: &str) -> Result<Self, NotProtocol> {
        let mut words = line.split(' ');
        let word = match words.next() {
            Some("started") => words.next().and_then(pid).map(Self::Started),
            Some("failed") => failed(&mut words),
            Some("exited") => exited(&mut words),
            Some("swept") => swept(&mut words),
            Some("gone") => words
                .next()
                .and_then(pids)
                .map(|survivors| Self::Gone { survivors }),
            _ => None,
        };
        word.filter(|_| words.next().is_none())
            .ok_or_else(|| NotProtocol(line.to_owned()))
    }
}

fn failed<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<Word> {
    Some(Word::Failed {
        errno: words.next()?.parse().ok()?,
        what: words.next()?.to_owned(),
    })
}

fn exited<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<Word> {
    let (how, number) = (words.next()?, words.next()?.parse().ok()?);
    Some(Word::Exited(match how {
        "code" => ExitStatus::Code(number),
        "signal" => ExitStatus::Signal(number),
        "lost" => ExitStatus::Lost,
        _ => return None,
    }))
}

fn swept<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<Word> {
    let id = words.next()?.parse().ok()?;
    let ended = words.next()?.parse().ok()?;
    let killed = words.next()? == "1";
    let survivors = pids(words.next()?)?;
    Some(Word::Swept {
        id,
        report: SweepReport {
            ended,
            survivors,
            killed,
        },
    })
}

fn pid(text: &str) -> Option<Pid> {
    text.parse().ok().map(Pid::new)
}

fn pids(text: &str) -> Option<Vec<Pid>> {
    list::<i32>(text).map(|numbers| numbers.into_iter().map(Pid::new).collect())
}

/// A list as one word: its items with commas, or `-` for none.
struct List<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((first, rest)) = self.0.split_first() else {
            return f.write_str("-");
        };
        first.fmt(f)?;
        rest.iter().try_for_each(|item| write!(f, ",{item}"))
    }
}

fn list<T: FromStr>(text: &str) -> Option<Vec<T>> {
    if text == "-" {
        return Some(Vec::new());
    }
    text.split(',').map(|item| item.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_survives_the_way() {
        let orders = [
            Order::Sweep {
                id: 7,
                grace: Duration::from_millis(250),
                marks: vec![],
            },
            Order::Sweep {
                id: u64::MAX,
                grace: Duration::ZERO,
                marks: vec!["A".into(), "B_1".into()],
            },
            Order::Term,
            Order::Kill,
        ];
        for order in orders {
            assert_eq!(order.to_string().parse::<Order>().unwrap(), order);
        }
    }

    #[test]
    fn every_word_survives_the_way() {
        let report = SweepReport {
            ended: 4,
            survivors: vec![Pid::new(5), Pid::new(6)],
            killed: true,
        };
        let words = [
            Word::Started(Pid::new(12)),
            Word::Failed {
                errno: 2,
                what: EXEC.into(),
            },
            Word::Exited(ExitStatus::Code(0)),
            Word::Exited(ExitStatus::Signal(9)),
            Word::Exited(ExitStatus::Lost),
            Word::Swept { id: 1, report },
            Word::Swept {
                id: 2,
                report: SweepReport::default(),
            },
            Word::Gone { survivors: vec![] },
            Word::Gone {
                survivors: vec![Pid::new(8)],
            },
        ];
        for word in words {
            assert_eq!(word.to_string().parse::<Word>().unwrap(), word);
        }
    }

    #[test]
    fn garbage_is_refused() {
        for line in [
            "",
            "sweep",
            "sweep 1 2",
            "sweep x 2 -",
            "sweep 1 2 - 4",
            "term now",
            "TERM",
        ] {
            assert!(line.parse::<Order>().is_err(), "{line}");
        }
        for line in [
            "",
            "started",
            "started x",
            "exited code",
            "exited how 1",
            "gone",
            "gone 1,,2",
            "swept 1 2 3",
        ] {
            assert!(line.parse::<Word>().is_err(), "{line}");
        }
    }
}
