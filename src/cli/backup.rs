//! `hallpass backup`: a copy of the whole database in a file, checked against the server's checksum.

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    config::target::TargetArgs,
    domain::audit::{ChainHash, ChainHead},
    proto::hallpass::v1::{BackUpCopy, BackUpDataRequest, BackUpDataResponse, BackUpEnd},
    store::{self, Inspection},
};

use super::{
    client::Client,
    exit_code::ExitCode,
    failure::Failure,
    new_file::NewFile,
    output::{self, OutputArgs},
    plural,
};

/// A server sends something at least every ten seconds.
const SILENCE_TIMEOUT: Duration = Duration::from_mins(2);

#[derive(Args, Debug)]
pub(super) struct Backup {
    /// The new file, or `-` for stdout.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Replace FILE if it exists.
    #[arg(long)]
    force: bool,
    /// Check the backup before it gets its name: its integrity, its schema and the hash chain of its audit log.
    #[arg(long)]
    verify: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    target: TargetArgs,
}

impl Backup {
    fn is_to_stdout(&self) -> bool {
        self.file == Path::new("-")
    }

    fn check(&self) -> Result<(), Failure> {
        if !self.is_to_stdout() {
            return Ok(());
        }
        if io::stdout().is_terminal() {
            return Err(Failure::usage(
                "a backup is no text for a terminal: give a file, or redirect stdout",
            ));
        }
        let flags = [
            (self.force, "--force"),
            (self.verify, "--verify"),
            (self.output.json, "--json"),
        ];
        match flags.into_iter().find(|(given, _)| *given) {
            Some((_, flag)) => Err(Failure::usage(format!(
                "{flag} needs a file: it cannot be used with `-`"
            ))),
            None => Ok(()),
        }
    }
}

pub(super) fn run(args: &Backup) -> Result<(), Failure> {
    args.check()?;
    let client = Client::new(&args.target)?;
    if args.is_to_stdout() {
        let received = receive(&client, &mut Destination::Stdout)?;
        output::hint(&format!(
            "{}, schema {}, audit head {}, SHA-256 {}",
            HumanBytes(received.size_bytes),
            received.copy.schema,
            received.head()?,
            received.sha256(),
        ));
        return Ok(());
    }
    let mut destination = Destination::File(NewFile::create(&args.file, args.force)?);
    let received = receive(&client, &mut destination)?;
    let Destination::File(new) = destination else {
        return Ok(());
    };
    let verify = args.verify.then(|| verify(&new, &received));
    let checked = verify.transpose()?;
    new.put_in_place()?;
    print(args, &received, checked.as_ref())
}

/// A complete backup.
struct Received {
    copy: BackUpCopy,
    size_bytes: u64,
    sha256: [u8; 32],
}

impl Received {
    fn head(&self) -> Result<ChainHead, Failure> {
        let hash = self.copy.audit_hash.clone().try_into();
        let hash = hash.map_err(|_| Failure::failed("the server sent a malformed hash"))?;
        Ok(ChainHead {
            sequence: self.copy.audit_sequence,
            hash: ChainHash::from_bytes(hash),
        })
    }

    /// In hexadecimal.
    fn sha256(&self) -> String {
        ChainHash::from_bytes(self.sha256).to_string()
    }
}

enum Destination {
    Stdout,
    File(NewFile),
}

impl Destination {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match self {
            Self::Stdout => Ok(io::stdout().write_all(bytes)?),
            Self::File(new) => {
                let written = new.file().write_all(bytes);
                written.map_err(|error| new.cannot_write(&error))
            }
        }
    }
}

fn receive(client: &Client, destination: &mut Destination) -> Result<Received, Failure> {
    let mut receiver = Receiver {
        destination,
        progress: progress(),
        copy: None,
        end: None,
        size_bytes: 0,
        sha256: Sha256::new(),
    };
    client.run(async |session| {
        let take = |part| receiver.take(part);
        let streaming = session.stream_within(SILENCE_TIMEOUT, &BackUpDataRequest {}, take);
        tokio::select! {
            done = streaming => done,
            stopped = stopped() => match stopped {
                Ok(()) => Err(Failure::failed("stopped by a signal: there is no backup")),
                Err(error) => Err(Failure::failed(format!("cannot listen for signals: {error}"))),
            },
        }
    })?;
    receiver.finish()
}

