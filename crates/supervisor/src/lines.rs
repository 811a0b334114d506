//! Lines of bounded length from a pipe.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Room asked for before each read. A pipe holds 64 KiB.
const READ: usize = 64 << 10;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// The line, without its `\n`. Any bytes: neither UTF-8 nor a missing `\r` is checked.
    Complete(Bytes),
    /// A line longer than the limit was dropped. Reading goes on with the next.
    TooLong {
        /// How long it was, without its `\n`.
        bytes: u64,
    },
}

/// Splits a stream at `\n` and nothing else. What follows the last `\n` is a line too, unless it's empty.
///
/// Holds at most the limit and one read, however long a line is.
#[derive(Debug)]
pub struct LineReader<R> {
    reader: R,
    max_line: usize,
    buffer: BytesMut,
    /// How much of `buffer` is known to hold no `\n`.
    searched: usize,
    /// The line being dropped, and how much of it is gone already.
    dropped: Option<u64>,
    ended: bool,
}

impl<R> LineReader<R> {
    /// Reads lines of at most `max_line` bytes from `reader`.
    pub fn new(reader: R, max_line: usize) -> Self {
        Self {
            reader,
            max_line,
            buffer: BytesMut::new(),
            searched: 0,
            dropped: None,
            ended: false,
        }
    }

    /// A line that the buffer already holds.
    fn take_line(&mut self) -> Option<Line> {
        let found = memchr::memchr(b'\n', &self.buffer[self.searched..]);
        let Some(found) = found else {
            self.searched = self.buffer.len();
            return None;
        };
        let line = self.buffer.split_to(self.searched + found + 1).freeze();
        self.searched = 0;
        Some(self.judge(line.slice(..line.len() - 1)))
    }

    /// What follows the last `\n`.
    fn take_rest(&mut self) -> Option<Line> {
        if self.buffer.is_empty() && self.dropped.is_none() {
            return None;
        }
        let rest = self.buffer.split().freeze();
        self.searched = 0;
        Some(self.judge(rest))
    }

    fn judge(&mut self, line: Bytes) -> Line {
        match self.dropped.take() {
            Some(dropped) => Line::TooLong {
                bytes: dropped + line.len() as u64,
            },
            None if line.len() > self.max_line => Line::TooLong {
                bytes: line.len() as u64,
            },
            None => Line::Complete(line),
        }
    }

    /// Drops what can't become a line any more.
    fn shed(&mut self) {
        if self.dropped.is_some() || self.buffer.len() > self.max_line {
            *self.dropped.get_or_insert(0) += self.buffer.len() as u64;
            // Not `clear`: that would keep the room of the whole long line for the rest of the session.
            self.buffer = BytesMut::new();
            self.searched = 0;
        }
    }
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    /// The next line; `None` at the end of the stream. Cancel-safe: nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// What the reader says. What was read before it is still there.
    pub async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            if let Some(line) = self.take_line() {
                return Ok(Some(line));
            }
            if self.ended {
                return Ok(self.take_rest());
            }
            self.shed();
            self.buffer.reserve(READ);
            self.ended = self.reader.read_buf(&mut self.buffer).await? == 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    async fn all(input: &[u8], max_line: usize, chunk: usize) -> Vec<Line> {
        let (mut writer, reader) = tokio::io::duplex(chunk);
        let mut lines = LineReader::new(reader, max_line);
        let write = async move { writer.write_all(input).await.unwrap() };
        let read = async move {
            let mut found = Vec::new();
            while let Some(line) = lines.next().await.unwrap() {
                found.push(line);
            }
            assert_eq!(lines.next().await.unwrap(), None, "the end stays the end");
            found
        };
        tokio::join!(write, read).1
    }

    fn complete(text: &'static [u8]) -> Line {
        Line::Complete(Bytes::from_static(text))
    }

    #[tokio::test]
    async fn the_way_bytes_arrive_does_not_matter() {
        let input = b"one\n\ntwo\r\n\xff\xfe\nlonger than eight\nhalf";
        let expected = [
            complete(b"one"),
            complete(b""),
            complete(b"two\r"),
            complete(b"\xff\xfe"),
            Line::TooLong { bytes: 17 },
            complete(b"half"),
        ];
        for chunk in 1..=input.len() {
            assert_eq!(all(input, 8, chunk).await, expected, "chunk of {chunk}");
        }
    }

    #[tokio::test]
    async fn the_limit_itself_is_allowed() {
        for chunk in [1, 3, 64] {
            assert_eq!(
                all(b"1234\n12345\n", 4, chunk).await,
                [complete(b"1234"), Line::TooLong { bytes: 5 }]
            );
            assert_eq!(all(b"1234", 4, chunk).await, [complete(b"1234")]);
            assert_eq!(all(b"12345", 4, chunk).await, [Line::TooLong { bytes: 5 }]);
        }
    }

    #[tokio::test]
    async fn an_empty_stream_has_no_line() {
        assert_eq!(all(b"", 4, 1).await, []);
    }

    #[tokio::test]
    async fn a_dropped_line_does_not_keep_its_room() {
        let (mut writer, reader) = tokio::io::duplex(1 << 10);
        let mut lines = LineReader::new(reader, 1 << 10);
        let write = async {
            writer.write_all(&vec![b'x'; 4 << 20]).await.unwrap();
            writer.write_all(b"\nnext\n").await.unwrap();
        };
        let (line, ()) = tokio::join!(lines.next(), write);
        assert_eq!(line.unwrap(), Some(Line::TooLong { bytes: 4 << 20 }));
        assert_eq!(lines.next().await.unwrap(), Some(complete(b"next")));
        assert!(lines.buffer.capacity() <= 4 * READ);
    }

    #[tokio::test]
    async fn a_cancelled_read_loses_nothing() {
        let (mut writer, reader) = tokio::io::duplex(64);
        let mut lines = LineReader::new(reader, 64);
        for part in [&b"ha"[..], b"lf", b"\n"] {
            tokio::select! {
                biased;
                line = lines.next() => panic!("no line is complete yet: {line:?}"),
                () = std::future::ready(()) => {}
            }
            writer.write_all(part).await.unwrap();
        }
        assert_eq!(lines.next().await.unwrap(), Some(complete(b"half")));
    }
}
