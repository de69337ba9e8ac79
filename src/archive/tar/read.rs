//! Members of an untrusted archive, one after another, with constant memory.
//!
//! A [`Member`] is what the headers say; its bytes follow through [`Reader::data`] and are skipped
//! if nobody asks for them. Paths stay as they are stored: bringing them into a tree safely is
//! [`super::unpack`]'s work. After an error the archive is over: nothing more is given.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use super::error::{TarError, printable};
use super::header::{BLOCK, Header, more_extents, text};
use super::pax::{Pax, decimal};
use super::sparse::{Extents, Map, Step, pairs};

/// Headers of one archive. The largest images have some 400,000 files; four times that is still
/// counted in seconds.
pub const MAX_HEADERS: u64 = 2 << 20;
/// Bytes of one long name or extended header: Go's limit is the same 1 MiB.
pub const MAX_EXTENDED: u64 = 1 << 20;
/// Bytes of all names, link targets and attributes of one archive, which a tree would hold in
/// memory: 400,000 paths of 100 bytes make 40 MB.
pub const MAX_NAMES: u64 = 256 << 20;
/// Bytes of all files of one archive, holes included; a layer is never near it.
pub const MAX_TOTAL: u64 = 64 << 30;
/// Bytes of all holes of sparse files, which cost an archive nothing and a disk everything.
pub const MAX_HOLES: u64 = 1 << 30;
/// Read-ahead. Headers are 512 bytes apart where files are small, so one system call serves many.
const BUFFER: usize = 128 << 10;

/// What a member is. Targets are as they are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberKind {
    /// A directory.
    Directory,
    /// A regular file, the only kind with data.
    File,
    /// A symbolic link.
    Symlink(Vec<u8>),
    /// Another name of an earlier member.
    HardLink(Vec<u8>),
    /// A character device: major, minor.
    CharDevice(u32, u32),
    /// A block device: major, minor.
    BlockDevice(u32, u32),
    /// A named pipe.
    Fifo,
}

/// One member's metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The path as it is stored: nothing about it has been checked.
    pub path: Vec<u8>,
    /// Where its first header begins in the plain stream.
    pub offset: u64,
    /// Where its data begins in the plain stream.
    pub data: u64,
    /// Length of the file in bytes, holes included; 0 for everything else.
    pub size: u64,
    /// Whether it has holes, so that its bytes do not lie in the stream as they are.
    pub sparse: bool,
    /// Permission bits, 0o7777 at most.
    pub mode: u32,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// Modification time in whole seconds.
    pub mtime: i64,
    /// Extended attributes.
    pub xattrs: BTreeMap<String, Vec<u8>>,
    /// What it is.
    pub kind: MemberKind,
}

impl Member {
    /// The path for a message.
    pub fn printable(&self) -> String {
        printable(&self.path)
    }

    /// An error about this member; `why` goes on after the member's name.
    pub fn error(&self, why: impl Into<String>) -> TarError {
        TarError::Member { member: self.printable(), offset: self.offset, why: why.into() }
    }
}

/// Headers that say something about the member behind them.
#[derive(Default)]
struct Extra {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: Option<Pax>,
}

/// Passes over bytes without reading them.
type Seeker<R> = fn(&mut BufReader<R>, i64) -> io::Result<()>;

/// Reads an archive.
pub struct Reader<R> {
    input: BufReader<R>,
    /// How to pass over bytes without reading them, and where the stream ends.
    seek: Option<(Seeker<R>, u64)>,
    position: u64,
    /// Of the present member: stored bytes not yet read, its padding, its map, its name and offset.
    stored: u64,
    padding: u64,
    map: Option<Map>,
    member: (Vec<u8>, u64),
    global: Pax,
    headers: u64,
    names: u64,
    total: u64,
    holes: u64,
    over: bool,
}

impl<R: Read> Reader<R> {
    /// Reads a plain (decompressed) stream.
    pub fn new(input: R) -> Self {
        Self {
            input: BufReader::with_capacity(BUFFER, input),
            seek: None,
            position: 0,
            stored: 0,
            padding: 0,
            map: None,
            member: (Vec::new(), 0),
            global: Pax::default(),
            headers: 0,
            names: 0,
            total: 0,
            holes: 0,
            over: false,
        }
    }

