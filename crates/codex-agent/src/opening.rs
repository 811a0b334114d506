//! The task's conversation in its app-server: found loaded, resumed from its rollout, or begun.

use std::time::Duration;

use agent_core::{AgentError, AgentEvent, ErrorClass, Notice, NoticeKind, Resume, SessionStore};
use codex_app_server::{
    Connection, RpcError, ThreadEvent, ThreadStream,
    protocol::{Notification, ThreadId, ThreadOpened},
};
use tokio::time::timeout;

use crate::{
    failure::{open_error, state_error},
    launch::{Loaded, Server},
    thread_config::{ThreadSettings, thread_settings},
    turn::Drive,
    version,
};

impl Drive<'_> {
    /// A connection with the conversation loaded, listened to, and configured for this turn.
    pub(crate) async fn open(
        &self,
        server: &mut Server,
    ) -> Result<(Connection, Loaded), AgentError> {
        let connection = server
            .instance
            .ready(self.config.deadlines.ready)
            .await
            .map_err(|error| AgentError::Spawn {
                name: "codex app-server".to_owned(),
                source: Box::new(error),
            })?;
        version::check(connection.server().version())?;
        let generation = connection.generation();
        let settings = thread_settings(
            self.turn,
            self.workspace,
            self.config,
            connection.process().session(),
            server.scratch.path(),
        )?;
        let store = SessionStore::new(&self.workspace.state);
        let resume = store.resume_for(self.turn).map_err(state_error)?;
        if let Some(loaded) = server
            .loaded
            .take()
            .filter(|loaded| loaded.generation == generation)
        {
            let same_thread = resume
                .as_ref()
                .is_some_and(|resume| resume.id().as_str() == loaded.stream.id().as_str());
            if same_thread && loaded.fingerprint == settings.fingerprint {
                return Ok((connection, loaded));
            }
            self.unload(&connection, loaded.stream).await;
        }
        let fingerprint = settings.fingerprint;
        let (opened, stream) = match resume {
            Some(resume) => self.resume(&connection, resume, &settings).await?,
            None => connection
                .client()
                .thread_start(settings.start())
                .await
                .map_err(open_error)?,
        };
        if !opened.model.is_empty() {
            self.cx
                .events
                .emit(AgentEvent::Model { id: opened.model })
                .await?;
        }
        Ok((
            connection,
            Loaded {
                stream,
                fingerprint,
                generation,
            },
        ))
    }

    /// A loaded thread keeps the configuration it was loaded with, so it has to go before it can get another one.
    async fn unload(&self, connection: &Connection, mut stream: ThreadStream) {
        let unload = async {
            connection.client().thread_unsubscribe(stream.id()).await?;
            loop {
                match stream.next().await {
                    ThreadEvent::Notification(Notification::ThreadClosed(closed))
                        if closed.thread_id == *stream.id() =>
                    {
                        break;
                    }
                    ThreadEvent::Lost { .. } => break,
                    ThreadEvent::Notification(_) | ThreadEvent::Request(_) => {}
                }
            }
            Ok::<(), RpcError>(())
        };
        match timeout(Duration::from_secs(2), unload).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "thread can't be unloaded"),
            Err(_) => tracing::warn!("codex did not say that the thread was unloaded"),
        }
    }

    async fn resume(
        &self,
        connection: &Connection,
        resume: Resume,
        settings: &ThreadSettings,
    ) -> Result<(ThreadOpened, ThreadStream), AgentError> {
        let thread = ThreadId::from(resume.id().as_str());
        match connection
            .client()
            .thread_resume(settings.resume(thread))
            .await
        {
            Ok(opened) => Ok(opened),
            Err(error) if error.is_thread_unknown() => {
                tracing::warn!(thread = %resume.id(), "conversation is unknown here, starting afresh");
                let text = match resume {
                    Resume::Own(_) => {
                        "The earlier conversation could not be found, so a new one was started."
                    }
                    Resume::Inherited(_) => {
                        "The conversation to continue is not on this machine, so a new one was started."
                    }
                };
                let notice = Notice {
                    kind: NoticeKind::FreshSession,
                    text: text.to_owned(),
                };
                self.cx.events.emit(AgentEvent::Notice(notice)).await?;
                connection
                    .client()
                    .thread_start(settings.start())
                    .await
                    .map_err(open_error)
            }
            Err(error) if error.is_writer_conflict() => Err(AgentError::Request {
                class: ErrorClass::Workspace,
                message: format!("conversation {} is in use by another executor", resume.id()),
            }),
            Err(error) => Err(open_error(error)),
        }
    }
}
