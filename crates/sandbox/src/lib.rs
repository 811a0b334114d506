//! The routes of a sandbox: a container in which Wegent's tools run commands and keep files, by the protocol of E2B's SDK.
//!
//! # Theory of operation
//!
//! [`Sandbox::routes`] is a router. A command is started through `supervisor`, like everything here, and belongs to the
//! sandbox, not to the request that started it: its output goes to the request's stream as it comes, and when nobody
//! reads that any more the command goes on until it ends, its time is over, or it is told to end. [`Sandbox::shutdown`]
//! ends all of them.
//!
//! The `…/process.Process/…` and `…/filesystem.Filesystem/…` routes speak the Connect protocol with JSON: one message each
//! way, but for `Start`, which answers with a stream of envelopes (`connect`).
//!
//! Nothing here is confined: whoever may start a command may do all that the container allows, so files are reached by
//! their plain paths. That is why these routes exist in sandboxes only; who may call them is decided in front of them.
//!
//! # Guarantees
//!
//! * What a command writes is on its way to the caller before more of it is read: nothing is collected.
//! * A command ends with everything that it started, and at the latest with the sandbox.
//! * Commands see the image's environment as it was handed in, and what `/init` added.
#![warn(missing_docs)]

mod answer;
mod connect;
mod files;
mod filesystem;
mod init;
mod metrics;
mod paths;
mod process;

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf, sync::Arc};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, post},
};

use crate::{init::Settings, metrics::Meter, process::Processes};

/// What a sandbox is made of.
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    /// Whose processes the commands are; names their sessions.
    pub owner: String,
    /// The environment of commands.
    pub environment: BTreeMap<OsString, OsString>,
    /// The folder that commands start in and relative paths begin at, unless `/init` or a request says otherwise. The
    /// first one that is there counts.
    pub homes: Vec<PathBuf>,
    /// The largest file, or folder before it is zipped, that is downloaded, in bytes.
    pub largest_download: u64,
    /// Where temporary files go.
    pub temporary: PathBuf,
}

/// A sandbox. Cheap to clone; clones are the same.
#[derive(Clone, Debug)]
pub struct Sandbox(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: SandboxConfig,
    settings: Settings,
    processes: Processes,
    meter: Meter,
}

impl Sandbox {
    /// A sandbox in which nothing runs.
    pub fn new(config: SandboxConfig) -> Self {
        Self(Arc::new(Inner {
            config,
            settings: Settings::default(),
            processes: Processes::default(),
            meter: Meter::default(),
        }))
    }

    /// The routes.
    pub fn routes(&self) -> Router {
        Router::new()
            .route("/init", post(init::init))
            .route("/envs", get(init::envs))
            .route("/metrics", get(metrics::metrics))
            .route("/files", get(files::download))
            .route(
                "/files",
                // Uploads go to disk as they come.
                post(files::upload).layer(DefaultBodyLimit::disable()),
            )
            .route("/filesystem.Filesystem/ListDir", post(filesystem::list))
            .route("/filesystem.Filesystem/Stat", post(filesystem::stat))
            .route("/filesystem.Filesystem/MakeDir", post(filesystem::make))
            .route("/filesystem.Filesystem/Move", post(filesystem::rename))
            .route("/filesystem.Filesystem/Remove", post(filesystem::remove))
            .route("/process.Process/Start", post(process::start))
            .route("/process.Process/List", post(process::list))
            .route("/process.Process/SendSignal", post(process::signal))
            .route("/process.Process/SendInput", post(process::input))
            .with_state(self.clone())
    }

    /// Ends every command, and waits for that.
    pub async fn shutdown(&self) {
        self.0.processes.shutdown().await;
    }
}
