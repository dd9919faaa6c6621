//! What is measured: which call, on which server, by how many clients.

use std::{
    cell::Cell,
    path::{Path, PathBuf},
    rc::Rc,
};

use bytes::Bytes;
use hallpass::proto::hallpass::v1::{
    CreateTokenRequest, GetTokenRequest, ListTokensRequest, ListTokensResponse,
};
use prost::Message;
use tempfile::TempDir;

use crate::{
    Result,
    args::Args,
    client::{Call, Client, Wire},
    measure::Turn,
    process::{Binaries, Server},
    seed::Seed,
    verifying::checks,
};

const GET: &str = "/hallpass.v1.TokenService/GetToken";
const LIST: &str = "/hallpass.v1.TokenService/ListTokens";
pub(crate) const CREATE: &str = "/hallpass.v1.TokenService/CreateToken";
const CURRENT: &str = "/hallpass.v1.AuthnService/GetCurrentUser";

/// The depth of the page that is compared with the first.
const DEPTH: u32 = 100_000;
const CLIENTS: usize = 8;

const WIRES: [(&str, Wire); 3] = [
    ("json", Wire::Json),
    ("proto", Wire::Proto),
    ("grpc", Wire::Grpc),
];

/// Makes the next call.
pub(crate) type Next = Box<dyn Fn() -> Call>;

/// A scenario and what its turns showed.
pub(crate) struct Scenario {
    pub(crate) name: String,
    pub(crate) server: usize,
    pub(crate) wire: Wire,
    pub(crate) clients: usize,
    pub(crate) next: Next,
    pub(crate) turns: Vec<Turn>,
}

/// Everything that runs, and what is measured on it.
pub(crate) struct Prepared {
    pub(crate) servers: Vec<Server>,
    pub(crate) scenarios: Vec<Scenario>,
    /// The databases, which go when the servers have gone.
    folder: TempDir,
}

/// Starts the servers.
pub(crate) async fn prepare(args: &Args, binaries: &Binaries) -> Result<Prepared> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let mut all = Prepared {
        servers: vec![Binaries::role("bare", None)?, Binaries::role("noop", None)?],
        scenarios: vec![],
        folder,
    };
    let bare = || call("/bare", None, Bytes::new());
    all.add(args, "bare axum", 0, Wire::Proto, CLIENTS, Box::new(bare));
    for (name, wire) in WIRES {
        let noop = move || call(CURRENT, None, nothing_in(wire));
        all.add(
            args,
            &format!("noop {name}"),
            1,
            wire,
            CLIENTS,
            Box::new(noop),
        );
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
        all.servers.push(Binaries::role("pool", Some(&path))?);
        all.add_creates(args, &seed, &format!("pool {tokens}"));
    }
    Ok(all)
}

impl Prepared {
    fn copy(&self, seed: &Seed, name: &str) -> Result<PathBuf> {
        let path = self.folder.path().join(format!("{name}.db"));
        seed.copy_to(&path)?;
        Ok(path)
    }

    fn add(
        &mut self,
        args: &Args,
        name: &str,
        server: usize,
        wire: Wire,
        clients: usize,
        next: Next,
    ) {
        if args.wants(name) {
            self.scenarios.push(Scenario {
                name: name.to_owned(),
                server,
                wire,
                clients,
                next,
                turns: vec![],
            });
        }
    }

    /// The scenarios of the server that was started last.
    async fn add_hallpass(&mut self, args: &Args, seed: &Seed, suffix: &str) -> Result<()> {
        let server = self.servers.len() - 1;
        let readers = shared(&seed.bearers.readers);
        for (name, wire) in WIRES {
            let whoami = picking(&readers, move |bearer, _| {
                call(CURRENT, Some(bearer), nothing_in(wire))
            });
            self.add(
                args,
                &format!("whoami {name}{suffix}"),
                server,
                wire,
                CLIENTS,
                whoami,
            );
        }
        for (name, wire, clients) in [
            ("get json", Wire::Json, CLIENTS),
            ("get proto", Wire::Proto, CLIENTS),
            ("get grpc", Wire::Grpc, CLIENTS),
            ("get alone", Wire::Proto, 1),
        ] {
            let next = gets(&readers, wire);
            self.add(
                args,
                &format!("{name}{suffix}"),
                server,
                wire,
                clients,
                next,
            );
        }
        for (name, wire, next) in checks(&readers) {
            let name = format!("{name}{suffix}");
            self.add(args, &name, server, wire, CLIENTS, next);
        }
        let first = lists(&readers, String::new());
        self.add(
            args,
            &format!("list{suffix}"),
            server,
            Wire::Proto,
            CLIENTS,
            first,
        );
        if args.wants("list deep")
            && let Some(page) = page_at_depth(&self.servers[server], &readers[0]).await?
        {
            let deep = lists(&readers, page);
            self.add(
                args,
                &format!("list deep{suffix}"),
                server,
                Wire::Proto,
                CLIENTS,
                deep,
            );
        }
        self.add_creates(args, seed, &format!("create{suffix}"));
        Ok(())
    }

