//! The guard's loop: hear orders, reap, sweep, end.

use std::{
    io::{self, Read as _, Write as _},
    os::{fd::AsFd as _, unix::net::UnixStream},
    process::Child,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::Signal,
        signalfd::SignalFd,
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
};

use super::sweep::{Look, Sweep};
use crate::{
    ExitStatus, Pid,
    control::{Order, Word},
    proc::{Table, own_children},
};

/// After this long of killing, what is left is reported.
pub(crate) const KILL_BOUND: Duration = Duration::from_secs(3);
/// After this long the guard itself gives up on it. A process that hangs in the kernel may take its time, one of
/// another user never goes.
const GIVE_UP: Duration = Duration::from_secs(60);
/// How often a running sweep looks. Only children announce their death; deeper descendants have to be looked for.
const SWEEP_LOOK: Duration = Duration::from_millis(10);
/// How often [`Watch::hunt`] looks in one go; each takes some ten microseconds.
const HUNT_ROUNDS: u32 = 100;
/// The longest line of orders. More than this without an end is no executor of ours.
const LONGEST_ORDER: usize = 64 << 10;

/// A guard that watches its CLI.
pub(super) struct Watch {
    control: UnixStream,
    /// Whether the executor is still there.
    heard: bool,
    inbox: Vec<u8>,
    signals: SignalFd,
    own: Pid,
    cli: Child,
    cli_pid: Pid,
    cli_ended: bool,
    /// How many children other than the CLI have been reaped.
    orphans_reaped: u64,
    sweeps: Vec<Sweep>,
    ending: Option<Ending>,
}

/// The session's end, once it has begun. Nothing takes it back.
struct Ending {
    since: Instant,
    /// How long to wait before the next look; doubles, so that a stubborn process doesn't cost a core.
    pause: Duration,
    told: bool,
}

impl Watch {
    pub(super) fn new(control: UnixStream, signals: SignalFd, cli: Child) -> Self {
        // A process id fits the kernel's type; the standard library only hands it out unsigned.
        let cli_pid = Pid::new(cli.id().cast_signed());
        say(&control, &Word::Started(cli_pid));
        Self {
            control,
            heard: true,
            inbox: Vec::new(),
            signals,
            own: Pid::own(),
            cli,
            cli_pid,
            cli_ended: false,
            orphans_reaped: 0,
            sweeps: Vec::new(),
            ending: None,
        }
    }

    /// Watches until no descendant is left.
    pub(super) fn run(mut self) {
        loop {
            self.wait();
            self.hear();
            let alone = self.reap();
            if self.ending.is_some() {
                if self.end(alone) {
                    return;
                }
            } else {
                self.advance_sweeps();
            }
        }
    }

    /// Sleeps until there's an order, a dead child, or time to look again.
    fn wait(&mut self) {
        let pause = match &self.ending {
            Some(ending) => Some(ending.pause),
            None => (!self.sweeps.is_empty()).then_some(SWEEP_LOOK),
        };
        let timeout = pause.map_or(PollTimeout::NONE, |pause| {
            PollTimeout::try_from(pause).unwrap_or(PollTimeout::ZERO)
        });
        let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        if self.heard {
            fds.push(PollFd::new(self.control.as_fd(), PollFlags::POLLIN));
        }
        // An error here (there is no signal to interrupt it) only means that we look at once.
        let _ = poll(&mut fds, timeout);
        while let Ok(Some(_)) = self.signals.read_signal() {}
    }

    /// Reads and obeys what the executor has sent. Its end, or nonsense from it, ends the session.
    fn hear(&mut self) {
        let mut buffer = [0; 1 << 10];
        while self.heard {
            match self.control.read(&mut buffer) {
                Ok(0) => self.lose_executor(),
                Ok(count) => self.inbox.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => self.lose_executor(),
            }
            self.obey_inbox();
        }
    }

