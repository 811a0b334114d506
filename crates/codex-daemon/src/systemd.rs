//! What systemd and a service say to each other: readiness, the watchdog, a socket that is there already.

use std::{
    ffi::OsStr,
    os::{
        linux::net::SocketAddrExt as _,
        unix::ffi::OsStrExt as _,
        unix::net::{SocketAddr, UnixDatagram, UnixListener},
    },
    time::Duration,
};

use nix::fcntl::{FcntlArg, FdFlag};

use crate::config::ProcessEnvironment;

/// The way to systemd; without one, everything said is dropped.
#[derive(Debug, Default)]
pub(crate) struct Systemd {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// How often it wants to hear that we live.
    pub(crate) watchdog: Option<Duration>,
}

impl Systemd {
    /// As the environment says.
    pub(crate) fn of(environment: &ProcessEnvironment) -> Self {
        let socket = environment.get("NOTIFY_SOCKET").and_then(|name| {
            let address = address(name)?;
            Some((UnixDatagram::unbound().ok()?, address))
        });
        let own = std::process::id().to_string();
        let ours = environment
            .text("WATCHDOG_PID")
            .is_none_or(|pid| pid == own);
        let micros = environment
            .text("WATCHDOG_USEC")
            .and_then(|text| text.parse().ok());
        Self {
            socket,
            // Twice as often as it asks for.
            watchdog: micros
                .filter(|_| ours)
                .map(|micros: u64| Duration::from_micros(micros / 2)),
        }
    }

    /// Whether there is a systemd that listens.
    pub(crate) fn is_there(&self) -> bool {
        self.socket.is_some()
    }

    /// Says something, such as `READY=1`.
    pub(crate) fn say(&self, words: &str) {
        if let Some((socket, address)) = &self.socket
            && let Err(error) = socket.send_to_addr(words.as_bytes(), address)
        {
            tracing::debug!(%error, "systemd doesn't listen");
        }
    }
}

/// A path, or with `@` a name that is no file.
fn address(name: &OsStr) -> Option<SocketAddr> {
    match name.as_bytes().split_first()? {
        (b'@', name) => SocketAddr::from_abstract_name(name).ok(),
        _ => SocketAddr::from_pathname(name).ok(),
    }
}

/// The socket that systemd has bound for us, if it did. To be called before any thread.
pub fn inherited_socket() -> Option<UnixListener> {
    let socket = listenfd::ListenFd::from_env()
        .take_unix_listener(0)
        .ok()
        .flatten()?;
    // It was passed to us so that it survives an exec; what we start must not have it.
    let _ = nix::fcntl::fcntl(&socket, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC));
    Some(socket)
}
