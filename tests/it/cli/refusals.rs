//! Each refusal of the store has its own exit code and one line that says what to do; dangling links, directories and
//! pipes in place of files; and secrets that come through a pipe.

use std::{
    fs::{self, Permissions},
    io::Write as _,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use rustix::{
    fs::{CWD, FileType, Mode, mknodat},
    process::{Pid, Signal, kill_process},
};

use super::sandbox::{PASSWORD, Ran, Sandbox, ended};

const LIST: &[&str] = &["user", "list"];
const SERVE: &[&str] = &["serve", "--listen=127.0.0.1:0", "--log-level=error"];
const TIMEOUT: Duration = Duration::from_secs(20);

#[test]
fn missing_database_or_folder_exits_with_3_and_creates_nothing() {
    let sandbox = Sandbox::empty();
    let refusal = sandbox.run(LIST).refused(3);
    // Most likely the command ran in the wrong folder, so it must not suggest a new database first.
    let places = [
        "--database-url",
        "HALLPASS_DATABASE_URL",
        "--server",
        "hallpass login",
        "hallpass serve",
    ];
    let places = places.map(|named| {
        refusal
            .find(named)
            .unwrap_or_else(|| panic!("{named}: {refusal}"))
    });
    assert!(places.is_sorted(), "{refusal}");
    assert!(!sandbox.path("hallpass.db").exists());
    let nowhere = "--database-url=sqlite:nowhere/hallpass.db";
    sandbox.run(&[SERVE, &[nowhere]].concat()).refused(3);
    assert!(!sandbox.path("nowhere").exists());
}

#[test]
fn foreign_file_exits_with_4_and_is_left_unchanged() {
    let sandbox = Sandbox::empty();
    let file = sandbox.path("hallpass.db");
    fs::write(&file, "not a database").unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    sandbox.run(LIST).refused(4);
    sandbox.run(SERVE).refused(4);
    assert_eq!(fs::read_to_string(&file).unwrap(), "not a database");

    let other = Sandbox::empty();
    other.tamper("CREATE TABLE recipes (name TEXT); PRAGMA application_id = 4711");
    fs::set_permissions(other.path("hallpass.db"), Permissions::from_mode(0o600)).unwrap();
    other.run(SERVE).refused(4);
}

#[test]
fn file_readable_by_others_exits_with_5_unless_allowed() {
    let sandbox = Sandbox::set_up();
    fs::set_permissions(sandbox.path("hallpass.db"), Permissions::from_mode(0o644)).unwrap();
    let refusal = sandbox.run(LIST).refused(5);
    assert!(refusal.contains("chmod 600"), "{refusal}");
    sandbox.run(SERVE).refused(5);
    sandbox.print(&[LIST, &["--allow-open-permissions"]].concat());
}

#[test]
fn unwritable_folder_exits_with_6() {
    // A folder in which not even root can create a file.
    let refusal = Sandbox::empty()
        .run(&[SERVE, &["--database-url=sqlite:/sys/hallpass.db"]].concat())
        .refused(6);
    assert!(refusal.contains("/sys"), "{refusal}");
}

#[test]
fn newer_schema_exits_with_7_and_an_older_one_with_8_except_for_serve() {
    let sandbox = Sandbox::set_up();
    sandbox.tamper("PRAGMA user_version = 9999");
    let before = fs::read(sandbox.path("hallpass.db")).unwrap();
    sandbox.run(LIST).refused(7);
    sandbox.run(SERVE).refused(7);
    assert_eq!(fs::read(sandbox.path("hallpass.db")).unwrap(), before);

    sandbox.tamper("PRAGMA user_version = 0");
    let refusal = sandbox.run(LIST).refused(8);
    assert!(refusal.contains("hallpass serve"), "{refusal}");
}

#[test]
fn second_server_exits_with_9_and_the_first_keeps_running() {
    let sandbox = Sandbox::set_up();
    let first = sandbox.serve(&[]);
    sandbox.run(SERVE).refused(9);
    sandbox.print(&["healthcheck", &format!("--listen={}", first.address)]);
    first.stop();
    sandbox.serve(&[]).stop();
}

#[test]
fn damaged_database_exits_with_12_and_names_the_damage() {
    let sandbox = Sandbox::set_up();
    assert_eq!(
        sandbox.json(&["data", "check"])["findings"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
    sandbox.tamper("CREATE TABLE stray (name TEXT)");
    let ran = sandbox.run(&["data", "check"]);
    assert_eq!(ran.code, 12, "{ran:?}");
    assert!(ran.stdout.contains("stray"), "{ran:?}");
}

#[test]
fn any_other_open_failure_exits_with_10_and_names_the_cause() {
    let sandbox = Sandbox::empty();
    fs::write(sandbox.path("file"), "").unwrap();
    let below_a_file = "--database-url=sqlite:file/hallpass.db";
    let refusal = sandbox.run(&[SERVE, &[below_a_file]].concat()).refused(10);
    assert!(refusal.contains("Not a directory"), "{refusal}");
}

pub(super) fn make_pipe(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
}

#[test]
fn database_path_that_is_not_a_file_is_refused_and_nothing_is_created() {
    let sandbox = Sandbox::empty();
    symlink("elsewhere/new.db", sandbox.path("link.db")).unwrap();
    fs::create_dir(sandbox.path("elsewhere")).unwrap();
    symlink("loop.db", sandbox.path("loop.db")).unwrap();
    make_pipe(&sandbox.path("pipe.db"));
    drop(std::os::unix::net::UnixListener::bind(sandbox.path("socket.db")).unwrap());
    let before = fs::read_dir(sandbox.path(".")).unwrap().count();
    for (path, code, told) in [
        (
            "link.db",
            4,
            "is a link to elsewhere/new.db, where there is nothing",
        ),
        ("loop.db", 10, "cannot open the database"),
        ("elsewhere", 4, "is a directory, not a file"),
        ("pipe.db", 4, "is a pipe, not a file"),
        ("socket.db", 4, "is a socket, not a file"),
        ("/dev/null", 4, "is a device, not a file"),
    ] {
        let url = format!("--database-url=sqlite:{path}");
        for args in [
            &["serve", "--log-level=error"][..],
            &["user", "list"],
            &["config", "check"],
        ] {
            let refusal = sandbox.run(&[args, &[&url]].concat()).refused(code);
            assert!(refusal.contains(told), "{refusal}");
        }
    }
    assert_eq!(fs::read_dir(sandbox.path(".")).unwrap().count(), before);
    assert_eq!(fs::read_dir(sandbox.path("elsewhere")).unwrap().count(), 0);

    // The control: a link to a database is followed.
    sandbox
        .serve(&["--database-url=sqlite:elsewhere/new.db"])
        .stop();
    sandbox.print(&["user", "list", "--database-url=sqlite:link.db"]);
}

#[test]
fn non_file_in_place_of_the_wal_is_refused() {
    for suffix in ["-wal", "-shm", "-journal"] {
        let sandbox = Sandbox::set_up();
        let beside = sandbox.path(&format!("hallpass.db{suffix}"));
        drop(fs::remove_file(&beside));
        make_pipe(&beside);
        let refusal = sandbox.run(&["user", "list"]).refused(4);
        assert!(
            refusal.contains(&format!("{suffix} is a pipe, not a file")),
            "{refusal}"
        );
    }
}

#[test]
fn pipe_in_place_of_the_initial_password_file_is_refused_at_once() {
    let sandbox = Sandbox::empty();
    make_pipe(&sandbox.path("initial-admin-password"));
    let refusal = sandbox.run(&["config", "check"]).refused(1);
    assert!(
        refusal.contains("initial-admin-password: it is a pipe"),
        "{refusal}"
    );
    let start = Instant::now();
    let mut child = sandbox
        .command(&["serve", "--listen=127.0.0.1:0"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    assert_eq!(
        ended(&mut child, TIMEOUT).code(),
        Some(1),
        "{:?}",
        start.elapsed()
    );
    let log = std::io::read_to_string(child.stderr.unwrap()).unwrap();
    assert!(
        log.contains("initial-admin-password: it is a pipe: move it away"),
        "{log}"
    );
}

#[test]
fn initial_password_may_come_through_a_pipe_and_a_signal_ends_the_wait() {
    for signal in [None, Some(Signal::TERM), Some(Signal::INT)] {
        let sandbox = Sandbox::empty();
        let pipe = sandbox.path("pipe");
        make_pipe(&pipe);
        let mut command = sandbox.command(&["serve", "--listen=127.0.0.1:0"]);
        command.env("HALLPASS_ADMIN_PASSWORD_FILE", "pipe");
        let Some(signal) = signal else {
            let writer = std::thread::spawn(move || fs::write(pipe, format!("{PASSWORD}\n")));
            sandbox.serve_command(command).stop();
            writer.join().unwrap().unwrap();
            assert!(!sandbox.path("initial-admin-password").exists());
            // A later start does not wait for the password.
            let mut command = sandbox.command(&["serve", "--listen=127.0.0.1:0"]);
            command.env("HALLPASS_ADMIN_PASSWORD_FILE", "pipe");
            sandbox.serve_command(command).stop();
            continue;
        };
        let log = fs::File::create(sandbox.path("serve.log")).unwrap();
        let mut child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        // Once its database exists it waits for the password.
        let deadline = Instant::now() + TIMEOUT;
        while fs::metadata(sandbox.path("hallpass.db-reserve")).is_err() {
            assert!(Instant::now() < deadline, "{}", sandbox.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(
            ended(&mut child, TIMEOUT).code(),
            Some(0),
            "{}",
            sandbox.log()
        );
        assert!(
            sandbox.log().contains("stopping on SIG"),
            "{}",
            sandbox.log()
        );
    }
}

#[test]
fn signal_ends_the_wait_for_a_locked_database() {
    let sandbox = Sandbox::empty();
    let holder = sandbox.serve(&[]);
    let log = fs::File::create(sandbox.path("second.log")).unwrap();
    let mut second = sandbox
        .command(&["serve", "--listen=127.0.0.1:0"])
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    let told = || fs::read_to_string(sandbox.path("second.log")).unwrap();
    let deadline = Instant::now() + TIMEOUT;
    while !told().contains("waiting for the database") {
        assert!(Instant::now() < deadline, "{}", told());
        std::thread::sleep(Duration::from_millis(10));
    }
    kill_process(Pid::from_child(&second), Signal::TERM).unwrap();
    assert_eq!(ended(&mut second, TIMEOUT).code(), Some(0), "{}", told());
    holder.stop();
}

#[test]
fn token_may_come_through_process_substitution() {
    let sandbox = Sandbox::empty();
    let server = sandbox.serve(&[]);
    let token = sandbox.create_token("admin", &[]);
    let mut command = sandbox.command(&["user", "list", "--token-file=/dev/stdin"]);
    command.arg(format!("--server=http://{}", server.address));
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(child.stdin.take().unwrap(), "{token}").unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
    server.stop();
}

/// A Kubernetes volume with an `fsGroup`: the group may read and write all files there, set anew at each start.
#[test]
fn group_readable_files_are_refused_and_the_flag_that_allows_them_is_named() {
    let sandbox = Sandbox::set_up();
    let open = |name: &str, mode| {
        fs::set_permissions(sandbox.path(name), Permissions::from_mode(mode)).unwrap();
    };
    open("hallpass.db", 0o660);
    for args in [
        &["serve", "--log-level=error"][..],
        &["user", "list"],
        &["config", "check"],
    ] {
        let refusal = sandbox.run(args).refused(5);
        assert!(refusal.contains("(mode 660)"), "{refusal}");
        assert!(refusal.contains("--allow-open-permissions"), "{refusal}");
    }
    sandbox.print(&["user", "list", "--allow-open-permissions"]);
    sandbox.serve(&["--allow-open-permissions"]).stop();

    // A first start that crashed leaves a password file and no user.
    open("initial-admin-password", 0o660);
    fs::remove_file(sandbox.path("hallpass.db")).unwrap();
    let start = ["serve", "--listen=127.0.0.1:0", "--log-level=error"];
    let refusal = sandbox.run(&start).refused(1);
    assert!(refusal.contains("others may read it"), "{refusal}");
    assert!(refusal.contains("--allow-open-permissions"), "{refusal}");
    sandbox.serve(&["--allow-open-permissions"]).stop();
    // The flag covers the group only.
    open("initial-admin-password", 0o664);
    fs::remove_file(sandbox.path("hallpass.db")).unwrap();
    let ran: Ran = sandbox.run(&[&start[..], &["--allow-open-permissions"]].concat());
    ran.refused(1);
}
