//! Who the daemon is: one process per socket, settled by a lock that the kernel gives up when its holder dies.
//!
//! Nothing is guessed from a process id that may be another process's by now. The lock file holds one for people to read.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::{
        fs::{FileTypeExt as _, MetadataExt as _},
        net::UnixStream,
    },
    path::{Path, PathBuf},
};

use nix::fcntl::{Flock, FlockArg};

use crate::{
    config::{Config, folder_of},
    paths::{self, PathError},
};

/// Why this process can't be the daemon.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    /// Another daemon runs.
    #[error("a daemon is already running{}", pid.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    Running {
        /// Its process, if it says.
        pid: Option<i32>,
    },
    /// Another program listens on the socket.
    #[error(
        "the socket `{}` is in use by another program{}: end that program, or choose another socket with --socket; \
         `codex-daemon check` looks again",
        socket.display(), pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    SocketTaken {
        /// The socket.
        socket: PathBuf,
        /// The program's process, if the system tells.
        pid: Option<i32>,
    },
    /// A file or folder can't be used.
    #[error(transparent)]
    Path(#[from] PathError),
}

/// Being the daemon. Dropping it gives the lock up and removes its file.
#[derive(Debug)]
pub struct Owner {
    lock: PathBuf,
    pid_file: PathBuf,
    /// Held for life.
    _held: Flock<File>,
}

/// Where the lock of a socket lies.
pub fn lock_path(socket: &Path) -> PathBuf {
    let mut name = socket.file_name().unwrap_or_default().to_owned();
    name.push(".lock");
    folder_of(socket).join(name)
}

impl Owner {
    /// Becomes the daemon of the configured socket, whose old file is removed if nobody listens on it; with a socket
    /// that systemd has bound for us (`inherited`) the file is left alone.
    ///
    /// # Errors
    /// [`OwnerError`]: somebody else is it, or a path can't be trusted.
    pub fn claim(config: &Config, inherited: bool) -> Result<Self, OwnerError> {
        paths::private_folder(folder_of(&config.socket))?;
        paths::private_folder(&config.state_dir)?;
        paths::private_folder(folder_of(&config.log_file))?;
        paths::check_file(&config.pid_file)?;
        let lock = lock_path(&config.socket);
        let held = hold(&lock)?;
        let owner = Self {
            lock,
            pid_file: config.pid_file.clone(),
            _held: held,
        };
        owner.sign()?;
        if !inherited {
            clear_socket(&config.socket)?;
        }
        Ok(owner)
    }

    fn sign(&self) -> Result<(), PathError> {
        let text = format!("{}\n", std::process::id());
        let mut file: &File = &self._held;
        file.set_len(0)
            .and_then(|()| file.write_all(text.as_bytes()))
            .map_err(PathError::io(&self.lock))?;
        paths::replace_file(&self.pid_file, text.as_bytes(), paths::Durable::No)
            .map_err(PathError::io(&self.pid_file))
    }
}

impl Drop for Owner {
    /// While the lock is held, so that nobody else's files are removed.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.pid_file);
        let _ = fs::remove_file(&self.lock);
    }
}

/// Takes the lock. A file that its last holder removed between our opening and our locking is no lock any more.
fn hold(path: &Path) -> Result<Flock<File>, OwnerError> {
    loop {
        let file = paths::private_file(path)?;
        let held = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(held) => held,
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => {
                return Err(OwnerError::Running {
                    pid: written_pid(path),
                });
            }
            Err((_, errno)) => return Err(PathError::io(path)(errno.into()).into()),
        };
        let ours = held.metadata().map_err(PathError::io(path))?;
        if fs::metadata(path).is_ok_and(|there| there.ino() == ours.ino()) {
            return Ok(held);
        }
    }
}

/// The process id written in a file.
pub fn written_pid(path: &Path) -> Option<i32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Whether some process holds the daemon's lock.
pub fn is_held(socket: &Path) -> bool {
    let Ok(file) = File::open(lock_path(socket)) else {
        return false;
    };
    // A shared lock for a moment: two who look don't take each other for a daemon.
    Flock::lock(file, FlockArg::LockSharedNonblock).is_err()
}

/// Removes a socket that nobody listens on. Called while the lock is held, so it isn't another daemon's.
fn clear_socket(socket: &Path) -> Result<(), OwnerError> {
    match fs::symlink_metadata(socket) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(paths::check_socket(socket)?);
        }
        Err(error) => return Err(PathError::io(socket)(error).into()),
        // A live socket first: its mode is its owner's business.
        Ok(metadata) if metadata.file_type().is_socket() => {
            if let Some(pid) = listener(socket) {
                let socket = socket.to_owned();
                return Err(OwnerError::SocketTaken { socket, pid });
            }
        }
        Ok(_) => {}
    }
    match paths::check_socket(socket) {
        Ok(()) | Err(PathError::Mode { .. }) => {}
        Err(wrong) => return Err(wrong.into()),
    }
    Ok(fs::remove_file(socket).map_err(PathError::io(socket))?)
}

/// Whether somebody listens on a socket, and which process (if the system tells).
pub fn listener(socket: &Path) -> Option<Option<i32>> {
    let stream = UnixStream::connect(socket).ok()?;
    let peer = nix::sys::socket::getsockopt(&stream, nix::sys::socket::sockopt::PeerCredentials);
    Some(peer.ok().map(|peer| peer.pid()))
}
