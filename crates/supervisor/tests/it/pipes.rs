//! What goes through the pipes.

use supervisor::{Guard, Line};
use tokio::io::AsyncWriteExt as _;

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
