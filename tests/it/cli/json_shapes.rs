//! What `--json` and `--jsonl` print, compared with the table in the help and with the descriptors.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    slice,
};

use hallpass::{
    cli::json_output::{JSON_OUTPUTS, JSONL_FLAG, JsonType},
    proto,
};
use prost_reflect::{DeserializeOptions, DynamicMessage, SerializeOptions};
use serde_json::{Value, json};

use super::sandbox::{PASSWORD, Ran, Sandbox};

/// Whether `value` is a message `name`: no unknown field, and every field without presence is there.
fn is_message(name: &str, value: &Value) -> Result<(), String> {
    let descriptor = proto::pool()
        .get_message_by_name(name)
        .ok_or("no message")?;
    let strict = DeserializeOptions::new().deny_unknown_fields(true);
    let message = DynamicMessage::deserialize_with_options(descriptor, value, &strict);
    let message = message.map_err(|error| error.to_string())?;
    let whole = SerializeOptions::new().skip_default_fields(false);
    let again = message.serialize_with_options(serde_json::value::Serializer, &whole);
    let again = again.map_err(|error| error.to_string())?;
    if again == *value {
        Ok(())
    } else {
        Err(format!("{value} is not {again}"))
    }
}

fn is_object(form: &Value, value: &Value) -> Result<(), String> {
    let wrong = || Err(format!("{value} is not {form}"));
    match (form, value) {
        (Value::Object(form), Value::Object(value)) => {
            let name = |key: &str| key.trim_end_matches('?').to_owned();
            let known: BTreeSet<_> = form.keys().map(|key| name(key)).collect();
            if let Some(unknown) = value.keys().find(|key| !known.contains(*key)) {
                return Err(format!("{unknown} is not told of"));
            }
            form.iter()
                .try_for_each(|(key, form)| match value.get(&name(key)) {
                    None | Some(Value::Null) if key.ends_with('?') => Ok(()),
                    Some(value) => is_object(form, value),
                    None => Err(format!("{key} is missing")),
                })
        }
        (Value::Array(form), Value::Array(values)) => values
            .iter()
            .try_for_each(|value| is_object(&form[0], value)),
        (Value::String(form), value) => match (&**form, value) {
            ("string", Value::String(_))
            | ("number", Value::Number(_))
            | ("boolean", Value::Bool(_)) => Ok(()),
            ("string" | "number" | "boolean", _) => wrong(),
            (name, value) => is_message(name, value),
        },
        _ => wrong(),
    }
}

fn is_of(form: JsonType, value: &Value) -> Result<(), String> {
    match form {
        JsonType::Message(name) => is_message(name, value),
        JsonType::Object(form) => is_object(&serde_json::from_str(form).unwrap(), value),
    }
}

/// Runs commands and records which shapes occurred.
struct ShapeChecker {
    sandbox: Sandbox,
    seen: BTreeSet<(&'static str, &'static str)>,
}

impl ShapeChecker {
    /// What a command prints with `--json`, or with `--jsonl` if `with` is that; `with` is passed on, too.
    fn check(&mut self, command: &str, with: &str, more: &[&str], stdin: &str) -> Value {
        let output = JSON_OUTPUTS
            .iter()
            .find(|output| (output.command, output.flag) == (command, with))
            .unwrap_or_else(|| panic!("{command} {with} is not in the table"));
        let mut args: Vec<_> = command.split(' ').chain(more.iter().copied()).collect();
        if with != JSONL_FLAG {
            args.push("--json");
        }
        args.extend(Some(with).filter(|with| !with.is_empty()));
        fs::write(self.sandbox.path("stdin"), stdin).unwrap();
        let mut run: Command = self.sandbox.command(&args);
        run.stdin(fs::File::open(self.sandbox.path("stdin")).unwrap());
        run.env("HOME", self.sandbox.path(""));
        let ran = Ran::of(run);
        let is_found = command == "scan" && ran.code == 1;
        assert!(ran.code == 0 || is_found, "{args:?}: {ran:?}");
        let values: Vec<Value> = if with == JSONL_FLAG || command == "scan" {
            let lines = ran.stdout.lines();
            lines
                .map(|line| serde_json::from_str(line).unwrap())
                .collect()
        } else {
            vec![serde_json::from_str(&ran.stdout).unwrap()]
        };
        // A finding comes before its revocation.
        let last = values
            .last()
            .unwrap_or_else(|| panic!("{args:?} prints nothing"));
        let told = if command == "scan" {
            slice::from_ref(last)
        } else {
            &values[..]
        };
        for value in told {
            if let Err(error) = is_of(output.json, value) {
                panic!("{args:?}: {error}");
            }
        }
        self.seen.insert((output.command, output.flag));
        last.clone()
    }
}

