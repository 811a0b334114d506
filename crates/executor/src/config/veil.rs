//! Secrets leave the process's environment before anything else happens.
//!
//! Wegent's manager gives keys to a container by environment variables, and `/proc/<pid>/environ` shows a process's
//! environment as it was at its start, whatever the process does later. A tool that runs as the same user could read them
//! there. So a program that was started with secrets starts itself once more without them, and gets them through a
//! file in memory that it closes at once. The process id stays the same.

use std::{
    collections::BTreeMap,
    ffi::{CString, OsStr, OsString},
    fs::{self, File},
    io::{self, Read, Seek, Write},
    os::{
        fd::{FromRawFd, IntoRawFd, OwnedFd, RawFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::PathBuf,
};

use agent_core::environment::is_secret_name;
use nix::{
    sys::memfd::{MFdFlags, memfd_create},
    unistd::execve,
};

use super::names::{REPO_PROXY_CONFIG, TASK_INFO};

/// Names the file descriptor through which the secrets come.
pub(super) const HANDOVER: &str = "WEGENT_EXECUTOR_HANDOVER";

type Variables = BTreeMap<OsString, OsString>;

/// Whether a variable must not stay in the environment: a secret by its name, or a whole task with its keys.
fn is_secret(name: &OsStr) -> bool {
    name == TASK_INFO || name == REPO_PROXY_CONFIG || is_secret_name(&name.to_string_lossy())
}

/// Starts this program again without the secrets among `variables`, if there are any. Returns only if there are none, or
/// if that can't be done; the error then says why, and the program goes on as it was started.
pub(super) fn start_again_without_secrets(
    variables: &Variables,
    arguments: &[OsString],
) -> io::Result<()> {
    let (secret, plain): (Variables, Variables) = variables
        .clone()
        .into_iter()
        .partition(|(name, _)| is_secret(name));
    if secret.is_empty() {
        return Ok(());
    }
    let fd = File::from(memfd_create(c"handover", MFdFlags::empty())?);
    let mut file = fd;
    file.write_all(&packed(&secret))?;
    file.rewind()?;
    let fd = OwnedFd::from(file).into_raw_fd();
    let mut environment = plain;
    environment.insert(HANDOVER.into(), fd.to_string().into());
    let environment = environment
        .iter()
        .map(|(name, value)| CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()))
        .collect::<Result<Vec<_>, _>>()?;
    let arguments = arguments
        .iter()
        .map(|argument| CString::new(argument.as_bytes()))
        .collect::<Result<Vec<_>, _>>()?;
    let program = CString::new(program().into_os_string().into_vec())?;
    let Err(error) = execve(&program, &arguments, &environment);
    drop(taken(fd));
    Err(error.into())
}

/// This program's own file: by its name, so that the process keeps it; by its link if the file was replaced meanwhile.
fn program() -> PathBuf {
    const OWN: &str = "/proc/self/exe";
    fs::read_link(OWN)
        .ok()
        .filter(|path| path.is_file())
        .unwrap_or_else(|| OWN.into())
}

/// Takes what was handed over, if anything was: the variables are complete and the file is gone after this.
///
/// # Errors
/// If the file can't be read.
pub(super) fn take_over(variables: &mut Variables) -> io::Result<bool> {
    let Some(fd) = variables.remove(OsStr::new(HANDOVER)) else {
        return Ok(false);
    };
    let fd: RawFd = fd
        .to_str()
        .and_then(|fd| fd.parse().ok())
        .ok_or(io::ErrorKind::InvalidData)?;
    let mut packed = Vec::new();
    taken(fd).read_to_end(&mut packed)?;
    variables.extend(unpacked(&packed));
    Ok(true)
}

/// The file behind a descriptor that this process owns.
#[expect(
    unsafe_code,
    reason = "the descriptor was made for this process alone and is taken once"
)]
fn taken(fd: RawFd) -> File {
    // SAFETY: `start_again_without_secrets` gave up its ownership of the descriptor, and nobody else knows it.
    unsafe { File::from_raw_fd(fd) }
}

fn packed(variables: &Variables) -> Vec<u8> {
    let entry = |(name, value): (&OsString, &OsString)| {
        [name.as_bytes(), b"=", value.as_bytes(), b"\0"].concat()
    };
    variables.iter().flat_map(entry).collect()
}

fn unpacked(packed: &[u8]) -> Variables {
    let entries = packed.split(|byte| *byte == 0).filter_map(|entry| {
        let middle = entry.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (&entry[..middle], &entry[middle + 1..]);
        Some((
            OsString::from_vec(name.to_vec()),
            OsString::from_vec(value.to_vec()),
        ))
    });
    entries.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_handed_over_comes_out_as_it_went_in() {
        let odd = OsString::from_vec(vec![b'a', 0xff, b'=', b'\n']);
        let variables: Variables = [
            ("A_TOKEN".into(), odd),
            ("EMPTY_KEY".into(), OsString::new()),
        ]
        .into();
        assert_eq!(unpacked(&packed(&variables)), variables);
    }

    #[test]
    fn keys_and_tasks_are_secrets_and_the_rest_is_not() {
        for name in [
            "GIT_TOKEN_AES_IV",
            "OPENAI_API_KEY",
            "TASK_INFO",
            "AUTH_TOKEN",
        ] {
            assert!(is_secret(OsStr::new(name)), "{name}");
        }
        for name in ["PATH", "EXECUTOR_NAME", "JAVA_HOME"] {
            assert!(!is_secret(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn a_handover_that_makes_no_sense_is_an_error() {
        let mut variables: Variables = [(HANDOVER.into(), "seven".into())].into();
        assert!(take_over(&mut variables).is_err());
        assert!(!take_over(&mut Variables::new()).unwrap());
    }
}
