//! The routes that have nothing to do with turns, by the configuration.

use std::{ffi::OsString, sync::Arc};

use agent_core::{
    environment::{Environment, without_secrets},
    scratch,
};
use axum::{
    Router,
    extract::Request,
    http::StatusCode,
    middleware::{Next, from_fn},
    response::IntoResponse,
};
use http_client::HttpClients;
use sandbox::{Sandbox, SandboxConfig};

use crate::{
    archives::Archives,
    backend::Backend,
    capabilities::Capabilities,
    config::Config,
    heartbeat::Binding,
    http::{self, Syncing, WorkspaceFiles},
};

/// Where a sandbox's user is at home.
const SANDBOX_HOME: &str = "/home/user";
/// What the platform promises to tools in a sandbox, though it is secret.
const PROMISED: [&str; 2] = ["AUTH_TOKEN", "WEGENT_SKILL_IDENTITY_TOKEN"];

/// All of them.
pub(crate) fn routes(
    config: &Config,
    clients: HttpClients,
    binding: &Binding,
    sandbox: &Sandbox,
) -> Router {
    let files = WorkspaceFiles::new(
        config.paths.workspace_root.clone(),
        config.server.max_download,
        scratch::parent(config.image_environment.as_map()),
        config.identity.name.clone(),
    );
    let backend_url = config.delivery.backend_url.clone();
    let home = config.paths.user_home.as_deref();
    let syncing = Syncing {
        downloads: Arc::new(Backend::new(clients.clone(), backend_url)),
        workspace_root: config.paths.workspace_root.clone(),
        skills_folder: home.map(|home| home.join(".claude/skills")),
        skill_limits: config.skill_limits(),
    };
    http::capabilities(Capabilities::of(config))
        .merge(files.routes())
        .merge(syncing.routes())
        .merge(Archives::new(config, clients).routes())
        .merge(http::bind(binding.clone()))
        .merge(of_sandbox(config.server.sandbox_routes, binding, sandbox))
}

/// The sandbox that this container is, or may become.
pub(crate) fn sandbox(config: &Config) -> Sandbox {
    let homes = [Some(SANDBOX_HOME.into()), config.paths.user_home.clone()];
    Sandbox::new(SandboxConfig {
        owner: config.identity.name.clone(),
        environment: environment(config.image_environment.as_map()),
        homes: homes.into_iter().flatten().collect(),
        largest_download: config.server.max_download,
        temporary: scratch::parent(config.image_environment.as_map()),
    })
}

/// The image's environment for commands: as for agents' tools.
fn environment(image: &Environment) -> Environment {
    let mut environment = without_secrets(image, std::iter::empty());
    for name in PROMISED.map(OsString::from) {
        if let Some(value) = image.get(&name) {
            environment.insert(name, value.clone());
        }
    }
    environment
}

/// A sandbox's routes. Where there is no sandbox it looks as if they weren't there.
fn of_sandbox(always: bool, binding: &Binding, sandbox: &Sandbox) -> Router {
    let binding = binding.clone();
    let only_in_one = from_fn(move |request: Request, next: Next| {
        let answers = always || binding.is_sandbox();
        async move {
            match answers {
                true => next.run(request).await,
                false => http::Refusal::new(StatusCode::NOT_FOUND, "Not Found").into_response(),
            }
        }
    });
    sandbox.routes().layer(only_in_one)
}
