//! The fastest endpoint that can be had: it stamps a callback when its last byte has come, answers, and only then looks
//! into it.

use std::{
    io::{self, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde::Deserialize;
use serde_json::value::RawValue;
use testkit::clock;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 20\r\n\r\n{\"status\":\"success\"}";
/// How often it is looked whether something has come.
const LOOK: Duration = Duration::from_millis(2);

/// See the module. It lives as long as the process.
#[derive(Clone)]
pub(crate) struct Sink {
    url: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    posts: Mutex<Vec<Post>>,
    /// Before each answer, in microseconds.
    delay: AtomicU64,
}

/// One request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Post {
    /// When its last byte was there, see [`clock::now_micros`].
    pub(crate) arrived: u64,
    /// The length of its body in bytes.
    pub(crate) bytes: usize,
    pub(crate) event: String,
    pub(crate) subtask: i64,
    /// The text that it adds to the answer.
    pub(crate) text: String,
}

impl Post {
    /// Whether it ends a turn.
    pub(crate) fn ends(&self) -> bool {
        matches!(
            self.event.as_str(),
            "response.completed" | "error" | "response.incomplete"
        )
    }
}

/// A callback, as far as the figures need it.
#[derive(Deserialize)]
struct Body<'a> {
    event_type: String,
    subtask_id: i64,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
struct Delta {
    delta: String,
}

impl Sink {
    /// Listens on a free port.
    pub(crate) fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let url = format!("http://{}/callback", listener.local_addr()?);
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&theirs);
                // A connection that breaks is the sender's affair.
                thread::spawn(move || serve(&stream, &shared).ok());
            }
        });
        Ok(Self { url, shared })
    }

    /// Where callbacks go.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// From now on it waits so long before each answer.
    pub(crate) fn slow(&self, delay: Duration) {
        let micros = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
        self.shared.delay.store(micros, Ordering::Relaxed);
    }

    /// Forgets what has come.
    pub(crate) fn clear(&self) {
        self.shared.posts().clear();
    }

    /// What has come for a subtask.
    pub(crate) fn posts(&self, subtask: i64) -> Vec<Post> {
        let posts = self.shared.posts();
        let ours = posts.iter().filter(|post| post.subtask == subtask);
        ours.cloned().collect()
    }

    /// Waits until so many turns have ended.
    ///
    /// # Panics
    /// If they don't in `patience`.
    pub(crate) async fn ended(&self, turns: usize, patience: Duration) {
        let limit = Instant::now() + patience;
        while self
            .shared
            .posts()
            .iter()
            .filter(|post| post.ends())
            .count()
            < turns
        {
            assert!(Instant::now() < limit, "the turns did not end");
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Shared {
    fn posts(&self) -> MutexGuard<'_, Vec<Post>> {
        self.posts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn serve(stream: &TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::with_capacity(1 << 16, stream);
    let mut writer = stream;
    let (mut line, mut body) = (String::new(), Vec::new());
    while let Some((path, length)) = head(&mut reader, &mut line)? {
        body.resize(length, 0);
        reader.read_exact(&mut body)?;
        let arrived = clock::now_micros();
        let delay = shared.delay.load(Ordering::Relaxed);
        if delay > 0 {
            thread::sleep(Duration::from_micros(delay));
        }
        writer.write_all(ANSWER)?;
        let post = read(&body, path);
        shared.posts().push(Post {
            arrived,
            bytes: length,
            ..post
        });
    }
    Ok(())
}

/// Reads a request's head: the number at the end of its path, and the length of its body. `None` at the end of the
/// connection.
fn head(reader: &mut impl io::BufRead, line: &mut String) -> io::Result<Option<(i64, usize)>> {
    line.clear();
    if reader.read_line(line)? == 0 {
        return Ok(None);
    }
    let path = line.split(' ').nth(1).unwrap_or_default();
    let number = path.rsplit('/').next().unwrap_or_default();
    let number = number.parse().unwrap_or(0);
    let mut length = 0;
    loop {
        line.clear();
        if reader.read_line(line)? == 0 {
            return Ok(None);
        }
        let text = line.trim_end();
        if text.is_empty() {
            return Ok(Some((number, length)));
        }
        if let Some((name, value)) = text.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
    }
}

/// What the copier sends is no callback: all of it is text, and the path tells whose.
fn read(body: &[u8], path: i64) -> Post {
    let Ok(callback) = serde_json::from_slice::<Body<'_>>(body) else {
        return Post {
            subtask: path,
            text: String::from_utf8_lossy(body).into_owned(),
            ..Post::default()
        };
    };
    let text = match callback.event_type.as_str() {
        "response.output_text.delta" => serde_json::from_str(callback.data.get()),
        _ => Ok(Delta {
            delta: String::new(),
        }),
    };
    Post {
        event: callback.event_type,
        subtask: callback.subtask_id,
        text: text.map_or_else(|_| String::new(), |delta: Delta| delta.delta),
        ..Post::default()
    }
}
