//! Starts, and starts that fail.

use std::{error::Error as _, ffi::OsString, os::unix::ffi::OsStringExt as _, path::Path};

use supervisor::{ChildEnv, Guard, Line, SESSION_MARK, SpawnError, session_processes};

use crate::scene::{PATH, Scene, eventually};

#[tokio::test]
async fn a_missing_program_is_named() {
    let scene = Scene::new();
    for missing in ["/no/such/program", "no-such-program"] {
        let mut spec = scene.shell("");
        spec.program = missing.into();
        let error = Guard::own().spawn(spec).await.unwrap_err();
        assert!(
            matches!(&error, SpawnError::Program { program, .. } if program == Path::new(missing)),
            "{error:?}"
        );
        assert_eq!(
            error.to_string(),
            format!("the program `{missing}` could not be started")
        );
        assert!(
            error.source().unwrap().to_string().contains("No such file"),
            "{error:?}"
        );
    }
    eventually("the session is empty", || {
        session_processes(&scene.session).is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_program_that_may_not_be_executed_is_named() {
    let scene = Scene::new();
    std::fs::write(scene.path("data"), "x").unwrap();
    let mut spec = scene.shell("");
    spec.program = scene.path("data");
    let error = Guard::own().spawn(spec).await.unwrap_err();
    assert!(
        error
            .source()
            .unwrap()
            .to_string()
            .contains("Permission denied"),
        "{error:?}"
    );
    assert!(matches!(error, SpawnError::Program { program, .. } if program == scene.path("data")));
}

#[tokio::test]
async fn a_missing_folder_is_named_and_not_taken_for_a_missing_program() {
    let scene = Scene::new();
    std::fs::write(scene.path("file"), "").unwrap();
    for folder in ["missing", "file"] {
        let mut spec = scene.shell("");
        spec.cwd = scene.path(folder);
        let error = Guard::own().spawn(spec).await.unwrap_err();
        assert!(
            matches!(&error, SpawnError::Cwd { cwd, .. } if *cwd == scene.path(folder)),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_binary_that_is_no_guard_is_told_from_one_that_is_missing() {
    let scene = Scene::new();
    let error = Guard::at("/bin/true".into())
        .spawn(scene.shell(""))
        .await
        .unwrap_err();
    assert!(matches!(error, SpawnError::Mute { .. }), "{error:?}");
    let error = Guard::at("/no/such/guard".into())
        .spawn(scene.shell(""))
        .await
        .unwrap_err();
    assert!(matches!(error, SpawnError::Guard { .. }), "{error:?}");
}

#[tokio::test]
async fn the_child_gets_its_arguments_folder_and_environment_and_nothing_else() {
    let scene = Scene::new();
    let mut spec = scene.shell(r#"pwd; for arg; do echo "<$arg>"; done; exec env"#);
    let odd = OsString::from_vec(b"\xff".to_vec());
    spec.args.extend([
        "sh".into(),
        "--".into(),
        "a b\"'$x".into(),
        "".into(),
        odd.clone(),
    ]);
    spec.env = ChildEnv::from_iter([("PATH", PATH), ("EMPTY", "")]);
    spec.env.set("ODD", odd);
    let (_stdin, mut lines, _process) = Guard::own().spawn(spec).await.unwrap().split();
    let mut found = Vec::new();
    while let Some(Line::Complete(line)) = lines.next().await.unwrap() {
        found.push(line.to_vec());
    }
    let folder = scene.folder.path().canonicalize().unwrap();
    assert_eq!(found[0], folder.as_os_str().as_encoded_bytes());
    assert_eq!(found[1..5], [&b"<-->"[..], b"<a b\"'$x>", b"<>", b"<\xff>"]);
    let mut environment: Vec<&[u8]> = found[5..].iter().map(Vec::as_slice).collect();
    // The shell adds where it is.
    environment.retain(|entry| !entry.starts_with(b"PWD=") && !entry.starts_with(b"_="));
    environment.sort_unstable();
    let path = format!("PATH={PATH}");
    let mark = format!("{SESSION_MARK}={}", scene.session);
    assert_eq!(
        environment,
        [
            b"EMPTY=".as_slice(),
            b"ODD=\xff",
            path.as_bytes(),
            mark.as_bytes()
        ]
    );
}

#[tokio::test]
async fn a_program_without_a_slash_is_searched_in_the_childs_own_path() {
    let scene = Scene::new();
    let mut spec = scene.shell("");
    (spec.program, spec.args) = ("echo".into(), vec!["found".into()]);
    let (_stdin, mut lines, _process) = Guard::own().spawn(spec.clone()).await.unwrap().split();
    assert_eq!(
        lines.next().await.unwrap(),
        Some(Line::Complete("found".into()))
    );
    spec.env.set("PATH", scene.folder.path());
    assert!(matches!(
        Guard::own().spawn(spec).await,
        Err(SpawnError::Program { .. })
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn starts_at_one_time_do_not_get_into_each_others_way() {
    let scenes: Vec<Scene> = (0..16).map(|_| Scene::new()).collect();
    let mut starts = tokio::task::JoinSet::new();
    for scene in &scenes {
        let spec = scene.shell("echo $$; exec cat");
        starts.spawn(async move {
            let child = Guard::own().spawn(spec).await.unwrap();
            let pid = child.pid();
            let (stdin, mut lines, process) = child.split();
            assert_eq!(
                lines.next().await.unwrap(),
                Some(Line::Complete(pid.to_string().into()))
            );
            // Were another guard or CLI to hold this pipe too, its end would not be seen.
            drop(stdin);
            assert_eq!(lines.next().await.unwrap(), None);
            assert!(process.handle().exited().await.success());
        });
    }
    while let Some(start) = starts.join_next().await {
        start.unwrap();
    }
    for scene in &scenes {
        eventually("the session is empty", || {
            session_processes(&scene.session).is_empty()
        })
        .await;
    }
}
