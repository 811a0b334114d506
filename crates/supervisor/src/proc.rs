//! What `/proc` shows: who descends from whom, who is in which group, who carries a mark.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Read as _,
};

use nix::sys::signal::Signal;

use crate::{Pid, guard::GUARD_NAME};

/// One look at all processes. It isn't a snapshot: processes come and go while it's taken, so whoever needs to be sure
/// looks again.
pub(crate) struct Table {
    entries: BTreeMap<Pid, Entry>,
}

/// One line of `/proc/PID/stat`, as far as it's of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    parent: Pid,
    group: Pid,
    /// Not a mere zombie.
    alive: bool,
    /// Is, or claims to be, a guard.
    pub(crate) guard: bool,
    /// In clock ticks since boot; with the pid it names a process for ever.
    pub(crate) started: u64,
}

impl Table {
    /// Reads `/proc`. Without it (no machine that runs agents lacks it) the table is empty.
    pub(crate) fn read() -> Self {
        let mut text = Vec::with_capacity(512);
        let mut entries = BTreeMap::new();
        for item in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = item.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            text.clear();
            let read = fs::File::open(format!("/proc/{pid}/stat"))
                .and_then(|mut file| file.read_to_end(&mut text));
            // A process that ended since the folder was read is no process.
            if let Some(entry) = read.ok().and_then(|_| parse_stat(&text)) {
                entries.insert(Pid::new(pid), entry);
            }
        }
        Self { entries }
    }

    pub(crate) fn get(&self, pid: Pid) -> Option<&Entry> {
        self.entries.get(&pid)
    }

    /// Whether this is a guard, or has one above it.
    pub(crate) fn is_guarded(&self, pid: Pid) -> bool {
        let mut next = Some(pid);
        // Longer than any chain there can be: a look that isn't a snapshot may show a ring.
        for _ in 0..self.entries.len() {
            match next.and_then(|pid| self.get(pid)) {
                Some(entry) if entry.guard => return true,
                entry => next = entry.map(|entry| entry.parent),
            }
        }
        false
    }

    /// Everything that is more than a zombie.
    pub(crate) fn alive(&self) -> impl Iterator<Item = Pid> + '_ {
        self.entries
            .iter()
            .filter(|(_, entry)| entry.alive)
            .map(|(pid, _)| *pid)
    }

    /// The live children of `parent`.
    pub(crate) fn children(&self, parent: Pid) -> impl Iterator<Item = Pid> + '_ {
        self.alive()
            .filter(move |pid| self.entries[pid].parent == parent)
    }

    /// `roots` and whatever descends from them, but neither `except` nor what descends from it alone. The living only.
    pub(crate) fn closure(
        &self,
        roots: impl IntoIterator<Item = Pid>,
        except: Pid,
    ) -> BTreeSet<Pid> {
        let mut children: BTreeMap<Pid, Vec<Pid>> = BTreeMap::new();
        for pid in self.alive() {
            children
                .entry(self.entries[&pid].parent)
                .or_default()
                .push(pid);
        }
        let mut open: Vec<Pid> = roots.into_iter().collect();
        let mut found = BTreeSet::new();
        while let Some(pid) = open.pop() {
            if pid != except && found.insert(pid) {
                open.extend(children.get(&pid).into_iter().flatten());
            }
        }
        found
    }

    /// SIGKILL to all of `targets`, which come from this same table, so that no number is used that was seen earlier.
    ///
    /// A group whose living members are all targets is killed as a group: the kernel does that at one instant, so even
    /// processes that fork and exit faster than we can look don't get away.
    pub(crate) fn kill(&self, targets: &BTreeSet<Pid>) {
        let groups: BTreeSet<Pid> = targets
            .iter()
            .filter_map(|pid| self.get(*pid))
            .map(|entry| entry.group)
            .collect();
        let foreign: BTreeSet<Pid> = self
            .alive()
            .filter(|pid| !targets.contains(pid))
            .map(|pid| self.entries[&pid].group)
            .collect();
        for group in groups
            .difference(&foreign)
            .filter(|group| group.as_raw() > 1)
        {
            group.signal_group(Signal::SIGKILL);
        }
        for pid in targets {
            pid.signal(Signal::SIGKILL);
        }
    }
}

/// This thread's children, dead ones not yet waited for included. One file, so it takes a fraction of what a table takes;
/// `None` where the kernel was built without it.
pub(crate) fn own_children() -> Option<Vec<Pid>> {
    let text = fs::read_to_string("/proc/thread-self/children").ok()?;
    Some(
        text.split_ascii_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .map(Pid::new)
            .collect(),
    )
}