    fn add_creates(&mut self, args: &Args, seed: &Seed, name: &str) {
        let creators = shared(&seed.bearers.creators);
        let server = self.servers.len() - 1;
        for clients in [1, 16, 64] {
            let next = creates(&creators);
            self.add(
                args,
                &format!("{name} x{clients}"),
                server,
                Wire::Proto,
                clients,
                next,
            );
        }
    }
}

/// The empty message.
fn nothing_in(wire: Wire) -> Bytes {
    Bytes::from_static(if wire == Wire::Json { b"{}" } else { b"" })
}

pub(crate) fn shared(bearers: &[String]) -> Rc<[Rc<str>]> {
    bearers
        .iter()
        .map(|bearer| Rc::from(bearer.as_str()))
        .collect()
}

/// Calls by one of `bearers` about another, in an order without a pattern that is the same in each run.
pub(crate) fn picking(
    bearers: &Rc<[Rc<str>]>,
    make: impl Fn(Rc<str>, &str) -> Call + 'static,
) -> Next {
    let bearers = Rc::clone(bearers);
    let state = Cell::new(0x9E37_79B9_7F4A_7C15_u64);
    Box::new(move || {
        // xorshift64
        let pick = || {
            let mut x = state.get();
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            state.set(x);
            let length = u64::try_from(bearers.len()).expect("a length fits 64 bits");
            &bearers[usize::try_from(x % length).expect("less than a length")]
        };
        let (caller, target) = (Rc::clone(pick()), pick());
        make(caller, target)
    })
}

pub(crate) fn gets(readers: &Rc<[Rc<str>]>, wire: Wire) -> Next {
    picking(readers, move |bearer, target| {
        let target = target.split('_').nth(1).unwrap_or_default();
        let message = if wire == Wire::Json {
            format!(r#"{{"tokenId":"{target}"}}"#).into()
        } else {
            let token_id = target.to_owned();
            GetTokenRequest { token_id }.encode_to_vec().into()
        };
        call(GET, Some(bearer), message)
    })
}

pub(crate) fn lists(readers: &Rc<[Rc<str>]>, page_token: String) -> Next {
    let message = Bytes::from(list_request(0, page_token));
    picking(readers, move |bearer, _| {
        call(LIST, Some(bearer), message.clone())
    })
}

/// A create by each bearer in turn: children of one token stay few.
pub(crate) fn creates(creators: &Rc<[Rc<str>]>) -> Next {
    let (creators, turn) = (Rc::clone(creators), Cell::new(0_usize));
    let message = CreateTokenRequest {
        note: "deploys the shop".to_owned(),
        ..CreateTokenRequest::default()
    };
    let message = Bytes::from(message.encode_to_vec());
    Box::new(move || {
        turn.set((turn.get() + 1) % creators.len());
        call(
            CREATE,
            Some(Rc::clone(&creators[turn.get()])),
            message.clone(),
        )
    })
}

pub(crate) fn call(path: &'static str, bearer: Option<Rc<str>>, message: Bytes) -> Call {
    Call {
        path,
        bearer,
        message,
    }
}

fn list_request(page_size: u32, page_token: String) -> Vec<u8> {
    ListTokensRequest {
        page_size,
        page_token,
        ..ListTokensRequest::default()
    }
    .encode_to_vec()
}

/// The page token behind [`DEPTH`] entries; none where the list is shorter.
async fn page_at_depth(server: &Server, bearer: &Rc<str>) -> Result<Option<String>> {
    const PAGE: u32 = 250;
    let mut client = Client::connect(server.address, Wire::Proto).await?;
    let mut page = String::new();
    for _ in 0..DEPTH / PAGE {
        let request = call(
            LIST,
            Some(Rc::clone(bearer)),
            list_request(PAGE, page).into(),
        );
        page = ListTokensResponse::decode(client.call(request).await?)?.next_page_token;
        if page.is_empty() {
            return Ok(None);
        }
    }
    Ok(Some(page))
}

/// The size of a database's write-ahead log, in bytes.
pub(crate) fn wal_bytes(database: &Path) -> u64 {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    std::fs::metadata(name).map_or(0, |file| file.len())
}
