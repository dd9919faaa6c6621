//! What Tab completes: the real binary, called as the shells' completion scripts call it, and
//! in a real bash.

use std::{
    collections::BTreeSet,
    net::TcpListener,
    process::Command,
    time::{Duration, Instant},
};

use rustix::fs::{FlockOperation, flock};

use super::{
    sandbox::{PASSWORD, Ran, Sandbox},
    terminal::Terminal,
};

/// The command by which a shell completes the last word.
fn asking(sandbox: &Sandbox, shell: &str, words: &[&str]) -> Command {
    let mut command = sandbox.command(&[&["--", "hallpass"], words].concat());
    command
        .env("COMPLETE", shell)
        .env("_CLAP_COMPLETE_INDEX", words.len().to_string());
    command
}

/// What the shell reads. Completion never prints anything else and never fails.
fn answer(command: Command) -> String {
    let ran = Ran::of(command);
    assert_eq!((ran.code, &*ran.stderr), (0, ""), "{ran:?}");
    ran.stdout
}

fn ask(sandbox: &Sandbox, words: &[&str]) -> Vec<String> {
    let told = answer(asking(sandbox, "bash", words));
    told.lines().map(str::to_owned).collect()
}

fn with_tokens() -> Sandbox {
    let sandbox = Sandbox::set_up();
    sandbox.create_person("carol");
    for machine in ["ci-bot", "ci-deploy"] {
        sandbox.print(&["machine", "create", machine, "--owner=carol"]);
    }
    sandbox.create_token("ci-bot", &["--note=for the website", "--scope=deploy:web"]);
    sandbox.create_token("ci-deploy", &["--scope=deploy:db", "--scope=repo/read"]);
    sandbox
}

fn ids(sandbox: &Sandbox, user: &str) -> Vec<String> {
    let list = sandbox.json(&["token", "list", user]);
    let tokens = list["tokens"].as_array().unwrap();
    let ids = tokens
        .iter()
        .map(|token| token["id"].as_str().unwrap().to_owned());
    ids.collect()
}

#[test]
fn completions_offer_names_ids_and_scopes_with_and_without_a_server() {
    let sandbox = with_tokens();
    let check = || {
        assert_eq!(
            ask(&sandbox, &["token", "create", "c"]),
            ["carol", "ci-bot", "ci-deploy"]
        );
        assert_eq!(
            ask(&sandbox, &["token", "list", "--user", "ci-"]),
            ["ci-bot", "ci-deploy"]
        );
        assert_eq!(
            ask(&sandbox, &["token", "list", "--user=ca"]),
            ["--user=carol"]
        );
        for verb in ["set-owner", "get", "describe", "delete"] {
            assert_eq!(
                ask(&sandbox, &["machine", verb, ""]),
                ["ci-bot", "ci-deploy"]
            );
        }
        assert_eq!(
            ask(&sandbox, &["machine", "set-owner", "ci-bot", ""]),
            ["admin", "carol"]
        );
        assert_eq!(
            ask(&sandbox, &["machine", "create", "x", "--owner", "c"]),
            ["carol"]
        );
        let mut all = ids(&sandbox, "ci-deploy");
        all.extend(ids(&sandbox, "ci-bot"));
        for words in [
            &["token", "get", ""][..],
            &["token", "rotate", ""],
            &["token", "revoke", &all[0], ""],
            &["token", "list", "--all", "--parent", ""],
        ] {
            assert_eq!(ask(&sandbox, words), all, "{words:?}");
        }
        assert_eq!(ask(&sandbox, &["token", "explain", &all[1]]), all[1..]);
        let scopes = ask(&sandbox, &["token", "create", "ci-bot", "--scope", ""]);
        assert!(scopes.starts_with(&["deploy:db", "deploy:web", "repo/read"].map(str::to_owned)));
        assert!(
            scopes.contains(&"hallpass:tokens:read".to_owned()),
            "{scopes:?}"
        );
        let ours = ask(&sandbox, &["token", "list", "--all", "--scope=hallpass:t"]);
        assert_eq!(ours.len(), 3, "{ours:?}");
        // Other shells show a description.
        let told = answer(asking(&sandbox, "fish", &["token", "get", &all[1]]));
        assert_eq!(told, format!("{}\tci-bot: for the website\n", all[1]));
        let told = answer(asking(&sandbox, "zsh", &["token", "create", "ca"]));
        assert_eq!(told, "carol:person");
    };
    check();
    let server = sandbox.serve(&[]);
    check();
    server.stop();
    // New names and secrets have no completions.
    for words in [
        &["user", "create", "c"][..],
        &["token", "verify", "h"],
        &["token", "inspect", ""],
    ] {
        let told = ask(&sandbox, words);
        assert!(told.iter().all(|word| word.starts_with('-')), "{told:?}");
    }
    assert_eq!(ask(&sandbox, &["token", "ro"]), ["rotate"]);
    let actions = ask(&sandbox, &["audit", "list", "--action", "user.set_"]);
    assert_eq!(
        actions,
        ["user.set_owner", "user.set_password", "user.set_role"]
    );
    // Only actions that can be searched for.
    assert_eq!(
        ask(&sandbox, &["audit", "list", "--action", "user.get"]),
        ["user.get"]
    );
    assert!(ask(&sandbox, &["token", "get", "--js"]).contains(&"--json".to_owned()));
}

