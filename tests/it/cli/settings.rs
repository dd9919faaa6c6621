//! Settings: flags, environment, and `hallpass config check`.

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
