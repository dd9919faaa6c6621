//! Repositories with everything that a hostile one may contain.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::{Case, SeededRng};
use crate::{
    cli::sandbox::Sandbox,
    scan::{hostile_git::programs, write},
};

/// A repository in the folder `repo`, and scans of it and of its history.
pub(super) fn make(rng: &mut SeededRng, sandbox: &Sandbox, canary: &str, token: &str) -> Vec<Case> {
    build(rng, sandbox, token);
    let mut is_whole = true;
    for _ in 0..rng.below(5) {
        if rng.one_in(2) {
            harm(rng, &sandbox.path("repo/.git"));
            is_whole = false;
        } else {
            mislead(rng, sandbox, canary);
        }
    }
    let history = Case {
        args: vec!["--git".to_owned(), "repo".to_owned()],
        is_whole,
    };
    let files = Case {
        args: vec!["repo".to_owned()],
        is_whole: false,
    };
    vec![history, files]
}

/// Builds commits with one `git fast-import`.
fn build(rng: &mut SeededRng, sandbox: &Sandbox, token: &str) {
    let format = *rng.pick(&["sha1", "sha1", "sha1", "sha256"]);
    write(sandbox, "repo/work", "x");
    git(
        sandbox,
        &["init", "--quiet", &format!("--object-format={format}")],
        b"",
    );
    let mut stream = Vec::new();
    let data = |stream: &mut Vec<u8>, content: &[u8]| {
        stream.extend(format!("data {}\n", content.len()).bytes());
        stream.extend(content);
        stream.push(b'\n');
    };
    let commits = 1 + rng.below(9);
    let with_token = rng.below(commits);
    for n in 0..commits {
        let branch = rng.below(3);
        stream.extend(format!("commit refs/heads/b{branch}\nmark :{}\n", n + 1).bytes());
        stream.extend(format!("committer n <e> {} +0000\n", rng.number() >> 33).bytes());
        data(&mut stream, b"message \x1b[2J");
        if n > 0 && rng.one_in(2) {
            stream.extend(format!("merge :{}\n", 1 + rng.below(n)).bytes());
        }
        let depth = *rng.pick(&[1, 1, 2, 9, 300]);
        let name = *rng.pick(&["a", "b c", "\u{1b}[31m", ".gitattributes", "d"]);
        stream.extend(format!("M 100644 inline {}{name}\n", "x/".repeat(depth)).bytes());
        let fill = rng.below(50_000);
        let mut content = match rng.below(3) {
            0 => rng.bytes(fill),
            1 => vec![b'\n'; fill * 100],
            _ => b"* filter=canary diff=canary\n".repeat(fill / 30),
        };
        if n == with_token {
            content.extend(format!("\n{token}\n").bytes());
        }
        data(&mut stream, &content);
    }
    git(sandbox, &["fast-import", "--quiet", "--force"], &stream);
    if rng.one_in(2) {
        git(sandbox, &["repack", "-adq"], b"");
    }
}

fn git(sandbox: &Sandbox, args: &[&str], input: &[u8]) {
    write(sandbox, "input", input);
    let input = fs::File::open(sandbox.path("input")).unwrap();
    let output = Command::new("git")
        .args(["-c", "fastimport.unpackLimit=5"])
        .args(args)
        .current_dir(sandbox.path("repo"))
        .env_remove("GIT_DIR")
        .stdin(input)
        .stdout(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
}

/// Adds settings that the search must ignore.
fn mislead(rng: &mut SeededRng, sandbox: &Sandbox, canary: &str) {
    let noise = rng.bytes(40);
    let id = format!("{:040x}", rng.number());
    // Files that are already damaged stay as they are.
    let add = |name: &str, content: &[u8]| {
        let path = sandbox.path(&format!("repo/.git/{name}"));
        if path.symlink_metadata().is_ok_and(|found| !found.is_file()) {
            return;
        }
        drop(fs::create_dir_all(path.parent().unwrap()));
        drop(fs::write(&path, content));
        drop(fs::set_permissions(path, fs::Permissions::from_mode(0o755)));
    };
    match rng.below(9) {
        0 => {
            let config = fs::read(sandbox.path("repo/.git/config")).unwrap_or_default();
            add("config", &[&config, programs(canary).as_bytes()].concat());
        }
        1 => {
            for hook in ["post-index-change", "post-checkout", "pre-auto-gc"] {
                add(&format!("hooks/{hook}"), &fs::read(canary).unwrap());
            }
        }
        2 => add("info/grafts", format!("{id}\n{id} {id}\n").as_bytes()),
        3 => add(&format!("refs/replace/{id}"), format!("{id}\n").as_bytes()),
        4 => add("config", &noise),
        5 => add("info/attributes", b"* diff=canary filter=canary\n"),
        6 => add("objects/pack/multi-pack-index", &noise),
        7 => add("objects/info/commit-graph", &noise),
        _ => add("packed-refs", format!("{id} refs/heads/x\n").as_bytes()),
    }
}

/// Damages a file, or puts something else in its place.
fn harm(rng: &mut SeededRng, folder: &Path) {
    let mut files = Vec::new();
    list(folder, &mut files);
    files.sort();
    if files.is_empty() {
        return;
    }
    // Objects most of the time.
    let objects = files
        .iter()
        .filter(|path| path.starts_with(folder.join("objects")));
    let objects: Vec<_> = objects.cloned().collect();
    let from = if rng.one_in(4) || objects.is_empty() {
        &files
    } else {
        &objects
    };
    let path = rng.pick(from);
    let content = fs::read(path).unwrap_or_default();
    let mut damaged = content.clone();
    rng.damage(&mut damaged);
    fs::remove_file(path).unwrap();
    match rng.below(8) {
        0 => mknodat(CWD, path, FileType::Fifo, Mode::RWXU, 0).unwrap(),
        1 => fs::create_dir(path).unwrap(),
        2 => symlink("/dev/zero", path).unwrap(),
        3 => symlink(path, path).unwrap(),
        4 => {}
        5 => {
            let kind = *rng.pick(&["info/alternates", "../shallow", "../commondir", "../HEAD"]);
            drop(fs::create_dir_all(folder.join("objects/info")));
            let to = folder.join("objects").join(kind);
            if to.symlink_metadata().is_ok_and(|found| !found.is_file()) {
                return;
            }
            drop(fs::write(to, damaged));
        }
        _ => fs::write(path, damaged).unwrap(),
    }
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            list(&entry.path(), files);
        } else if entry.file_type().unwrap().is_file() {
            files.push(entry.path());
        }
    }
}
