//! What goes through the pipes.

use std::time::Duration;

use supervisor::{ExitStatus, Guard, Line, OutputError, PipedChild};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::scene::{Scene, ladder};

const EIGHT_MIB: usize = 8 << 20;
const LONG: &str = "head -c 8388608 /dev/zero | tr '\\0' x; echo; echo after";

async fn lines_of(script: &str, max_line: usize) -> Vec<Line> {
    let scene = Scene::new();
    let mut spec = scene.shell(script);
    spec.max_line = max_line;
    let (_stdin, mut lines, process) = Guard::own().spawn(spec).await.unwrap().split();
    let mut found = Vec::new();
    while let Some(line) = lines.next().await.unwrap() {
        found.push(line);
    }
    process.shutdown(&ladder(5_000, 5_000)).await;
    found
}

#[tokio::test]
async fn a_line_of_8_mib_passes_below_the_limit() {
    let lines = lines_of(LONG, EIGHT_MIB).await;
    let [Line::Complete(long), after] = &lines[..] else {
        panic!("two lines expected")
    };
    assert_eq!(long.len(), EIGHT_MIB);
    assert!(long.iter().all(|byte| *byte == b'x'));
    assert_eq!(*after, Line::Complete("after".into()));
}

#[tokio::test]
async fn a_line_of_8_mib_is_dropped_above_the_limit_and_reading_goes_on() {
    let lines = lines_of(LONG, EIGHT_MIB - 1).await;
    assert_eq!(
        lines,
        [
            Line::TooLong {
                bytes: EIGHT_MIB as u64
            },
            Line::Complete("after".into())
        ]
    );
}

#[tokio::test]
async fn half_a_line_at_the_end_is_delivered() {
    let lines = lines_of("printf 'whole\\nhalf'", 100).await;
    assert_eq!(
        lines,
        [
            Line::Complete("whole".into()),
            Line::Complete("half".into())
        ]
    );
}

#[tokio::test]
async fn bytes_that_are_no_utf8_pass() {
    let lines = lines_of("printf 'a\\377\\000\\200b\\r\\n'", 100).await;
    assert_eq!(
        lines,
        [Line::Complete(b"a\xff\0\x80b\r"[..].to_vec().into())]
    );
}

#[tokio::test]
async fn a_flood_of_lines_arrives_whole_and_in_order() {
    let lines = lines_of("seq 200000", 100).await;
    assert_eq!(lines.len(), 200_000);
    for (number, line) in (1..).zip(lines) {
        assert_eq!(line, Line::Complete(number.to_string().into()));
    }
}

#[tokio::test]
async fn the_end_of_stdout_is_seen_though_a_tool_held_it() {
    let lines = lines_of("setsid sleep 1000 & echo done", 100).await;
    assert_eq!(lines, [Line::Complete("done".into())]);
}

#[tokio::test]
async fn stderr_never_blocks_and_only_its_end_is_kept() {
    let scene = Scene::new();
    let script = "seq 300000 >&2; printf 'last \\377 words' >&2; echo done; exit 5";
    let (_stdin, mut lines, process) = scene.start(script).await.split();
    assert_eq!(
        lines.next().await.unwrap(),
        Some(Line::Complete("done".into()))
    );
    let handle = process.handle();
    handle.exited().await;
    let tail = handle.stderr_tail();
    assert!(
        tail.ends_with("299999\n300000\nlast \u{fffd} words"),
        "{tail}"
    );
    // A replacement character is two bytes longer than what it replaces.
    assert_eq!(tail.len(), (1 << 10) + 2);
}

#[tokio::test]
async fn input_reaches_the_cli_and_its_end_too() {
    let scene = Scene::new();
    let (mut stdin, mut lines, process) = scene.start("exec wc -c").await.split();
    stdin.write_all(&vec![b'x'; 1 << 20]).await.unwrap();
    drop(stdin);
    assert_eq!(
        lines.next().await.unwrap(),
        Some(Line::Complete("1048576".into()))
    );
    assert_eq!(lines.next().await.unwrap(), None);
    drop(process);
}

#[tokio::test]
async fn a_short_program_is_run_to_its_end_with_all_that_it_started() {
    let scene = Scene::new();
    let spec = scene.shell("echo out; echo err >&2; sleep 1000 & exit 3");
    let output = Guard::own().output(spec, Duration::from_secs(60)).await;
    let output = output.unwrap();
    assert_eq!(output.status, ExitStatus::Code(3));
    assert_eq!(
        (output.stdout.as_str(), output.stderr.as_str()),
        ("out\n", "err\n")
    );
    assert!(supervisor::session_processes(&scene.session).is_empty());
}

#[tokio::test]
async fn a_program_that_takes_too_long_is_ended() {
    let scene = Scene::new();
    let limit = Duration::from_millis(300);
    let output = Guard::own().output(scene.shell("sleep 1000"), limit).await;
    assert!(
        matches!(output, Err(OutputError::TimedOut { .. })),
        "{output:?}"
    );
    let gone = async {
        while !supervisor::session_processes(&scene.session).is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), gone)
        .await
        .unwrap();
}

#[tokio::test]
async fn piped_streams_come_byte_by_byte_and_apart() {
    let scene = Scene::new();
    let script = "printf a; printf b >&2; read line; printf \"$line\"; trap 'exit 7' TERM; echo; while :; do sleep 0.05; done";
    let child = Guard::own().spawn_piped(scene.shell(script)).await.unwrap();
    let PipedChild {
        mut stdin,
        mut stdout,
        mut stderr,
        process,
    } = child;
    let mut byte = [0; 1];
    stdout.read_exact(&mut byte).await.unwrap();
    assert_eq!(&byte, b"a");
    stderr.read_exact(&mut byte).await.unwrap();
    assert_eq!(&byte, b"b");
    stdin.write_all(b"said\n").await.unwrap();
    let mut said = [0; 5];
    stdout.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"said\n");
    process.handle().terminate().await;
    assert_eq!(process.handle().exited().await, ExitStatus::Code(7));
}
