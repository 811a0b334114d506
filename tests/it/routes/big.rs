//! A large workspace: how long its archive takes, and how much memory.

use std::{
    fs,
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::json;
use testkit::Storage;

use super::{post, without_agents};

/// How large the workspace is.
const SIZE: usize = 1536 << 20;
/// How large a file of it is.
const FILE: usize = 1 << 20;
/// How long the manager waits.
const LIMIT: Duration = Duration::from_secs(120);
/// How much memory the executor may have needed, in KiB.
const MEMORY: u64 = 64 << 10;

/// Half of it source text, half of it noise, as in a repository with pictures.
fn fill(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut noise = vec![0; FILE];
    for number in 0..SIZE / FILE {
        for chunk in noise.chunks_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let bytes = state.to_le_bytes();
            let bytes = match number % 2 {
                0 => bytes,
                _ => bytes.map(|byte| b"let x = fn(a); \n"[usize::from(byte & 15)]),
            };
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
        let mut file = fs::File::create(folder.join(format!("{number}.bin"))).unwrap();
        file.write_all(&noise).unwrap();
    }
}

/// The most memory that a process has had, in KiB.
fn peak(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.unwrap()
        .trim()
        .trim_end_matches(" kB")
        .trim()
        .parse()
        .unwrap()
}

/// Takes minutes, and gigabytes of disk: `make test-big`, on a release build.
#[tokio::test]
#[ignore = "takes minutes and 4 GiB of disk: `make test-big`"]
async fn a_large_workspace_is_archived_and_restored_in_time_and_in_little_memory() {
    let world = without_agents(|_| {}).await;
    let storage = Storage::start().await.unwrap();
    fill(&world.workspace(1).join("repository"));
    let url = storage.url("big.tar.gz");
    let begun = Instant::now();
    let body = json!({"task_id": 1, "upload_url": url, "max_size_mb": 4096});
    let answer = post(&world, "/api/archive", &body).await;
    let archived = begun.elapsed();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let memory = peak(world.executor.pid());
    fs::remove_dir_all(world.workspace(1)).unwrap();
    let begun = Instant::now();
    let body = json!({"task_id": 1, "download_url": url});
    let answer = post(&world, "/api/restore", &body).await;
    let restored = begun.elapsed();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let peak = peak(world.executor.pid());
    println!("archived {archived:?}, restored {restored:?}, peak {memory} KiB, then {peak} KiB");
    let files = fs::read_dir(world.workspace(1).join("repository")).unwrap();
    assert_eq!(files.count(), SIZE / FILE);
    assert!(
        archived < LIMIT && restored < LIMIT,
        "{archived:?} {restored:?}"
    );
    assert!(peak < MEMORY, "{peak} KiB");
}
