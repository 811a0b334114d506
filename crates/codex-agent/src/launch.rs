//! Starting an app-server: its program, its environment, its temporary folder.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    time::Duration,
};

use agent_core::{AgentError, environment::allowed, scratch::Scratch};
use codex_app_server::{Instance, InstanceConfig, ThreadStream, protocol::ClientInfo};
use supervisor::{ChildEnv, Guard, Ladder};
use tokio::sync::OwnedSemaphorePermit;

use crate::{CodexConfig, binary, pausing::Paused};

/// What the CLI itself gets of the image's environment beside what every program does. Its tools' environment is another
/// matter.
const MORE: &[&str] = &["LANG", "LC_ALL", "LC_CTYPE", "CODEX_CA_CERTIFICATE"];

/// How an app-server is brought to its end. It takes 60 ms when all is well; the whole executor has 8 s.
const LADDER: Ladder = Ladder {
    after_stdin: Duration::from_millis(1500),
    after_term: Duration::from_millis(1000),
    kill_deadline: Duration::from_millis(1500),
};

/// A task's app-server with what is loaded in it.
pub(crate) struct Server {
    /// The process.
    pub(crate) instance: Instance,
    /// The conversation that is loaded and listened to.
    pub(crate) loaded: Option<Loaded>,
    /// The turn that waits for the person in it.
    pub(crate) paused: Option<Paused>,
    /// The session's temporary folder. After `instance`, so that it goes when the processes have gone.
    pub(crate) scratch: Scratch,
    /// Its Codex home.
    pub(crate) home: PathBuf,
    /// Whether its home has the container's own login.
    pub(crate) own_login: bool,
    /// Its place among the app-servers that may be alive. Last, so that it is free when all else has gone.
    _slot: OwnedSemaphorePermit,
}

impl Server {
    /// Ends the processes, then removes their temporary folder.
    pub(crate) async fn shutdown(self) {
        self.instance.shutdown().await;
        drop(self.scratch);
    }
}

/// A thread that an app-server has in memory.
pub(crate) struct Loaded {
    /// Its messages.
    pub(crate) stream: ThreadStream,
    /// The configuration it was loaded with.
    pub(crate) fingerprint: u64,
    /// The process it was loaded in, by its generation.
    pub(crate) generation: u64,
}

/// Starts an app-server in `home`, in the background.
///
/// # Errors
/// [`AgentError`] when there is no CLI or no temporary folder can be made.
pub(crate) fn start(
    config: &CodexConfig,
    home: PathBuf,
    own_login: bool,
    slot: OwnedSemaphorePermit,
) -> Result<Server, AgentError> {
    let program = binary::find(
        config.binary.as_deref(),
        variable(config, "PATH").map(OsString::as_os_str),
    )?;
    let scratch = Scratch::for_session(&config.image, &config.owner)?;
    Ok(Server {
        instance: Instance::start(instance(config, program, &home, scratch.path())),
        loaded: None,
        paused: None,
        scratch,
        home,
        own_login,
        _slot: slot,
    })
}

fn instance(config: &CodexConfig, program: PathBuf, home: &Path, scratch: &Path) -> InstanceConfig {
    let client = ClientInfo {
        name: "wegent_executor".to_owned(),
        title: "Wegent executor".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    InstanceConfig {
        env: environment(config, home, scratch),
        owner: config.owner.clone(),
        request_timeout: config.rpc_timeout,
        ladder: LADDER,
        ..InstanceConfig::new(Guard::own(), program, home, client)
    }
}

/// What the CLI is started with.
pub(crate) fn environment(config: &CodexConfig, home: &Path, scratch: &Path) -> ChildEnv {
    let mut env: ChildEnv = ChildEnv::default();
    for (name, value) in allowed(&config.image, MORE) {
        env.set(name, value);
    }
    env.set("CODEX_HOME", home);
    env.set("TMPDIR", scratch);
    // What it says on stderr may come to be read by a person.
    env.set("NO_COLOR", "1");
    env
}

/// A variable of the image's.
pub(crate) fn variable<'a>(config: &'a CodexConfig, name: &str) -> Option<&'a OsString> {
    config.image.get(OsStr::new(name))
}
