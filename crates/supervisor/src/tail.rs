//! The end of stderr.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    sync::watch,
};

/// The last bytes of a stream, never more than its limit.
#[derive(Debug)]
pub(crate) struct Tail {
    keep: usize,
    bytes: Mutex<VecDeque<u8>>,
}

impl Tail {
    pub(crate) fn new(keep: usize) -> Self {
        Self {
            keep,
            bytes: Mutex::default(),
        }
    }

    pub(crate) fn push(&self, new: &[u8]) {
        let new = &new[new.len().saturating_sub(self.keep)..];
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let excess = (bytes.len() + new.len()).saturating_sub(self.keep);
        bytes.drain(..excess);
        bytes.extend(new);
    }

    /// What is kept, as text; bytes that are no UTF-8 (the first may be half a character) are replaced.
    pub(crate) fn text(&self) -> String {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(bytes.make_contiguous()).into_owned()
    }
}

/// Reads `stream` to its end, so that its writer never waits, and says so in `closed`.
pub(crate) async fn drain(
    mut stream: impl AsyncRead + Unpin,
    tail: Arc<Tail>,
    closed: watch::Sender<bool>,
) {
    let mut buffer = vec![0; 8 << 10];
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) => break,
            Ok(count) => tail.push(&buffer[..count]),
            Err(error) => {
                tracing::debug!(error = %error, "stderr can't be read any more");
                break;
            }
        }
    }
    closed.send_replace(true);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_bytes_are_kept() {
        let tail = Tail::new(4);
        tail.push(b"ab");
        assert_eq!(tail.text(), "ab");
        tail.push(b"cde");
        assert_eq!(tail.text(), "bcde");
        tail.push(b"0123456789");
        assert_eq!(tail.text(), "6789");
        tail.push(b"");
        assert_eq!(tail.text(), "6789");
    }

    #[test]
    fn half_a_character_at_the_cut_is_replaced() {
        let tail = Tail::new(3);
        tail.push("xäb".as_bytes());
        assert_eq!(tail.text(), "äb");
        tail.push(b"c");
        assert_eq!(tail.text(), "\u{fffd}bc");
    }

    #[test]
    fn nothing_is_kept_of_a_tail_of_zero() {
        let tail = Tail::new(0);
        tail.push(b"abc");
        assert_eq!(tail.text(), "");
    }
}