#[test]
fn completion_uses_the_same_target_and_credential_as_the_command() {
    let sandbox = with_tokens();
    let elsewhere = Sandbox::empty();
    let database = format!("sqlite:{}", sandbox.path("hallpass.db").display());
    let names = ["carol", "ci-bot", "ci-deploy"];
    let words = ["user", "get", "--database-url", &database, "c"];
    assert_eq!(ask(&elsewhere, &words), names);
    let quoted = format!("--database-url='{database}'");
    assert_eq!(ask(&elsewhere, &["user", "get", &quoted, "c"]), names);
    let mut command = asking(&elsewhere, "bash", &["user", "get", "c"]);
    command.env("HALLPASS_DATABASE_URL", &database);
    assert_eq!(answer(command).lines().collect::<Vec<_>>(), names);

    // With a stored login of a person who sees no other people.
    let server = sandbox.serve(&[]);
    let url = format!("http://{}", server.address);
    let home = |mut command: Command| {
        command.env("HOME", elsewhere.path(""));
        command
    };
    std::fs::write(elsewhere.path("password"), PASSWORD).unwrap();
    let login = [
        "login",
        &url,
        "--username=carol",
        "--password-file=password",
    ];
    assert_eq!(Ran::of(home(elsewhere.command(&login))).code, 0);
    let rows = || {
        sandbox.json(&["audit", "list"])["events"]
            .as_array()
            .unwrap()
            .len()
    };
    let before = rows();
    let asked = |words: &[&str]| answer(home(asking(&elsewhere, "bash", words)));
    assert_eq!(
        asked(&["user", "get", ""]).lines().collect::<Vec<_>>(),
        names
    );
    assert_eq!(asked(&["token", "get", ""]).lines().count(), 3);
    // Reading one's own data is not recorded. Listing the log is.
    assert_eq!(rows() - before, 1);

    // An admin's read is recorded with its action.
    ask(&sandbox, &["user", "get", "c"]);
    let log = sandbox.json(&["audit", "list", "--reverse", "--limit=2"]);
    let read = &log["events"][1];
    assert_eq!(read["action"], "user.list");
    assert!(
        read["userAgent"]
            .as_str()
            .unwrap()
            .ends_with(" (completion)"),
        "{read}"
    );

    // Completion does not try what the token may not do.
    let narrow = sandbox.create_token("ci-bot", &["--scope=hallpass:users:read"]);
    let before = rows();
    let mut command = asking(&elsewhere, "bash", &["token", "get", "0"]);
    command
        .env("HALLPASS_SERVER", &url)
        .env("HALLPASS_TOKEN", narrow);
    assert_eq!(answer(command), "");
    assert_eq!(rows() - before, 1);
}

