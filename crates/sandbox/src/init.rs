//! `POST /init` and `GET /envs`: what the SDK sets before it starts anything.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    Sandbox,
    answer::{Code, Refusal},
    connect,
};

/// What `/init` has set.
#[derive(Default)]
pub(crate) struct Settings(Mutex<Set>);

#[derive(Default)]
struct Set {
    env: BTreeMap<String, String>,
    token: Option<String>,
    workdir: Option<PathBuf>,
    at: Option<OffsetDateTime>,
}

/// Values may be secrets.
impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Settings").field(&self.env().keys()).finish()
    }
}

impl Settings {
    /// Variables for commands.
    pub(crate) fn env(&self) -> BTreeMap<String, String> {
        self.set().env.clone()
    }

    /// Where commands are to start.
    pub(crate) fn workdir(&self) -> Option<PathBuf> {
        self.set().workdir.clone()
    }

    fn set(&self) -> MutexGuard<'_, Set> {
        // Each field is replaced as a whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `hyperloopIP` and `defaultUser` mean nothing here: there is one user, and no network to be set up.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Init {
    env_vars: Option<BTreeMap<String, String>>,
    access_token: Option<String>,
    timestamp: Option<String>,
    default_workdir: Option<PathBuf>,
}

pub(crate) async fn init(State(sandbox): State<Sandbox>, body: Bytes) -> Result<Response, Refusal> {
    let wanted: Init = connect::plain(&body)?;
    let at = wanted.timestamp.as_deref().filter(|text| !text.is_empty());
    let at = at.map(|text| OffsetDateTime::parse(text, &Rfc3339));
    let at = at
        .transpose()
        .map_err(|_| Refusal::invalid("timestamp: expected RFC 3339"))?;
    let mut set = sandbox.0.settings.set();
    // A call that was overtaken by a later one.
    let late = at.is_some() && set.at.is_some() && at <= set.at;
    if !late {
        if let Some(token) = wanted.access_token.filter(|token| !token.is_empty()) {
            if set.token.as_ref().is_some_and(|known| *known != token) {
                let message = "accessToken: another one is set already";
                return Err(Refusal::new(Code::AlreadyExists, message));
            }
            set.token = Some(token);
        }
        set.env.extend(wanted.env_vars.unwrap_or_default());
        set.workdir = wanted.default_workdir.or(set.workdir.take());
        set.at = at.or(set.at);
    }
    drop(set);
    let no_store = [(header::CACHE_CONTROL, "no-store")];
    Ok((StatusCode::NO_CONTENT, no_store).into_response())
}

pub(crate) async fn envs(State(sandbox): State<Sandbox>) -> Response {
    Json(sandbox.0.settings.env()).into_response()
}
