//! The guard process: what it does before it watches.
//!
//! The order matters. First the signals (a Ctrl-C at the terminal must not end the guard between two steps), then what
//! makes it the keeper of the session, then the CLI, then giving away everything that isn't its own.

mod sweep;
mod watch;

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io,
    os::{
        fd::{FromRawFd as _, OwnedFd, RawFd},
        unix::{net::UnixStream, process::CommandExt as _},
    },
    process::{Child, Command},
};

use nix::{
    fcntl::{FcntlArg, FdFlag, fcntl},
    sys::{
        prctl,
        signal::{
            SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction, sigprocmask,
        },
        signalfd::{SfdFlags, SignalFd},
    },
    unistd,
};

pub(crate) use watch::KILL_BOUND;

use crate::control::{EXEC, Word};

/// What the guard calls itself, in `argv[0]` and in `comm`, so that a kill by the executor's name leaves it alone.
pub(crate) const GUARD_NAME: &str = "wegent-guard";
/// The guard's first argument.
pub(crate) const GUARD_WORD: &str = "guard";
/// The option that names the inherited end of the control socket.
pub(crate) const CONTROL_FD: &str = "--control-fd";

/// Call as the very first thing in `main`, before any runtime or thread: if this process was started as a guard, runs
/// the guard and never returns. Otherwise returns at once.
///
/// A guard is known by its `argv[0]`, `wegent-guard`, and its first argument, `guard`. See [`Guard`](crate::Guard) for
/// who starts it so.
pub fn run_guard_if_asked() {
    let mut args = std::env::args_os();
    if args.next().as_deref() == Some(OsStr::new(GUARD_NAME))
        && args.next().as_deref() == Some(OsStr::new(GUARD_WORD))
    {
        std::process::exit(run(args));
    }
}

/// The guard's life; its result is an exit code, which nobody but a person with a debugger will see.
fn run(args: impl Iterator<Item = OsString>) -> i32 {
    let Some(asked) = Asked::parse(args) else {
        eprintln!(
            "{GUARD_NAME}: started by hand; it's started by the executor, with {CONTROL_FD} N -- PROGRAM ARGS"
        );
        return 2;
    };
    let Ok(control) = take_control(asked.control) else {
        return 2;
    };
    match prepare().and_then(|signals| Ok((start(&asked)?, signals))) {
        Ok((cli, signals)) => {
            give_away();
            watch::Watch::new(control, signals, cli).run();
            0
        }
        Err(failed) => {
            watch::say(
                &control,
                &Word::Failed {
                    errno: failed.errno,
                    what: failed.what.to_owned(),
                },
            );
            1
        }
    }
}

/// The guard's command line.
struct Asked {
    control: RawFd,
    program: OsString,
    args: Vec<OsString>,
}

impl Asked {
    fn parse(mut args: impl Iterator<Item = OsString>) -> Option<Self> {
        (args.next()? == CONTROL_FD).then_some(())?;
        let control = args.next()?.to_str()?.parse().ok()?;
        (args.next()? == "--").then_some(())?;
        Some(Self {
            control,
            program: args.next()?,
            args: args.collect(),
        })
    }
}

/// The step that failed, and why.
struct Failed {
    what: &'static str,
    errno: i32,
}

impl Failed {
    fn at(what: &'static str) -> impl Fn(io::Error) -> Self {
        move |error| Self {
            what,
            errno: error.raw_os_error().unwrap_or(nix::libc::EINVAL),
        }
    }
}