/// Parses `/proc/PID/stat`. The command name may contain spaces, parentheses and bytes that are no UTF-8, so fields are
/// counted from its last closing parenthesis.
fn parse_stat(text: &[u8]) -> Option<Entry> {
    let open = text.iter().position(|byte| *byte == b'(')?;
    let close = text.iter().rposition(|byte| *byte == b')')?;
    let name = text.get(open + 1..close)?;
    let fields: Vec<&str> = std::str::from_utf8(text.get(close + 1..)?)
        .ok()?
        .split_ascii_whitespace()
        .collect();
    let number = |index: usize| fields.get(index)?.parse::<i64>().ok();
    let dead = matches!(*fields.first()?, "Z" | "X" | "x");
    // The main thread may have ended while others run: that looks like a zombie and isn't one.
    let threads = number(17)?;
    Some(Entry {
        parent: Pid::new(number(1)?.try_into().ok()?),
        group: Pid::new(number(2)?.try_into().ok()?),
        alive: !dead || threads > 1,
        guard: name == GUARD_NAME.as_bytes(),
        started: fields.get(19)?.parse().ok()?,
    })
}

/// Whether an entry (`NAME=value`) of the environment that `pid` was started with satisfies `wanted`. A process whose
/// environment we may not read has none.
pub(crate) fn environment_has(pid: Pid, wanted: impl Fn(&[u8]) -> bool) -> bool {
    fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|environment| environment.split(|byte| *byte == 0).any(wanted))
}

/// Whether an environment entry sets the variable `name`.
pub(crate) fn sets(entry: &[u8], name: &str) -> bool {
    entry
        .strip_prefix(name.as_bytes())
        .is_some_and(|rest| rest.first() == Some(&b'='))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: &str = "0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1000 20";

    fn table(rows: &[(i32, i32, bool)]) -> Table {
        let entry = |parent: i32, alive| Entry {
            parent: Pid::new(parent),
            group: Pid::new(1),
            alive,
            guard: false,
            started: 0,
        };
        Table {
            entries: rows
                .iter()
                .map(|&(pid, parent, alive)| (Pid::new(pid), entry(parent, alive)))
                .collect(),
        }
    }

    fn raw(pids: &BTreeSet<Pid>) -> Vec<i32> {
        pids.iter().map(|pid| pid.as_raw()).collect()
    }

    #[test]
    fn a_plain_stat_line_is_read() {
        let entry = parse_stat(format!("42 (sh) S 7 40 39 {REST}").as_bytes()).unwrap();
        let expected = Entry {
            parent: Pid::new(7),
            group: Pid::new(40),
            alive: true,
            guard: false,
            started: 987_654,
        };
        assert_eq!(entry, expected);
    }

    #[test]
    fn a_name_with_spaces_parens_and_no_utf8_does_not_shift_fields() {
        for name in [&b"a b"[..], b") R 1 1", b"((x", b"\xff\xfe)", b""] {
            let mut line = b"42 (".to_vec();
            line.extend_from_slice(name);
            line.extend_from_slice(format!(") R 7 40 39 {REST}").as_bytes());
            let entry = parse_stat(&line).unwrap();
            assert_eq!(
                (entry.parent, entry.group),
                (Pid::new(7), Pid::new(40)),
                "{name:?}"
            );
        }
    }

    #[test]
    fn a_zombie_is_not_alive_unless_threads_are_left() {
        let line = |threads| {
            format!("42 (sh) Z 7 40 39 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 {threads} 0 9 1000 20")
        };
        assert!(!parse_stat(line(1).as_bytes()).unwrap().alive);
        assert!(parse_stat(line(2).as_bytes()).unwrap().alive);
    }

    #[test]
    fn a_torn_stat_line_is_no_process() {
        for line in [
            "",
            "42",
            "42 (sh",
            "42 (sh)",
            "42 (sh) S",
            "42 (sh) S 7 40 39 0",
            ") (",
        ] {
            assert_eq!(parse_stat(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn the_closure_follows_children_and_stops_at_the_exception() {
        let table = table(&[
            (2, 1, true),
            (3, 2, true),
            (4, 3, true),
            (5, 2, true),
            (6, 5, true),
            (7, 2, false),
        ]);
        assert_eq!(raw(&table.closure([Pid::new(2)], Pid::new(5))), [2, 3, 4]);
        assert_eq!(
            raw(&table.closure([Pid::new(2)], Pid::new(0))),
            [2, 3, 4, 5, 6]
        );
        assert_eq!(raw(&table.closure([], Pid::new(0))), [0; 0]);
    }

    #[test]
    fn this_process_is_in_the_table_and_its_environment_is_read() {
        let table = Table::read();
        assert!(table.get(Pid::own()).is_some_and(|entry| entry.alive));
        assert!(environment_has(Pid::own(), |entry| sets(
            entry,
            "CARGO_PKG_NAME"
        )));
        assert!(!environment_has(Pid::own(), |entry| sets(
            entry,
            "CARGO_PKG_NAM"
        )));
    }
}
