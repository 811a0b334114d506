//! What Codex says.

use std::time::Duration;

use codex_app_server::{Limits, ThreadEvent, connect, protocol::ThreadStartParams};
use supervisor::LineReader;

/// As long a line as is read here.
const LONGEST: usize = 1 << 16;
/// Nobody waits so long: the lines are there, and their end ends every call.
const SOON: Duration = Duration::from_secs(20);

/// The standard output of `codex app-server`, which may answer the call that opens a thread: every call ends, and so does
/// every stream, with the reason.
pub(crate) fn lines(data: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime needs nothing here");
    runtime.block_on(async {
        let bytes = std::io::Cursor::new(data.to_vec());
        let reader = LineReader::new(bytes, LONGEST);
        let (client, driver) = connect(reader, tokio::io::sink(), Limits::default(), SOON);
        let talk = async {
            let Ok((_, mut stream)) = client.thread_start(ThreadStartParams::default()).await
            else {
                return;
            };
            loop {
                match stream.next().await {
                    ThreadEvent::Lost { .. } => return,
                    ThreadEvent::Request(request) => request.refuse("nobody is here to ask"),
                    ThreadEvent::Notification(_) => {}
                }
            }
        };
        tokio::join!(driver.run(), talk);
    });
}
