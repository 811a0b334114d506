//! The shared set of secrets, which grows while text flows.

use std::{
    borrow::Cow,
    collections::{BTreeMap, btree_map::Entry},
    fmt,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};

use crate::{Stream, forms, needles::Needles};

/// Secrets shorter than this many bytes are not guarded.
///
/// They occur in ordinary text by chance (`root`, `12345`), and replacing them would spoil answers while hiding
/// nothing that can't be guessed.
pub const MIN_LENGTH: usize = 8;

/// Values that are words of ordinary text, however secret the name they are given under. Replacing them would spoil answers.
const COMMON: [&str; 40] = [
    "administrator",
    "anonymous",
    "basicauth",
    "changeit",
    "changeme",
    "container",
    "credential",
    "database",
    "default-token",
    "developer",
    "development",
    "disabled",
    "dummy-key",
    "elasticsearch",
    "environment",
    "example.com",
    "executor",
    "internal",
    "localhost",
    "localhost:8000",
    "minioadmin",
    "no-token",
    "not-needed",
    "password",
    "password1",
    "passw0rd",
    "placeholder",
    "postgres",
    "postgresql",
    "production",
    "rabbitmq",
    "required",
    "sk-dummy",
    "standard",
    "undefined",
    "username",
    "wegent-backend",
    "workspace",
    "your-api-key",
    "your_api_key",
];

/// A set of secrets. Cheap to clone; clones share the set.
#[derive(Clone, Default)]
pub struct Secrets(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// Counts additions, to be asked without the lock.
    generation: AtomicU64,
    known: RwLock<Known>,
}

/// What is guarded.
#[derive(Default)]
struct Known {
    /// The secrets.
    secrets: BTreeMap<Digest, Guarded>,
    /// The search over all forms; made when it is first needed after an addition.
    needles: Option<Arc<Needles>>,
}

/// Tells secrets apart without keeping them as keys.
type Digest = [u8; 32];

/// One secret.
#[derive(Clone)]
struct Guarded {
    /// Every form of it.
    forms: Vec<SecretString>,
    /// Through how many sets it has come; 0 where it was added.
    age: u8,
}

/// What became of a secret that was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It is guarded from now on, or was already.
    Guarded,
    /// It is not guarded: it has fewer than [`MIN_LENGTH`] bytes.
    TooShort,
    /// It is not guarded: it is a word of ordinary text, such as `password`.
    TooCommon,
}

impl Secrets {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a secret and its encoded forms. Streams heed it from their next push on. White space around it doesn't count.
    pub fn add(&self, secret: impl Into<SecretString>) -> Added {
        let secret = secret.into();
        let trimmed = secret.expose_secret().trim();
        if let Some(refused) = refusal(trimmed) {
            return refused;
        }
        let digest = Sha256::digest(trimmed).into();
        self.guard(digest, 0, || forms::of(&trimmed.into()));
        Added::Guarded
    }

    /// Guards what `earlier` guards, too, but for what has come to it through more than `generations` sets: so secrets don't
    /// pile up along a chain of sets. What is added to `earlier` later is not guarded here.
    pub fn take_over(&self, earlier: &Self, generations: u8) {
        // Gone through in one step, as `earlier` may be this very set.
        let taken = earlier.known().secrets.clone();
        for (digest, Guarded { forms, age }) in taken {
            if age < generations {
                self.guard(digest, age + 1, || forms);
            }
        }
    }

    fn guard(&self, digest: Digest, age: u8, forms: impl FnOnce() -> Vec<SecretString>) {
        let mut known = self.0.known.write().unwrap_or_else(PoisonError::into_inner);
        match known.secrets.entry(digest) {
            Entry::Occupied(mut known) => {
                let known = known.get_mut();
                known.age = known.age.min(age);
            }
            Entry::Vacant(new) => {
                let forms = forms();
                new.insert(Guarded { forms, age });
                known.needles = None;
                self.0.generation.fetch_add(1, Ordering::Release);
            }
        }
    }

