//! The physical limit: a program that starts the fake Claude Code, asks it for a turn, and posts what it writes, as it is,
//! over one connection. It has no protocol, no journal, no redaction, no guard, and loses what it holds when it ends.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, ExitCode, Stdio},
    time::Duration,
};

use serde_json::json;
use testkit::{clock, roles};
use tokio::process::Command;

use crate::{
    machine::Used,
    sample::Sample,
    sink::{Post, Sink},
};

/// The argument that makes this program the copier.
pub(crate) const ROLE: &str = "copier";

/// Makes the fake tell when it was started.
const BORN: &str = "#fake:born";

/// How it cuts what it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A request for each line.
    Lines,
    /// A request for whatever is there to be read.
    Chunks,
}

impl Form {
    fn name(self) -> &'static str {
        match self {
            Self::Lines => "lines",
            Self::Chunks => "chunks",
        }
    }
}

/// What the copier's run gave.
pub(crate) struct Copied {
    /// The requests of each copier.
    pub(crate) posts: Vec<Vec<Post>>,
    /// What it used of the machine, its child not counted.
    pub(crate) used: Used,
}

/// Runs so many copiers at once, each with a CLI of its own that does `prompt`.
pub(crate) async fn run(form: Form, prompt: &str, copiers: usize, patience: Duration) -> Copied {
    let sink = Sink::start().expect("loopback has free ports");
    let folder = wegent_executor_tests::private_folder();
    let claude = roles::install_fake_claude(folder.path()).expect("the folder is writable");
    let mut running = Vec::new();
    for number in 0..copiers {
        #[expect(
            clippy::disallowed_methods,
            reason = "the copier is a program of its own"
        )]
        let mut command = Command::new(std::env::current_exe().expect("a program has a path"));
        command
            .args([ROLE, form.name()])
            .arg(format!("{}/{number}", sink.url()))
            .arg(prompt)
            .arg(&claude)
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        running.push(command.spawn().expect("this program can be started"));
    }
    let mut used = Used::default();
    for child in running {
        let output = tokio::time::timeout(patience, child.wait_with_output()).await;
        let output = output
            .expect("the copier ends")
            .expect("the copier can be waited for");
        assert!(output.status.success(), "the copier failed");
        used.add(&Used::parse(&String::from_utf8_lossy(&output.stdout)));
    }
    let posts: Vec<Vec<Post>> = (0i64..)
        .take(copiers)
        .map(|number| sink.posts(number))
        .collect();
    Copied { posts, used }
}

impl Copied {
    /// How long each of the `count` deltas of each copier took.
    pub(crate) fn deltas(&self, count: usize) -> Sample {
        let mut times = Sample::default();
        for posts in &self.posts {
            times.extend(Sample::of_deltas(posts, count));
        }
        times
    }
}

/// From the call to the first instruction of the CLI, where nothing lies between: `times` processes, one after the other.
pub(crate) async fn starts(times: usize, patience: Duration) -> Sample {
    let mut starts = Sample::default();
    for _ in 0..times {
        // The copier tells when it calls, the fake when it was born.
        let copied = run(Form::Chunks, BORN, 1, patience).await;
        let text: String = copied
            .posts
            .iter()
            .flatten()
            .map(|post| post.text.as_str())
            .collect();
        let stamps = clock::stamps_in(&text);
        if let [called, born, ..] = stamps[..] {
            starts.push_between(called, born);
        }
    }
    starts
}

/// The copier itself: `copier FORM URL PROMPT CLAUDE`. Tells what it used on its standard output.
pub(crate) fn main(arguments: &[String]) -> ExitCode {
    let [form, url, prompt, claude] = arguments else {
        eprintln!("copier: FORM URL PROMPT CLAUDE");
        return ExitCode::FAILURE;
    };
    let form = match form == Form::Lines.name() {
        true => Form::Lines,
        false => Form::Chunks,
    };
    match copy(form, url, prompt, Path::new(claude)) {
        Ok(()) => {
            println!("{}", Used::of("self"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("copier: {error}");
            ExitCode::FAILURE
        }
    }
}

fn copy(form: Form, url: &str, prompt: &str, claude: &Path) -> io::Result<()> {
    let mut link = Link::new(url)?;
    let called = clock::stamp();
    let mut child = start(claude)?;
    if prompt == BORN {
        link.post(format!("{called} ").as_bytes())?;
    }
    let mut stdin = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let message = json!({"type": "user", "message": {"role": "user", "content": prompt}});
    writeln!(stdin, "{message}")?;
    // The fake ends after the turn.
    drop(stdin);
    let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    match form {
        Form::Lines => {
            let mut reader = BufReader::with_capacity(1 << 16, stdout);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line)? > 0 {
                link.post(&line)?;
                line.clear();
            }
        }
        Form::Chunks => {
            let (mut stdout, mut chunk) = (stdout, vec![0; 1 << 16]);
            loop {
                let read = stdout.read(&mut chunk)?;
                if read == 0 {
                    break;
                }
                link.post(&chunk[..read])?;
            }
        }
    }
    child.wait()?;
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the copier is a program of its own"
)]
fn start(claude: &Path) -> io::Result<Child> {
    std::process::Command::new(PathBuf::from(claude))
        .args([
            "-p",
            "--verbose",
            "--output-format=stream-json",
            "--input-format=stream-json",
            "--include-partial-messages",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
}

/// A connection that is kept.
struct Link {
    stream: TcpStream,
    head: String,
    answer: Vec<u8>,
}

impl Link {
    fn new(url: &str) -> io::Result<Self> {
        let place = url.trim_start_matches("http://");
        let (host, path) = place.split_once('/').unwrap_or((place, ""));
        let stream = TcpStream::connect(host)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            head: format!("POST /{path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: "),
            answer: vec![0; 512],
        })
    }

    fn post(&mut self, body: &[u8]) -> io::Result<()> {
        let mut request = format!("{}{}\r\n\r\n", self.head, body.len()).into_bytes();
        request.extend_from_slice(body);
        self.stream.write_all(&request)?;
        let mut filled = 0;
        // The sink's answer has twenty bytes after its head.
        while !self.answer[..filled].ends_with(b"\"success\"}") {
            let read = self.stream.read(&mut self.answer[filled..])?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            filled += read;
        }
        Ok(())
    }
}
