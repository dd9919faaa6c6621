//! Settings as real environments provide them: Kubernetes variables, variables that a tool cannot unset, files with
//! Windows line ends. `config check` and `serve` must agree on each.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    process::Stdio,
};

use serde_json::Value;

use super::sandbox::{PASSWORD, Ran, Sandbox};

/// The result of `config check` and of a first start with these variables, which must agree.
fn verdict(env: &[(&str, &str)], prepare: impl Fn(&Sandbox)) -> Result<(), (i32, String)> {
    let sandbox = Sandbox::empty();
    prepare(&sandbox);
    let with = |args: &[&str]| {
        let mut command = sandbox.command(args);
        command.envs(env.iter().copied());
        command
    };
    let files = || fs::read_dir(sandbox.path(".")).unwrap().count();
    let before = files();
    let checked = Ran::of(with(&["config", "check"]));
    assert_eq!(files(), before, "{env:?}: a check creates nothing");
    let mut serve = with(&["serve"]);
    if !env.iter().any(|(name, _)| *name == "HALLPASS_LISTEN") {
        serve.arg("--listen=127.0.0.1:0");
    }
    if checked.code == 0 {
        let server = sandbox.serve_command(serve);
        assert!(!server.accepts("no-token"), "{env:?}");
        server.stop();
        return Ok(());
    }
    serve.arg("--log-level=error").stdout(Stdio::null());
    let (code, served) = (checked.code, Ran::of(serve));
    let told = checked.refused(code);
    let what = |told: &str| told.split('\n').next().unwrap_or_default().to_owned();
    assert_eq!(what(&served.refused(code)), what(&told), "{env:?}");
    Err((code, told))
}

const FILE: &str = "HALLPASS_ADMIN_PASSWORD_FILE";

type Variables = &'static [(&'static str, &'static str)];

const FINE: &[Variables] = &[
    &[("HALLPASS_METRICS_LISTEN", "127.0.0.1:0")],
    &[("HALLPASS_TRUSTED_PROXY", "10.0.0.0/8, ::1 ,192.0.2.7")],
    &[(
        "HALLPASS_CORS_ORIGIN",
        "https://a.example, https://b.example",
    )],
    &[("HALLPASS_LOG_LEVEL", "info, hallpass::store=debug")],
    &[("HALLPASS_ADMIN_PASSWORD", PASSWORD)],
    &[
        ("HALLPASS_ADMIN_PASSWORD", ""),
        ("HALLPASS_ADMIN_PASSWORD_FILE", ""),
    ],
    &[
        ("HALLPASS_TOKEN", "x"),
        ("HALLPASS_TOKEN_FILE", "/nowhere"),
        ("HALLPASS_SERVER", "https://a.example"),
    ],
    &[
        ("HALLPASS_RETENTION", "1000years"),
        ("HALLPASS_HANDLER_TIMEOUT", "1000years"),
    ],
    &[
        ("HALLPASS_MAX_TOKEN_TTL", "1000years"),
        ("HALLPASS_DEFAULT_PERSON_TOKEN_TTL", "400years"),
    ],
    &[
        ("HALLPASS_MAX_BODY_BYTES", "8GiB"),
        ("HALLPASS_MAX_CONNECTIONS", "4294967295"),
    ],
    &[("HALLPASS_DATABASE_URL", "sqlite:a b/../x.db")],
];

