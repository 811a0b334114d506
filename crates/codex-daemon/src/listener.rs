//! The socket: bound for its owner only, bound again when somebody removes it, and who may come in.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt as _,
    net::{UnixListener, UnixStream},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    connection,
    hub::Hub,
    paths::PathError,
    protocol::{DaemonLine, Fault, FaultCode},
};

/// How often it is looked whether the socket's file is still there.
const LOOK: Duration = Duration::from_millis(500);

/// The socket that clients connect to.
pub(crate) struct Listener {
    socket: UnixListener,
    path: PathBuf,
    /// The file's number, if it is ours; systemd's is its own.
    inode: Option<u64>,
}

impl Listener {
    /// Binds the socket. Its folder is private, so nobody comes in before its mode is set.
    pub(crate) fn bind(path: &Path) -> Result<Self, PathError> {
        let socket = UnixListener::bind(path).map_err(PathError::io(path))?;
        let set = fs::set_permissions(path, fs::Permissions::from_mode(0o600));
        set.map_err(PathError::io(path))?;
        let inode = fs::symlink_metadata(path)
            .map_err(PathError::io(path))?
            .ino();
        Ok(Self {
            socket,
            path: path.to_owned(),
            inode: Some(inode),
        })
    }

    /// Takes a socket that systemd has bound.
    pub(crate) fn inherited(
        socket: std::os::unix::net::UnixListener,
        path: &Path,
    ) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket: UnixListener::from_std(socket)?,
            path: path.to_owned(),
            inode: None,
        })
    }

    /// Lets clients in until the daemon ends.
    pub(crate) async fn run(mut self, hub: Arc<Hub>) {
        let mut clients = JoinSet::new();
        loop {
            tokio::select! {
                () = hub.stop.cancelled() => break,
                accepted = self.socket.accept() => match accepted {
                    Ok((stream, _)) => admit(&hub, stream, &mut clients),
                    Err(error) => {
                        tracing::error!(%error, "a client can't be let in");
                        sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(_) = clients.join_next() => {}
                () = sleep(LOOK) => self.look(),
            }
        }
        self.remove();
        let _ = timeout(Duration::from_secs(3), async {
            while clients.join_next().await.is_some() {}
        })
        .await;
        clients.shutdown().await;
    }

    fn is_there(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|there| Some(there.ino()) == self.inode)
    }

    /// Binds the socket again if its file is gone. Whoever is connected stays so.
    fn look(&mut self) {
        if self.inode.is_none() || self.path.symlink_metadata().is_ok() {
            return;
        }
        match Self::bind(&self.path) {
            Ok(new) => {
                tracing::warn!(socket = %self.path.display(), "the socket was removed and is bound again");
                *self = new;
            }
            Err(error) => tracing::error!(error = host::error_chain(&error), "the socket is gone"),
        }
    }

    fn remove(&self) {
        if self.is_there() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn admit(hub: &Arc<Hub>, stream: UnixStream, clients: &mut JoinSet<()>) {
    let own = nix::unistd::geteuid().as_raw();
    match stream.peer_cred() {
        Ok(peer) if peer.uid() == own => {}
        Ok(peer) => return tracing::warn!(uid = peer.uid(), "a client of another user is refused"),
        Err(error) => return tracing::warn!(%error, "a client of an unknown user is refused"),
    }
    let most = hub.config.limits.clients;
    if hub.figures.clients.load(Ordering::Relaxed) >= most {
        clients.spawn(turn_away(stream, most));
        return;
    }
    hub.figures.clients.fetch_add(1, Ordering::Relaxed);
    let hub = Arc::clone(hub);
    clients.spawn(async move {
        // Also counted down when it panics or is aborted.
        let _counted = Counted(Arc::clone(&hub));
        connection::serve(hub, stream).await;
    });
}

struct Counted(Arc<Hub>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.figures.clients.fetch_sub(1, Ordering::Relaxed);
        self.0.touch();
    }
}

async fn turn_away(mut stream: UnixStream, most: usize) {
    let error = Fault::new(
        FaultCode::Busy,
        format!("{most} clients are connected already"),
    )
    .remedy("`max_clients` sets how many there may be");
    let mut line = serde_json::to_vec(&DaemonLine::Error { id: None, error }).unwrap_or_default();
    line.push(b'\n');
    let _ = timeout(Duration::from_secs(1), stream.write_all(&line)).await;
}
