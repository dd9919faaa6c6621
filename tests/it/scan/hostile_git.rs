//! Repositories made to run programs, to hide tokens, or to exhaust resources, and an environment
//! that points to another repository.

use std::{
    fs,
    io::Write,
    os::unix::fs::{PermissionsExt, symlink},
    path::PathBuf,
    process::{Command, Stdio},
};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::cli::sandbox::{Ran, Sandbox};

use super::{
    git::{commit, commit_empty, git, repository, scan},
    shown, token, write,
};

/// A program that leaves a file when it runs, and the path of that file.
pub(super) fn canary(sandbox: &Sandbox) -> (String, PathBuf) {
    let (program, trace) = (sandbox.path("canary"), sandbox.path("trace"));
    let script = format!("#!/bin/sh\necho \"$0 $*\" >>{}\n", trace.display());
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    (program.to_str().unwrap().to_owned(), trace)
}

/// All settings of a repository that name a program.
pub(super) fn programs(canary: &str) -> String {
    format!(
        "[core]\n fsmonitor = {canary}\n sshCommand = {canary}\n pager = {canary}\n editor = {canary}\n \
         askPass = {canary}\n gitProxy = {canary}\n alternateRefsCommand = {canary}\n hooksPath = hooks\n \
         untrackedCache = true\n\
         [diff]\n external = {canary}\n\
         [diff \"canary\"]\n textconv = {canary}\n command = {canary}\n\
         [filter \"canary\"]\n smudge = {canary}\n clean = {canary}\n process = {canary}\n required = true\n\
         [credential]\n helper = {canary}\n\
         [gpg]\n program = {canary}\n\
         [pager]\n cat-file = {canary}\n diff-tree = {canary}\n rev-list = {canary}\n\
         [alias]\n cat-file = !{canary}\n\
         [remote \"origin\"]\n url = ext::{canary}\n promisor = true\n partialclonefilter = blob:none\n \
         uploadpack = {canary}\n\
         [extensions]\n partialClone = origin\n"
    )
}

#[test]
#[ignore = "needs git: tests/run installs it and runs this"]
fn programs_named_by_a_repository_are_never_run() {
    let sandbox = repository();
    let token = token("hallpass");
    let (canary, trace) = canary(&sandbox);
    write(&sandbox, "repo/leak", format!("{token}\n"));
    write(
        &sandbox,
        "repo/.gitattributes",
        "* diff=canary filter=canary\n",
    );
    commit(&sandbox, "leak");
    write(&sandbox, "included", programs(&canary));
    let config = sandbox.path("repo/.git/config");
    let own = fs::read_to_string(&config).unwrap();
    let include = format!("{own}[include]\n path = ../../included\n");
    for config_text in [include, own + &programs(&canary)] {
        fs::write(&config, config_text).unwrap();
        for hook in [
            "post-index-change",
            "reference-transaction",
            "fsmonitor-watchman",
        ] {
            fs::copy(&canary, sandbox.path(&format!("repo/.git/hooks/{hook}"))).unwrap();
        }
        // Git would fetch missing objects.
        let missing = sandbox.path("repo/.git/refs/heads/missing");
        fs::write(missing, "0123456789012345678901234567890123456789\n").unwrap();
        assert_eq!(scan(&sandbox, &[]).found(1).len(), 1);
        assert!(!trace.exists(), "{:?}", fs::read_to_string(&trace));
    }
    // The control: git itself runs the program.
    let mut status = Command::new("git");
    status.args(["status"]).current_dir(sandbox.path("repo"));
    status.env_remove("GIT_DIR").output().unwrap();
    assert!(trace.exists());
}

#[test]
#[ignore = "needs git: tests/run installs it and runs this"]
fn git_binary_inside_the_repository_is_not_run() {
    let sandbox = repository();
    let (canary, trace) = canary(&sandbox);
    fs::copy(canary, sandbox.path("repo/git")).unwrap();
    let mut command = sandbox.command(&["scan", "--git"]);
    command.current_dir(sandbox.path("repo"));
    command.env("PATH", "::.:/usr/local/bin:/usr/bin:/bin");
    assert_eq!(Ran::of(command).code, 0);
    assert!(!trace.exists());
}

