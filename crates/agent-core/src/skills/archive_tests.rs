//! Archives as people make them, and as nobody should.

use std::{
    io::{Cursor, Write},
    os::unix::fs::PermissionsExt,
};

use tempfile::TempDir;
use zip::{ZipWriter, write::SimpleFileOptions};

use super::*;

const SKILL: &[u8] = b"---\nname: demo\n---\n";

/// An archive of these members: name, mode, content. A name that ends in `/` is a folder.
fn zip(members: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, mode, content) in members {
        let options = SimpleFileOptions::default().unix_permissions(*mode);
        if name.ends_with('/') {
            writer.add_directory(*name, options).unwrap();
        } else {
            writer.start_file(*name, options).unwrap();
            writer.write_all(content).unwrap();
        }
    }
    writer.finish().unwrap().into_inner()
}

struct Unpacked {
    folder: TempDir,
    result: Result<Vec<PathBuf>, ArchiveError>,
}

fn unpacked(archive: &[u8]) -> Unpacked {
    unpacked_within(archive, Limits::default())
}

fn unpacked_within(archive: &[u8], limits: Limits) -> Unpacked {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(archive).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let result = unpack(file, folder.path(), limits);
    Unpacked { folder, result }
}

#[track_caller]
fn refusal(archive: &[u8]) -> String {
    crate::error_chain(&unpacked(archive).result.unwrap_err())
}

#[track_caller]
fn refused_for(archive: &[u8], expected: Problem) {
    match unpacked(archive).result {
        Err(ArchiveError::Member { problem, member }) => {
            assert_eq!(problem, expected, "{member}");
        }
        other => panic!("{other:?}"),
    }
}

/// The archive with one of two names of the same length put in place of the other, everywhere.
fn renamed(mut archive: Vec<u8>, from: &str, to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let places: Vec<usize> = archive
        .windows(from.len())
        .enumerate()
        .filter(|(_, window)| *window == from.as_bytes())
        .map(|(at, _)| at)
        .collect();
    assert!(
        places.len() >= 2,
        "once at the member, once in the directory"
    );
    for at in places {
        archive[at..at + to.len()].copy_from_slice(to);
    }
    archive
}

/// The archive with a member's type of file set in the directory, which follows the members.
fn of_type(mut archive: Vec<u8>, name: &str, kind: u32) -> Vec<u8> {
    let at = archive
        .windows(name.len())
        .rposition(|window| window == name.as_bytes())
        .unwrap();
    let mode = ((kind | 0o777) << 16).to_le_bytes();
    archive[at - 8..at - 4].copy_from_slice(&mode);
    archive
}

#[test]
fn a_shared_top_folder_is_left_out_and_so_is_what_macos_adds() {
    let skill = unpacked(&zip(&[
        ("demo/", 0o755, b""),
        ("demo/SKILL.md", 0o644, SKILL),
        ("demo/scripts/run.sh", 0o755, b"#!/bin/sh\n"),
        ("__MACOSX/demo/._SKILL.md", 0o644, b"x"),
        ("demo/.DS_Store", 0o644, b"x"),
    ]));
    let files = skill.result.unwrap();
    assert_eq!(
        files,
        [Path::new("SKILL.md"), Path::new("scripts/run.sh")].map(Path::to_owned)
    );
    let mode = |name: &str| {
        let metadata = fs::metadata(skill.folder.path().join(name)).unwrap();
        metadata.permissions().mode() & 0o777
    };
    assert_eq!(mode("SKILL.md") & 0o111, 0);
    assert_eq!(mode("scripts/run.sh") & 0o100, 0o100);
}

#[test]
fn an_archive_without_a_top_folder_is_taken_as_it_is() {
    let skill = unpacked(&zip(&[("SKILL.md", 0o644, SKILL), ("a/b", 0o600, b"x")]));
    skill.result.unwrap();
    assert_eq!(fs::read(skill.folder.path().join("a/b")).unwrap(), b"x");
}

#[test]
fn a_skill_needs_its_skill_md_at_its_root() {
    for members in [
        &[("demo/README.md", 0o644, SKILL)][..],
        &[("a/SKILL.md", 0o644, SKILL), ("b/x", 0o644, b"x")],
        &[("demo/SKILL.md/", 0o755, b"")],
        &[],
    ] {
        assert_eq!(refusal(&zip(members)), "without a SKILL.md");
    }
}

#[test]
fn paths_that_lead_out_are_refused_by_name() {
    let up = zip(&[
        ("demo/SKILL.md", 0o644, SKILL),
        ("demo/ab/evil", 0o644, b"x"),
    ]);
    let up = renamed(up, "demo/ab/evil", b"../../e/evil");
    assert_eq!(
        refusal(&up),
        "member `../../e/evil`: a path that leads out of the skill"
    );
    let absolute = renamed(
        zip(&[("aetc/passwd", 0o644, b"x")]),
        "aetc/passwd",
        b"/etc/passwd",
    );
    refused_for(&absolute, Problem::Absolute);
    let backslash = renamed(zip(&[("a/b/c", 0o644, b"x")]), "a/b/c", b"..\\.c");
    refused_for(&backslash, Problem::Letters);
}

#[test]
fn links_and_devices_are_refused_before_anything_is_written() {
    let members = zip(&[
        ("demo/SKILL.md", 0o644, SKILL),
        ("demo/out", 0o777, b"/etc"),
        ("demo/out2/passwd", 0o644, b"root::0:0"),
    ]);
    let link = of_type(members.clone(), "demo/out2/passwd", LINK);
    let skill = unpacked(&link);
    assert_eq!(
        skill.result.unwrap_err().to_string(),
        "member `demo/out2/passwd`: a symbolic link"
    );
    assert_eq!(fs::read_dir(skill.folder.path()).unwrap().count(), 0);
    let device = of_type(members, "demo/out2/passwd", 0o020_000);
    refused_for(&device, Problem::Special);
}