/// Variables, the exit code, and part of the refusal.
const REFUSED: &[(Variables, i32, &str)] = &[
    (
        &[("HALLPASS_LISTEN", "localhost:80")],
        2,
        "--listen (HALLPASS_LISTEN): must be an address",
    ),
    (
        &[("HALLPASS_LISTEN", "127.0.0.1:80\r")],
        2,
        "--listen (HALLPASS_LISTEN): ends with \\r",
    ),
    (
        &[("HALLPASS_LISTEN", " 127.0.0.1:80")],
        2,
        "--listen (HALLPASS_LISTEN): begins with a space",
    ),
    (
        &[
            ("HALLPASS_LISTEN", "127.0.0.1:9"),
            ("HALLPASS_METRICS_LISTEN", "127.0.0.1:9"),
        ],
        2,
        "--metrics-listen",
    ),
    (
        &[("HALLPASS_DATABASE_URL", "sqlite:x.db\r")],
        2,
        "(HALLPASS_DATABASE_URL): ends with \\r",
    ),
    (
        &[("HALLPASS_DATABASE_URL", "sqlite:x.db ")],
        2,
        "(HALLPASS_DATABASE_URL): ends with a space",
    ),
    (
        &[("HALLPASS_DATABASE_URL", "sqlite:x\u{202e}.db")],
        2,
        "holds \\u{202e}",
    ),
    (
        &[("HALLPASS_DATABASE_URL", "\u{feff}sqlite:x.db")],
        2,
        "holds \\u{feff}",
    ),
    (
        &[("HALLPASS_DATABASE_URL", "sqlite:no/x.db")],
        3,
        "the folder no does not exist",
    ),
    (
        &[("HALLPASS_DATABASE_URL", "sqlite:.")],
        4,
        "is a directory, not a file",
    ),
    (
        &[("HALLPASS_DATABASE_URL", "sqlite:/dev/null")],
        4,
        "/dev/null is a device, not a file",
    ),
    (
        &[("HALLPASS_HANDLER_TIMEOUT", "10000years")],
        2,
        "is more than 1000 years",
    ),
    (
        &[("HALLPASS_ARGON2_MEMORY_KIB", "1048577")],
        2,
        "must be a whole number from 19456 to 1048576",
    ),
    (
        &[("HALLPASS_ARGON2_PASSES", "2\t")],
        2,
        "(HALLPASS_ARGON2_PASSES): ends with \\t",
    ),
    (&[("HALLPASS_LOG_FORMAT", "json\r")], 2, "json\\r"),
    (
        &[("HALLPASS_TOKEN_PREFIX", "acme\n")],
        2,
        "(HALLPASS_TOKEN_PREFIX): ends with \\n",
    ),
    (
        &[("HALLPASS_FORBID_NEVER_EXPIRING", "yes\r")],
        2,
        "ends with \\r",
    ),
    (
        &[("HALLPASS_RETENTION", "90d ")],
        2,
        "(HALLPASS_RETENTION): ends with a space",
    ),
    (
        &[("HALLPASS_TRUSTED_PROXY", "10.0.0.0/8, ")],
        2,
        "(HALLPASS_TRUSTED_PROXY): ",
    ),
    (
        &[("HALLPASS_TRUSTED_PROXY", " 10.0.0.0/8")],
        2,
        "(HALLPASS_TRUSTED_PROXY): begins with a space",
    ),
    (
        &[("HALLPASS_TRUSTED_PROXY", "10.0.0.0/8,,::1")],
        2,
        "is not a network",
    ),
    (&[("HALLPASS_TRUSTED_PROXY", "10.0.0.0/8,\t::1")], 2, "\\t"),
    (
        &[("HALLPASS_TRUSTED_PROXY", "010.0.0.0/8")],
        2,
        "is not a network",
    ),
    (
        &[("HALLPASS_TRUSTED_PROXY", "10.0.0.1/8")],
        2,
        "10.0.0.0/8 would be the whole network",
    ),
    (
        &[("HALLPASS_CORS_ORIGIN", "https://a.example,")],
        2,
        "(HALLPASS_CORS_ORIGIN): ",
    ),
    (
        &[
            ("HALLPASS_MAX_TOKEN_TTL", "1d"),
            ("HALLPASS_DEFAULT_PERSON_TOKEN_TTL", "2d"),
        ],
        2,
        "at most 1d",
    ),
    (
        &[("HALLPASS_ADMIN_PASSWORD", "short")],
        1,
        "must have at least 15 characters",
    ),
    (
        &[("HALLPASS_ADMIN_PASSWORD", "wander maple kettle drum\r")],
        2,
        "HALLPASS_ADMIN_PASSWORD ends with \\r",
    ),
    (
        &[("HALLPASS_ADMIN_PASSWORD", PASSWORD), (FILE, "secret")],
        2,
        "are both set",
    ),
    (
        &[("HALLPASS_ADMIN_PASSWORD_FILE", "not-there")],
        1,
        "not-there (HALLPASS_ADMIN_PASSWORD_FILE)",
    ),
    (
        &[("HALLPASS_ADMIN_PASSWORD_FILE", "secret\r")],
        2,
        "--admin-password-file (HALLPASS_ADMIN_PASSWORD_FILE): ends with \\r",
    ),
    (
        &[(FILE, "secret")],
        1,
        "the secret in secret (HALLPASS_ADMIN_PASSWORD_FILE) ends with \\n",
    ),
    (&[(FILE, ".")], 1, "cannot read the secret from . "),
    (&[(FILE, "/dev/null")], 1, "is empty"),
    (
        &[("HALLPASS_DATABASE_URL", "sqlite:secret")],
        4,
        "is not an SQLite database",
    ),
    (
        &[("HALLPASS_DATABASE_URL", "sqlite:taken")],
        1,
        "taken.sock: there is a file that is not a socket",
    ),
    (&[("HALLPASS_PORT", "8080")], 2, "HALLPASS_PORT is unknown"),
];