#[test]
fn every_command_prints_the_json_that_its_help_documents() {
    let sandbox = Sandbox::set_up();
    let server = sandbox.serve(&[]);
    let url = format!("http://{}", server.address);
    let mut all = ShapeChecker {
        sandbox,
        seen: BTreeSet::new(),
    };
    let text = |value: &Value| value.as_str().unwrap().to_owned();

    let password = "--password-stdin";
    all.check(
        "user create",
        "",
        &["alice", password, "--description=a person"],
        PASSWORD,
    );
    all.check("user get", "", &["alice"], "");
    all.check("user set-role", "", &["alice", "admin"], "");
    all.check("user describe", "", &["alice", "another person"], "");
    all.check(
        "user set-password",
        "",
        &["alice", password],
        "other maple kettle drum",
    );
    all.check("user deactivate", "", &["alice", "--yes"], "");
    all.check("user reactivate", "", &["alice"], "");
    all.check("machine create", "", &["ci-bot", "--owner=admin"], "");
    all.check("machine set-owner", "", &["ci-bot", "alice"], "");
    all.check("machine get", "", &["ci-bot"], "");
    all.check("machine describe", "", &["ci-bot", "a machine"], "");
    all.check("machine deactivate", "", &["ci-bot", "--yes"], "");
    all.check("machine reactivate", "", &["ci-bot"], "");
    for list in ["user list", "machine list"] {
        all.check(list, "", &[], "");
        all.check(list, JSONL_FLAG, &[], "");
    }

    let full = [
        "ci-bot",
        "--note=n",
        "--expires=9d",
        "--scope=a",
        "--cidr=10.0.0.0/8",
    ];
    let created = all.check("token create", "", &full, "");
    let id = text(&created["metadata"]["id"]);
    all.check("token list", "", &["ci-bot"], "");
    all.check("token list", JSONL_FLAG, &["ci-bot"], "");
    all.check("token list", JSONL_FLAG, &["--all"], "");
    all.check("token list", "--all", &[], "");
    all.check("token list", "--count", &["--all"], "");
    for command in ["get", "disable", "enable", "explain"] {
        all.check(&format!("token {command}"), "", &[&id], "");
    }
    all.check("token update", "", &[&id, "--note=other"], "");
    let rotated = all.check("token rotate", "", &[&id, "--grace=1h"], "");
    let plaintext = text(&rotated["token"]);
    let verify = ["-", "--client-ip=10.0.0.1"];
    let verified = all.check("token verify", "", &verify, &plaintext);
    assert_eq!(verified["valid"], true);
    all.check("token inspect", "", &["-"], &plaintext);
    fs::write(all.sandbox.path("leak"), &plaintext).unwrap();
    all.check("scan", "", &["leak"], "");
    all.check("scan", "--revoke", &["leak", "--yes"], "");
    let another = text(&all.check("token create", "", &["ci-bot"], "")["metadata"]["id"]);
    all.check("token delete", "", &[&another], "");
    all.check("token create", "", &["ci-bot"], "");
    all.check("token revoke", "", &["--user=ci-bot", "--dry-run"], "");
    all.check("token revoke", "", &["--user=ci-bot", "--yes"], "");
    all.check("machine delete", "", &["ci-bot", "--yes"], "");
    all.check("user delete", "", &["alice", "--yes"], "");

    all.check("audit list", "", &[], "");
    all.check("audit list", JSONL_FLAG, &["--limit=3"], "");
    all.check("audit tail", JSONL_FLAG, &["--limit=3"], "");
    all.check("audit verify", "", &[], "");
    all.check("data check", "", &[], "");
    all.check("backup", "", &["backup.db", "--verify"], "");
    all.check(
        "restore",
        "",
        &["backup.db", "--database-url=sqlite:restored.db"],
        "",
    );
    all.check("migrate", "", &["--dry-run"], "");
    all.check("config check", "", &[], "");
    all.check("whoami", "", &[], "");
    let status = all.check("status", "", &[], "");
    assert_eq!(status["server"]["ready"], true);
    let version = all.check("version", "", &[], "");
    assert!(version["server"].is_object(), "{version}");
    let short = ["--duration=20ms", "--tokens=2", "--clients=1"];
    all.check("bench", "", &short, "");
    let first = fs::read_to_string(all.sandbox.path("initial-admin-password")).unwrap();
    all.check("login", "", &[&url, "--username=admin", password], &first);
    all.check("whoami", "", &[], "");

    let told: BTreeSet<_> = JSON_OUTPUTS
        .iter()
        .map(|output| (output.command, output.flag))
        .collect();
    assert_eq!(all.seen, told);
    server.stop();
}

