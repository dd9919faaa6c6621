//! `hallpass audit export`: the log as a file for auditors and other programs.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, BufWriter, Seek as _, Write},
    path::PathBuf,
};

use super::{FilterArgs, TargetArgs, linked_row};
use crate::{
    cli::{
        client::Client,
        failure::Failure,
        new_file::{self, NewFile},
        output, plural,
    },
    domain::{
        audit::{ChainHead, LinkedRow},
        audit_record::AuditRecord,
        clock::{Clock as _, SystemClock},
    },
    proto::hallpass::v1::{StreamAuditEventsRequest, StreamAuditEventsResponse},
};
use clap::{Args, ValueEnum};

#[derive(Args, Debug)]
pub(in crate::cli) struct Export {
    /// JSON lines, or CSV by RFC 4180 with a header. In CSV, a text that a spreadsheet could take for a formula gets an
    /// apostrophe in front.
    #[arg(long, value_enum, default_value = "jsonl")]
    format: Format,
    /// Write to this file, which only you can read, and which gets its name once it is complete. Not set: to stdout.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the file if it exists.
    #[arg(long, requires = "output")]
    force: bool,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    server: TargetArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Jsonl,
    Csv,
}

pub(super) fn export(args: &Export) -> Result<(), Failure> {
    let filter = args.filter.filter(SystemClock.now())?;
    let client = Client::new(&args.server)?;
    let request = StreamAuditEventsRequest {
        filter: Some(filter),
        ..StreamAuditEventsRequest::default()
    };
    if let Some(path) = &args.output {
        let mut file = NewFile::create(path, args.force)?;
        let cannot = |error: io::Error| new_file::cannot_write(path, &error);
        let mut export = Writing::new(args.format, BufWriter::new(file.file()));
        let take = |part| export.part(part, cannot);
        client.run(async |session| session.stream(&request, take).await)?;
        let (rows, head) = (export.rows, export.head);
        export.finish().map_err(cannot)?;
        file.put_in_place()?;
        let rows = plural::count(rows, "row");
        output::line(&format!("{rows} in {}, head {head}", path.display()))?;
        return Ok(());
    }
    let spooled = client.run(async |session| {
        if session.is_embedded() {
            // Whoever reads stdout may be slow, and the database is locked until this ends.
            let mut export = Writing::new(args.format, BufWriter::new(tempfile::tempfile()?));
            session
                .stream(&request, |part| export.part(part, Failure::from))
                .await?;
            return Ok(Some(
                export.finish()?.into_inner().map_err(io::Error::from)?,
            ));
        }
        let mut export = Writing::new(args.format, BufWriter::new(io::stdout().lock()));
        session
            .stream(&request, |part| export.part(part, Failure::from))
            .await?;
        export.finish()?;
        Ok(None)
    })?;
    if let Some(spooled) = spooled {
        copy(spooled)?;
    }
    Ok(())
}

fn copy(mut spooled: File) -> io::Result<()> {
    spooled.rewind()?;
    let mut stdout = io::stdout().lock();
    io::copy(&mut spooled, &mut stdout)?;
    stdout.flush()
}

/// An export in progress.
struct Writing<W: Write> {
    out: Output<W>,
    rows: u64,
    head: ChainHead,
}

enum Output<W: Write> {
    Jsonl(W),
    Csv(Box<csv::Writer<W>>),
}

impl<W: Write> Writing<W> {
    fn new(format: Format, out: W) -> Self {
        let out = match format {
            Format::Jsonl => Output::Jsonl(out),
            Format::Csv => {
                // RFC 4180, 2.1.
                let mut builder = csv::WriterBuilder::new();
                builder.terminator(csv::Terminator::CRLF);
                Output::Csv(Box::new(builder.from_writer(out)))
            }
        };
        Self {
            out,
            rows: 0,
            head: ChainHead::START,
        }
    }

    fn part(
        &mut self,
        part: StreamAuditEventsResponse,
        cannot: impl Fn(io::Error) -> Failure,
    ) -> Result<(), Failure> {
        for event in part.events {
            let linked = linked_row(event)?;
            self.write(&linked).map_err(&cannot)?;
            self.rows += 1;
            self.head = ChainHead {
                sequence: linked.row.sequence,
                hash: linked.row.hash,
            };
        }
        Ok(())
    }

    fn write(&mut self, linked: &LinkedRow) -> io::Result<()> {
        let mut record = AuditRecord::from(linked);
        match &mut self.out {
            Output::Jsonl(out) => out.write_all(record.to_line().as_bytes()),
            Output::Csv(out) => {
                record.change_texts(make_inert);
                Ok(out.serialize(record)?)
            }
        }
    }

    fn finish(self) -> io::Result<W> {
        let mut out = match self.out {
            Output::Jsonl(out) => out,
            Output::Csv(out) => out.into_inner().map_err(csv::IntoInnerError::into_error)?,
        };
        out.flush()?;
        Ok(out)
    }
}

/// Makes a spreadsheet show the text and not compute it: an apostrophe goes in front of what begins a formula. It goes in
/// front of an apostrophe, too, so that the first one can always be taken away.
fn make_inert(text: &mut Cow<'_, str>) {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\'']) {
        *text = Cow::Owned(format!("'{text}"));
    }
}
