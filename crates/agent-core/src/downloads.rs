//! What the platform's backend keeps for a task, and how it is fetched.
//!
//! Which URLs there are and what the answers look like is the platform's affair: an implementation of [`Downloads`]
//! knows. Here is what the services make of it, whatever the platform: bytes that stream, with a limit, and errors whose
//! text is fit for a person (no token, no URL).

use std::{
    borrow::Cow,
    fmt,
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, future::BoxFuture, stream::BoxStream};
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use crate::{TaskId, confine::Confined};

/// Fetches what the backend keeps for a task. One call is one request: repeating it is the caller's.
///
/// Implementations send the token to the platform's own host and to nobody else, a redirect included, and have deadlines
/// of their own: for the answer, and for silence in a body.
pub trait Downloads: fmt::Debug + Send + Sync + 'static {
    /// Opens a file that a person attached.
    ///
    /// # Errors
    /// [`DownloadError`] if it can't be had.
    fn attachment<'a>(
        &'a self,
        access: &'a Access,
        id: i64,
    ) -> BoxFuture<'a, Result<Body, DownloadError>>;

    /// Finds the skill of a name; `None` if there is none.
    ///
    /// # Errors
    /// [`DownloadError`] if that can't be found out.
    fn find_skill<'a>(
        &'a self,
        access: &'a Access,
        name: &'a str,
        namespace: &'a str,
    ) -> BoxFuture<'a, Result<Option<SkillId>, DownloadError>>;

    /// Opens a skill's archive, unless it still is the one that hashes to `known`.
    ///
    /// # Errors
    /// [`DownloadError`] if it can't be had.
    fn skill<'a>(
        &'a self,
        access: &'a Access,
        skill: &'a SkillId,
        known: Option<&'a ContentHash>,
    ) -> BoxFuture<'a, Result<Fetched, DownloadError>>;
}

/// For whom something is fetched.
#[derive(Clone, Debug)]
pub struct Access {
    /// The task.
    pub task: TaskId,
    /// The token that the backend wants to see.
    pub token: SecretString,
    /// Where the request says that the backend is; the operator's word goes first.
    pub backend_url: Option<String>,
}

/// A skill as the backend knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkillId {
    /// Its id, as text.
    pub id: String,
    /// The namespace it lies in.
    pub namespace: String,
}

/// The answer to a conditional request.
pub enum Fetched {
    /// What is known still holds.
    Unchanged,
    /// What there is now.
    Body(Body),
}

/// Bytes on their way.
pub struct Body {
    /// How many there will be, if the backend says so.
    pub length: Option<u64>,
    /// What they hash to, if the backend says so.
    pub hash: Option<ContentHash>,
    /// The bytes.
    pub chunks: BoxStream<'static, Result<Bytes, DownloadError>>,
}

/// What bytes hash to: `sha256:<64 hexadecimal digits>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentHash(String);

impl ContentHash {
    /// Reads a hash; `None` if the text is not one.
    ///
    /// ```
    /// # use agent_core::downloads::ContentHash;
    /// assert!(ContentHash::parse("sha256:12").is_none());
    /// let digits = "0F".repeat(32);
    /// let hash = ContentHash::parse(&format!("sha256:{digits}")).unwrap();
    /// assert_eq!(hash.to_string(), format!("sha256:{}", digits.to_lowercase()));
    /// ```
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.trim().strip_prefix("sha256:")?;
        let good = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        good.then(|| Self(digits.to_ascii_lowercase()))
    }

    fn of(hasher: Sha256) -> Self {
        let digits = hasher
            .finalize()
            .into_iter()
            .map(|byte| format!("{byte:02x}"));
        Self(digits.collect())
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.0)
    }
}

/// Why something could not be fetched. The text holds neither token nor URL.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The request brings no token to ask with.
    #[error("the request has no auth_token")]
    NoToken,
    /// The backend's address is none.
    #[error("the backend's address is not an http or https URL")]
    BadAddress,
    /// The backend said no.
    #[error("HTTP {status}; body={body}")]
    Refused {
        /// The status.
        status: u16,
        /// The beginning of what it said, without the token.
        body: String,
        /// When to ask again, if it says so.
        retry_after: Option<Duration>,
    },
    /// The backend sends us to another place, where the token must not go.
    #[error("the backend redirects to another host")]
    Redirected,
    /// The backend can't be reached, or the connection broke.
    #[error("the backend can't be reached")]
    Network(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It took too long.
    #[error("not complete after {} s", .0.as_secs())]
    TimedOut(Duration),
    /// There are more bytes than we take.
    #[error("larger than {} MiB", .limit >> 20)]
    TooLarge {
        /// How many bytes we take.
        limit: u64,
    },
    /// The bytes are not what was announced.
    #[error("damaged on its way: {0}")]
    Damaged(&'static str),
    /// The answer makes no sense.
    #[error("the backend's answer makes no sense: {0}")]
    Malformed(String),
    /// The bytes can't be written.
    #[error("can't be written")]
    Disk(#[source] io::Error),
}

impl DownloadError {
    /// Whether another try may go better.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Refused { status, .. } => matches!(status, 408 | 425 | 429 | 500..),
            Self::Network(_) | Self::Damaged(_) => true,
            Self::NoToken
            | Self::BadAddress
            | Self::Redirected
            | Self::TimedOut(_)
            | Self::TooLarge { .. }
            | Self::Malformed(_)
            | Self::Disk(_) => false,
        }
    }
}