#[test]
fn extra_missing_or_mistyped_field_is_detected() {
    let user = "hallpass.v1.GetUserResponse";
    assert!(is_message(user, &json!({})).is_ok());
    assert!(is_message(user, &json!({ "usr": {} })).is_err());
    assert!(is_message("hallpass.v1.DeleteUserResponse", &json!({})).is_err());
    assert!(
        is_message(
            "hallpass.v1.CountAllTokensResponse",
            &json!({ "liveCount": "1" })
        )
        .is_err()
    );
    let form = json!({ "rows": "string", "head?": "string", "breaks": [{ "sequence": "number" }] });
    let whole = json!({ "rows": "1", "head": null, "breaks": [{ "sequence": 1 }] });
    assert!(is_object(&form, &whole).is_ok());
    for wrong in [
        json!({ "rows": "1" }),
        json!({ "rows": 1, "breaks": [] }),
        json!({ "rows": "1", "breaks": [{ "sequence": "1" }] }),
        json!({ "rows": "1", "breaks": [], "more": 1 }),
    ] {
        assert!(is_object(&form, &wrong).is_err(), "{wrong}");
    }
}

fn with_many() -> Sandbox {
    let sandbox = Sandbox::set_up();
    sandbox.create_token("admin", &[&*format!("--note={}", "n".repeat(900))]);
    sandbox.tamper(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 599)
         INSERT INTO tokens (id, user_id, hash, note, create_time, expire_time, scopes, allowed_cidrs,
             disabled, parent_id, family_id, delete_time)
         SELECT substr(id, 1, 18) || printf('%04d', i), user_id, hash, note, create_time + i, expire_time, scopes,
             allowed_cidrs, disabled, parent_id, family_id, delete_time
         FROM n, tokens",
    );
    sandbox
}

#[test]
fn long_lists_are_one_json_document_or_one_line_per_entry() {
    let sandbox = with_many();
    let lines = |args: &[&str]| -> Vec<Value> {
        let lines = sandbox.print(&[args, &["--jsonl"]].concat());
        let lines = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        lines.collect()
    };
    for args in [&["token", "list", "--all"][..], &["token", "list", "admin"]] {
        let one = sandbox.json(args);
        assert_eq!(one["nextPageToken"], "");
        let lines = lines(args);
        assert_eq!(lines.len(), 600);
        assert!(Value::Array(lines) == one["tokens"], "{args:?}");
    }
    let all = lines(&["token", "list", "--all"]);
    let some = lines(&["token", "list", "--all", "--limit=300", "--reverse"]);
    assert_eq!(some.len(), 300);
    assert!(some.iter().eq(all.iter().rev().take(300)));
    assert_eq!(lines(&["machine", "list"]), Vec::<Value>::new());

    for args in [
        &["token", "list", "--all", "--json", "--jsonl"][..],
        &["token", "list", "--all", "--count", "--jsonl"],
        &["audit", "list", "--jsonl", "--json"],
        &["scan", "x", "--json", "--jsonl"],
    ] {
        let ran = sandbox.run(args);
        assert_eq!((ran.code, &*ran.stdout), (2, ""), "{args:?}");
    }
}

#[test]
fn closed_pipe_ends_a_list_as_it_ends_other_programs() {
    let sandbox = with_many();
    for form in [&["--jsonl"][..], &["--json"], &[]] {
        let args = [&["token", "list", "--all"][..], form].concat();
        let mut child = sandbox
            .command(&args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // As with `head -1`: the output is larger than a pipe's buffer.
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut String::new()).unwrap();
        // A slow reader blocks nobody from the database.
        sandbox.print(&["user", "get", "admin"]);
        drop(stdout);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(141), "{args:?}");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    }
}
