//! The operator's policies on the command line: refused where they contradict each other, and kept by
//! `token create` as by the server.

use super::sandbox::{Ran, Sandbox};

#[test]
fn a_default_lifetime_longer_than_the_maximum_is_refused_before_anything_starts() {
    let sandbox = Sandbox::set_up();
    let contradiction = [
        "--max-machine-token-ttl=30d",
        "--default-machine-token-ttl=31d",
    ];
    for command in [
        &["config", "check"][..],
        &["serve", "--listen=127.0.0.1:0"],
        &["token", "create", "admin"],
    ] {
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
fn token_create_keeps_the_lifetimes_of_people_and_machines() {
    let sandbox = Sandbox::set_up();
    sandbox.print(&["machine", "create", "ci-bot", "--owner=admin"]);
    let create = |user: &str, args: &[&str]| -> Ran {
        let mut command = sandbox.command(&[&["token", "create", user, "--json"], args].concat());
        command.envs([
            ("HALLPASS_MAX_PERSON_TOKEN_TTL", "30d"),
            ("HALLPASS_DEFAULT_MACHINE_TOKEN_TTL", "7d"),
        ]);
        Ran::of(command)
    };
    let expires = |ran: Ran| {
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.stdout.contains("\"expireTime\"")
    };
    let refusal = create("admin", &[]).refused(1);
    assert!(refusal.contains("at most 30d"), "{refusal}");
    let refusal = create("admin", &["--expires=31d"]).refused(1);
    assert!(refusal.contains("at most 30d"), "{refusal}");
    // Whole seconds and not the longest: what runs on a clock of its own is not on the microsecond.
    assert!(expires(create("admin", &["--expires=29d"])));
    assert!(expires(create("ci-bot", &[])), "the default");
    assert!(
        !expires(create("ci-bot", &["--expires=never"])),
        "it was asked for"
    );
    create("ci-bot", &["--expires=never", "--forbid-never-expiring"]).refused(1);
    assert!(expires(create("ci-bot", &["--forbid-never-expiring"])));
}
