//! Commands and servers where every client needs a certificate.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use http::Method;
use rcgen::date_time_ymd;
use tokio::runtime::Builder;

use super::{
    authority::{Authority, Issued},
    command::{flags, wait_for_log},
};
use crate::{
    cli::sandbox::{PASSWORD, Ran, Sandbox, Serving},
    client::Client,
};

type Issue<'a> = &'a dyn Fn(&Authority) -> Issued;

/// A server that asks for certificates, and a folder from which its clients run.
struct Guarded {
    authority: Authority,
    sandbox: Sandbox,
    server: Serving,
}

impl Guarded {
    fn start() -> Self {
        let (sandbox, authority) = (Sandbox::set_up(), Authority::new());
        sandbox.create_person("alice");
        fs::write(sandbox.path("password"), PASSWORD).unwrap();
        let [cert, key] = flags(&authority);
        let client_ca = format!("--tls-client-ca={}", authority.root().display());
        let server = sandbox.serve(&[&cert, &key, &client_ca, "--log-requests=all"]);
        Self {
            authority,
            sandbox,
            server,
        }
    }

    fn url(&self) -> String {
        format!("https://{}", self.server.address)
    }

    /// A command that trusts the server.
    fn run(&self, args: &[&str]) -> Ran {
        let mut command = self.sandbox.command(args);
        command
            .env("HALLPASS_SERVER_CA", self.authority.root())
            .env("HOME", self.sandbox.path("home"));
        Ran::of(command)
    }

    /// The same with a certificate.
    fn run_as(&self, client: &Issued, args: &[&str]) -> Ran {
        let [cert, key] = self.authority.write(client);
        let (cert, key) = (flag("client-cert", &cert), flag("client-key", &key));
        self.run(&[args, &[&cert, &key]].concat())
    }
}

fn flag(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}

#[test]
fn login_keeps_the_certificate_for_later_commands() {
    let guarded = Guarded::start();
    let client = guarded.authority.issue("laptop");
    let url = guarded.url();
    let login = [
        "login",
        &url,
        "--username=alice",
        "--password-file=password",
    ];
    let ran = guarded.run_as(&client, &login);
    assert_eq!(ran.code, 0, "{ran:?}");
    // From another folder, without any setting.
    let later = |args: &[&str]| {
        let mut command = guarded.sandbox.command(args);
        command
            .env("HOME", guarded.sandbox.path("home"))
            .current_dir("/");
        Ran::of(command)
    };
    let whoami = later(&["whoami"]);
    assert!(whoami.stdout.contains("alice"), "{whoami:?}");
    fs::remove_file(guarded.authority.path("client.pem")).unwrap();
    let gone = later(&["whoami"]).refused(1);
    assert!(gone.contains("client.pem"), "{gone}");
    let other = guarded.authority.issue("another");
    let whoami = guarded.run_as(&other, &["whoami"]);
    assert_eq!(whoami.code, 0, "flags beat what is stored: {whoami:?}");
    let logout = later(&["logout", "--yes"]);
    assert_eq!(logout.code, 0, "{logout:?}");
    wait_for_log(&guarded.sandbox, "CN=laptop");
    guarded.server.stop();
}

