//! The log: a JSON object per line, in a file that is put aside when it grows.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use tracing_subscriber::{filter::LevelFilter, fmt::MakeWriter};

use crate::{
    config::Config,
    paths::{self, PathError},
};

/// Where a running daemon logs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogTo {
    /// Its file only.
    File,
    /// Its file, and standard error for whoever watches.
    FileAndTerminal,
}

/// Starts logging.
///
/// # Errors
/// [`PathError`] if the file can't be trusted or opened.
pub fn start(config: &Config, to: LogTo) -> Result<(), PathError> {
    paths::private_folder(crate::config::folder_of(&config.log_file))?;
    let (mib, keep) = config.log_rotation;
    let log = Log(
        Arc::new(Mutex::new(Rotating::open(
            &config.log_file,
            mib << 20,
            keep,
        )?)),
        to,
    );
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_max_level(LevelFilter::from_level(config.log_level))
        .with_writer(log)
        .finish();
    // Fails when a test has one already, which is as well.
    let _ = tracing::subscriber::set_global_default(subscriber);
    Ok(())
}

#[derive(Clone)]
struct Log(Arc<Mutex<Rotating>>, LogTo);

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Write for Log {
    /// Takes one whole line at a time. A log that can't be written is no reason to end.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = file.write(line);
        if self.1 == LogTo::FileAndTerminal {
            let _ = io::stderr().write_all(line);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file that is put aside as `.1`, the one before as `.2`, and so on.
struct Rotating {
    path: PathBuf,
    file: File,
    size: u64,
    most: u64,
    keep: usize,
}

impl Rotating {
    fn open(path: &Path, most: u64, keep: usize) -> Result<Self, PathError> {
        let file = paths::private_file(path)?;
        let size = file.metadata().map_or(0, |metadata| metadata.len());
        Ok(Self {
            path: path.to_owned(),
            file,
            size,
            most,
            keep,
        })
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.size > 0 && self.size + line.len() as u64 > self.most {
            self.rotate()?;
        }
        self.file.write_all(line)?;
        self.size += line.len() as u64;
        Ok(())
    }

    fn aside(&self, number: usize) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }

    fn rotate(&mut self) -> io::Result<()> {
        for number in (1..self.keep).rev() {
            let _ = fs::rename(self.aside(number), self.aside(number + 1));
        }
        if self.keep == 0 {
            fs::remove_file(&self.path)?;
        } else {
            fs::rename(&self.path, self.aside(1))?;
        }
        self.file = paths::private_file(&self.path).map_err(io::Error::other)?;
        self.size = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_grows_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = Rotating::open(&path, 10, 2).unwrap();
        for line in ["one-1\n", "two-2\n", "three\n", "four4\n"] {
            log.write(line.as_bytes()).unwrap();
        }
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(
            (read("log"), read("log.1"), read("log.2")),
            ("four4\n".into(), "three\n".into(), "two-2\n".into())
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }
}