#[test]
fn a_file_below_a_link_is_never_written_through_it() {
    // The link's own name is taken for a folder by the member after it.
    let members = zip(&[
        ("demo/SKILL.md", 0o644, SKILL),
        ("demo/linked", 0o777, b"/tmp"),
        ("demo/linkee/f", 0o644, b"x"),
    ]);
    let members = of_type(members, "demo/linked", LINK);
    let through = renamed(members, "demo/linkee/f", b"demo/linked/f");
    refused_for(&through, Problem::Link);
}

#[test]
fn a_file_that_is_a_folder_too_is_refused() {
    let both = zip(&[
        ("demo/SKILL.md", 0o644, SKILL),
        ("demo/a", 0o644, b"x"),
        ("demo/a/b", 0o644, b"x"),
    ]);
    assert!(refusal(&both).starts_with("member `demo/a/b` can't be unpacked: "));
}

#[test]
fn doubles_are_refused_by_name() {
    let members = zip(&[
        ("demo/SKILL.md", 0o644, SKILL),
        ("demo/one", 0o644, b"1"),
        ("demo/two", 0o644, b"2"),
    ]);
    let double = renamed(members, "demo/two", b"demo/one");
    assert_eq!(refusal(&double), "member `demo/one`: there twice");
    let spelled = zip(&[("demo/a/b", 0o644, b"1"), ("demo/a//b", 0o644, b"2")]);
    refused_for(&spelled, Problem::Double);
}

#[test]
fn names_that_are_no_text_are_refused() {
    let members = zip(&[("demo/SKILL.md", 0o644, SKILL), ("demo/abcd", 0o644, b"x")]);
    refused_for(
        &renamed(members.clone(), "demo/abcd", b"demo/ab\xff\xfe"),
        Problem::NotUtf8,
    );
    refused_for(
        &renamed(members, "demo/abcd", b"demo/a\0\ncd".get(..9).unwrap()),
        Problem::Letters,
    );
}

#[test]
fn a_bomb_is_refused_by_what_it_announces_and_by_what_comes() {
    let limits = Limits {
        bytes: 100_000,
        ..Limits::default()
    };
    let zeros = vec![0; 200_000];
    let mut bomb = zip(&[
        ("demo/SKILL.md", 0o644, SKILL),
        ("demo/bomb", 0o644, &zeros),
    ]);
    assert!(bomb.len() < 1000, "it is small");
    let announced = unpacked_within(&bomb, limits).result.unwrap_err();
    assert_eq!(
        announced.to_string(),
        "member `demo/bomb`: more than 0 MiB in all"
    );
    // The same with a lie about its size.
    let real = 200_000_u32.to_le_bytes();
    while let Some(at) = bomb.windows(4).position(|window| window == real) {
        bomb[at..at + 4].copy_from_slice(&10_u32.to_le_bytes());
    }
    let skill = unpacked_within(&bomb, limits);
    skill.result.unwrap_err();
    let written = fs::metadata(skill.folder.path().join("bomb")).map_or(0, |file| file.len());
    assert!(written <= limits.bytes, "{written}");
}

/// An archive of empty members, with the 64-bit end that more than 65,534 of them need.
fn many_members(count: u64) -> Vec<u8> {
    let (mut archive, mut directory) = (Vec::new(), Vec::new());
    for number in 0..count {
        let name = format!("demo/{number}");
        let length = u16::try_from(name.len()).unwrap().to_le_bytes();
        let offset = u32::try_from(archive.len()).unwrap().to_le_bytes();
        // Version, flags, method, time, date, checksum, sizes: all of them may be 0.
        archive.extend([b"PK\x03\x04".as_slice(), &[0; 22], &length, &[0; 2]].concat());
        archive.extend(name.as_bytes());
        directory.extend(
            [
                b"PK\x01\x02".as_slice(),
                &[0; 24],
                &length,
                &[0; 12],
                &offset,
            ]
            .concat(),
        );
        directory.extend(name.as_bytes());
    }
    let start = (archive.len() as u64).to_le_bytes();
    let size = (directory.len() as u64).to_le_bytes();
    archive.extend(directory);
    let end = (archive.len() as u64).to_le_bytes();
    let count = count.to_le_bytes();
    archive.extend(b"PK\x06\x06".iter().chain(&44_u64.to_le_bytes()));
    archive.extend([[0; 12].as_slice(), &count, &count, &size, &start].concat());
    archive.extend(
        [
            b"PK\x06\x07".as_slice(),
            &[0; 4],
            &end,
            &1_u32.to_le_bytes(),
        ]
        .concat(),
    );
    archive.extend([b"PK\x05\x06".as_slice(), &[0; 4], &[0xff; 12], &[0; 2]].concat());
    archive
}

#[test]
fn the_archive_of_many_members_is_one() {
    let archive = ZipArchive::new(Cursor::new(many_members(3))).unwrap();
    assert_eq!(archive.len(), 3);
}

#[test]
fn two_hundred_thousand_members_are_not_even_read() {
    let many = many_members(200_000);
    assert_eq!(refusal(&many), "more than 10000 members");
}

#[test]
fn what_is_no_archive_or_a_damaged_one_is_refused() {
    assert!(refusal(b"<html>not found</html>").starts_with("not a zip archive"));
    let good = zip(&[("demo/SKILL.md", 0o644, &[7; 5000])]);
    assert!(refusal(&good[..good.len() - 30]).starts_with("not a zip archive"));
    let mut damaged = good;
    // A byte of the content: its checksum doesn't fit any more.
    damaged[60] ^= 0xff;
    assert!(unpacked(&damaged).result.is_err());
}