#[test]
#[ignore = "needs git: tests/run installs it and runs this"]
fn git_environment_variables_are_ignored() {
    let sandbox = repository();
    let (canary, trace) = canary(&sandbox);
    let other = repository();
    let token = token("hallpass");
    write(&sandbox, "repo/leak", &token);
    commit(&sandbox, "leak");
    let elsewhere = other.path("repo/.git");
    let config = other.path("config");
    fs::write(&config, programs(&canary)).unwrap();
    let written = other.path("written");
    for (name, value) in [
        ("GIT_DIR", &elsewhere),
        ("GIT_COMMON_DIR", &elsewhere),
        ("GIT_OBJECT_DIRECTORY", &elsewhere.join("objects")),
        (
            "GIT_ALTERNATE_OBJECT_DIRECTORIES",
            &elsewhere.join("objects"),
        ),
        ("GIT_NAMESPACE", &elsewhere),
        ("GIT_INDEX_FILE", &elsewhere.join("index")),
        ("GIT_CONFIG_GLOBAL", &config),
        ("GIT_CONFIG_SYSTEM", &config),
        ("GIT_EXTERNAL_DIFF", &PathBuf::from(&canary)),
        ("GIT_EXEC_PATH", &other.path("")),
        ("GIT_TRACE", &written),
        ("GIT_GRAFT_FILE", &config),
        ("GIT_CEILING_DIRECTORIES", &sandbox.path("")),
    ] {
        let mut command = sandbox.command(&["scan", "--git", "repo"]);
        command
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env(name, value);
        let found = Ran::of(command).found(1);
        assert_eq!(found.len(), 1, "{name}");
        assert!(found[0].contains(":leak:1:1: "), "{name}: {found:?}");
        assert!(!trace.exists() && !written.exists(), "{name}");
    }
}

#[test]
#[ignore = "needs git: tests/run installs it and runs this"]
fn repository_cannot_hide_history() {
    let sandbox = repository();
    let first = git(&sandbox, &["rev-parse", "HEAD"]);
    let token = token("hallpass");
    write(&sandbox, "repo/leak", &token);
    let leak = commit(&sandbox, "leak");
    git(&sandbox, &["rm", "--quiet", "leak"]);
    let last = commit(&sandbox, "clean");
    let expected = format!("{leak}:leak:1:1: {}", shown(&token));
    let is_found = |by: &str| assert!(scan(&sandbox, &[]).stdout.contains(&expected), "{by}");

    write(
        &sandbox,
        "repo/.git/info/grafts",
        format!("{last} {first}\n"),
    );
    is_found("grafts");
    fs::remove_file(sandbox.path("repo/.git/info/grafts")).unwrap();
    git(&sandbox, &["replace", &leak, &first]);
    let blob = git(&sandbox, &["rev-parse", &format!("{last}~1:README")]);
    is_found("a replaced commit");
    git(&sandbox, &["replace", "-d", &leak]);
    let object = git(&sandbox, &["rev-parse", &format!("{leak}:leak")]);
    git(&sandbox, &["replace", &object, &blob]);
    is_found("a replaced blob");
    git(&sandbox, &["replace", "-d", &object]);
    write(&sandbox, "repo/.git/shallow", format!("{last}\n"));
    is_found("a list of where the clone was cut");
    fs::remove_file(sandbox.path("repo/.git/shallow")).unwrap();
    git(&sandbox, &["commit-graph", "write", "--reachable"]);
    is_found("a commit-graph");
    git(&sandbox, &["update-ref", "refs/heads/main", &first]);
    is_found("no reference");
    fs::remove_dir_all(sandbox.path("repo/.git/refs/heads")).unwrap();
    git(&sandbox, &["init", "--quiet"]);
    is_found("no references at all");
    git(&sandbox, &["update-ref", "refs/heads/main", &last]);
    git(&sandbox, &["repack", "-adq"]);
    let prefix = sandbox.path("repo/.git/objects/info");
    write(
        &sandbox,
        "repo/.git/objects/info/commit-graph",
        "CGPH garbage",
    );
    write(
        &sandbox,
        "repo/.git/objects/pack/multi-pack-index",
        "MIDX garbage",
    );
    assert!(prefix.exists());
    is_found("broken files beside the pack");
}

