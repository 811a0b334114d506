//! What the fuzzer has found worth keeping, run again.

use std::{fs, path::PathBuf};

/// So that the corpus stays one that a test can run.
const MOST: usize = 200;

#[test]
fn every_file_of_the_corpus_keeps_the_promises() {
    let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for &(name, target) in fuzz_targets::ALL {
        let folder = corpus.join(name);
        let entries =
            fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(
            (1..=MOST).contains(&files.len()),
            "{name}: {} files",
            files.len()
        );
        for file in files {
            println!("{}", file.display());
            target(&fs::read(&file).unwrap());
        }
        // What anybody may send.
        for data in [b"".as_slice(), b"{}", b"\n", b"\0\0\0\0", b"\xff\xfe"] {
            target(data);
        }
    }
}
