//! What is measured: which load, on which server, by how many clients; and the rounds.

use std::{path::PathBuf, sync::Arc};

use hallpass::cli::bench::{
    load::{Client, Load, Result, measure},
    requests::{Wire, post},
    server::Server,
};
use http::Version;
use tempfile::TempDir;

use crate::{
    args::Args,
    calls::{among, checks, create, get, list, page_at_depth, whoami},
    process::Binaries,
    seed::Seed,
};

const CLIENTS: usize = 8;

const WIRES: [(&str, Wire); 3] = [
    ("json", Wire::Json),
    ("proto", Wire::Proto),
    ("grpc", Wire::Grpc),
];

/// What a scenario showed in a round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) rate: f64,
    pub(crate) cpu_us: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) resident_mib: f64,
}

pub(crate) struct Scenario {
    pub(crate) name: String,
    pub(crate) clients: usize,
    pub(crate) rounds: Vec<Measured>,
    server: usize,
    load: Arc<Load>,
}

/// Everything that runs, and what is measured on it.
pub(crate) struct Scenarios {
    pub(crate) list: Vec<Scenario>,
    servers: Vec<Server>,
    /// The databases, which are deleted when the servers have ended.
    folder: TempDir,
}

/// Starts the servers.
pub(crate) async fn prepare(args: &Args, binaries: &Binaries) -> Result<Scenarios> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let mut all = Scenarios {
        list: vec![],
        servers: vec![binaries.role("bare", None)?],
        folder,
    };
    all.add(args, "bare axum", CLIENTS, || {
        Load::new(vec![post("/bare")])
    });
    all.servers.push(binaries.role("noop", None)?);
    for (name, wire) in WIRES {
        all.add(args, &format!("noop {name}"), CLIENTS, || {
            Load::new(vec![whoami(wire, "")])
        });
    }
    for tokens in &args.tokens {
        let seed = Seed::get(*tokens).await?;
        for which in 0..binaries.hallpass.len() {
            let path = all.copy(&seed, &format!("{tokens}-{which}"))?;
            all.servers.push(binaries.serve(which, &path)?);
            let suffix = format!("{} {tokens}", if which == 0 { "" } else { " beside" });
            all.add_hallpass(args, &seed, &suffix).await?;
        }
        let path = all.copy(&seed, &format!("{tokens}-pool"))?;
        all.servers.push(binaries.role("pool", Some(&path))?);
        all.add_creates(args, &seed, &format!("pool {tokens}"));
    }
    Ok(all)
}

impl Scenarios {
    /// Measures all, round by round.
    pub(crate) async fn measure(&mut self, args: &Args) -> Result<()> {
        for round in 0..args.rounds {
            eprintln!("round {} of {}", round + 1, args.rounds);
            for scenario in &mut self.list {
                let server = &self.servers[scenario.server];
                let (load, clients) = (&scenario.load, scenario.clients);
                let measured = measure(server, load, clients, args.duration).await?;
                scenario.rounds.push(Measured {
                    rate: measured.rate,
                    cpu_us: measured.cpu_us.ok_or("the system tells no CPU time")?,
                    p50_us: measured.p50_us,
                    p99_us: measured.p99_us,
                    resident_mib: resident_mib(server)?,
                });
            }
        }
        Ok(())
    }

    fn copy(&self, seed: &Seed, name: &str) -> Result<PathBuf> {
        let path = self.folder.path().join(format!("{name}.db"));
        seed.copy_to(&path)?;
        Ok(path)
    }

    /// Adds a scenario of the server that was started last.
    fn add(&mut self, args: &Args, name: &str, clients: usize, load: impl FnOnce() -> Load) {
        if args.wants(name) {
            self.list.push(Scenario {
                name: name.to_owned(),
                clients,
                rounds: vec![],
                server: self.servers.len() - 1,
                load: Arc::new(load()),
            });
        }
    }

    async fn add_hallpass(&mut self, args: &Args, seed: &Seed, suffix: &str) -> Result<()> {
        let readers = &seed.bearers.readers;
        let gets = |wire| Load::new(among(readers, |bearer, target| get(wire, bearer, target)));
        let lists = |page: &str| Load::new(among(readers, |bearer, _| list(bearer, 0, page)));
        for (name, wire) in WIRES {
            self.add(args, &format!("whoami {name}{suffix}"), CLIENTS, || {
                Load::new(among(readers, |bearer, _| whoami(wire, bearer)))
            });
        }
        for (name, wire) in WIRES {
            let name = format!("get {name}{suffix}");
            self.add(args, &name, CLIENTS, || gets(wire));
        }
        let name = format!("get alone{suffix}");
        self.add(args, &name, 1, || gets(Wire::Proto));
        for (name, load) in checks(readers) {
            self.add(args, &format!("{name}{suffix}"), CLIENTS, || load);
        }
        let name = format!("list{suffix}");
        self.add(args, &name, CLIENTS, || lists(""));
        if args.wants("list deep") {
            let server = &self.servers[self.servers.len() - 1];
            let mut client = Client::connect(server.address, Version::HTTP_11).await?;
            if let Some(page) = page_at_depth(&mut client, &readers[0]).await? {
                let name = format!("list deep{suffix}");
                self.add(args, &name, CLIENTS, || lists(&page));
            }
        }
        self.add_creates(args, seed, &format!("create{suffix}"));
        Ok(())
    }

    fn add_creates(&mut self, args: &Args, seed: &Seed, name: &str) {
        for clients in [1, 16, 64] {
            let name = format!("{name} x{clients}");
            // Each creator in turn: children of one token stay few.
            let creators = seed.bearers.creators.iter();
            self.add(args, &name, clients, || {
                Load::new(creators.map(|bearer| create(bearer)).collect())
            });
        }
    }
}

/// The resident memory of a server, in MiB.
pub(crate) fn resident_mib(server: &Server) -> Result<f64> {
    let bytes = server
        .resident_bytes()
        .ok_or("the system tells no memory")?;
    Ok(f64::from(u32::try_from(bytes >> 10)?) / 1024.0)
}
