//! Small values that cross the control channel and the public interface alike.

use std::{fmt, os::unix::process::ExitStatusExt as _};

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

/// A process id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pid(i32);

impl Pid {
    pub(crate) fn new(raw: i32) -> Self {
        Self(raw)
    }

    /// This process.
    pub(crate) fn own() -> Self {
        Self(nix::unistd::getpid().as_raw())
    }

    /// The number itself, for system calls and logs.
    pub fn as_raw(self) -> i32 {
        self.0
    }

    /// Sends a signal. That the process is gone already is no failure; that it's not ours to signal shows in the next
    /// look at `/proc`.
    pub(crate) fn signal(self, signal: Signal) {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.0), signal);
    }

    /// Sends a signal to the process group with this number, all its members at one instant.
    pub(crate) fn signal_group(self, signal: Signal) {
        let _ = nix::sys::signal::killpg(nix::unistd::Pid::from_raw(self.0), signal);
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How the CLI ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    /// It exited by itself with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// Nobody saw it end: its guard was killed, or stopped answering, or the [`Process`](crate::Process) was dropped.
    Lost,
}

impl ExitStatus {
    /// Whether it exited with code 0.
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }
}

impl From<std::process::ExitStatus> for ExitStatus {
    fn from(status: std::process::ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Code(code),
            (None, Some(signal)) => Self::Signal(signal),
            (None, None) => Self::Lost,
        }
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Code(code) => write!(f, "code {code}"),
            Self::Signal(number) => match Signal::try_from(number) {
                Ok(signal) => write!(f, "signal {number} ({})", signal.as_str()),
                Err(_) => write!(f, "signal {number}"),
            },
            Self::Lost => f.write_str("an unknown status"),
        }
    }
}

/// What a sweep did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepReport {
    /// How many processes were ended.
    pub ended: u32,
    /// What is still there after the bound: processes that can't be killed, or not by us.
    pub survivors: Vec<Pid>,
    /// Whether SIGKILL was needed.
    pub killed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_reads_well_in_a_sentence() {
        assert_eq!(ExitStatus::Code(3).to_string(), "code 3");
        assert_eq!(ExitStatus::Signal(9).to_string(), "signal 9 (SIGKILL)");
        assert_eq!(ExitStatus::Signal(40).to_string(), "signal 40");
        assert_eq!(ExitStatus::Lost.to_string(), "an unknown status");
    }

    #[test]
    fn only_code_zero_is_success() {
        assert!(ExitStatus::Code(0).success());
        assert!(!ExitStatus::Code(1).success());
        assert!(!ExitStatus::Signal(0).success());
        assert!(!ExitStatus::Lost.success());
    }
}
