//! Settings: flags, environment, settings file, `hallpass config`, and the operator's policies, which commands obey, too:
//! they take them from the server, or from the last one that ran on the database.

use std::fs;

use serde_json::{Value, json};

use super::sandbox::{Ran, Sandbox};

fn check(sandbox: &Sandbox, args: &[&str], env: &[(&str, &str)]) -> Ran {
    let mut command = sandbox.command(&[&["config", "check"], args].concat());
    command.envs(env.iter().copied());
    Ran::of(command)
}

fn setting(answer: &Value, name: &str) -> Value {
    let settings = answer["settings"].as_array().unwrap();
    let found = settings.iter().find(|setting| setting["name"] == name);
    found.unwrap().clone()
}

#[test]
fn config_check_shows_each_source_and_flags_win_over_the_environment() {
    let env = [
        ("HALLPASS_LISTEN", "0.0.0.0:80"),
        ("HALLPASS_RETENTION", "30d"),
        (
            "HALLPASS_CORS_ORIGIN",
            "https://a.example,https://b.example",
        ),
        ("HALLPASS_ALLOW_OPEN_PERMISSIONS", "yes"),
        ("HALLPASS_PORT", "tcp://10.0.0.1:8080"),
        ("HALLPASS_SERVICE_HOST", "10.0.0.1"),
    ];
    let ran = check(&Sandbox::empty(), &["--json", "--retention=36h"], &env);
    assert_eq!(ran.code, 0, "{ran:?}");
    let answer: Value = serde_json::from_str(&ran.stdout).unwrap();
    for (name, value, source) in [
        ("--listen", json!("0.0.0.0:80"), "env"),
        ("--retention", json!("36h"), "flag"),
        (
            "--cors-origin",
            json!("https://a.example,https://b.example"),
            "env",
        ),
        ("--allow-open-permissions", json!("yes"), "env"),
        ("--handler-timeout", json!("10s"), "default"),
        ("--max-token-ttl", json!(null), "default"),
    ] {
        let expected = json!({ "name": name, "value": value, "source": source });
        assert_eq!(setting(&answer, name), expected);
    }
}

#[test]
fn a_flag_wins_over_a_variable_and_a_variable_over_the_file() {
    let sandbox = Sandbox::empty();
    let text = "listen = \"127.0.0.1:1\"\nretention = \"1d\"\nmax_connections = 7\n\
                forbid_token_children = true\naccept_clock = true\n\
                trusted_proxy = [\"10.0.0.0/8\", \"::1\"]\nadmin_password_file = \"secret\"\n";
    fs::write(sandbox.path("hallpass.toml"), text).unwrap();
    fs::write(sandbox.path("secret"), "correct horse battery staple\n").unwrap();
    let env = [
        ("HALLPASS_CONFIG", "hallpass.toml"),
        ("HALLPASS_LISTEN", "127.0.0.1:2"),
        ("HALLPASS_RETENTION", "2d"),
        ("HALLPASS_ACCEPT_CLOCK", "no"),
    ];
    let ran = check(&sandbox, &["--json", "--retention=3d"], &env);
    assert_eq!(ran.code, 0, "{ran:?}");
    let settings: Value = serde_json::from_str(&ran.stdout).unwrap();
    for (name, value, source) in [
        ("--retention", json!("3d"), "flag"),
        ("--listen", json!("127.0.0.1:2"), "env"),
        ("--accept-clock", json!("no"), "env"),
        ("--config", json!("hallpass.toml"), "env"),
        ("--max-connections", json!("7"), "file"),
        ("--forbid-token-children", json!("true"), "file"),
        ("--trusted-proxy", json!("10.0.0.0/8,::1"), "file"),
        ("--admin-password-file", json!("secret"), "file"),
        ("--handler-timeout", json!("10s"), "default"),
    ] {
        let expected = json!({ "name": name, "value": value, "source": source });
        assert_eq!(setting(&settings, name), expected);
    }
    let password = ("HALLPASS_ADMIN_PASSWORD", "correct horse battery");
    let ran = check(&sandbox, &["--json"], &[env[0], password]);
    let settings: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(
        setting(&settings, "--admin-password-file")["value"],
        json!(null)
    );
    let both = check(&sandbox, &["--admin-password-file=secret"], &[password]);
    both.refused(2);
}

