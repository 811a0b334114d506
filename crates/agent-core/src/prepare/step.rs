//! How a step is run: cancellable, and telling how far it is without flooding anybody.

use std::{pin::pin, time::Duration};

use redact::Secrets;
use tokio::{
    sync::watch,
    time::{Instant, interval_at},
};

use super::{PrepareCx, PrepareError};
use crate::{
    AgentError, AgentEvent, Cancel, ErrorClass, EventSink, Preparation, PreparationState,
    PrepareStep,
};

/// How long a step may take before it is told of, and the time between two words of it.
const PACE: Duration = Duration::from_secs(1);

/// What a step gets beside the turn. Cheap to clone.
#[derive(Clone, Debug)]
pub struct StepCx {
    /// The turn's secrets: what is added here is shown nowhere from then on.
    pub secrets: Secrets,
    /// What to do when the turn is told to stop is nothing: the step is dropped. This is for those who would rather
    /// stop in order.
    pub cancel: Cancel,
    events: EventSink,
    note: watch::Sender<String>,
}

impl StepCx {
    /// Says what the step is doing, in a line or a few. Costs next to nothing.
    pub fn say(&self, note: impl Into<String>) {
        self.note.send_replace(note.into());
    }

    /// What the step said last.
    pub fn said(&self) -> String {
        self.note.borrow().clone()
    }

    /// Tells the person something lasting, as a paragraph of its own: what was left out, and why.
    ///
    /// # Errors
    /// [`StepError`] when the turn is over.
    pub async fn warn(&self, text: impl Into<String>) -> Result<(), StepError> {
        let notice = crate::Notice {
            kind: crate::NoticeKind::Warning,
            text: text.into(),
        };
        let told = self.events.emit(AgentEvent::Notice(notice)).await;
        told.map_err(|closed| StepError::new(ErrorClass::Internal, closed.to_string()))
    }
}

/// Why a step failed.
#[derive(Debug)]
pub struct StepError {
    /// What kind of failure.
    pub class: ErrorClass,
    /// What is wrong, in words for the person. No secrets: it is redacted, but only from what is known to be one.
    pub message: String,
    /// The reason, if there is more to say.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl StepError {
    /// A failure without a further reason.
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self {
            class,
            message: message.into(),
            source: None,
        }
    }

    /// The same with its reason.
    #[must_use]
    pub fn because(self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self {
            source: Some(source.into()),
            ..self
        }
    }
}

/// Runs the steps of one preparation.
pub(super) struct Steps<'a> {
    cx: &'a PrepareCx<'a>,
}

impl<'a> Steps<'a> {
    pub(super) fn new(cx: &'a PrepareCx<'a>) -> Self {
        Self { cx }
    }

    /// Runs one step to its end, or until the turn is told to stop.
    pub(super) async fn run<T, F: Future<Output = Result<T, StepError>>>(
        &self,
        step: PrepareStep,
        work: impl FnOnce(StepCx) -> F,
    ) -> Result<T, PrepareError> {
        let (note, notes) = watch::channel(String::new());
        let cx = StepCx {
            secrets: self.cx.secrets.clone(),
            cancel: self.cx.cancel.clone(),
            events: self.cx.events.clone(),
            note,
        };
        let mut teller = Teller {
            step,
            events: &self.cx.events,
            notes,
            told: None,
        };
        let mut work = pin!(work(cx));
        let mut pace = interval_at(Instant::now() + PACE, PACE);
        let result = loop {
            tokio::select! {
                biased;
                reason = self.cx.cancel.cancelled() => return Err(PrepareError::Cancelled(reason)),
                result = &mut work => break result,
                _ = pace.tick() => teller.tell().await?,
            }
        };
        teller.end(result.is_ok()).await?;
        result.map_err(|error| {
            PrepareError::Failed(AgentError::Preparation {
                step,
                class: error.class,
                message: error.message,
                source: error.source,
            })
        })
    }
}

/// Tells how far a step is.
struct Teller<'a> {
    step: PrepareStep,
    events: &'a EventSink,
    notes: watch::Receiver<String>,
    /// What was told last.
    told: Option<String>,
}

