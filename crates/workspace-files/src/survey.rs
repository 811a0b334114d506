//! A look through a whole archive before anything of it is written.
//!
//! It walks the blocks by itself: names that are lengthened by an entry of their own are read into memory by whoever
//! reads entries in earnest, and how long those may be is decided here.

use std::io::{self, Read};

use tar::Header;

use crate::{Stop, UnpackError};

/// The unit of an archive.
const BLOCK: usize = 512;
/// The longest name or extension of an entry, in bytes.
const LONGEST_NAME: u64 = 64 << 10;
/// Where a sparse file's further block says that there is another one.
const EXTENDED: usize = 504;

/// Reads the archive to its end. Says how many bytes its files take.
pub(crate) fn survey(mut archive: impl Read, stop: &Stop) -> Result<u64, UnpackError> {
    let mut needed = 0_u64;
    let mut size_of_next = None;
    while let Some(block) = block(&mut archive).map_err(UnpackError::Damaged)? {
        if stop.is_set() {
            return Err(UnpackError::Stopped);
        }
        let header = Header::from_byte_slice(&block);
        let size = header.entry_size().map_err(UnpackError::Damaged)?;
        let kind = header.entry_type();
        let names = kind.is_gnu_longname()
            || kind.is_gnu_longlink()
            || kind.is_pax_local_extensions()
            || kind.is_pax_global_extensions();
        if names {
            if size > LONGEST_NAME {
                return Err(UnpackError::LongName);
            }
            let content = content(&mut archive, size).map_err(UnpackError::Damaged)?;
            if kind.is_pax_local_extensions() {
                size_of_next = named_size(&content);
            }
            continue;
        }
        let size = size_of_next.take().unwrap_or(size);
        let mut real = size;
        if let Some(gnu) = header.as_gnu().filter(|_| kind.is_gnu_sparse()) {
            real = gnu.real_size().map_err(UnpackError::Damaged)?;
            let mut more = gnu.is_extended();
            while more {
                let next = block_of(&mut archive).map_err(UnpackError::Damaged)?;
                more = next[EXTENDED] == 1;
            }
        }
        needed = needed.saturating_add(real);
        skip(&mut archive, size, stop)?;
    }
    // The checksum stands behind the last entry.
    let rest = io::copy(&mut archive, &mut io::sink());
    rest.map_err(UnpackError::Damaged)?;
    Ok(needed)
}

/// The next header; `None` at the end, which is a block of zeros or nothing at all.
fn block(archive: &mut impl Read) -> io::Result<Option<[u8; BLOCK]>> {
    let mut block = [0; BLOCK];
    let mut filled = 0;
    while filled < BLOCK {
        match archive.read(&mut block[filled..])? {
            0 if filled == 0 => return Ok(None),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => filled += count,
        }
    }
    Ok(block.iter().any(|byte| *byte != 0).then_some(block))
}

fn block_of(archive: &mut impl Read) -> io::Result<[u8; BLOCK]> {
    let mut block = [0; BLOCK];
    archive.read_exact(&mut block)?;
    Ok(block)
}

/// As much as is padded to whole blocks.
fn padded(size: u64) -> u64 {
    size.saturating_add(BLOCK as u64 - 1) & !(BLOCK as u64 - 1)
}

fn content(archive: &mut impl Read, size: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    archive.take(padded(size)).read_to_end(&mut content)?;
    match content.len() as u64 == padded(size) {
        true => Ok(content),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn skip(archive: &mut impl Read, size: u64, stop: &Stop) -> Result<(), UnpackError> {
    let mut left = padded(size);
    let mut buffer = [0; BLOCK * 32];
    while left > 0 {
        if stop.is_set() {
            return Err(UnpackError::Stopped);
        }
        let want = usize::try_from(left)
            .unwrap_or(buffer.len())
            .min(buffer.len());
        match archive.read(&mut buffer[..want]) {
            Ok(0) => return Err(UnpackError::Damaged(io::ErrorKind::UnexpectedEof.into())),
            Ok(count) => left -= count as u64,
            Err(error) => return Err(UnpackError::Damaged(error)),
        }
    }
    Ok(())
}

/// The size that an extension says, for a file that is too large for its own header: `20 size=10000000000\n`.
fn named_size(content: &[u8]) -> Option<u64> {
    let text = String::from_utf8_lossy(content);
    let record = text.lines().find_map(|line| line.split_once(" size="));
    record.and_then(|(_, size)| size.parse().ok())
}