    /// The next member, or `None` at the archive's end: two zero blocks, or the end of the stream
    /// between members. What follows the two blocks is not looked at, as in every other reader.
    pub fn next_member(&mut self) -> Result<Option<Member>, TarError> {
        if self.over {
            return Ok(None);
        }
        let result = self.advance();
        self.over = !matches!(result, Ok(Some(_)));
        result
    }

    /// The data of the present member, holes as zeros, from where it was left.
    pub fn data(&mut self) -> Data<'_, R> {
        Data(self)
    }

    /// Reads the stream to its end, so that whoever hashes or counts below has seen all of it.
    pub fn finish(mut self) -> io::Result<R> {
        io::copy(&mut self.input, &mut io::sink())?;
        Ok(self.input.into_inner())
    }

    fn advance(&mut self) -> Result<Option<Member>, TarError> {
        self.skip(self.stored)?;
        self.skip_padding()?;
        (self.stored, self.padding, self.map) = (0, 0, None);
        let mut extra: Option<Extra> = None;
        let start = self.position;
        loop {
            let offset = self.position;
            self.member = (Vec::new(), if extra.is_some() { start } else { offset });
            let block = self.block()?.filter(|block| block.iter().any(|&byte| byte != 0));
            let Some(block) = block else {
                if extra.is_some() {
                    return Err(self.fail("has an extended header and no member behind it"));
                }
                return self.end(offset).map(|()| None);
            };
            let header = Header::new(block).map_err(|why| TarError::Header { offset, why })?;
            self.count(&header)?;
            match header.flag() {
                b'L' => extra.get_or_insert_default().name = Some(text(&self.extended(&header)?).to_vec()),
                b'K' => extra.get_or_insert_default().link = Some(text(&self.extended(&header)?).to_vec()),
                // Solaris wrote `X` before POSIX settled on `x`.
                b'x' | b'X' => {
                    let bytes = self.extended(&header)?;
                    extra.get_or_insert_default().pax =
                        Some(Pax::parse(&bytes).map_err(|why| self.fail(why))?);
                }
                b'g' => {
                    let bytes = self.extended(&header)?;
                    Pax::parse(&bytes)
                        .and_then(|pax| self.global.take_global(pax))
                        .map_err(|why| self.fail(why))?;
                }
                // A volume's label is no member.
                b'V' => drop(self.extended(&header)?),
                _ => return self.describe(&header, extra.unwrap_or_default(), start).map(Some),
            }
        }
    }

    /// Bounds the headers, and so the time that an archive of nothing but headers takes.
    fn count(&mut self, header: &Header) -> Result<(), TarError> {
        self.member.0 = header.name();
        self.headers += 1;
        if self.headers > MAX_HEADERS {
            return Err(
                self.fail(format!("is one more than the {MAX_HEADERS} headers that are read of an archive"))
            );
        }
        Ok(())
    }

    /// The first zero block, or the stream's end. GNU tar stops at one zero block with a warning,
    /// Go refuses what is not zero behind it; so it is refused here.
    fn end(&mut self, offset: u64) -> Result<(), TarError> {
        if self.position == offset {
            return Ok(());
        }
        match self.block()? {
            Some(block) if block.iter().any(|&byte| byte != 0) => Err(TarError::Header {
                offset,
                why: "a single block of zeros stands in the middle of the archive".to_owned(),
            }),
            _ => Ok(()),
        }
    }

    fn fail(&self, why: impl Into<String>) -> TarError {
        TarError::Member { member: printable(&self.member.0), offset: self.member.1, why: why.into() }
    }

    fn truncated(&self, missing: u64) -> TarError {
        self.fail(format!("is truncated: the archive ends {missing} bytes before it does"))
    }

    /// One block; `None` at the end of the stream.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>, TarError> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.input.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => {
                    let why = format!("the archive ends after {filled} of its 512 bytes");
                    return Err(TarError::Header { offset: self.position, why });
                }
                Ok(got) => filled += got,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(TarError::Read { offset: self.position, source }),
            }
        }
        self.position += BLOCK as u64;
        Ok(Some(block))
    }

    /// The payload of a header that extends another.
    fn extended(&mut self, header: &Header) -> Result<Vec<u8>, TarError> {
        let size = header.size().ok_or_else(|| self.fail("has a size that is no number"))?;
        if size > MAX_EXTENDED {
            return Err(self.fail(format!(
                "is an extended header of {size} bytes, more than the {MAX_EXTENDED} allowed"
            )));
        }
        self.charge(size)?;
        self.exact(size, padding(size))
    }

    /// `size` bytes and the padding behind them; memory grows only with what is really there.
    fn exact(&mut self, size: u64, padding: u64) -> Result<Vec<u8>, TarError> {
        let mut bytes = Vec::new();
        let offset = self.position;
        let read = self.input.by_ref().take(size).read_to_end(&mut bytes);
        read.map_err(|source| TarError::Read { offset, source })?;
        self.position += bytes.len() as u64;
        if (bytes.len() as u64) < size {
            return Err(self.truncated(size - bytes.len() as u64 + padding));
        }
        self.skip(padding)?;
        Ok(bytes)
    }

    /// Passes over bytes that must be there.
    fn skip(&mut self, count: u64) -> Result<(), TarError> {
        let offset = self.position;
        let error = |source| TarError::Read { offset, source };
        if let Some((seek, end)) = self.seek {
            if count > end.saturating_sub(self.position) {
                return Err(self.truncated(count - end.saturating_sub(self.position)));
            }
            // At most the length of a file, which is an i64 on every system.
            seek(&mut self.input, i64::try_from(count).unwrap_or(i64::MAX)).map_err(error)?;
        } else {
            let skipped = io::copy(&mut self.input.by_ref().take(count), &mut io::sink()).map_err(error)?;
            if skipped < count {
                return Err(self.truncated(count - skipped));
            }
        }
        self.position += count;
        Ok(())
    }

    /// Passes over the padding of the member that was read. Where the stream ends within it, the
    /// archive ends: the file is whole. `umoci insert` leaves its archives so, and Go reads them.
    fn skip_padding(&mut self) -> Result<(), TarError> {
        let offset = self.position;
        let Some((_, end)) = self.seek else {
            let skipped = io::copy(&mut self.input.by_ref().take(self.padding), &mut io::sink());
            self.position += skipped.map_err(|source| TarError::Read { offset, source })?;
            return Ok(());
        };
        self.skip(self.padding.min(end.saturating_sub(offset)))
    }

    fn charge(&mut self, bytes: u64) -> Result<(), TarError> {
        self.names = self.names.saturating_add(bytes);
        if self.names > MAX_NAMES {
            return Err(self.fail(format!(
                "brings names and attributes over the {MAX_NAMES} bytes allowed in an archive"
            )));
        }
        Ok(())
    }

    fn describe(&mut self, header: &Header, extra: Extra, offset: u64) -> Result<Member, TarError> {
        let Extra { name, link, pax } = extra;
        let mut pax = pax.unwrap_or_default();
        self.member.1 = offset;
        if name.is_some() && pax.path.is_some() || link.is_some() && pax.link.is_some() {
            return Err(self.fail("is named by a GNU header and by a pax header"));
        }
        let path = pax.sparse.name.take().or(pax.path.take()).or(name).unwrap_or_else(|| header.name());
        self.member.0.clone_from(&path);
        let link = pax.link.take().or(link).unwrap_or_else(|| header.link());
        let number = |what: &str| format!("has a {what} that is no number");
        let kind = self.kind(header, &path, link)?;
        let size = pax.size.map_or_else(|| header.size(), Some).ok_or_else(|| self.fail(number("size")))?;
        let uid = pax.uid.or(self.global.uid).map_or_else(|| header.uid(), Some);
        let gid = pax.gid.or(self.global.gid).map_or_else(|| header.gid(), Some);
        let mtime = pax.mtime.or(self.global.mtime).map_or_else(|| header.mtime(), Some);
        let mut member = Member {
            path,
            offset,
            data: self.position,
            size: 0,
            sparse: false,
            mode: header.mode().ok_or_else(|| self.fail(number("mode")))?,
            uid: uid.ok_or_else(|| self.fail(number("owner")))?,
            gid: gid.ok_or_else(|| self.fail(number("group")))?,
            mtime: mtime.ok_or_else(|| self.fail(number("time")))?,
            xattrs: std::mem::take(&mut pax.xattrs),
            kind,
        };
        self.charge_member(&member)?;
        // Links, devices and directories have no data whatever their size says: POSIX lets a
        // directory's be a quota, Go, libarchive and Python skip nothing for the others either.
        if member.kind == MemberKind::File || header.flag() == b'D' {
            self.stored = size;
            self.padding = padding(size);
        }
        if member.kind == MemberKind::File {
            self.map = self.sparse_map(header, &pax, size)?;
            self.bound(&mut member, size)?;
        }
        Ok(member)
    }

    fn charge_member(&mut self, member: &Member) -> Result<(), TarError> {
        let links = match &member.kind {
            MemberKind::Symlink(target) | MemberKind::HardLink(target) => target.len(),
            _ => 0,
        };
        let xattrs: usize = member.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.charge((member.path.len() + links + xattrs) as u64)
    }

    /// Sets the size of a file and bounds what all of them expand to.
    fn bound(&mut self, member: &mut Member, size: u64) -> Result<(), TarError> {
        member.sparse = self.map.is_some();
        member.size = self.map.as_ref().map_or(size, Map::size);
        member.data = self.position;
        self.total = self.total.saturating_add(member.size);
        self.holes = self.holes.saturating_add(member.size.saturating_sub(self.stored));
        if self.total > MAX_TOTAL {
            return Err(self.fail(format!("brings the archive's files over the {MAX_TOTAL} bytes allowed")));
        }
        if self.holes > MAX_HOLES {
            return Err(
                self.fail(format!("brings the holes of sparse files over the {MAX_HOLES} bytes allowed"))
            );
        }
        Ok(())
    }

    fn kind(&self, header: &Header, path: &[u8], link: Vec<u8>) -> Result<MemberKind, TarError> {
        let device = || header.device().ok_or_else(|| self.fail("has a device number that is no number"));
        Ok(match header.flag() {
            // V7 marks a directory by its slash.
            0 if path.ends_with(b"/") => match header.size() {
                Some(0) => MemberKind::Directory,
                _ => return Err(self.fail("is a directory by its name and has data")),
            },
            // GNU tar makes a directory of it, Go a file.
            b'0' | b'7' if path.ends_with(b"/") => {
                return Err(self.fail("is a file by its type and a directory by its name"));
            }
            0 | b'0' | b'7' | b'S' => MemberKind::File,
            b'1' => MemberKind::HardLink(link),
            b'2' => MemberKind::Symlink(link),
            b'3' => device().map(|(major, minor)| MemberKind::CharDevice(major, minor))?,
            b'4' => device().map(|(major, minor)| MemberKind::BlockDevice(major, minor))?,
            b'5' | b'D' => MemberKind::Directory,
            b'6' => MemberKind::Fifo,
            b'M' => return Err(self.fail("goes on from another volume, which is not there")),
            flag => {
                return Err(
                    self.fail(format!("has the unknown type `{}`", char::from(flag).escape_default()))
                );
            }
        })
    }

    /// The map of a sparse file, read up to where its stored bytes begin.
    fn sparse_map(&mut self, header: &Header, pax: &Pax, stored: u64) -> Result<Option<Map>, TarError> {
        let sparse = &pax.sparse;
        let (extents, size) = if header.flag() == b'S' {
            self.gnu_map(header)?
        } else if !sparse.is_used() {
            return Ok(None);
        } else {
            let size = sparse.size.ok_or_else(|| self.fail("is sparse and says no real size"))?;
            let extents = match (sparse.major, sparse.minor) {
                (None | Some(0), None | Some(0 | 1)) => {
                    pairs(sparse.map.as_ref().unwrap_or(&sparse.numbers)).map_err(|why| self.fail(why))?
                }
                (Some(1), Some(0)) => self.map_in_data(stored)?,
                _ => return Err(self.fail("is sparse in a format that is not known")),
            };
            (extents, size)
        };
        Map::new(extents, size, self.stored).map(Some).map_err(|why| self.fail(why))
    }

    /// Old GNU: four extents in the header, 21 in every block that follows it.
    fn gnu_map(&mut self, header: &Header) -> Result<(Extents, u64), TarError> {
        let broken = "has a sparse map that is no list of numbers";
        let (mut extents, mut more, size) = header.gnu_sparse().ok_or_else(|| self.fail(broken))?;
        while more {
            self.charge(BLOCK as u64)?;
            if extents.len() as u64 > MAX_EXTENDED / 24 {
                return Err(self.fail(format!("has a sparse map of more than {MAX_EXTENDED} bytes")));
            }
            let block = self.block()?.ok_or_else(|| self.truncated(BLOCK as u64))?;
            let next = more_extents(&block).ok_or_else(|| self.fail(broken))?;
            extents.extend(next.0);
            more = next.1;
        }
        Ok((extents, size))
    }

    /// PAX 1.0: decimal lines at the head of the data, padded to a block.
    fn map_in_data(&mut self, stored: u64) -> Result<Extents, TarError> {
        let broken = "has a sparse map that is no list of numbers";
        let (mut numbers, mut line) = (Vec::new(), Vec::new());
        let (mut wanted, mut used) = (1, 0_u64);
        while numbers.len() < wanted {
            used += BLOCK as u64;
            if used > stored.min(MAX_EXTENDED) {
                return Err(self.fail("has a sparse map without an end"));
            }
            let block = self.block()?.ok_or_else(|| self.truncated(stored))?;
            for byte in block {
                match byte {
                    b'\n' if numbers.len() < wanted => {
                        let number = decimal(&line).ok_or_else(|| self.fail(broken))?;
                        if numbers.is_empty() {
                            // Longer than the limit it cannot be, so the loop ends.
                            wanted = usize::try_from(number.saturating_mul(2).saturating_add(1))
                                .unwrap_or(usize::MAX);
                        }
                        numbers.push(number);
                        line.clear();
                    }
                    _ if numbers.len() >= wanted => break,
                    _ => line.push(byte),
                }
            }
        }
        self.charge(used)?;
        self.stored = stored - used;
        pairs(numbers.get(1..).unwrap_or_default()).map_err(|why| self.fail(why))
    }

    fn read_data(&mut self, buffer: &mut [u8]) -> Result<usize, TarError> {
        let cut = |buffer: usize, left: u64| usize::try_from(left).unwrap_or(usize::MAX).min(buffer);
        let wanted = match self.map.as_ref().map(Map::step) {
            Some(Step::Hole(zeros)) => {
                let wanted = cut(buffer.len(), zeros);
                buffer[..wanted].fill(0);
                if let Some(map) = &mut self.map {
                    map.advance(wanted as u64);
                }
                return Ok(wanted);
            }
            Some(Step::Data(bytes)) => cut(buffer.len(), bytes.min(self.stored)),
            Some(Step::End) => 0,
            None => cut(buffer.len(), self.stored),
        };
        if wanted == 0 {
            return Ok(0);
        }
        let offset = self.position;
        let got = self.input.read(&mut buffer[..wanted]);
        let got = got.map_err(|source| TarError::Read { offset, source })?;
        if got == 0 {
            return Err(self.truncated(self.stored + self.padding));
        }
        self.position += got as u64;
        self.stored -= got as u64;
        if let Some(map) = &mut self.map {
            map.advance(got as u64);
        }
        Ok(got)
    }
}

impl<R: Read + Seek> Reader<R> {
    /// Reads a plain archive on disk from its present position: what nobody asks for is passed
    /// over by seeking.
    pub fn seekable(mut input: R) -> io::Result<Self> {
        let start = input.stream_position()?;
        let end = input.seek(SeekFrom::End(0))?;
        input.seek(SeekFrom::Start(start))?;
        let mut reader = Self::new(input);
        reader.seek = Some((BufReader::seek_relative, end.saturating_sub(start)));
        Ok(reader)
    }
}

fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

/// A reading of a member's data. Its errors are [`TarError`]s within an [`io::Error`].
pub struct Data<'a, R>(&'a mut Reader<R>);

impl<R: Read> Read for Data<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_data(buffer).map_err(TarError::into_io)
    }
}
