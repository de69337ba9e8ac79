//! What programs write and read.

use std::io;

use crate::base::Content;

/// Most bytes of a text that is looked into (`sed`, `sort` …): a hundred times the largest list of modules.
pub(crate) const TEXT_MAX: u64 = 16 << 20;

/// Bytes that a step may hold in memory: texts that it wrote. The tree's files are handles.
pub(crate) const HELD_MAX: usize = 64 << 20;

/// Bytes that were written: those that came out of a file are not copied.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stream {
    done: Vec<Content>,
    tail: Vec<u8>,
    len: u64,
    /// Whether more was written than is held.
    overflows: bool,
}

impl Stream {
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        if self.tail.len() + bytes.len() > HELD_MAX {
            self.overflows = true;
            return;
        }
        self.tail.extend_from_slice(bytes);
        self.len += bytes.len() as u64;
    }

    pub(crate) fn line(&mut self, text: &str) {
        self.write(text.as_bytes());
        self.write(b"\n");
    }

    pub(crate) fn push(&mut self, content: Content) {
        match &content {
            // Small texts are put together, so that a loop of `echo` does not make thousands of parts.
            Content::Memory(bytes) if bytes.len() < 4096 => self.write(&bytes.clone()),
            _ => {
                if !self.tail.is_empty() {
                    self.done.push(Content::memory(std::mem::take(&mut self.tail)));
                }
                self.len = self.len.saturating_add(content.len());
                self.done.push(content);
            }
        }
    }

    pub(crate) fn append(&mut self, other: Self) {
        self.overflows |= other.overflows;
        other.done.into_iter().for_each(|content| self.push(content));
        self.write(&other.tail);
    }

    /// Whether bytes were lost, because they were too many.
    pub(crate) fn overflows(&self) -> bool {
        self.overflows
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that are held in memory.
    pub(crate) fn held(&self) -> usize {
        self.tail.len()
    }

    pub(crate) fn content(self) -> Content {
        Content::joined(self.done.into_iter().chain([Content::memory(self.tail)]))
    }

    /// All the bytes, if they are no more than can be looked into.
    pub(crate) fn bytes(self) -> io::Result<Vec<u8>> {
        self.content().read(TEXT_MAX)
    }
}

/// The descriptors of one program.
#[derive(Debug, Default)]
pub(crate) struct Io {
    /// What it may read; taken by the first that reads.
    pub(crate) stdin: Option<Content>,
    /// The file that the standard output is, if it is one.
    pub(crate) out_file: Option<super::Id>,
    pub(crate) stdout: Stream,
    pub(crate) stderr: Stream,
}

impl Io {
    /// Complains, a line.
    pub(crate) fn say(&mut self, text: impl std::fmt::Display) {
        self.stderr.line(&text.to_string());
    }
}