#[test]
fn config_check_and_serve_agree_on_every_setting() {
    for fine in FINE {
        let prepare = |sandbox: &Sandbox| fs::create_dir(sandbox.path("a b")).unwrap();
        assert_eq!(verdict(fine, prepare), Ok(()), "{fine:?}");
    }
    for (env, code, told) in REFUSED {
        let two_lines = format!("{PASSWORD}\n\n");
        let prepare = |sandbox: &Sandbox| {
            fs::write(sandbox.path("secret"), &two_lines).unwrap();
            let nobody_else = Permissions::from_mode(0o600);
            fs::set_permissions(sandbox.path("secret"), nobody_else).unwrap();
            fs::write(sandbox.path("taken.sock"), "").unwrap();
        };
        let (found, text) = verdict(env, prepare).unwrap_err();
        assert_eq!(found, *code, "{text}");
        assert!(text.contains(told), "{text}");
        assert!(!text.contains("kettle"), "{text}");
    }
}

#[test]
fn kubernetes_service_variables_are_ignored() {
    let services: Vec<_> = ["HALLPASS", "HALLPASS_METRICS", "HALLPASS_LISTEN"]
        .iter()
        .flat_map(|service| {
            [
                ("SERVICE_HOST", "10.0.0.1"),
                ("SERVICE_PORT", "8080"),
                ("SERVICE_PORT_HTTP", "8080"),
                ("PORT", "tcp://10.0.0.1:8080"),
                ("PORT_8080_TCP", "tcp://10.0.0.1:8080"),
                ("PORT_8080_TCP_PROTO", "tcp"),
                ("PORT_8080_TCP_PORT", "8080"),
                ("PORT_8080_TCP_ADDR", "10.0.0.1"),
            ]
            .map(|(name, value)| (format!("{service}_{name}"), value))
        })
        .collect();
    let env: Vec<_> = services
        .iter()
        .map(|(name, value)| (&**name, *value))
        .collect();
    assert_eq!(verdict(&env, |_| {}), Ok(()));
}

#[test]
fn empty_variable_counts_as_unset() {
    let sandbox = Sandbox::set_up();
    let names: Vec<String> = hallpass::config::variables(&hallpass::cli::command());
    let with = |args: &[&str]| {
        let mut command = sandbox.command(args);
        let secrets = [
            "HALLPASS_ADMIN_PASSWORD",
            "HALLPASS_TOKEN",
            "HALLPASS_NO_SETTING",
        ];
        command.envs(
            names
                .iter()
                .map(|name| (&**name, ""))
                .chain(secrets.map(|name| (name, ""))),
        );
        Ran::of(command)
    };
    let plain = sandbox.print(&["config", "check", "--json"]);
    assert_eq!(with(&["config", "check", "--json"]).stdout, plain);
    let settings: Value = serde_json::from_str(&plain).unwrap();
    let settings = settings["settings"].as_array().unwrap();
    assert!(
        settings
            .iter()
            .all(|setting| setting["source"] == "default")
    );
    // As JSON, which has no relative times.
    let list = ["user", "list", "--json"];
    assert_eq!(with(&list).stdout, sandbox.print(&list));
    let help = with(&["serve", "--help"]).stdout;
    assert!(help.contains("[env: HALLPASS_LISTEN]"), "{help}");
}

#[test]
fn token_with_invisible_characters_is_refused_and_not_echoed() {
    let sandbox = Sandbox::empty();
    fs::write(sandbox.path("token"), "\u{feff}abc\n").unwrap();
    for (name, value, told) in [
        (
            "HALLPASS_TOKEN",
            "abc\r",
            "HALLPASS_TOKEN ends with \\r, which does not show: leave it out",
        ),
        (
            "HALLPASS_TOKEN",
            "abc ",
            "HALLPASS_TOKEN ends with a space: leave it out",
        ),
        (
            "HALLPASS_TOKEN_FILE",
            "token",
            "holds \\u{feff}, which does not show: leave it out",
        ),
    ] {
        let mut command = sandbox.command(&["user", "list", "--server=http://127.0.0.1:9"]);
        command.env(name, value);
        let ran = Ran::of(command);
        assert!(ran.stderr.contains(told), "{ran:?}");
        assert!(!ran.stderr.contains("abc"), "{ran:?}");
    }
}
