//! Finds archive members at any offset. Compressed members of gzip and zip are unpacked for a layer below. Members of tar,
//! and uncompressed ones of zip, are searched in place, with their names.

use std::sync::LazyLock;

use flate2::{Decompress, FlushDecompress, Status};
use memchr::memmem::Finder;

use super::{
    super::finding::printable,
    Chunk, Content, Context, Event, MAX_LEVEL, Mark, MarkKind,
    headers::{self, GZIP_MAGIC, Header, TAR_BLOCK, ZIP_MAGIC, ZipKind},
};

/// How much is unpacked at once.
const OUTPUT: usize = 16 * 1024;

/// The checksum and the size at the end of a gzip member.
const GZIP_TRAILER: u64 = 8;

static GZIP: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(GZIP_MAGIC));
static ZIP: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(ZIP_MAGIC));

/// Finds members, one after another.
#[derive(Debug)]
pub(super) struct Archive {
    /// The offset up to which the layer is searched.
    next: u64,
    member: Option<Box<Member>>,
    /// The offset of the next header of a tar archive.
    tar: Option<u64>,
    tar_name: Option<Vec<u8>>,
    /// The tar member at the current offset.
    tar_member: Option<String>,
    /// Where other tar members begin in this chunk.
    tar_members: Vec<(u64, String)>,
}

impl Default for Archive {
    fn default() -> Self {
        Self {
            next: 0,
            member: None,
            // A tar archive is only recognised at the beginning.
            tar: Some(0),
            tar_name: None,
            tar_member: None,
            tar_members: Vec::new(),
        }
    }
}

/// A compressed member.
#[derive(Debug)]
struct Member {
    names: Vec<String>,
    inflate: Decompress,
    content: Content,
    /// Whether it is certainly a member: gzip's three magic bytes occur by chance.
    certain: bool,
    gzip: bool,
    /// Whether its data has ended. It goes on if another gzip header follows, as in `cat a.gz b.gz`.
    is_ended: bool,
}

impl Archive {
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    pub(super) fn search(
        &mut self,
        chunk: Chunk<'_>,
        context: &mut Context<'_>,
        marks: &mut Vec<Mark>,
    ) {
        if chunk.has_lines {
            self.read_tar(chunk, marks);
        }
        loop {
            if self.member.is_some() {
                if self.unpack(chunk, context).is_none() {
                    break;
                }
            } else if self.find(chunk, context, marks).is_none() {
                break;
            }
        }
        if let Some((_, name)) = self.tar_members.pop() {
            self.tar_member = Some(name);
            self.tar_members.clear();
        }
        if chunk.last
            && let Some(member) = self.member.take()
        {
            let problem = (!member.is_ended).then_some("it ends before its content does");
            member.end(problem, context);
        }
    }

    /// Reads the tar headers in the chunk.
    fn read_tar(&mut self, chunk: Chunk<'_>, marks: &mut Vec<Mark>) {
        while let Some(at) = self.tar
            && chunk.index(at) < chunk.bytes.len()
        {
            match headers::tar(&chunk.bytes[chunk.index(at)..]) {
                Header::Waits if !chunk.last => return,
                Header::Waits | Header::No => self.tar = None,
                Header::Is(header, len) => {
                    let content = at + super::to_u64(len);
                    self.tar =
                        Some(content + header.size.next_multiple_of(super::to_u64(TAR_BLOCK)));
                    if let Some(name) = header.name {
                        let name = printable(&self.tar_name.take().unwrap_or(name));
                        self.tar_members.push((content, name.clone()));
                        marks.push(Mark {
                            offset: content,
                            kind: MarkKind::Member(name),
                        });
                    } else {
                        self.tar_name = header.next_name;
                    }
                }
            }
        }
    }

    /// Finds the next member. `None` if it needs more bytes.
    fn find(
        &mut self,
        chunk: Chunk<'_>,
        context: &mut Context<'_>,
        marks: &mut Vec<Mark>,
    ) -> Option<()> {
        let from = chunk.index(self.next);
        let rest = &chunk.bytes[from..];
        let zip = ZIP.find(rest);
        // A gzip header after it is found later.
        let gzip = GZIP.find(&rest[..zip.unwrap_or(rest.len())]);
        let Some(at) = gzip.or(zip) else {
            let seen = chunk.bytes.len().saturating_sub(ZIP_MAGIC.len() - 1);
            self.next = self.next.max(chunk.offset(seen));
            return None;
        };
        let bytes = &rest[at..];
        let offset = chunk.offset(from + at);
        let begin = |len: usize| offset + super::to_u64(len);
        let mut waits = false;
        if gzip.is_some() {
            match headers::gzip(bytes) {
                Header::Is(name, len) => {
                    let name = name.map_or_else(|| "gzip".to_owned(), |name| printable(&name));
                    self.next = begin(len);
                    self.open(name, offset, true, chunk, context);
                    return Some(());
                }
                Header::Waits => waits = true,
                Header::No => {}
            }
        } else {
            match headers::zip(bytes) {
                Header::Is(header, len) => {
                    let name = printable(&header.name);
                    self.next = begin(len);
                    match header.kind {
                        ZipKind::Deflated => self.open(name, offset, false, chunk, context),
                        ZipKind::Unsupported => {
                            context.report(&self.names(offset, name), Event::NotUnpacked);
                        }
                        // Searched together with the bytes around it.
                        ZipKind::Stored if chunk.has_lines && self.tar.is_none() => {
                            let kind = MarkKind::Member(name);
                            marks.push(Mark {
                                offset: self.next,
                                kind,
                            });
                        }
                        ZipKind::Stored => {}
                    }
                    return Some(());
                }
                Header::Waits => waits = true,
                Header::No => {}
            }
        }
        if waits && !chunk.last {
            self.next = offset;
            return None;
        }
        self.next = offset + 1;
        Some(())
    }

