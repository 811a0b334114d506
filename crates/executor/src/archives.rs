//! A task's archive: packed and uploaded, or downloaded and unpacked.
//!
//! The archive lies on disk in between: what is uploaded has a length that is known before, and what is unpacked was read
//! whole. URLs are presigned, which makes them secrets: none is logged or told.

use std::{
    fs::{File, OpenOptions},
    io::{self, Seek},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use agent_core::{TaskId, error_chain, scratch::Scratch};
use http_client::{ClientError, HttpClients, HttpUrl};
use reqwest::{Body, header};
use tokio::{io::AsyncWriteExt, sync::Semaphore};
use workspace_files::{
    FileBody, HomePart, PackError, Packed, Source, Target, UnpackError, Unpacked, blocking, pack,
    unpack,
};

use crate::config::Config;

/// How long an upload or a download may take altogether. Whoever asked for it gives up sooner.
const TRANSFER: Duration = Duration::from_secs(600);
/// How long a download may pause.
const SILENCE: Duration = Duration::from_secs(30);
/// The home folder of a sandbox's user.
const SANDBOX_HOME: &str = "/home/user";

/// Whose home belongs to the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// An executor's: of its home only Claude Code's folder does.
    Executor,
    /// A sandbox's: all of its user's home does.
    Sandbox,
}

/// Why there is no archive, or nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The task has no workspace, or an empty one.
    #[error("task {0} has nothing to archive")]
    Nothing(TaskId),
    /// It can't be packed.
    #[error(transparent)]
    Pack(PackError),
    /// It can't be unpacked.
    #[error(transparent)]
    Unpack(UnpackError),
    /// The storage can't be reached.
    #[error("the {way} failed")]
    Transfer {
        /// `upload` or `download`.
        way: &'static str,
        /// Why, without the address.
        #[source]
        source: TransferError,
    },
    /// No file can be made for it.
    #[error("the archive has no place on this disk")]
    Disk(#[source] io::Error),
    /// A defect; the log has more.
    #[error("the executor ran into a defect of its own")]
    Internal,
}

/// Why the storage can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// There is no client for it.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The connection broke, or there is none.
    #[error("no answer: {}", error_chain(.0))]
    Network(#[source] reqwest::Error),
    /// The storage refuses.
    #[error("the storage answered {0}")]
    Refused(u16),
    /// Nothing came for too long.
    #[error("it took too long")]
    TimedOut,
}

impl From<reqwest::Error> for TransferError {
    fn from(error: reqwest::Error) -> Self {
        Self::Network(error.without_url())
    }
}

/// Makes archives of tasks, and tasks of archives, one at a time.
#[derive(Clone, Debug)]
pub struct Archives {
    workspace_root: PathBuf,
    home: Option<PathBuf>,
    temporary: PathBuf,
    owner: String,
    clients: HttpClients,
    one: Arc<Semaphore>,
}

impl Archives {
    /// By the configuration.
    pub fn new(config: &Config, clients: HttpClients) -> Self {
        Self {
            workspace_root: config.paths.workspace_root.clone(),
            home: config.paths.user_home.clone(),
            temporary: agent_core::scratch::parent(config.image_environment.as_map()),
            owner: config.identity.name.clone(),
            clients,
            one: Arc::new(Semaphore::new(1)),
        }
    }

    /// Packs a task and uploads it. Dropping the future ends it.
    ///
    /// # Errors
    /// [`ArchiveError`]
    pub async fn archive(
        &self,
        task: TaskId,
        runtime: Runtime,
        limit: u64,
        to: &HttpUrl,
    ) -> Result<Packed, ArchiveError> {
        let _turn = self.one.acquire().await;
        let workspace = self.workspace_root.join(task.to_string());
        if !workspace.is_dir() {
            return Err(ArchiveError::Nothing(task));
        }
        let mut sources = vec![Source::Workspace(workspace)];
        sources.extend(
            self.home(runtime)
                .map(|(home, part)| Source::Home(home, part)),
        );
        let mut file = self.unnamed()?;
        let out = file.try_clone().map_err(ArchiveError::Disk)?;
        let packed = blocking(move |stop| pack(&sources, out, limit, &stop)).await;
        let packed = packed.ok_or(ArchiveError::Internal)?;
        let packed = packed.map_err(ArchiveError::Pack)?;
        if packed.members == 0 {
            return Err(ArchiveError::Nothing(task));
        }
        // Its writer had the same place in it.
        file.rewind().map_err(ArchiveError::Disk)?;
        let uploaded = tokio::time::timeout(TRANSFER, self.upload(to, file, packed.size)).await;
        let uploaded = uploaded.unwrap_or(Err(TransferError::TimedOut));
        uploaded.map_err(|source| ArchiveError::Transfer {
            way: "upload",
            source,
        })?;
        Ok(packed)
    }

