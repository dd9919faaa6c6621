//! `--bootstrap-token-file`: what the first start leaves for automation, and what it refuses to write over.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::PathBuf,
};

use serde_json::{Value, json};

use super::{
    refusals::make_pipe,
    sandbox::{PASSWORD, Ran, Sandbox, Serving},
};

const FLAG: &str = "--bootstrap-token-file=token";

fn token_in(sandbox: &Sandbox) -> String {
    let text = fs::read_to_string(sandbox.path("token")).unwrap();
    text.strip_suffix('\n').expect("one line").to_owned()
}

fn ok(server: &Serving, procedure: &str, token: &str, message: &Value) -> Value {
    let (status, reply) = server.call(procedure, token, message);
    assert_eq!(status, 200, "{procedure}: {reply}");
    reply
}

fn start_refused(sandbox: &Sandbox, args: &[&str]) -> String {
    let start = ["serve", "--listen=127.0.0.1:0", "--log-level=error"];
    sandbox.run(&[&start, args].concat()).refused(1)
}

fn no_user(sandbox: &Sandbox) -> bool {
    let users = sandbox.json(&["user", "list"]);
    users["users"].as_array().unwrap().is_empty()
}

#[test]
fn automation_goes_from_the_bootstrap_token_to_one_of_its_own() {
    let sandbox = Sandbox::empty();
    let server = sandbox.serve(&[FLAG]);
    let first = token_in(&sandbox);
    assert_eq!(
        fs::metadata(sandbox.path("token")).unwrap().mode() & 0o777,
        0o600
    );

    let me = ok(&server, "AuthnService/GetCurrentUser", &first, &json!({}))["user"].clone();
    assert_eq!(me["username"], "bootstrap");
    let mut machine = json!({
        "username": "terraform", "userType": "USER_TYPE_MACHINE", "role": "SERVER_ROLE_ADMIN"
    });
    let (status, refusal) = server.call("UserService/CreateUser", &first, &machine);
    assert_eq!(status, 403, "a machine owns no machine: {refusal}");
    machine["ownerId"] = me["ownerId"].clone();
    let machine = ok(&server, "UserService/CreateUser", &first, &machine)["user"].clone();
    // Longer than the bootstrap token lives.
    let request = json!({ "userId": machine["id"], "expireTime": "2090-01-01T00:00:00Z" });
    let created = ok(&server, "TokenService/CreateToken", &first, &request);
    assert_eq!(created["metadata"]["parentId"], Value::Null);
    let own = created["token"].as_str().unwrap();
    let id = first.split('_').nth(1).unwrap();
    ok(
        &server,
        "TokenService/DeleteToken",
        own,
        &json!({ "tokenId": id }),
    );
    assert!(!server.accepts(&first));
    ok(&server, "UserService/ListUsers", own, &json!({}));
    // The machine may create tokens, which are its token's children again.
    let child = json!({ "expireTime": "2080-01-01T00:00:00Z" });
    let child = ok(&server, "TokenService/CreateToken", own, &child);
    assert_eq!(child["metadata"]["parentId"], created["metadata"]["id"]);
    server.stop();

    let rows = sandbox.json(&["audit", "list", "--actor", "local"]);
    let actions: Vec<_> = rows["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["action"].clone())
        .collect();
    assert!(
        actions.contains(&json!("token.create")) && actions.contains(&json!("user.create")),
        "{rows}"
    );
    let log = sandbox.log();
    assert!(log.contains("created the machine bootstrap"), "{log}");
    assert!(!log.contains(&first) && !log.contains(first.rsplit('_').next().unwrap()));
}

#[test]
fn token_that_replaces_the_bootstrap_token_by_rotation_has_children_again() {
    let sandbox = Sandbox::empty();
    let server = sandbox.serve(&[FLAG]);
    let first = token_in(&sandbox);
    let id = first.split('_').nth(1).unwrap();
    let rotate = json!({ "tokenId": id });
    let successor = ok(&server, "TokenService/RotateToken", &first, &rotate);
    assert!(!server.accepts(&first));
    let later = json!({ "expireTime": successor["metadata"]["expireTime"] });
    let child = ok(
        &server,
        "TokenService/CreateToken",
        successor["token"].as_str().unwrap(),
        &later,
    );
    assert_eq!(child["metadata"]["parentId"], successor["metadata"]["id"]);
}

#[test]
fn later_starts_write_nothing_and_tell_whether_the_token_is_still_valid() {
    let sandbox = Sandbox::empty();
    sandbox.serve(&[FLAG]).stop();
    let token = token_in(&sandbox);
    sandbox.serve(&[FLAG]).stop();
    assert_eq!(token_in(&sandbox), token);
    let log = sandbox.log();
    assert!(
        log.contains("the bootstrap token in this file is still valid"),
        "{log}"
    );
    let id = token.split('_').nth(1).unwrap();
    sandbox.print(&["token", "revoke", id, "--yes"]);
    sandbox.serve(&[FLAG]).stop();
    let log = sandbox.log();
    assert!(
        log.contains("the bootstrap token in this file is not valid"),
        "{log}"
    );
    fs::remove_file(sandbox.path("token")).unwrap();
    sandbox.serve(&[FLAG]).stop();
    let log = sandbox.log();
    assert!(
        log.contains("no file is written: the database has users already"),
        "{log}"
    );
    assert!(!sandbox.path("token").exists());
    // Whatever is at the path, a later start is not stopped by it.
    fs::create_dir(sandbox.path("token")).unwrap();
    sandbox.serve(&[FLAG]).stop();
}

#[test]
fn token_lives_for_a_day_or_as_given_and_never_beyond_the_maximum() {
    let lifetime = |args: &[&str]| {
        let sandbox = Sandbox::empty();
        sandbox.serve(&[&[FLAG], args].concat()).stop();
        let token = sandbox.json(&["token", "list", "bootstrap"])["tokens"][0].clone();
        let time = |field: &str| token[field].as_str().unwrap().to_owned();
        let parse = |text: String| humantime::parse_rfc3339(&text).unwrap();
        parse(time("expireTime"))
            .duration_since(parse(time("createTime")))
            .unwrap()
            .as_secs()
    };
    assert_eq!(lifetime(&[]), 86_400);
    assert_eq!(lifetime(&["--bootstrap-token-ttl=10m"]), 600);
    assert_eq!(lifetime(&["--max-machine-token-ttl=1h"]), 3_600);

    let sandbox = Sandbox::empty();
    let refused = |args: &[&str]| {
        for command in [&["serve"][..], &["config", "check"]] {
            let ran: Ran = sandbox.run(&[command, args].concat());
            assert_eq!(ran.code, 2, "{ran:?}");
            assert!(ran.stderr.contains("--bootstrap-token-ttl"), "{ran:?}");
        }
    };
    refused(&[FLAG, "--bootstrap-token-ttl=2h", "--max-token-ttl=1h"]);
    refused(&[FLAG, "--bootstrap-token-ttl=0s"]);
    refused(&["--bootstrap-token-ttl=2h"]);
    assert!(!sandbox.path("hallpass.db").exists());
}

#[test]
fn file_of_another_database_is_refused_and_says_what_to_do() {
    let sandbox = Sandbox::empty();
    sandbox.serve(&[FLAG]).stop();
    let dead = token_in(&sandbox);
    for name in ["hallpass.db", "hallpass.db-wal", "hallpass.db-shm"] {
        drop(fs::remove_file(sandbox.path(name)));
    }
    let config = sandbox.run(&["config", "check", FLAG]).refused(1);
    for refusal in [config, start_refused(&sandbox, &[FLAG])] {
        assert!(
            refusal.contains("a database that was deleted: delete the file"),
            "{refusal}"
        );
        assert!(!refusal.contains(&dead));
    }
    assert!(no_user(&sandbox));
    // A crash after the deletion changes nothing: the note in the new database is of another token.
    assert_eq!(token_in(&sandbox), dead);
    fs::remove_file(sandbox.path("token")).unwrap();
    let server = sandbox.serve(&[FLAG]);
    assert!(server.accepts(&token_in(&sandbox)) && !server.accepts(&dead));
}

#[test]
fn whatever_is_at_the_path_is_left_alone() {
    let sandbox = Sandbox::empty();
    let path = sandbox.path("token");
    let refused = |expected: &str| {
        for args in [
            ["config", "check"].as_slice(),
            &["serve", "--listen=127.0.0.1:0", "--log-level=error"],
        ] {
            let ran: Ran = sandbox.run(&[args, &[FLAG]].concat());
            let refusal = ran.refused(1);
            assert!(refusal.contains(path.to_str().unwrap()), "{refusal}");
            assert!(refusal.contains(expected), "{refusal}");
        }
        // `config check` does not look into a database.
        fs::remove_file(sandbox.path("hallpass.db")).unwrap();
    };
    for text in ["", "notes of a person", "hallpass_short"] {
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        refused("not overwritten");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    refused("others may read it");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    refused("it is a directory");
    fs::remove_dir(&path).unwrap();
    make_pipe(&path);
    refused("it is a pipe");
    fs::remove_file(&path).unwrap();
    for target in ["/dev/stdout", "nowhere", "serve.log"] {
        symlink(target, &path).unwrap();
        refused("it is a link");
        fs::remove_file(&path).unwrap();
    }
    assert!(!sandbox.path("nowhere").exists());

    for (bad, expected) in [
        ("missing/token", "missing: create it first"),
        ("/dev/stdout", "it is a link"),
        ("/dev/null", "it is a device"),
        ("/proc/self/token", "cannot leave"),
        ("hallpass.db", "hallpass.db"),
        ("hallpass.db/token", "Not a directory"),
    ] {
        let refusal = start_refused(&sandbox, &["--bootstrap-token-file", bad]);
        assert!(refusal.contains(expected), "{bad}: {refusal}");
    }
    assert!(no_user(&sandbox));
    let own = ["--bootstrap-token-file=initial-admin-password"];
    let ran = sandbox.run(&[&["config", "check"][..], &own].concat());
    assert!(ran.stderr.contains("a file of Hallpass's own"), "{ran:?}");
}

/// A folder that all may write to, such as a volume that Kubernetes makes: the file is private even so.
#[test]
fn any_folder_will_do_even_on_another_file_system() {
    let sandbox = Sandbox::empty();
    let elsewhere = tempfile::tempdir_in("/dev/shm").unwrap();
    fs::set_permissions(elsewhere.path(), Permissions::from_mode(0o777)).unwrap();
    let file: PathBuf = elsewhere.path().join("token");
    let flag = format!("--bootstrap-token-file={}", file.display());
    let mut command = sandbox.command(&["serve", "--listen=127.0.0.1:0", &flag]);
    command.env("HALLPASS_ADMIN_PASSWORD", PASSWORD);
    let server = sandbox.serve_command(command);
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    assert!(server.accepts(fs::read_to_string(&file).unwrap().trim()));
    // With a given password there is no file for one.
    assert!(!sandbox.path("initial-admin-password").exists());
}