/// A file that is still being written, under a name of its own; removed when this is dropped, if it still is there.
pub(crate) struct Partial<'a> {
    folder: &'a Confined,
    name: PathBuf,
}

impl<'a> Partial<'a> {
    /// A new file in `folder`, and the way to write it.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn create(folder: &'a Confined) -> io::Result<(Self, File)> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let (own, number) = (std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        let name = PathBuf::from(format!(".wegent-{own}-{number}.part"));
        // Left by an earlier process of the same number.
        folder.remove(&name)?;
        let partial = Self { folder, name };
        let file = folder.create(&partial.name, 0o666)?;
        Ok((partial, file))
    }

    /// Gives the file its name, in the place of whatever has it.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn finish(self, name: &Path) -> io::Result<()> {
        self.folder.rename(&self.name, name)
    }
}

impl Drop for Partial<'_> {
    fn drop(&mut self) {
        let _ = self.folder.remove(&self.name);
    }
}

/// What was written.
pub(crate) struct Written {
    pub(crate) bytes: u64,
    pub(crate) hash: ContentHash,
}

impl Body {
    /// Writes everything to a new file, `limit` bytes at most.
    ///
    /// # Errors
    /// [`DownloadError`]; what has been written until then stays for the caller to remove.
    pub(crate) async fn write_to(
        mut self,
        file: File,
        limit: u64,
    ) -> Result<Written, DownloadError> {
        if self.length.is_some_and(|length| length > limit) {
            return Err(DownloadError::TooLarge { limit });
        }
        let mut file = tokio::io::BufWriter::new(tokio::fs::File::from_std(file));
        let (mut bytes, mut hasher) = (0_u64, Sha256::new());
        while let Some(chunk) = self.chunks.next().await {
            let chunk = chunk?;
            bytes += chunk.len() as u64;
            if bytes > limit {
                return Err(DownloadError::TooLarge { limit });
            }
            hasher.update(&chunk);
            file.write_all(&chunk).await.map_err(DownloadError::Disk)?;
        }
        file.flush().await.map_err(DownloadError::Disk)?;
        if self.length.is_some_and(|length| length != bytes) {
            return Err(DownloadError::Damaged(
                "its length is not the announced one",
            ));
        }
        let hash = ContentHash::of(hasher);
        if self.hash.is_some_and(|announced| announced != hash) {
            return Err(DownloadError::Damaged("its hash is not the announced one"));
        }
        Ok(Written { bytes, hash })
    }
}

/// The text with its URLs left out: what a backend says of itself may name hosts that are nobody's business.
pub(crate) fn without_urls(text: &str) -> String {
    let words = text.split(' ').map(|word| match word.find("://") {
        Some(at) => {
            let begin = word[..at].rfind(|letter: char| !letter.is_ascii_alphanumeric());
            let begin = begin.map_or(0, |last| last + 1);
            Cow::Owned(format!("{}…", &word[..begin]))
        }
        None => Cow::Borrowed(word),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// How often something is tried, and how long between.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(1)];
/// The longest pause that a backend can ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Tries again what failed by chance, all tries together within `limit`.
///
/// # Errors
/// The last try's, or [`DownloadError::TimedOut`].
pub(crate) async fn with_retries<T, F>(
    limit: Duration,
    mut attempt: impl FnMut() -> F,
) -> Result<T, DownloadError>
where
    F: Future<Output = Result<T, DownloadError>>,
{
    let tries = async {
        for pause in PAUSES {
            match attempt().await {
                Err(error) if error.is_transient() => {
                    tracing::debug!(%error, "download is tried again");
                    tokio::time::sleep(asked_pause(&error).unwrap_or(pause)).await;
                }
                other => return other,
            }
        }
        attempt().await
    };
    tokio::time::timeout(limit, tries)
        .await
        .unwrap_or(Err(DownloadError::TimedOut(limit)))
}

fn asked_pause(error: &DownloadError) -> Option<Duration> {
    match error {
        DownloadError::Refused { retry_after, .. } => {
            retry_after.map(|after| after.min(LONGEST_PAUSE))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_left_out() {
        for (text, left) in [
            ("HTTP 403; body=no", "HTTP 403; body=no"),
            ("see http://backend:8000/x?token=y now", "see … now"),
            ("url (https://a.b/c): refused", "url (… refused"),
            ("", ""),
        ] {
            assert_eq!(without_urls(text), left);
        }
    }
}