#[test]
fn completion_gives_up_quickly_and_silently() {
    let quick = |command: Command| {
        let start = Instant::now();
        assert_eq!(answer(command), "");
        start.elapsed()
    };
    // Without a database, none is created.
    let sandbox = Sandbox::empty();
    quick(asking(&sandbox, "bash", &["token", "get", "0"]));
    assert_eq!(std::fs::read_dir(sandbox.path("")).unwrap().count(), 0);
    // A server that accepts and never replies. A debug build on a loaded machine needs a while, too.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = asking(&sandbox, "bash", &["token", "get", "0"]);
    let url = format!("http://{}", silent.local_addr().unwrap());
    command
        .env("HALLPASS_SERVER", &url)
        .env("HALLPASS_TOKEN", "x");
    let took = quick(command);
    assert!(
        took > Duration::from_millis(500),
        "it tried the server: {took:?}"
    );
    assert!(took < Duration::from_secs(4), "{took:?}");
    // No token, a bad address, an unknown shell, a malformed line.
    let mut command = asking(&sandbox, "bash", &["token", "get", "0"]);
    command.env("HALLPASS_SERVER", &url);
    quick(command);
    quick(asking(
        &sandbox,
        "bash",
        &["token", "get", "--server=nonsense", "0"],
    ));
    quick(asking(&sandbox, "no-shell", &["token", "get", "0"]));
    quick(asking(&sandbox, "zsh", &["no-command", "get", "0"]));
    // A database that another process holds.
    let sandbox = with_tokens();
    assert_eq!(ask(&sandbox, &["user", "get", "ci-b"]), ["ci-bot"]);
    let held = std::fs::File::open(sandbox.path("hallpass.db")).unwrap();
    flock(&held, FlockOperation::NonBlockingLockExclusive).unwrap();
    quick(asking(&sandbox, "bash", &["user", "get", "ci-b"]));
    drop(held);

    // Only a completion script gets completions.
    let mut command = sandbox.command(&["user", "get", "carol"]);
    command.env("COMPLETE", "bash");
    assert!(Ran::of(command).stdout.contains("Username:"));
}

#[test]
fn completed_text_never_controls_the_shell() {
    let sandbox = with_tokens();
    let secret = sandbox.create_token("ci-bot", &[]);
    sandbox.tamper(&format!(
        "UPDATE users SET username = 'ci-' || char(27) || '[2J' WHERE username = 'ci-bot';
         UPDATE users SET username = 'ci-$(id)' WHERE username = 'ci-deploy';
         UPDATE tokens SET note = 'a' || char(10) || char(27) || ' {secret}', scopes = 'x;id ok'"
    ));
    assert_eq!(ask(&sandbox, &["user", "get", "c"]), ["carol"]);
    let told = answer(asking(&sandbox, "fish", &["token", "get", "0"]));
    assert_eq!(told.lines().count(), 3, "{told}");
    assert!(
        told.contains(r"a\n\u{1b} ") && !told.contains('\u{1b}'),
        "{told}"
    );
    assert!(!told.contains(&secret), "{told}");
    let scopes = ask(&sandbox, &["token", "create", "carol", "--scope", ""]);
    assert!(scopes.contains(&"ok".to_owned()), "{scopes:?}");
    assert!(
        scopes.iter().all(|scope| !scope.contains(';')),
        "{scopes:?}"
    );
    std::fs::write(sandbox.path("a\u{1b}b"), "").unwrap();
    let files = ask(&sandbox, &["scan", "a"]);
    assert_eq!(files, [""; 0]);
}

#[test]
fn long_completion_lists_are_truncated() {
    let sandbox = with_tokens();
    sandbox.multiply_tokens(300);
    let told: BTreeSet<_> = ask(&sandbox, &["token", "get", ""]).into_iter().collect();
    assert_eq!(told.len(), 100);
}

#[test]
fn bash_completes_words_that_contain_colons() {
    let sandbox = with_tokens();
    let mut bash = Terminal::run_any(
        &sandbox,
        "bash --norc --noprofile -i",
        &[("PS1", "ready> "), ("INPUTRC", "/dev/null")],
    );
    let program = env!("CARGO_BIN_EXE_hallpass");
    // Print the completed line instead of running it.
    let print = r#"hallpass() { printf '<%s>' "$@"; echo " line $((++line))"; }"#;
    let begin = format!("source <('{program}' completions bash); {print}\n");
    bash.expect("ready> ").type_keys(&begin);
    let lines = [
        ("tok\tro\t-", "<token><rotate><->"),
        ("token create ci-b\t", "<token><create><ci-bot>"),
        (
            "token list --user=ci-d\t",
            "<token><list><--user=ci-deploy>",
        ),
        (
            "token list --scope hallpass:us\tw\t",
            "<token><list><--scope><hallpass:users:write>",
        ),
        (
            "token list --scope=deploy:w\t",
            "<token><list><--scope=deploy:web>",
        ),
        // The control: a line without Tab stays as it is.
        ("token create ci-b", "<token><create><ci-b>"),
    ];
    for ((typed, _), line) in lines.iter().zip(1..) {
        bash.type_keys(&format!("hallpass {typed}\n"))
            .expect(&format!(" line {line}\r\n"));
    }
    let (_, seen) = bash.type_keys("exit\n").end();
    for ((typed, expected), line) in lines.iter().zip(1..) {
        let expected = format!("{expected} line {line}\r\n");
        assert!(seen.contains(&expected), "{typed:?}: {seen:?}");
    }
}
