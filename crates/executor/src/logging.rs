//! The log: `tracing` events as lines on standard error, without secrets.
//!
//! Errors quote what others said: a provider that refuses a key may repeat it. So every line passes the redactor, with the
//! secrets of the turns that are under way and of the executor's own environment; and values with telling names are masked.

use std::{
    borrow::Cow,
    io::{self, Write},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use redact::{Secrets, mask_assignments};
use tracing_subscriber::{EnvFilter, fmt::MakeWriter, util::TryInitError};

use crate::config::LogConfig;

/// What must not be in the log. Cheap to clone; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct LogSecrets(Arc<Mutex<Vec<(u64, Secrets)>>>);

/// Keeps secrets out of the log while it lives.
#[derive(Debug)]
pub struct Covered {
    all: LogSecrets,
    number: u64,
}

impl LogSecrets {
    /// Keeps `secrets` out of the log until the returned value is dropped.
    #[must_use]
    pub fn cover(&self, secrets: Secrets) -> Covered {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        self.lock().push((number, secrets));
        Covered {
            all: self.clone(),
            number,
        }
    }

    fn redacted(&self, line: &str) -> String {
        let covered = self.lock();
        let clean = covered
            .iter()
            .fold(Cow::Borrowed(line), |line, (_, secrets)| {
                Cow::Owned(secrets.redact_str(&line).into_owned())
            });
        mask_assignments(&clean).into_owned()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(u64, Secrets)>> {
        // A panic under this lock leaves a whole list behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Covered {
    fn drop(&mut self) {
        self.all.lock().retain(|(number, _)| *number != self.number);
    }
}

/// Writes lines without secrets.
struct Redacting<W> {
    secrets: LogSecrets,
    to: W,
}

impl<W: Write> Write for Redacting<W> {
    /// Takes all of `line`: `tracing` hands over one whole line at a time, so no secret is split.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let clean = self.secrets.redacted(&String::from_utf8_lossy(line));
        self.to.write_all(clean.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Makes writers to standard error.
struct Stderr(LogSecrets);

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = Redacting<io::Stderr>;

    fn make_writer(&'a self) -> Self::Writer {
        Redacting {
            secrets: self.0.clone(),
            to: io::stderr(),
        }
    }
}

/// Starts logging for the whole process. Colours are used at a terminal only.
///
/// # Errors
/// [`TryInitError`] if the process has a log already.
pub fn init(config: &LogConfig, secrets: LogSecrets) -> Result<(), TryInitError> {
    use tracing_subscriber::util::SubscriberInitExt;
    // Checked when the configuration was read, so nothing of it is left out here.
    let filter = EnvFilter::new(&config.filter);
    tracing_subscriber::fmt()
        .with_writer(Stderr(secrets))
        .with_ansi(false)
        .with_env_filter(filter)
        .finish()
        .try_init()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(secrets: &LogSecrets, line: &str) -> String {
        let mut writer = Redacting {
            secrets: secrets.clone(),
            to: Vec::new(),
        };
        writer.write_all(line.as_bytes()).unwrap();
        String::from_utf8(writer.to).unwrap()
    }

    #[test]
    fn what_is_covered_is_not_written_and_what_was_covered_is() {
        let (all, one, two) = (LogSecrets::default(), Secrets::new(), Secrets::new());
        one.add("first-secret");
        two.add("second-secret");
        let first = all.cover(one);
        let second = all.cover(two);
        let line = "refused: first-secret and second-secret\n";
        assert_eq!(written(&all, line), "refused: [redacted] and [redacted]\n");
        drop(first);
        assert_eq!(
            written(&all, line),
            "refused: first-secret and [redacted]\n"
        );
        drop(second);
        assert_eq!(written(&all, line), line);
    }

    #[test]
    fn a_value_with_a_telling_name_is_masked() {
        let line = written(&LogSecrets::default(), "refused password=abc\n");
        assert_eq!(line, "refused password=[redacted]\n");
    }
}
