//! `recorder.c`: built once, preloaded into a server, and told which calls must fail.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use tempfile::NamedTempFile;

use super::server::serve;

/// What a test can set while the server runs.
#[derive(Clone, Copy, Debug)]
pub(super) enum Knob {
    /// The error of every write to a file of the folder; 0: none.
    Write = 0,
    /// The error of every read.
    Read = 1,
    /// The error of every sync.
    Sync = 2,
    /// The error of every opening for writing.
    Open = 3,
    /// The offset of the wall clock in seconds.
    ClockOffsetSecs = 4,
    /// How many calls have failed, read by the test.
    FailedCalls = 5,
    /// The error of every sync of the database's file, such as a checkpoint makes.
    DatabaseSync = 6,
    /// After how many calls that change a file the server is killed; 0: never.
    KillAfter = 7,
}

/// A recorder for one server.
#[derive(Debug)]
pub(super) struct Recorder {
    control: NamedTempFile,
    log: Option<PathBuf>,
}

impl Recorder {
    /// A recorder that writes to `log`, or one that only makes calls fail.
    pub(super) fn new(log: Option<PathBuf>) -> Self {
        let control = NamedTempFile::new().unwrap();
        control.as_file().set_len(64).unwrap();
        Self { control, log }
    }

    /// The command that serves `folder` under this recorder.
    pub(super) fn serve(&self, folder: &Path) -> Command {
        let folder = fs::canonicalize(folder).unwrap();
        self.watch(serve(&folder), &folder)
    }

    /// Records what `command` does in `folder`, whose path is canonical.
    pub(super) fn watch(&self, mut command: Command, folder: &Path) -> Command {
        command
            .env("LD_PRELOAD", library())
            .env("RECORDER_FOLDER", folder)
            .env("RECORDER_CONTROL", self.control.path());
        if let Some(log) = &self.log {
            command.env("RECORDER_LOG", log);
        }
        command
    }

    pub(super) fn set(&self, knob: Knob, value: i64) {
        let file = self.control.as_file();
        file.write_all_at(&value.to_ne_bytes(), knob as u64 * 8)
            .unwrap();
    }

    pub(super) fn get(&self, knob: Knob) -> i64 {
        let mut bytes = [0; 8];
        let file: &File = self.control.as_file();
        file.read_exact_at(&mut bytes, knob as u64 * 8).unwrap();
        i64::from_ne_bytes(bytes)
    }
}

/// Compiles the library on first use.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/it/durability/recorder.c"
        );
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let library = folder.join(format!("recorder-{}.so", std::process::id()));
        let compiled = Command::new("cc")
            .args([
                "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread", "-o",
            ])
            .args([library.as_os_str(), source.as_ref()])
            .status()
            .expect("there is a C compiler");
        assert!(compiled.success());
        // Each server loads it at its start; nothing needs the file afterwards.
        let stable = folder.join("recorder.so");
        fs::rename(&library, &stable).unwrap();

        stable
    })
}