#[test]
fn a_server_runs_with_a_settings_file_and_its_health_is_checked_with_it() {
    let sandbox = Sandbox::empty();
    let file = |text: &str| fs::write(sandbox.path("hallpass.toml"), text).unwrap();
    file("listen = \"127.0.0.1:0\"\ntoken_prefix = \"acme\"\nadmin_password_file = \"secret\"\n");
    fs::write(sandbox.path("secret"), "correct horse battery staple\n").unwrap();
    let server = sandbox.serve_command(sandbox.command(&["serve", "--config=hallpass.toml"]));
    sandbox.print(&["machine", "create", "ci-bot", "--owner=admin"]);
    let token = sandbox.create_token("ci-bot", &[]);
    assert!(token.starts_with("acme_"), "{token}");
    file(&format!("listen = \"{}\"\n", server.address));
    let healthcheck = ["healthcheck", "--config=hallpass.toml"];
    assert_eq!(sandbox.print(&healthcheck), "ready\n");
    server.stop();
    sandbox.run(&healthcheck).refused(13);
}

#[test]
fn a_wrong_settings_file_is_refused_with_the_position() {
    let sandbox = Sandbox::empty();
    let refusal = |text: &str| {
        fs::write(sandbox.path("hallpass.toml"), text).unwrap();
        let serve = sandbox.run(&["serve", "--config=hallpass.toml"]).refused(2);
        assert!(serve.contains("See `hallpass serve --help`."), "{serve}");
        let check = check(&sandbox, &["--config=hallpass.toml"], &[]).refused(2);
        let first = check.lines().next().unwrap().to_owned();
        assert_eq!(serve.lines().next(), Some(&*first));
        first
    };
    assert_eq!(
        refusal("\nlistne = \"127.0.0.1:1\""),
        "hallpass.toml, line 2, column 1: there is no setting listne: did you mean listen?"
    );
    let refused = refusal("token = \"hunter2\"");
    assert!(
        refused.contains("a secret does not belong in this file"),
        "{refused}"
    );
    assert!(!refused.contains("hunter2"), "{refused}");
    let refused = refusal("retention = \"soon\"");
    assert!(
        refused.starts_with("hallpass.toml, line 1, column 13: retention: "),
        "{refused}"
    );
    let refused = refusal("listen =");
    assert!(
        refused.starts_with("hallpass.toml, line 1, column "),
        "{refused}"
    );
    let refused = check(&sandbox, &["--config=nowhere.toml"], &[]).refused(2);
    assert!(
        refused.starts_with("cannot read the settings file nowhere.toml: "),
        "{refused}"
    );
}

#[test]
fn the_example_is_a_settings_file_that_changes_nothing() {
    let sandbox = Sandbox::empty();
    let example = sandbox.print(&["config", "example"]);
    fs::write(sandbox.path("hallpass.toml"), &example).unwrap();
    let settings = |args: &[&str]| {
        let ran = check(&sandbox, &[&["--json"], args].concat(), &[]);
        let settings: Value = serde_json::from_str(&ran.stdout).unwrap();
        let settings = settings["settings"].as_array().unwrap().clone();
        let all = settings.into_iter();
        all.filter(|setting| setting["name"] != "--config")
            .collect::<Vec<_>>()
    };
    assert_eq!(settings(&["--config=hallpass.toml"]), settings(&[]));
    let about = "# The address and port to listen on; port 0 picks a free port. Or unix:PATH";
    assert!(example.contains(about), "{example}");
    let listen = "separated by commas\n#listen = [\"127.0.0.1:8080\"]\n";
    assert!(example.contains(listen), "{example}");
}

#[test]
fn secrets_are_redacted() {
    let sandbox = Sandbox::empty();
    let env = [("HALLPASS_ADMIN_PASSWORD", "open sesame open sesame")];
    for args in [&["--json"][..], &[]] {
        let ran = check(&sandbox, args, &env);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.stdout.contains("[secret]"), "{ran:?}");
        assert!(!ran.stdout.contains("sesame"), "{ran:?}");
    }
    let url = "postgres://me:hunter2@db/hallpass";
    let refusal = check(&sandbox, &[], &[("HALLPASS_DATABASE_URL", url)]).refused(2);
    assert!(refusal.contains("SQLite only"), "{refusal}");
    assert!(!refusal.contains("hunter2"), "{refusal}");
}

