//! A file as the body of a request or an answer.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use tokio::{
    fs::File,
    io::{AsyncRead, ReadBuf},
};

/// How much is read at once.
const CHUNK: usize = 128 << 10;

/// So many bytes of a file. Its length is known from the start, so that it goes with a `Content-Length`: presigned uploads
/// take no chunked bodies.
#[derive(Debug)]
pub struct FileBody {
    file: File,
    left: u64,
}

impl FileBody {
    /// The next `length` bytes of `file`.
    pub fn new(file: std::fs::File, length: u64) -> Self {
        Self {
            file: File::from_std(file),
            left: length,
        }
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let want = usize::try_from(self.left).unwrap_or(CHUNK).min(CHUNK);
        let mut bytes = BytesMut::zeroed(want);
        let mut buffer = ReadBuf::new(&mut bytes);
        let read = ready!(Pin::new(&mut self.file).poll_read(cx, &mut buffer));
        let count = buffer.filled().len();
        Poll::Ready(Some(match read {
            Ok(()) if count == 0 => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(()) => {
                self.left -= count as u64;
                bytes.truncate(count);
                Ok(Frame::data(bytes.freeze()))
            }
            Err(error) => Err(error),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