    /// Downloads a task's archive and unpacks it. Dropping the future ends it.
    ///
    /// # Errors
    /// [`ArchiveError`]
    pub async fn restore(
        &self,
        task: TaskId,
        runtime: Runtime,
        from: &HttpUrl,
    ) -> Result<Unpacked, ArchiveError> {
        let _turn = self.one.acquire().await;
        let file = self.unnamed()?;
        let out = file.try_clone().map_err(ArchiveError::Disk)?;
        let downloaded = tokio::time::timeout(TRANSFER, self.download(from, out)).await;
        downloaded.unwrap_or_else(|_| Err(failed_download(TransferError::TimedOut)))?;
        let target = Target {
            workspace: self.workspace_root.join(task.to_string()),
            home: self.home(runtime),
        };
        let unpacked = blocking(move |stop| {
            let mut file = file;
            file.rewind().map_err(ArchiveError::Disk)?;
            unpack(file, &target, &stop).map_err(ArchiveError::Unpack)
        });
        unpacked.await.ok_or(ArchiveError::Internal)?
    }

    fn home(&self, runtime: Runtime) -> Option<(PathBuf, HomePart)> {
        match runtime {
            Runtime::Executor => Some((self.home.clone()?, HomePart::Claude)),
            Runtime::Sandbox => Some((SANDBOX_HOME.into(), HomePart::All)),
        }
    }

    /// A file that is gone when nobody has it open any more.
    fn unnamed(&self) -> Result<File, ArchiveError> {
        let scratch = Scratch::create(&self.temporary, &self.owner).map_err(ArchiveError::Disk)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        let opened = options.open(scratch.path().join("archive"));
        opened.map_err(ArchiveError::Disk)
    }

    async fn upload(&self, to: &HttpUrl, file: File, size: u64) -> Result<(), TransferError> {
        let client = self.clients.client_for(to).await?;
        let request = client
            .put(to.as_url().clone())
            .header(header::CONTENT_TYPE, "application/gzip")
            .body(Body::wrap(FileBody::new(file, size)));
        let status = request.send().await?.status();
        match status.is_success() {
            true => Ok(()),
            false => Err(TransferError::Refused(status.as_u16())),
        }
    }

    async fn download(&self, from: &HttpUrl, out: File) -> Result<(), ArchiveError> {
        let mut answer = self.begin(from).await.map_err(failed_download)?;
        let mut out = tokio::fs::File::from_std(out);
        loop {
            let chunk = tokio::time::timeout(SILENCE, answer.chunk()).await;
            let chunk = chunk.map_err(|_| failed_download(TransferError::TimedOut))?;
            match chunk.map_err(|error| failed_download(error.into()))? {
                Some(chunk) => out.write_all(&chunk).await.map_err(ArchiveError::Disk)?,
                None => return out.flush().await.map_err(ArchiveError::Disk),
            }
        }
    }

    async fn begin(&self, from: &HttpUrl) -> Result<reqwest::Response, TransferError> {
        let client = self.clients.client_for(from).await?;
        let answer = tokio::time::timeout(SILENCE, client.get(from.as_url().clone()).send());
        let answer = answer.await.map_err(|_| TransferError::TimedOut)??;
        match answer.status().is_success() {
            true => Ok(answer),
            false => Err(TransferError::Refused(answer.status().as_u16())),
        }
    }
}

fn failed_download(source: TransferError) -> ArchiveError {
    ArchiveError::Transfer {
        way: "download",
        source,
    }
}