    fn obey_inbox(&mut self) {
        while let Some(end) = self.inbox.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.inbox.drain(..=end).collect();
            let order = std::str::from_utf8(&line[..end])
                .ok()
                .and_then(|line| line.parse().ok());
            match order {
                Some(Order::Term) if !self.cli_ended => self.cli_pid.signal(Signal::SIGTERM),
                Some(Order::Term) => {}
                Some(Order::Kill) => self.begin_ending(),
                Some(Order::Sweep { id, grace, marks }) => {
                    self.sweeps.push(Sweep::new(id, grace, marks))
                }
                None => self.lose_executor(),
            }
        }
        if self.inbox.len() > LONGEST_ORDER {
            self.lose_executor();
        }
    }

    fn lose_executor(&mut self) {
        self.heard = false;
        self.inbox.clear();
        self.begin_ending();
    }

    fn begin_ending(&mut self) {
        self.ending.get_or_insert_with(|| Ending {
            since: Instant::now(),
            pause: Duration::ZERO,
            told: false,
        });
    }

    /// Reaps every dead child and says whether none is left, dead or alive. As every orphan below us becomes our child,
    /// that is the same as: no descendant is left.
    fn reap(&mut self) -> bool {
        if !self.cli_ended
            && let Ok(Some(status)) = self.cli.try_wait()
        {
            self.cli_has_ended(status.into());
        }
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => return false,
                Ok(WaitStatus::Exited(pid, code)) if pid.as_raw() == self.cli_pid.as_raw() => {
                    self.cli_has_ended(ExitStatus::Code(code));
                }
                Ok(WaitStatus::Signaled(pid, signal, _))
                    if pid.as_raw() == self.cli_pid.as_raw() =>
                {
                    self.cli_has_ended(ExitStatus::Signal(signal as i32));
                }
                Err(Errno::ECHILD) => {
                    // It can only have gone unseen through the last arm.
                    if !self.cli_ended {
                        self.cli_has_ended(ExitStatus::Lost);
                    }
                    return true;
                }
                Ok(_) => self.orphans_reaped += 1,
                // One ended by a real-time signal, which `nix` reaps but can't name.
                Err(_) => self.orphans_reaped += 1,
            }
        }
    }

    fn cli_has_ended(&mut self, status: ExitStatus) {
        self.cli_ended = true;
        say(&self.control, &Word::Exited(status));
        self.begin_ending();
    }

    fn advance_sweeps(&mut self) {
        if self.sweeps.is_empty() {
            return;
        }
        let table = Table::read();
        for mut sweep in std::mem::take(&mut self.sweeps) {
            let report = match sweep.look(&table, self.own, self.cli_pid) {
                Look::Empty if self.confirm(&sweep) => Some(sweep.report(&[])),
                Look::Late(report) => Some(report),
                Look::Empty | Look::Busy => None,
            };
            match report {
                Some(report) => say(
                    &self.control,
                    &Word::Swept {
                        id: sweep.id(),
                        report,
                    },
                ),
                None => {
                    if sweep.may_kill() {
                        self.hunt(Some(self.cli_pid));
                    }
                    self.sweeps.push(sweep);
                }
            }
        }
    }

    /// Whether the empty look of a sweep was right.
    ///
    /// A table isn't a snapshot. A process can fork and exit while it's read, such that neither parent nor child is in
    /// it. But a child so orphaned is ours from then on: a second look finds it, or it has died meanwhile, which shows
    /// in what is to be reaped. So a second look that's empty, with no orphan reaped after it, is the proof.
    fn confirm(&mut self, sweep: &Sweep) -> bool {
        self.reap();
        let before = self.orphans_reaped;
        let empty = sweep.is_empty(&Table::read(), self.own, self.cli_pid);
        self.reap();
        empty && self.orphans_reaped == before
    }

    /// Kills our own children but `spare`, again and again for a moment. All of them are orphans, to be ended in a sweep
    /// as at the end; and a chain of processes that fork and exit, too short-lived for a table, passes through here.
    fn hunt(&mut self, spare: Option<Pid>) {
        for _ in 0..HUNT_ROUNDS {
            let mut prey = own_children().unwrap_or_default();
            prey.retain(|pid| Some(*pid) != spare);
            if prey.is_empty() {
                return;
            }
            prey.iter().for_each(|pid| pid.signal(Signal::SIGKILL));
            self.reap();
        }
    }

    /// One step of the end; whether it's the last.
    fn end(&mut self, alone: bool) -> bool {
        let left = if alone { Vec::new() } else { self.kill_all() };
        let Some(ending) = &mut self.ending else {
            return false;
        };
        let late = ending.since.elapsed() >= KILL_BOUND;
        if (alone || late) && !ending.told {
            ending.told = true;
            for sweep in self.sweeps.drain(..) {
                let report = sweep.report(&left);
                say(
                    &self.control,
                    &Word::Swept {
                        id: sweep.id(),
                        report,
                    },
                );
            }
            say(&self.control, &Word::Gone { survivors: left });
        }
        ending.pause =
            (ending.pause * 2).clamp(Duration::from_millis(1), Duration::from_millis(20));
        alone || ending.since.elapsed() >= GIVE_UP
    }

    /// Kills all descendants that a look shows, and names them.
    fn kill_all(&mut self) -> Vec<Pid> {
        let table = Table::read();
        let mut targets = table.closure([self.own], Pid::new(0));
        targets.remove(&self.own);
        table.kill(&targets);
        self.hunt(None);
        Vec::from_iter(targets)
    }
}

/// Says a word to the executor. One that doesn't listen any more, or whose socket is full, isn't waited for: there is
/// nothing the guard would do differently.
pub(super) fn say(mut control: &UnixStream, word: &Word) {
    let _ = control.write_all(format!("{word}\n").as_bytes());
}
