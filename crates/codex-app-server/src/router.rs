//! Who gets what: notifications and requests by thread.
//!
//! The reader calls [`Router`] for each message, in order, and waits for it. So one consumer that doesn't read holds up
//! the others once its queue is full: that is the price for losing nothing. It's rare, as queues are large, deltas
//! join, and calls in flight stretch them ([`Limits`]).

use std::{
    borrow::Cow,
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::watch;

use crate::{
    error::ConnectionLost,
    family::{Family, TURN_STARTED},
    protocol::{Notification, ServerRequest, ThreadId},
    queue::{Queue, Queued, ThreadEvent},
    rpc::{Handler, Limits, METHOD_NOT_FOUND, Reply},
};

/// The events of one thread, and those of the threads in which its sub-agents work. Dropping it ends the subscription on our side; codex keeps the thread loaded until
/// [`Client::thread_unsubscribe`](crate::Client::thread_unsubscribe).
pub struct ThreadStream {
    id: ThreadId,
    queue: Arc<Queue>,
    router: Arc<Router>,
}

impl ThreadStream {
    /// Which thread.
    pub fn id(&self) -> &ThreadId {
        &self.id
    }

    /// The next event. May be dropped while it waits; nothing is lost by that.
    ///
    /// When the connection has ended, what came before is still delivered, then [`ThreadEvent::Lost`]: once, and again
    /// each time it is asked for more.
    pub async fn next(&mut self) -> ThreadEvent {
        self.queue.pop().await
    }
}

impl std::fmt::Debug for ThreadStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ThreadStream")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Drop for ThreadStream {
    fn drop(&mut self) {
        self.router.forget(self);
        self.queue.abandon();
    }
}

/// Routes by thread id.
pub(crate) struct Router {
    state: Mutex<State>,
    limits: Limits,
    /// How many calls wait for their answers.
    calls: watch::Receiver<usize>,
}

#[derive(Default)]
struct State {
    threads: HashMap<ThreadId, Arc<Queue>>,
    family: Family,
    /// The calls that are opening a thread right now; `None` if its id isn't known yet.
    opening: Vec<Option<ThreadId>>,
    early: Early,
    lost: Option<Arc<ConnectionLost>>,
}

/// Events of threads that are being opened. Codex says the first things of a thread
/// (`mcpServer/startupStatus/updated`, `thread/status/changed`) before it answers the call that opens it.
///
/// Bounded, as events of others can be among them while a new thread's id isn't known: the oldest give way.
#[derive(Default)]
struct Early {
    events: VecDeque<(ThreadId, Queued)>,
    bytes: usize,
}

/// How many early events are kept. A thread being opened says a handful.
const EARLY: usize = 64;

impl Early {
    /// Keeps an event, and gives back those that had to give way.
    fn keep(&mut self, thread: ThreadId, queued: Queued, max_bytes: usize) -> Vec<Queued> {
        self.bytes += queued.bytes;
        self.events.push_back((thread, queued));
        let mut gone = Vec::new();
        while self.events.len() > EARLY || self.bytes > max_bytes {
            let Some((_, oldest)) = self.events.pop_front() else {
                break;
            };
            self.bytes -= oldest.bytes;
            gone.push(oldest);
        }
        gone
    }

    /// Takes out what belongs to a thread.
    fn take(&mut self, thread: &ThreadId) -> Vec<Queued> {
        let mut taken = Vec::new();
        for (of, queued) in std::mem::take(&mut self.events) {
            if of == *thread {
                self.bytes -= queued.bytes;
                taken.push(queued);
            } else {
                self.events.push_back((of, queued));
            }
        }
        taken
    }
}