#[test]
#[ignore = "needs git: tests/run installs it and runs this"]
fn unreadable_objects_are_reported_and_set_the_exit_code() {
    let sandbox = repository();
    write(&sandbox, "repo/more", "more\n");
    commit(&sandbox, "more");
    let blob = git(&sandbox, &["rev-parse", "HEAD:more"]);
    let loose = format!("repo/.git/objects/{}/{}", &blob[..2], &blob[2..]);
    let whole = fs::read(sandbox.path(&loose)).unwrap();
    let is_told = |what: &str| {
        let ran = scan(&sandbox, &[]);
        assert_eq!(ran.code, 14, "{what}: {ran:?}");
        assert!(ran.stderr.contains("not searched: "), "{what}: {ran:?}");
        ran.stderr
    };
    let replace = |content: &[u8]| {
        fs::remove_file(sandbox.path(&loose)).unwrap();
        fs::write(sandbox.path(&loose), content).unwrap();
    };
    replace(&whole[..whole.len() / 2]);
    is_told("a cut object");
    replace(b"garbage");
    is_told("no object");
    fs::remove_file(sandbox.path(&loose)).unwrap();
    mknodat(CWD, sandbox.path(&loose), FileType::Fifo, Mode::RWXU, 0).unwrap();
    is_told("a pipe");
    fs::remove_file(sandbox.path(&loose)).unwrap();
    symlink("/dev/zero", sandbox.path(&loose)).unwrap();
    is_told("a device");
    fs::remove_file(sandbox.path(&loose)).unwrap();
    fs::write(sandbox.path(&loose), &whole).unwrap();
    assert_eq!(scan(&sandbox, &[]).code, 0);

    // A repository cannot redirect the search to another one.
    let other = repository();
    write(&other, "repo/leak", token("hallpass"));
    commit(&other, "leak");
    let lent = other.path("repo/.git/objects");
    let alternates = sandbox.path("repo/.git/objects/info/alternates");
    fs::write(&alternates, format!("{}\n", lent.display())).unwrap();
    let told = is_told("objects of another");
    assert!(told.contains(lent.to_str().unwrap()), "{told}");
    fs::remove_file(alternates).unwrap();

    git(&sandbox, &["repack", "-adq"]);
    let packs = fs::read_dir(sandbox.path("repo/.git/objects/pack")).unwrap();
    let index = packs.map(|entry| entry.unwrap().path());
    let index = index
        .into_iter()
        .find(|path| path.extension().is_some_and(|of| of == "idx"));
    let index = index.unwrap();
    fs::remove_file(&index).unwrap();
    is_told("a pack without its index");
    fs::write(&index, "garbage").unwrap();
    is_told("a broken index");
}

/// Commits to the branch `bomb` trees of ten levels, each with ten links to the one below, so that they contain the
/// file `name` ten billion times.
pub(super) fn commit_bomb(sandbox: &Sandbox, name: &str) {
    let mut object = git(sandbox, &["hash-object", "-w", name]);
    let mut mode = "100644 blob";
    for _ in 0..10 {
        let entries = (0..10).map(|n| format!("{mode} {object}\t{n}\n"));
        let entries = entries.collect::<Vec<_>>().concat();
        let mut make = Command::new("git")
            .arg("mktree")
            .current_dir(sandbox.path("repo"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        make.stdin
            .take()
            .unwrap()
            .write_all(entries.as_bytes())
            .unwrap();
        let output = make.wait_with_output().unwrap();
        let made = String::from_utf8(output.stdout).unwrap();
        made.trim().clone_into(&mut object);
        mode = "40000 tree";
    }
    let bomb = git(sandbox, &["commit-tree", &object, "-m", "bomb"]);
    git(sandbox, &["update-ref", "refs/heads/bomb", &bomb]);
}

#[test]
#[ignore = "needs git: tests/run installs it and runs this"]
fn small_hostile_repository_takes_little_memory_and_time() {
    let sandbox = repository();
    let token = token("hallpass");
    write(&sandbox, "repo/leak", &token);
    commit_bomb(&sandbox, "leak");
    commit_empty(&sandbox, "more");
    let object = git(&sandbox, &["hash-object", "leak"]);
    let ran = bounded(&sandbox, &["scan", "--git", "repo"]);
    assert!(ran.stderr.contains("not all commits"), "{ran:?}");
    let expected = [format!("{object}:1:1: {}", shown(&token))];
    assert_eq!(ran.found(1), expected);
}

/// Runs a command with a limit of one minute, and of a gibibyte of memory per process.
pub(super) fn bounded(sandbox: &Sandbox, args: &[&str]) -> Ran {
    let mut command = Command::new("timeout");
    command
        .args(["--kill-after=1", "60", "/bin/sh", "-c"])
        .arg("ulimit -v 1048576; exec \"$@\"")
        .args(["sh", env!("CARGO_BIN_EXE_hallpass")])
        .args(args)
        .current_dir(sandbox.path(""))
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .stdin(Stdio::null());
    Ran::of(command)
}
