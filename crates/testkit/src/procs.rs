//! What `/proc` and the disk say: who is running, who started whom, and where a secret has ended up.

use std::{
    collections::HashMap,
    fmt, fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// A running process.
#[derive(Clone, PartialEq, Eq)]
pub struct Proc {
    /// Its id.
    pub pid: i32,
    /// Its parent's id.
    pub parent: i32,
    /// `R`, `S`, `D`, `Z`, …
    pub state: char,
    /// Its arguments, joined by blanks; its short name in brackets if it has none.
    pub command: String,
    /// Its environment as it was at its start; empty if it can't be read.
    environment: Vec<u8>,
}

impl Proc {
    /// Whether its environment has this variable, with this value if one is given.
    pub fn has_variable(&self, name: &str, value: Option<&str>) -> bool {
        self.environment.split(|byte| *byte == 0).any(|entry| {
            let mut halves = entry.splitn(2, |byte| *byte == b'=');
            halves.next() == Some(name.as_bytes())
                && value.is_none_or(|value| halves.next() == Some(value.as_bytes()))
        })
    }

    /// The value of a variable of its environment, as text.
    pub fn variable(&self, name: &str) -> Option<String> {
        self.environment.split(|byte| *byte == 0).find_map(|entry| {
            let (key, value) =
                entry.split_at_checked(entry.iter().position(|byte| *byte == b'=')?)?;
            (key == name.as_bytes()).then(|| String::from_utf8_lossy(&value[1..]).into_owned())
        })
    }

    /// Whether it has ended and only waits to be collected.
    pub fn is_zombie(&self) -> bool {
        self.state == 'Z'
    }
}

/// Without the environment, which may hold secrets.
impl fmt::Debug for Proc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} (parent {}, {}): {}",
            self.pid, self.parent, self.state, self.command
        )
    }
}

/// Every process of the machine, by id.
pub fn all() -> Vec<Proc> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let mut procs: Vec<Proc> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        // It may end while it is looked at.
        .filter_map(read)
        .collect();
    procs.sort_by_key(|proc| proc.pid);
    procs
}

fn read(pid: i32) -> Option<Proc> {
    let folder = PathBuf::from(format!("/proc/{pid}"));
    let stat = fs::read_to_string(folder.join("stat")).ok()?;
    // The name in parentheses may itself contain blanks and parentheses.
    let (head, rest) = stat.rsplit_once(')')?;
    let name = head.split_once('(')?.1;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    let arguments = fs::read(folder.join("cmdline")).unwrap_or_default();
    let arguments = String::from_utf8_lossy(&arguments).replace('\0', " ");
    let command = if arguments.trim().is_empty() {
        format!("[{name}]")
    } else {
        arguments.trim_end().to_owned()
    };
    let environment = fs::read(folder.join("environ")).unwrap_or_default();
    Some(Proc {
        pid,
        parent,
        state,
        command,
        environment,
    })
}

/// The processes whose environment has this variable, with this value if one is given. Zombies have none.
pub fn with_variable(name: &str, value: Option<&str>) -> Vec<Proc> {
    let mut procs = all();
    procs.retain(|proc| proc.has_variable(name, value));
    procs
}

/// The processes whose command line contains `part`, without this one.
pub fn with_command(part: &str) -> Vec<Proc> {
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let mut procs = all();
    procs.retain(|proc| proc.pid != own && proc.command.contains(part));
    procs
}

/// The children of a process, their children, and so on.
pub fn descendants(pid: i32) -> Vec<Proc> {
    let procs = all();
    let mut children: HashMap<i32, Vec<&Proc>> = HashMap::new();
    for proc in &procs {
        children.entry(proc.parent).or_default().push(proc);
    }
    let mut found = Vec::new();
    let mut open = vec![pid];
    while let Some(parent) = open.pop() {
        for child in children.get(&parent).into_iter().flatten() {
            open.push(child.pid);
            found.push((*child).clone());
        }
    }
    found
}

/// Waits until `which` finds nothing but zombies. Gives those that are still there after `timeout`, to be shown.
///
/// # Errors
/// The survivors.
pub async fn wait_until_gone(
    which: impl Fn() -> Vec<Proc>,
    timeout: Duration,
) -> Result<Duration, Vec<Proc>> {
    let start = Instant::now();
    loop {
        let mut left = which();
        left.retain(|proc| !proc.is_zombie());
        if left.is_empty() {
            return Ok(start.elapsed());
        }
        if start.elapsed() > timeout {
            return Err(left);
        }
        // The kernel tells nobody but the parent, so all that is left is to look again.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Where `needle` is found: in files under `roots` (their names included), and in the arguments and environments of
/// the processes `pids`. Symbolic links are not followed.
pub fn find_secret(needle: &str, roots: &[&Path], pids: &[i32]) -> Vec<String> {
    let mut found = Vec::new();
    for root in roots {
        search(needle.as_bytes(), root, &mut found);
    }
    for pid in pids {
        for file in ["environ", "cmdline"] {
            let path = PathBuf::from(format!("/proc/{pid}/{file}"));
            if fs::read(&path).is_ok_and(|content| contains(&content, needle.as_bytes())) {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

fn search(needle: &[u8], path: &Path, found: &mut Vec<String>) {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return;
    };
    if contains(path.as_os_str().as_encoded_bytes(), needle) {
        found.push(format!("{} (its name)", path.display()));
    }
    if metadata.is_dir() {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            search(needle, &entry.path(), found);
        }
    } else if metadata.is_file() && fs::read(path).is_ok_and(|content| contains(&content, needle)) {
        found.push(path.display().to_string());
    }
}

fn contains(content: &[u8], needle: &[u8]) -> bool {
    !needle.is_empty() && content.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_found_with_its_parent() {
        let own = i32::try_from(std::process::id()).unwrap();
        let parent = all()
            .into_iter()
            .find(|proc| proc.pid == own)
            .unwrap()
            .parent;
        assert!(descendants(parent).iter().any(|proc| proc.pid == own));
    }

    #[test]
    fn a_secret_is_found_in_contents_and_names() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("deep")).unwrap();
        fs::write(folder.path().join("deep/file"), b"\0xx-needle-xx").unwrap();
        fs::write(folder.path().join("-needle-"), b"").unwrap();
        fs::write(folder.path().join("other"), b"nothing").unwrap();
        assert_eq!(find_secret("-needle-", &[folder.path()], &[]).len(), 2);
        assert!(find_secret("-absent-", &[folder.path()], &[]).is_empty());
    }

    #[tokio::test]
    async fn survivors_are_reported() {
        let own = i32::try_from(std::process::id()).unwrap();
        let which = || all().into_iter().filter(|proc| proc.pid == own).collect();
        let survivors = wait_until_gone(which, Duration::ZERO).await.unwrap_err();
        assert_eq!(survivors[0].pid, own);
        assert!(wait_until_gone(Vec::new, Duration::ZERO).await.is_ok());
    }
}