#[test]
fn refused_client_is_told_why_and_so_is_the_log() {
    let guarded = Guarded::start();
    let url = guarded.url();
    let status = ["status", "--server", &url];
    let none = guarded.run(&status);
    assert_eq!(none.code, 17, "{none:?}");
    assert!(none.stderr.contains("--client-cert"), "{none:?}");
    assert!(!none.stderr.contains("took effect"), "{none:?}");
    wait_for_log(
        &guarded.sandbox,
        "a client was refused by its TLS certificate",
    );
    wait_for_log(&guarded.sandbox, "peer sent no certificates");
    let mut untrusting = guarded.sandbox.command(&status);
    untrusting.env("SSL_CERT_FILE", Authority::named("another").root());
    let untrusting = Ran::of(untrusting);
    assert_eq!(untrusting.code, 17, "{untrusting:?}");
    assert!(untrusting.stderr.contains("--server-ca"), "{untrusting:?}");
    guarded.server.stop();

    // Each from a new server, which logs the first refusal of a peer.
    let expired = |authority: &Authority| {
        authority.issue_with("old", |params| params.not_after = date_time_ymd(2020, 1, 1))
    };
    let foreign = |_: &Authority| Authority::named("another").issue("stranger");
    let early = |authority: &Authority| {
        authority.issue_with("new", |params| {
            params.not_before = date_time_ymd(2095, 1, 1);
        })
    };
    let cases: [(Issue<'_>, &str); 3] = [
        (&expired, "certificate expired"),
        (&foreign, "UnknownIssuer"),
        (&early, "not valid yet"),
    ];
    for (issue, reason) in cases {
        let guarded = Guarded::start();
        let (client, url) = (issue(&guarded.authority), guarded.url());
        let refused = guarded.run_as(&client, &["status", "--server", &url]);
        assert_eq!(refused.code, 17, "{refused:?}");
        assert!(refused.stderr.contains("its log says why"), "{refused:?}");
        wait_for_log(&guarded.sandbox, reason);
        guarded.server.stop();
    }
}

#[test]
fn files_of_a_client_are_checked_like_those_of_a_server() {
    let guarded = Guarded::start();
    let [cert, key] = guarded.authority.write(&guarded.authority.issue("laptop"));
    let (cert, key_flag) = (flag("client-cert", &cert), flag("client-key", &key));
    let url = format!("--server={}", guarded.url());
    let with = |args: &[&str]| guarded.run(&[&["status", &url], args].concat());
    assert_eq!(with(&[&cert, &key_flag]).code, 0);
    assert!(with(&[&cert]).refused(2).contains("HALLPASS_CLIENT_KEY"));
    assert!(
        with(&[&key_flag])
            .refused(2)
            .contains("HALLPASS_CLIENT_CERT")
    );
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let open = with(&[&cert, &key_flag]).refused(1);
    assert!(open.contains("client-key.pem has mode 644"), "{open}");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&key, guarded.authority.issue("other").key).unwrap();
    let unfit = with(&[&cert, &key_flag]).refused(1);
    assert!(unfit.contains("is not that of the certificate"), "{unfit}");
    let check = guarded
        .run(&["config", "check", &cert, &key_flag])
        .refused(1);
    assert!(check.contains("is not that of the certificate"), "{check}");
    guarded.authority.write(&guarded.authority.issue("laptop"));
    let check = guarded.run(&["config", "check", &cert, &key_flag]);
    assert!(check.stdout.contains("--client-cert"), "{check:?}");
    assert!(check.stdout.contains("--server-ca"), "{check:?}");
    guarded.server.stop();
}

#[test]
fn healthcheck_presents_a_certificate_where_one_is_asked_for() {
    let guarded = Guarded::start();
    let [cert, key] = [
        flag("tls-cert", &guarded.authority.path("cert.pem")),
        flag("tls-key", &guarded.authority.path("key.pem")),
    ];
    let client_ca = flag("tls-client-ca", &guarded.authority.root());
    let listen = format!("--listen={}", guarded.server.address);
    let check = ["healthcheck", &listen, &cert, &key, &client_ca];
    let client = guarded.authority.issue("probe");
    let ready = guarded.run_as(&client, &check);
    assert_eq!(ready.stdout, "ready\n", "{ready:?}");
    let stranger = guarded.run_as(&Authority::new().issue("probe"), &check);
    assert_eq!(stranger.code, 13, "{stranger:?}");
    let without = guarded.run(&check).refused(2);
    assert!(without.contains("--client-cert"), "{without}");
    guarded.server.stop();
}

#[test]
fn subject_in_the_access_log_is_escaped_and_bounded() {
    let guarded = Guarded::start();
    let get = |client: &Issued| {
        let config = guarded.authority.client(Some(client));
        let address = guarded.server.address.parse().unwrap();
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let status = runtime.block_on(async {
            let client = Client::over_tls(address, config);
            client.ask(Method::GET, "/healthz", &[]).await.head.status
        });
        assert_eq!(status, 200);
    };
    get(&guarded.authority.issue("ci-runner"));
    wait_for_log(&guarded.sandbox, "CN=ci-runner");
    get(&guarded.authority.issue("two\nlines\u{1b}[31m\u{202e}"));
    wait_for_log(&guarded.sandbox, "CN=two");
    get(&guarded.authority.issue(&"x".repeat(20_000)));
    wait_for_log(&guarded.sandbox, "CN=xxx");
    guarded.server.stop();
    let log = guarded.sandbox.log();
    assert!(
        !log.contains('\u{1b}') && !log.contains('\u{202e}'),
        "{log}"
    );
    let longest = log.lines().map(str::len).max().unwrap();
    assert!(longest < 2_000, "{longest}");
}
