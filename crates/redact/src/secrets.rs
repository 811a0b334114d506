//! The shared set of secrets, which grows while text flows.

use std::{
    borrow::Cow,
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use secrecy::{ExposeSecret, SecretString};

use crate::{Stream, needles::Needles};

/// Secrets shorter than this many bytes are not guarded.
///
/// They occur in ordinary text by chance (`root`, `12345`), and replacing them would spoil answers while hiding
/// nothing that can't be guessed.
pub const MIN_LENGTH: usize = 6;

/// A set of secrets. Cheap to clone; clones share the set.
#[derive(Clone)]
pub struct Secrets(Arc<Shared>);

struct Shared {
    /// The generation of `current`, to be asked without the lock.
    generation: AtomicU64,
    current: RwLock<Arc<Needles>>,
}

impl Default for Secrets {
    fn default() -> Self {
        Self(Arc::new(Shared {
            generation: AtomicU64::new(0),
            current: RwLock::new(Arc::new(Needles::empty())),
        }))
    }
}

impl Secrets {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a secret. Streams heed it from their next push on. White space around it doesn't count.
    ///
    /// Returns whether the secret is guarded now: `false` if it is blank or shorter than [`MIN_LENGTH`].
    pub fn add(&self, secret: impl Into<SecretString>) -> bool {
        let secret = secret.into();
        let trimmed = secret.expose_secret().trim();
        if trimmed.len() < MIN_LENGTH {
            return false;
        }
        let secret = if trimmed.len() == secret.expose_secret().len() {
            secret
        } else {
            trimmed.into()
        };
        let mut current = self
            .0
            .current
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(grown) = current.with(secret) {
            self.0.generation.store(grown.generation, Ordering::Release);
            *current = Arc::new(grown);
        }
        true
    }

    /// How many secrets are guarded.
    pub fn len(&self) -> usize {
        self.snapshot().len()
    }

    /// Whether no secret is guarded.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `text` without secrets; borrowed if there were none. For text that is whole: a stream needs a [`Stream`].
    pub fn redact_str<'a>(&self, text: &'a str) -> Cow<'a, str> {
        Stream::new(self).into_finished(text)
    }

    /// The set as it is now.
    pub(crate) fn snapshot(&self) -> Arc<Needles> {
        Arc::clone(
            &self
                .0
                .current
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// Brings `needles` up to date.
    pub(crate) fn refresh(&self, needles: &mut Arc<Needles>) {
        if self.0.generation.load(Ordering::Acquire) != needles.generation {
            *needles = self.snapshot();
        }
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
    fn blank_and_short_secrets_are_not_added() {
        let secrets = Secrets::new();
        for secret in ["", "        ", "12345", " 12345 "] {
            assert!(!secrets.add(secret), "{secret:?}");
        }
        assert!(secrets.is_empty());
        assert!(secrets.add("123456"));
        assert_eq!(secrets.len(), 1);
    }

    #[test]
    fn a_known_secret_is_guarded_once() {
        let secrets = Secrets::new();
        assert!(secrets.add("hunter22") && secrets.add("hunter22\n"));
        assert_eq!(secrets.len(), 1);
        assert_eq!(secrets.redact_str("hunter22"), "[redacted]");
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
