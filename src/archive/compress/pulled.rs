//! The decoders of xz and lzma, which know nothing of readers, given one.

use std::io::{self, BufRead, Read};

use lzma_rust2::{Action, LzmaStream, Status, StreamResult, XzStream};

use super::codec::Codec;
use super::decode::{Taken, cut, invalid};

/// A decoder that is handed input and output.
pub(super) trait Process {
    const CODEC: Codec;
    /// One step of it.
    fn process(&mut self, input: &[u8], output: &mut [u8], action: Action) -> io::Result<StreamResult>;
    /// After the end: bytes that it took and that are not the stream's.
    fn unused(&self) -> usize;
}

impl Process for XzStream {
    const CODEC: Codec = Codec::Xz;

    fn process(&mut self, input: &[u8], output: &mut [u8], action: Action) -> io::Result<StreamResult> {
        Self::process(self, input, output, action)
    }

    fn unused(&self) -> usize {
        0
    }
}

impl Process for LzmaStream {
    const CODEC: Codec = Codec::Lzma;

    fn process(&mut self, input: &[u8], output: &mut [u8], action: Action) -> io::Result<StreamResult> {
        Self::process(self, input, output, action)
    }

    fn unused(&self) -> usize {
        self.unused_input().len()
    }
}

/// A reader of what such a decoder gives.
pub(super) struct Pulled<R, D> {
    reader: Taken<R>,
    decoder: D,
    ended: bool,
}

impl<R, D> Pulled<R, D> {
    pub(super) fn new(reader: Taken<R>, decoder: D) -> Self {
        Self { reader, decoder, ended: false }
    }
}

impl<R: BufRead, D: Process> Read for Pulled<R, D> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while !self.ended {
            let input = self.reader.fill_buf()?;
            let last = input.is_empty();
            let action = if last { Action::Finish } else { Action::Run };
            let step = self.decoder.process(input, buffer, action)?;
            self.reader.consume(step.bytes_consumed);
            if matches!(step.status, Status::StreamEnd) {
                self.ended = true;
                self.reader.give_back(self.decoder.unused());
            }
            if step.bytes_produced > 0 {
                return Ok(step.bytes_produced);
            }
            if !self.ended && step.bytes_consumed == 0 {
                // Neither took nor gave anything: it would do the same for ever.
                return Err(if last { cut(D::CODEC) } else { invalid("the decoder makes no progress") });
            }
        }
        Ok(0)
    }
}