impl Router {
    pub(crate) fn new(limits: Limits, calls: watch::Receiver<usize>) -> Self {
        Self {
            state: Mutex::default(),
            limits,
            calls,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Announces that a thread is being opened, for as long as the answer lives. A new thread has no id yet.
    pub(crate) fn opening(self: &Arc<Self>, thread: Option<ThreadId>) -> Opening {
        self.lock().opening.push(thread.clone());
        Opening {
            router: Arc::clone(self),
            thread,
        }
    }

    /// Subscribes to a thread, from its first event on. An earlier stream of the same thread ends.
    pub(crate) fn subscribe(self: &Arc<Self>, id: ThreadId) -> ThreadStream {
        let queue = Arc::new(Queue::new(self.limits));
        let replaced = {
            let mut state = self.lock();
            queue.seed(state.early.take(&id));
            if let Some(why) = &state.lost {
                queue.end(why);
            }
            state.threads.insert(id.clone(), Arc::clone(&queue))
        };
        if let Some(replaced) = replaced {
            replaced.end(&Arc::new(ConnectionLost::Replaced));
        }
        ThreadStream {
            id,
            queue,
            router: Arc::clone(self),
        }
    }

    fn forget(&self, stream: &ThreadStream) {
        let mut state = self.lock();
        if state
            .threads
            .get(&stream.id)
            .is_some_and(|queue| Arc::ptr_eq(queue, &stream.queue))
        {
            state.threads.remove(&stream.id);
            state.family.forget(&stream.id);
        }
    }

    fn find(&self, thread: &str) -> Found {
        let state = self.lock();
        let is_opened =
            |opening: &Option<ThreadId>| opening.as_ref().is_none_or(|id| id.as_str() == thread);
        let queue = state.threads.get(thread).or_else(|| {
            let root = state.family.root(thread)?;
            state.threads.get(root)
        });
        match queue {
            Some(queue) => Found::Queue(Arc::clone(queue)),
            None if state.opening.iter().any(is_opened) => Found::Early,
            None => Found::Nobody,
        }
    }

    fn keep_early(&self, thread: ThreadId, queued: Queued) {
        let gone = self
            .lock()
            .early
            .keep(thread, queued, self.limits.event_bytes);
        // Outside the lock: a dropped request is refused.
        drop(gone);
    }
}

enum Found {
    Queue(Arc<Queue>),
    Early,
    Nobody,
}

/// While it lives, a thread is being opened.
pub(crate) struct Opening {
    router: Arc<Router>,
    thread: Option<ThreadId>,
}

impl Drop for Opening {
    fn drop(&mut self) {
        let early = {
            let mut state = self.router.lock();
            if let Some(position) = state
                .opening
                .iter()
                .position(|thread| *thread == self.thread)
            {
                state.opening.swap_remove(position);
            }
            if state.opening.is_empty() {
                std::mem::take(&mut state.early)
            } else {
                Early::default()
            }
        };
        drop(early);
    }
}

/// The part of the parameters that tells the thread. Old approval requests call it a conversation.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Address<'a> {
    #[serde(borrow)]
    thread_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    thread: Option<AddressOfThread<'a>>,
}

#[derive(Deserialize)]
struct AddressOfThread<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
}

fn thread_of(params: &RawValue) -> Option<Cow<'_, str>> {
    let address: Address<'_> = serde_json::from_str(params.get()).unwrap_or_default();
    address.thread_id.or(address.thread.map(|thread| thread.id))
}

impl Handler for Router {
    async fn notification(&self, method: &str, params: &RawValue) {
        let Some(thread) = thread_of(params) else {
            return tracing::debug!(method, "codex says");
        };
        if method == TURN_STARTED {
            let mut state = self.lock();
            let State {
                family, threads, ..
            } = &mut *state;
            family.note(params, |thread| threads.contains_key(thread));
        }
        let parse = || Queued {
            event: ThreadEvent::Notification(Notification::parse(method, params)),
            bytes: params.get().len(),
        };
        match self.find(&thread) {
            Found::Queue(queue) => queue.push(parse(), &self.calls).await,
            Found::Early => self.keep_early(ThreadId::new(thread), parse()),
            // A thread of nobody's, or one whose consumer has gone.
            Found::Nobody => tracing::debug!(method, %thread, "nobody listens to the thread"),
        }
    }

    async fn request(&self, method: &str, params: &RawValue, reply: Reply) {
        let Some(thread) = thread_of(params) else {
            tracing::debug!(method, "request of no thread refused");
            return reply.refuse(METHOD_NOT_FOUND, "not supported by this client");
        };
        let found = self.find(&thread);
        if let Found::Nobody = found {
            tracing::debug!(method, %thread, "request of a thread that nobody listens to refused");
            return reply.refuse(METHOD_NOT_FOUND, "nobody listens to the thread");
        }
        let Some(request) = ServerRequest::parse(method, params.get(), reply) else {
            return;
        };
        let queued = Queued {
            event: ThreadEvent::Request(request),
            bytes: params.get().len(),
        };
        match found {
            Found::Queue(queue) => queue.push(queued, &self.calls).await,
            Found::Early | Found::Nobody => self.keep_early(ThreadId::new(thread), queued),
        }
    }

    fn closed(&self, why: &Arc<ConnectionLost>) {
        let (queues, early) = {
            let mut state = self.lock();
            state.lost.get_or_insert_with(|| Arc::clone(why));
            (
                state.threads.values().cloned().collect::<Vec<_>>(),
                std::mem::take(&mut state.early),
            )
        };
        drop(early);
        for queue in queues {
            queue.end(why);
        }
    }
}
