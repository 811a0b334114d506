//! How a turn's journal is called.

use agent_core::{Attempt, SubtaskId, TaskId, TurnKey};
use journal::LogName;

/// `<task>-<subtask>-<attempt>`, the name of a turn's journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TurnLogName {
    /// Which turn.
    pub key: TurnKey,
    /// Which run of it.
    pub attempt: Attempt,
}

impl TurnLogName {
    /// As the journal takes it. Ids are numbers, so the name is always valid; a minus sign is written `m`.
    pub fn to_log_name(self) -> LogName {
        let name =
            format!("{}.{}.{}", self.key.task, self.key.subtask, self.attempt).replace('-', "m");
        LogName::new(name).expect("digits, dots and an `m` are valid in a log's name")
    }

    /// Reads a name back; `None` if it is none of ours.
    pub fn parse(name: &LogName) -> Option<Self> {
        let number = |part: &str| part.replace('m', "-").parse::<i64>().ok();
        let mut parts = name.as_str().split('.');
        let (task, subtask, attempt) = (parts.next()?, parts.next()?, parts.next()?);
        let key = TurnKey {
            task: TaskId(number(task)?),
            subtask: SubtaskId(number(subtask)?),
        };
        let attempt = Attempt(attempt.parse().ok()?);
        parts.next().is_none().then_some(Self { key, attempt })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for (task, subtask) in [(1, 2), (-1, 9_007_199_254_740_993), (0, -7)] {
            let key = TurnKey {
                task: TaskId(task),
                subtask: SubtaskId(subtask),
            };
            let name = TurnLogName {
                key,
                attempt: Attempt(3),
            };
            assert_eq!(TurnLogName::parse(&name.to_log_name()), Some(name));
        }
        assert_eq!(TurnLogName::parse(&LogName::new("1.2").unwrap()), None);
    }
}