impl Teller<'_> {
    async fn tell(&mut self) -> Result<(), PrepareError> {
        let note = self.notes.borrow_and_update().clone();
        if self.told.as_deref() == Some(note.as_str()) {
            return Ok(());
        }
        self.told = Some(note.clone());
        self.emit(PreparationState::Running, note).await
    }

    /// A step that was never told of ends without a word, too.
    async fn end(&mut self, well: bool) -> Result<(), PrepareError> {
        if self.told.is_none() {
            return Ok(());
        }
        let state = if well {
            PreparationState::Done
        } else {
            PreparationState::Failed
        };
        let note = self.notes.borrow_and_update().clone();
        self.emit(state, note).await
    }

    async fn emit(&self, state: PreparationState, note: String) -> Result<(), PrepareError> {
        let told = Preparation {
            step: self.step,
            state,
            note,
        };
        Ok(self.events.emit(AgentEvent::Preparation(told)).await?)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use futures::future::{BoxFuture, FutureExt, ready};
    use tokio::time::sleep;

    use super::*;
    use crate::{
        Agent, AgentKind, CancelHandle, CancelReason, Emitted, Events, Outcome, SkillsFolder,
        TaskId, Turn, TurnCx, Workspace,
    };

    /// Nobody.
    struct Idle;

    impl Agent for Idle {
        fn kind(&self) -> AgentKind {
            AgentKind::Codex
        }
        fn run<'a>(
            &'a self,
            _: &'a Turn,
            _: &'a Workspace,
            _: TurnCx,
        ) -> BoxFuture<'a, Result<Outcome, AgentError>> {
            unreachable!("nothing is run here")
        }
        fn warm_up<'a>(&'a self, _: TaskId, _: &'a Path) -> BoxFuture<'a, ()> {
            ready(()).boxed()
        }
        fn skills_folder(&self, _: TaskId, state: &Path) -> SkillsFolder {
            SkillsFolder {
                path: state.to_path_buf(),
                exclusive: true,
            }
        }
        fn shutdown(&self) -> BoxFuture<'_, ()> {
            ready(()).boxed()
        }
    }

    /// Runs a step and gives its end with everything that was told of it.
    async fn run<T, F: Future<Output = Result<T, StepError>>>(
        cancel: Cancel,
        work: impl FnOnce(StepCx) -> F,
    ) -> (Result<T, PrepareError>, Vec<(PreparationState, String)>) {
        let (events, mut told) = EventSink::new(64);
        let secrets = Secrets::new();
        let cx = PrepareCx {
            agent: &Idle,
            events,
            cancel,
            secrets,
        };
        let result = Steps::new(&cx).run(PrepareStep::Git, work).await;
        drop(cx);
        (result, drain(&mut told))
    }

    fn drain(told: &mut Events) -> Vec<(PreparationState, String)> {
        let mut all = Vec::new();
        while let Some(event) = told.try_next() {
            match event {
                Emitted::Event(AgentEvent::Preparation(told)) => all.push((told.state, told.note)),
                other => panic!("{other:?}"),
            }
        }
        all
    }

    #[tokio::test(start_paused = true)]
    async fn a_quick_step_is_not_told_of() {
        let (_handle, cancel) = CancelHandle::new();
        let (result, told) = run(cancel, async |cx: StepCx| {
            cx.say("quick");
            sleep(Duration::from_millis(900)).await;
            Ok(7)
        })
        .await;
        assert_eq!(result.unwrap(), 7);
        assert_eq!(told, []);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_step_is_told_of_once_a_second_when_something_has_changed() {
        let (_handle, cancel) = CancelHandle::new();
        let (_, told) = run(cancel, async |cx: StepCx| {
            for percent in 0..100 {
                cx.say(format!("{percent} %"));
                sleep(Duration::from_millis(25)).await;
            }
            sleep(Duration::from_secs(60)).await;
            cx.say("100 files");
            Ok(())
        })
        .await;
        use PreparationState::{Done, Running};
        let told: Vec<_> = told
            .iter()
            .map(|(state, note)| (*state, note.as_str()))
            .collect();
        let [
            (Running, first),
            (Running, second),
            (Running, "99 %"),
            (Done, "100 files"),
        ] = told[..]
        else {
            panic!("{told:?}")
        };
        assert!(first.starts_with(['3', '4']) && second.starts_with(['7', '8']));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_names_the_step_and_closes_what_was_told() {
        let (_handle, cancel) = CancelHandle::new();
        let (result, told) = run(cancel, async |cx: StepCx| {
            cx.say("trying");
            sleep(Duration::from_secs(2)).await;
            Err::<(), _>(StepError::new(ErrorClass::Network, "no such host"))
        })
        .await;
        let Err(PrepareError::Failed(error)) = result else {
            panic!("it did not fail")
        };
        assert_eq!(error.to_string(), "git: no such host");
        assert_eq!(error.class(), ErrorClass::Network);
        assert_eq!(
            told.last(),
            Some(&(PreparationState::Failed, "trying".to_owned()))
        );
    }

    #[tokio::test]
    async fn a_cancel_drops_the_step() {
        let (handle, cancel) = CancelHandle::new();
        let dropped = std::sync::Arc::new(());
        let held = std::sync::Arc::clone(&dropped);
        let (result, _) = run(cancel, async move |_: StepCx| {
            let _held = held;
            handle.cancel(CancelReason::User);
            std::future::pending::<Result<(), StepError>>().await
        })
        .await;
        assert!(matches!(
            result,
            Err(PrepareError::Cancelled(CancelReason::User))
        ));
        assert_eq!(std::sync::Arc::strong_count(&dropped), 1);
    }
}