    /// How many secrets are guarded.
    pub fn len(&self) -> usize {
        self.known().secrets.len()
    }

    /// Whether no secret is guarded.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `text` without secrets; borrowed if there were none. For text that is whole: a stream needs a [`Stream`].
    pub fn redact_str<'a>(&self, text: &'a str) -> Cow<'a, str> {
        Stream::new(self).into_finished(text)
    }

    /// The search over what is guarded now.
    pub(crate) fn snapshot(&self) -> Arc<Needles> {
        if let Some(needles) = &self.known().needles {
            return Arc::clone(needles);
        }
        let mut known = self.0.known.write().unwrap_or_else(PoisonError::into_inner);
        let Known { secrets, needles } = &mut *known;
        let made = needles.get_or_insert_with(|| {
            let generation = self.0.generation.load(Ordering::Acquire);
            Arc::new(Needles::new(
                generation,
                secrets.values().flat_map(|secret| &secret.forms).cloned(),
            ))
        });
        Arc::clone(made)
    }

    /// Brings `needles` up to date.
    pub(crate) fn refresh(&self, needles: &mut Arc<Needles>) {
        if self.0.generation.load(Ordering::Acquire) != needles.generation {
            *needles = self.snapshot();
        }
    }

    fn known(&self) -> RwLockReadGuard<'_, Known> {
        // A panic under this lock leaves a whole set behind.
        self.0.known.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a value is not guarded, if it isn't.
pub(crate) fn refusal(value: &str) -> Option<Added> {
    if value.len() < MIN_LENGTH {
        Some(Added::TooShort)
    } else if COMMON.contains(&value.to_ascii_lowercase().as_str()) {
        Some(Added::TooCommon)
    } else {
        None
    }
}

/// Shows how many secrets there are, and none of them.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_short_and_common_secrets_are_not_added() {
        let secrets = Secrets::new();
        for secret in ["", "          ", "1234567", " 1234567 "] {
            assert_eq!(secrets.add(secret), Added::TooShort, "{secret:?}");
        }
        assert_eq!(secrets.add("Password"), Added::TooCommon);
        assert!(secrets.is_empty());
        assert_eq!(secrets.add("12345678"), Added::Guarded);
        assert_eq!(secrets.len(), 1);
    }

    #[test]
    fn a_known_secret_is_guarded_once() {
        let secrets = Secrets::new();
        secrets.add("hunter22");
        secrets.add("hunter22\n");
        assert_eq!(secrets.len(), 1);
        assert_eq!(secrets.redact_str("hunter22"), "[redacted]");
    }

    #[test]
    fn a_set_guards_what_those_before_it_were_given_but_not_for_ever() {
        let first = Secrets::new();
        first.add("of the first");
        first.add("of them all");
        let mut last = first;
        for generation in 1..=3 {
            let next = Secrets::new();
            next.add("of them all");
            next.take_over(&last, 2);
            let shown = if generation <= 2 {
                "[redacted]"
            } else {
                "of the first"
            };
            assert_eq!(next.redact_str("of the first"), shown, "{generation}");
            assert_eq!(next.redact_str("of them all"), "[redacted]", "{generation}");
            last = next;
        }
        // Of itself it takes nothing that it hasn't.
        last.take_over(&last, 2);
        assert_eq!(last.len(), 1);
    }

    #[test]
    fn text_without_secrets_is_borrowed() {
        let secrets = Secrets::new();
        secrets.add("hunter22");
        assert!(matches!(
            secrets.redact_str("the hunter saw 22"),
            Cow::Borrowed("the hunter saw 22")
        ));
    }

    #[test]
    fn debug_shows_no_secret() {
        let secrets = Secrets::new();
        secrets.add("hunter22");
        let mut stream = Stream::new(&secrets);
        stream.push("hunter2");
        assert!(!format!("{secrets:?} {stream:?}").contains("hunter"));
    }
}