/// Takes over the inherited end of the control socket, and sees to it that nobody inherits it from us.
fn take_control(fd: RawFd) -> io::Result<UnixStream> {
    // The number comes from a command line: look before believing it.
    let link = fs::read_link(format!("/proc/self/fd/{fd}"))?;
    if fd <= 2 || !link.to_string_lossy().starts_with("socket:") {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    #[expect(unsafe_code, reason = "an inherited descriptor has only its number")]
    // SAFETY: it's open (looked up above), and this process has one thread and has opened nothing that it keeps, so
    // nothing else here owns the descriptor.
    let owned = unsafe { OwnedFd::from_raw_fd(fd) };
    fcntl(&owned, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    let control = UnixStream::from(owned);
    control.set_nonblocking(true)?;
    Ok(control)
}

/// Makes this process the keeper of a session of its own.
fn prepare() -> Result<SignalFd, Failed> {
    let at = |what| {
        move |errno: nix::Error| Failed {
            what,
            errno: errno as i32,
        }
    };
    // Blocked for good: only the control socket decides, not a terminal and not a `kill`.
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None).map_err(at("sigprocmask"))?;
    reset_dispositions();
    prctl::set_name(c"wegent-guard").map_err(at("set_name"))?;
    prctl::set_child_subreaper(true).map_err(at("set_child_subreaper"))?;
    // Away from the executor's terminal and group. It can't fail in a process that was just forked, and if it did the
    // session would still be kept.
    let _ = unistd::setsid();
    let mut children = SigSet::empty();
    children.add(Signal::SIGCHLD);
    SignalFd::with_flags(&children, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .map_err(at("signalfd"))
}

/// Undoes what the executor's own starter may have left: an ignored signal stays ignored over exec. With `SIGCHLD`
/// ignored nothing could be waited for; with `SIGTERM` ignored the CLI would never obey.
fn reset_dispositions() {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    for signal in
        Signal::iterator().filter(|signal| !matches!(signal, Signal::SIGKILL | Signal::SIGSTOP))
    {
        #[expect(
            unsafe_code,
            reason = "the standard library can't reset a signal's disposition"
        )]
        // SAFETY: the default action runs no code of ours.
        let _ = unsafe { sigaction(signal, &default) };
    }
}

/// Starts the CLI on the pipes that are our stdin, stdout and stderr, with our environment and folder.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the guard, the one way to start a CLI"
)]
fn start(asked: &Asked) -> Result<Child, Failed> {
    let guard = unistd::getpid();
    let mut command = Command::new(&asked.program);
    // A group of its own: the guard's group is never killed, see `Table::kill`.
    command.args(&asked.args).process_group(0);
    let before_exec = move || {
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        // Had the guard died before that call, its death would never be signalled.
        if unistd::getppid() != guard {
            return Err(io::Error::from_raw_os_error(nix::libc::ESRCH));
        }
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
        Ok(())
    };
    #[expect(
        unsafe_code,
        reason = "the parent-death signal and the mask are set between fork and exec"
    )]
    // SAFETY: the closure only makes system calls; it neither allocates nor takes a lock.
    unsafe {
        command.pre_exec(before_exec);
    }
    command.spawn().map_err(Failed::at(EXEC))
}

/// Gives away our copies of the CLI's pipes, else their ends would never be seen, and the folder, else it couldn't be
/// unmounted. Best effort: what can't be given away costs a late end of file, not the session.
fn give_away() {
    if let Ok(null) = File::options().read(true).write(true).open("/dev/null") {
        let _ = unistd::dup2_stdin(&null);
        let _ = unistd::dup2_stdout(&null);
        let _ = unistd::dup2_stderr(&null);
    }
    let _ = unistd::chdir("/");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Option<Asked> {
        Asked::parse(line.split(' ').map(OsString::from))
    }

    #[test]
    fn the_command_line_is_read_to_its_end() {
        let asked = parse("--control-fd 9 -- prog -- --control-fd 3").unwrap();
        assert_eq!((asked.control, asked.program), (9, OsString::from("prog")));
        assert_eq!(asked.args, ["--", "--control-fd", "3"]);
    }

    #[test]
    fn any_other_command_line_is_refused() {
        for line in [
            "",
            "--control-fd",
            "--control-fd x -- prog",
            "--control-fd 9 prog",
            "--control-fd 9 --",
        ] {
            assert!(parse(line).is_none(), "{line}");
        }
    }

    #[test]
    fn only_an_open_socket_is_taken_as_control() {
        let file = File::open("/dev/null").unwrap();
        for fd in [-1, 0, 1, 2, 9_999, std::os::fd::AsRawFd::as_raw_fd(&file)] {
            assert!(take_control(fd).is_err(), "{fd}");
        }
    }
}
