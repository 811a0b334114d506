//! The task that came with the process's start, in `TASK_INFO`.

use secrecy::ExposeSecret;
use tokio::time::Instant;

use crate::{
    config::{DispatchConfig, TaskAtStart},
    heartbeat::{Binding, Bound, HeartbeatKind},
    runs::Registry,
};

/// Takes the task over. Nobody waits for an answer, so whatever is wrong is told by callback, or, where not even its ids
/// can be read, in the log: the executor serves all the same.
pub(crate) async fn take_over(
    turns: &Registry,
    binding: &Binding,
    config: DispatchConfig,
    task: TaskAtStart,
    started: Instant,
) {
    let payload = task.payload.expose_secret().as_bytes();
    let mut dispatch = match wegent_protocol::decode_task_info(payload, config.rules) {
        Ok(dispatch) => dispatch,
        Err(error) => {
            tracing::error!(%error, "TASK_INFO names no task that could be told of it");
            return;
        }
    };
    if let Some(forced) = config.protocol {
        dispatch.protocol = forced;
    }
    let wanted = Bound {
        id: dispatch.key.task.into(),
        kind: HeartbeatKind::Task,
    };
    if let Err(conflict) = binding.serve(wanted) {
        // Nobody was served before, so this can't be; the task is not to suffer from it.
        tracing::warn!(%conflict, "heartbeats tell of another task");
    }
    match turns.submit_at_start(dispatch, started + task.hold).await {
        // Its answer is for nobody, so nothing is held for it.
        Ok(accepted) => {
            tracing::info!(key = %accepted.key, status = %accepted.status, "the task of TASK_INFO");
        }
        Err(error) => tracing::error!(%error, "the task of TASK_INFO can't be taken over"),
    }
}
