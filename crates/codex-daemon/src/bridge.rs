//! The way to somebody else's app-server: it speaks WebSocket over its Unix socket, one message per text frame, while ours
//! speaks lines over pipes. A process of this program stands between them, so that everything else is the same for both.

use std::path::Path;

use futures::{SinkExt as _, StreamExt as _};
use supervisor::{Line, LineReader};
use tokio::{io::AsyncWriteExt as _, net::UnixStream};
use tokio_tungstenite::{
    client_async_with_config,
    tungstenite::{self, Message, protocol::WebSocketConfig},
};

/// The word that makes this program a bridge; for itself only.
pub(crate) const COMMAND: &str = "bridge";

/// Why the bridge fell.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BridgeError {
    #[error("nobody listens on `{socket}`")]
    Connect {
        socket: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the app-server does not speak WebSocket as expected")]
    WebSocket(#[from] tungstenite::Error),
    #[error("the daemon's end is broken")]
    Pipe(#[from] std::io::Error),
}

/// Carries messages both ways until one side ends.
pub(crate) async fn run(socket: &Path) -> Result<(), BridgeError> {
    let stream = UnixStream::connect(socket)
        .await
        .map_err(|source| BridgeError::Connect {
            socket: socket.display().to_string(),
            source,
        })?;
    let most = Some(codex_app_server::MAX_LINE);
    let config = WebSocketConfig::default()
        .max_message_size(most)
        .max_frame_size(most);
    let (socket, _) = client_async_with_config("ws://localhost/", stream, Some(config)).await?;
    let (mut sink, mut source) = socket.split();
    let there = async {
        let mut lines = LineReader::new(tokio::io::stdin(), codex_app_server::MAX_LINE);
        while let Some(line) = lines.next().await? {
            if let Line::Complete(line) = line {
                let text = String::from_utf8_lossy(&line).into_owned();
                sink.send(Message::text(text)).await?;
            }
        }
        Ok(())
    };
    let back = async {
        let mut out = tokio::io::stdout();
        while let Some(message) = source.next().await {
            if let Message::Text(text) = message? {
                out.write_all(text.as_bytes()).await?;
                out.write_all(b"\n").await?;
                out.flush().await?;
            }
        }
        Ok(())
    };
    tokio::select! {
        ended = there => ended,
        ended = back => ended,
    }
}