#[test]
fn bad_value_is_refused_by_name_and_reason() {
    let sandbox = Sandbox::empty();
    let refusal = check(&sandbox, &[], &[("HALLPASS_ARGON2_MEMORY_KIB", "1024")]).refused(2);
    let named =
        "--argon2-memory-kib (HALLPASS_ARGON2_MEMORY_KIB): must be a whole number from 19456";
    assert!(refusal.starts_with(named), "{refusal}");
    let both = [
        ("HALLPASS_ADMIN_PASSWORD", "a"),
        ("HALLPASS_ADMIN_PASSWORD_FILE", "b"),
    ];
    check(&sandbox, &[], &both).refused(2);
}

#[test]
fn unknown_variable_stops_every_command_and_the_likely_one_is_named() {
    let sandbox = Sandbox::empty();
    for args in [&["serve"][..], &["user", "list"], &["config", "check"]] {
        let mut command = sandbox.command(args);
        command.env("HALLPASS_DATABASE_URI", "sqlite:x.db");
        let refusal = Ran::of(command).refused(2);
        assert!(
            refusal.contains("did you mean HALLPASS_DATABASE_URL?\n"),
            "{refusal}"
        );
    }
}

#[test]
fn help_shows_defaults_variables_and_exit_codes() {
    let sandbox = Sandbox::empty();
    let help = sandbox.print(&["--help"]);
    assert!(
        help.contains(" 7  A newer Hallpass made the database"),
        "{help}"
    );
    let mut command = sandbox.command(&["serve", "--help"]);
    command.env("HALLPASS_TOKEN_PREFIX", "acme");
    let help = Ran::of(command).stdout;
    assert!(help.contains("[default: 127.0.0.1:8080]"), "{help}");
    assert!(help.contains("[env: HALLPASS_TOKEN_PREFIX]"), "{help}");
    assert!(!help.contains("acme"), "{help}");
}

#[test]
fn missing_command_prints_help_on_stderr_and_exits_with_2() {
    let ran = Sandbox::empty().run(&[]);
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
    assert!(ran.stderr.contains("Usage: hallpass"), "{ran:?}");
}

#[test]
fn default_lifetime_beyond_the_maximum_is_refused_at_start() {
    let sandbox = Sandbox::set_up();
    let contradiction = [
        "--max-machine-token-ttl=30d",
        "--default-machine-token-ttl=31d",
    ];
    for command in [&["config", "check"][..], &["serve", "--listen=127.0.0.1:0"]] {
        let refusal = sandbox.run(&[command, &contradiction].concat()).refused(2);
        assert!(
            refusal
                .starts_with("--default-machine-token-ttl (HALLPASS_DEFAULT_MACHINE_TOKEN_TTL): "),
            "{refusal}"
        );
        assert!(refusal.contains(" 30d"), "{refusal}");
    }
    let fits = [
        "--max-machine-token-ttl=30d",
        "--default-machine-token-ttl=30d",
    ];
    sandbox.print(&[&["config", "check"], &fits[..]].concat());
}

#[test]
fn token_create_obeys_the_policies_of_the_current_or_last_server() {
    let sandbox = Sandbox::set_up();
    sandbox.print(&["machine", "create", "ci-bot", "--owner=admin"]);
    let create = |user: &str, args: &[&str]| -> Ran {
        let command = sandbox.command(&[&["token", "create", user, "--json"], args].concat());
        Ran::of(command)
    };
    let expires = |ran: Ran| {
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.stdout.contains("\"expireTime\"")
    };
    let check = || {
        let refusal = create("admin", &[]).refused(1);
        assert!(refusal.contains("at most 30d"), "{refusal}");
        let refusal = create("admin", &["--expires=31d"]).refused(1);
        assert!(refusal.contains("at most 30d"), "{refusal}");
        // Whole seconds, below the maximum: the process has its own clock.
        assert!(expires(create("admin", &["--expires=29d"])));
        assert!(expires(create("ci-bot", &[])), "the default");
        assert!(
            !expires(create("ci-bot", &["--expires=never"])),
            "the requested expiry"
        );
    };
    let policies = [
        "--max-person-token-ttl=30d",
        "--default-machine-token-ttl=7d",
    ];
    let server = sandbox.serve(&policies);
    check();
    server.stop();
    check();
    let stricter = [&policies[..], &["--forbid-never-expiring"]].concat();
    sandbox.serve(&stricter).stop();
    create("ci-bot", &["--expires=never"]).refused(1);
    assert!(expires(create("ci-bot", &[])));
    let events = sandbox.json(&["audit", "list"])["events"].clone();
    let changes = events.as_array().unwrap().iter();
    assert_eq!(
        changes
            .filter(|event| event["action"] == "policies.set")
            .count(),
        2
    );
}