/// Waits for a signal that is to end the command, which then removes its unfinished file.
async fn stopped() -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}

/// Checks what the server sends, and writes it.
struct Receiver<'a> {
    destination: &'a mut Destination,
    progress: ProgressBar,
    copy: Option<BackUpCopy>,
    end: Option<BackUpEnd>,
    size_bytes: u64,
    sha256: Sha256,
}

impl Receiver<'_> {
    fn take(&mut self, part: BackUpDataResponse) -> Result<(), Failure> {
        if self.end.is_some() {
            return Err(Failure::failed(
                "the server sent more after the backup's end",
            ));
        }
        if let Some(copy) = part.copy {
            self.progress.set_length(copy.size_bytes);
            self.copy = Some(copy);
        }
        if !part.chunk.is_empty() {
            self.destination.write(&part.chunk)?;
            self.sha256.update(&part.chunk);
            self.size_bytes += u64::try_from(part.chunk.len()).expect("a usize fits 64 bits");
            self.progress.set_position(self.size_bytes);
        }
        self.end = part.end;
        Ok(())
    }

    fn finish(self) -> Result<Received, Failure> {
        self.progress.finish_and_clear();
        let (Some(copy), Some(end)) = (self.copy, self.end) else {
            return Err(Failure::failed(
                "the backup was cut off: it is not complete",
            ));
        };
        let sha256: [u8; 32] = self.sha256.finalize().into();
        if end.size_bytes != self.size_bytes || end.sha256 != sha256[..] {
            return Err(Failure::failed(
                "the backup was changed on its way: length or checksum are not those of the server",
            ));
        }
        if let Destination::Stdout = self.destination {
            io::stdout().flush()?;
        }
        Ok(Received {
            copy,
            size_bytes: self.size_bytes,
            sha256,
        })
    }
}

fn progress() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(
        "{spinner} {bytes} of {total_bytes}, {bytes_per_sec}, {elapsed}",
    );
    let bar = ProgressBar::new_spinner()
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// Opens the backup and checks it.
fn verify(new: &NewFile, received: &Received) -> Result<Inspection, Failure> {
    let found = store::inspect(new.unfinished())?;
    let mut findings = found.findings.clone();
    let breaks = found.breaks.iter();
    findings.extend(breaks.map(|broken| {
        format!(
            "row {} of its audit log: {}",
            broken.sequence, broken.problem
        )
    }));
    if found.head != received.head()? {
        findings.push("its audit log does not end where the server says".to_owned());
    }
    let Some(first) = findings.first() else {
        return Ok(found);
    };
    let more = findings.len() - 1;
    Err(Failure::new(
        ExitCode::DataDamaged,
        format!(
            "the backup is damaged, and was not kept: {first} ({more} more): look at the database with `hallpass data \
             check`"
        ),
    ))
}

fn print(args: &Backup, received: &Received, checked: Option<&Inspection>) -> Result<(), Failure> {
    let (file, head) = (args.file.display().to_string(), received.head()?);
    let (sha256, schema) = (received.sha256(), received.copy.schema);
    if args.output.json {
        let checked = checked.map(|found| {
            json!({
                "auditRows": found.rows.to_string(),
                "users": found.users.to_string(),
                "tokens": found.tokens.to_string(),
            })
        });
        return Ok(output::json(&json!({
            "file": file,
            "sizeBytes": received.size_bytes.to_string(),
            "sha256": sha256,
            "schema": schema,
            "auditHead": head.to_string(),
            "verified": checked,
        }))?);
    }
    let mut fields = vec![
        ("File", file),
        ("Size", HumanBytes(received.size_bytes).to_string()),
        ("SHA-256", sha256),
        ("Schema", schema.to_string()),
        ("Audit head", head.to_string()),
    ];
    if let Some(found) = checked {
        let held = [
            plural::count(found.users, "user"),
            plural::count(found.tokens, "token"),
            plural::count(found.rows, "audit row"),
        ];
        fields.push(("Verified", format!("intact: {}", held.join(", "))));
    }
    Ok(output::fields(fields)?)
}