    fn names(&self, offset: u64, name: String) -> Vec<String> {
        let begun = self
            .tar_members
            .iter()
            .rev()
            .find(|(begin, _)| *begin <= offset);
        let within = begun.map(|(_, name)| name).or(self.tar_member.as_ref());
        within.cloned().into_iter().chain([name]).collect()
    }

    /// Begins a compressed member.
    fn open(
        &mut self,
        name: String,
        offset: u64,
        gzip: bool,
        chunk: Chunk<'_>,
        context: &mut Context<'_>,
    ) {
        let names = self.names(offset, name);
        let is_at_start = offset == 0 || self.tar_members.iter().any(|(begin, _)| *begin == offset);
        let certain = !gzip || is_at_start;
        if chunk.level < MAX_LEVEL {
            self.member = Some(Box::new(Member {
                names,
                inflate: Decompress::new(false),
                content: Content::at(chunk.level + 1),
                certain,
                gzip,
                is_ended: false,
            }));
        } else if certain {
            context.report(&names, Event::Unreadable("archives are nested too deep"));
        }
    }

    /// Unpacks the part of the member in the chunk. `None` if it needs more bytes.
    fn unpack(&mut self, chunk: Chunk<'_>, context: &mut Context<'_>) -> Option<()> {
        let mut member = self.member.take()?;
        if member.is_ended {
            let begin = chunk.index(self.next + GZIP_TRAILER);
            let bytes = &chunk.bytes[begin..];
            let header = if bytes.starts_with(GZIP_MAGIC) {
                headers::gzip(bytes)
            } else if GZIP_MAGIC.starts_with(&bytes[..bytes.len().min(GZIP_MAGIC.len())]) {
                Header::Waits
            } else {
                Header::No
            };
            match header {
                Header::Waits if !chunk.last => {
                    self.member = Some(member);
                    return None;
                }
                Header::Is(_, len) => {
                    self.next += GZIP_TRAILER + super::to_u64(len);
                    member.inflate.reset(false);
                    member.is_ended = false;
                }
                Header::Waits | Header::No => {
                    member.end(None, context);
                    return Some(());
                }
            }
        }
        let from = chunk.index(self.next);
        let (used, status) = member.inflate(&chunk.bytes[from..], context);
        self.next += super::to_u64(used);
        match status {
            Ok(Status::StreamEnd) if member.gzip => {
                member.is_ended = true;
                self.member = Some(member);
            }
            Ok(Status::StreamEnd) => member.end(None, context),
            Ok(Status::Ok | Status::BufError) => {
                self.member = Some(member);
                return None;
            }
            Err(problem) => member.end(Some(problem), context),
        }
        Some(())
    }
}

impl Member {
    /// Unpacks `input` until it or the member ends. Returns how much of it was used.
    fn inflate(
        &mut self,
        input: &[u8],
        context: &mut Context<'_>,
    ) -> (usize, Result<Status, &'static str>) {
        let (mut used, mut output) = (0, [0; OUTPUT]);
        loop {
            let (before_in, before_out) = (self.inflate.total_in(), self.inflate.total_out());
            let rest = &input[used..];
            let status = self
                .inflate
                .decompress(rest, &mut output, FlushDecompress::None);
            let step = |now: u64, before: u64| usize::try_from(now - before).unwrap_or_default();
            used += step(self.inflate.total_in(), before_in);
            let unpacked = step(self.inflate.total_out(), before_out);
            if !context.unpack(unpacked) {
                self.certain = true;
                return (used, Err("it unpacks to too much"));
            }
            let (names, content) = (&self.names, &mut self.content);
            context.within(names, |context| content.push(&output[..unpacked], context));
            match status {
                Ok(Status::StreamEnd) => return (used, Ok(Status::StreamEnd)),
                // The output has room left, so all of the input is unpacked.
                Ok(status) if unpacked < OUTPUT && used == input.len() => {
                    return (used, Ok(status));
                }
                Ok(Status::BufError) if unpacked == 0 => return (used, Ok(Status::BufError)),
                Ok(_) => {}
                Err(_) => return (used, Err("it is damaged")),
            }
        }
    }

    /// Ends the member.
    fn end(mut self, problem: Option<&'static str>, context: &mut Context<'_>) {
        let (names, content) = (&self.names, &mut self.content);
        context.within(names, |context| content.end(context));
        if let Some(problem) = problem
            && self.certain
        {
            context.report(&self.names, Event::Unreadable(problem));
        }
    }
}
