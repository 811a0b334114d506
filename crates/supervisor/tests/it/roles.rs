//! What this binary can be besides a test: `role:NAME` as the first argument.

use std::{
    fs::File,
    os::unix::fs::FileExt as _,
    path::PathBuf,
    time::{Duration, Instant},
};

use nix::unistd::{ForkResult, fork};

use supervisor::SessionMark;

use crate::scene;

/// The argument that makes this binary an executor: it starts [`scene::TREE`] in the folder that follows, writes its
/// session's mark to `mark` there, and waits to be killed.
pub(crate) const EXECUTOR: &str = "role:executor";

/// The argument that makes this binary a chain of processes: each forks the next and exits, and none lives long enough
/// to be seen and then signalled. The number of the latest is in the file `count` of the folder that follows.
pub(crate) const CHAIN: &str = "role:chain";

/// How long a chain is at most, so that a failing test ends.
pub(crate) const CHAIN_LASTS: Duration = Duration::from_secs(10);

/// Plays a role and exits, if asked for one.
pub(crate) fn play_if_asked() {
    let mut args = std::env::args_os().skip(1);
    let Some(role) = args.next() else { return };
    if role == EXECUTOR {
        executor(args.next().expect("the role has a folder").into());
    } else if role == CHAIN {
        chain(args.next().expect("the role has a folder").into());
    } else {
        return;
    }
    std::process::exit(0);
}

fn chain(folder: PathBuf) {
    let file = File::create(folder.join("count")).expect("the file is made");
    let since = Instant::now();
    for number in 0.. {
        file.write_all_at(format!("{number:020}\n").as_bytes(), 0)
            .expect("the count is written");
        #[expect(unsafe_code, reason = "a chain of forks is what this role is")]
        // SAFETY: this process has one thread; it came here before `main`.
        let forked = unsafe { fork() };
        if matches!(forked, Ok(ForkResult::Parent { .. }) | Err(_)) || since.elapsed() > CHAIN_LASTS
        {
            std::process::exit(0);
        }
    }
}

fn executor(folder: PathBuf) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let session = SessionMark::new("played");
        let spec = scene::shell(scene::TREE, &folder, session.clone());
        let child = supervisor::Guard::own()
            .spawn(spec)
            .await
            .expect("the tree starts");
        std::fs::write(folder.join("mark"), format!("{session}\n")).expect("the mark is written");
        tokio::time::sleep(Duration::from_secs(600)).await;
        drop(child);
    });
}
