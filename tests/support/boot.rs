//! PE files and kernel images for tests, small, and shaped like those of systemd and Linux.

// Each test uses its part of this.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::io::Write as _;

/// A PE file in the making.
#[derive(Clone)]
pub struct PeFile {
    pub machine: u16,
    pub section_alignment: u32,
    pub file_alignment: u32,
    /// Name, address in memory, bytes.
    pub sections: Vec<(&'static str, u32, Vec<u8>)>,
    /// COFF symbols at the end, as systemd 252 has them.
    pub symbols: bool,
    /// Data directories: index, address, size.
    pub directories: Vec<(usize, u32, u32)>,
}

pub const AMD64: u16 = 0x8664;
pub const ARM64: u16 = 0xaa64;

/// Something like systemd's stub, with headers like those of version 252: there is room for seven sections more.
pub fn stub(machine: u16) -> PeFile {
    PeFile {
        machine,
        section_alignment: 0x200,
        file_alignment: 0x200,
        sections: vec![
            (".text", 0x4000, noise(0x1234)),
            // A block for the page at 0x4000 of twelve bytes, which relocates nothing.
            (".reloc", 0x10000, vec![0, 0x40, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0]),
            (".data", 0x11000, noise(0x600)),
            (".dynamic", 0x15000, vec![1; 0x100]),
            (".rela", 0x16000, vec![2; 0xf30]),
            (".dynsym", 0x17000, vec![3; 0x18]),
            (".sbat", 0x19000, b"sbat,1,SBAT Version,sbat,1,https://example.com/\n".to_vec()),
            (".sdmagic", 0x19100, b"#### LoaderInfo: systemd-stub 257 ####".to_vec()),
        ],
        symbols: machine == AMD64,
        directories: vec![(5, 0x10000, 12)],
    }
}

/// An EFI program of one section, such as a kernel.
pub fn program(machine: u16, len: usize) -> Vec<u8> {
    let sections = vec![(".text", 0x1000, noise(len))];
    PeFile { sections, symbols: false, section_alignment: 0x1000, ..stub(machine) }.bytes()
}

/// The same noise everywhere.
pub fn noise(len: usize) -> Vec<u8> {
    let mut state = len as u64 | 1;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as u8
    };
    (0..len).map(|_| next()).collect()
}

pub fn put(bytes: &mut [u8], at: usize, new: &[u8]) {
    bytes[at..at + new.len()].copy_from_slice(new);
}

pub fn put32(bytes: &mut [u8], at: usize, value: usize) {
    put(bytes, at, &u32::try_from(value).unwrap().to_le_bytes());
}

impl PeFile {
    /// Its bytes.
    pub fn bytes(&self) -> Vec<u8> {
        const HEADER: usize = 0x80;
        let optional = 112 + 16 * 8;
        let up = |number: usize| number.next_multiple_of(self.file_alignment as usize);
        let headers_len = up(HEADER + 24 + optional + 40 * self.sections.len());
        let mut bytes = vec![0; headers_len];
        put(&mut bytes, 0, b"MZ");
        put32(&mut bytes, 0x3c, HEADER);
        put(&mut bytes, HEADER, b"PE\0\0");
        put(&mut bytes, HEADER + 4, &self.machine.to_le_bytes());
        put(&mut bytes, HEADER + 6, &(self.sections.len() as u16).to_le_bytes());
        put(&mut bytes, HEADER + 20, &(optional as u16).to_le_bytes());
        put(&mut bytes, HEADER + 22, &0x206u16.to_le_bytes());
        let at = HEADER + 24;
        put(&mut bytes, at, &0x20bu16.to_le_bytes());
        let end =
            self.sections.iter().map(|(_, address, data)| *address as usize + data.len()).max().unwrap();
        for (offset, value) in [
            (16, self.sections[0].1 as usize),
            (20, self.sections[0].1 as usize),
            (32, self.section_alignment as usize),
            (36, self.file_alignment as usize),
            (56, end.next_multiple_of(self.section_alignment as usize)),
            (60, headers_len),
            (64, 0x1aa6c),
            (108, 16),
        ] {
            put32(&mut bytes, at + offset, value);
        }
        put(&mut bytes, at + 68, &10u16.to_le_bytes()); // EFI application
        for (index, address, size) in &self.directories {
            put32(&mut bytes, at + 112 + index * 8, *address as usize);
            put32(&mut bytes, at + 116 + index * 8, *size as usize);
        }
        for (index, (name, address, data)) in self.sections.iter().enumerate() {
            let at = at + optional + index * 40;
            let raw = bytes.len();
            put(&mut bytes, at, name.as_bytes());
            put32(&mut bytes, at + 8, data.len());
            put32(&mut bytes, at + 12, *address as usize);
            put32(&mut bytes, at + 16, up(data.len()));
            put32(&mut bytes, at + 20, raw);
            put32(&mut bytes, at + 36, if *name == ".text" { 0x6000_0020 } else { 0x4000_0040 });
            bytes.extend(data);
            bytes.resize(up(bytes.len()), 0);
        }
        if self.symbols {
            let place = bytes.len();
            put32(&mut bytes, HEADER + 12, place);
            put32(&mut bytes, HEADER + 16, 2);
            bytes.extend([0x5a; 36]);
            bytes.extend(9u32.to_le_bytes());
            bytes.extend(b"name\0");
        }
        bytes
    }
}

/// A picture of one pixel.
pub fn bitmap() -> Vec<u8> {
    let mut bytes = vec![0; 58];
    put(&mut bytes, 0, b"BM");
    for (at, value) in [(2, 58), (10, 54), (14, 40), (18, 1), (22, 1), (26, 24 << 16 | 1)] {
        put32(&mut bytes, at, value);
    }
    bytes
}

pub const RELEASE: &str = "6.12.117-talos";
pub const VERSION: &str =
    "6.12.117-talos (builder@example) #1 SMP PREEMPT_DYNAMIC Thu Jan  1 00:00:00 UTC 1970";
pub const CONFIG: &str = "# comment\nCONFIG_RD_XZ=y\nCONFIG_RD_ZSTD=y\n# CONFIG_RD_GZIP is not set\nCONFIG_SQUASHFS=y\nCONFIG_SQUASHFS_XZ=y\nCONFIG_SQUASHFS_ZSTD=y\n";

/// An unpacked kernel: what it begins with, noise, its banner and its configuration.
fn unpacked(bytes: Vec<u8>) -> Vec<u8> {
    unpacked_with(bytes, CONFIG)
}

fn unpacked_with(mut bytes: Vec<u8>, config: &str) -> Vec<u8> {
    bytes.extend(noise(300_000));
    bytes.extend(b"\0Linux version %s (%s)\0Linux version ");
    bytes.extend(VERSION.as_bytes());
    bytes.extend(b"\n\0");
    bytes.extend(vec![0; 2_000_000]);
    let mut packed = flate2::write::GzEncoder::new(b"IKCFG_ST".to_vec(), flate2::Compression::best());
    packed.write_all(config.as_bytes()).unwrap();
    bytes.extend(packed.finish().unwrap());
    bytes.extend(b"IKCFG_ED");
    bytes.extend(noise(1000));
    bytes
}

/// The ELF file in a bzImage.
pub fn vmlinux() -> Vec<u8> {
    unpacked(b"\x7fELF\x02\x01\x01".to_vec())
}

/// The same with another configuration.
pub fn vmlinux_with(config: &str) -> Vec<u8> {
    unpacked_with(b"\x7fELF\x02\x01\x01".to_vec(), config)
}

/// The Image of arm64, which is an EFI program.
pub fn arm64_image() -> Vec<u8> {
    let mut bytes = program(ARM64, 0x1000);
    put(&mut bytes, 0x38, b"ARM\x64");
    unpacked(bytes)
}

/// A bzImage with an EFI stub. `payload` is compressed, its size behind it unless it is gzip.
pub fn bz_image(payload: &[u8]) -> Vec<u8> {
    const SECTORS: usize = 7;
    let setup = (SECTORS + 1) * 512;
    let mut bytes = vec![0; setup + 0x2c4];
    bytes.extend(payload);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    let rest = bytes.len() - setup;
    put(&mut bytes, 0, b"MZ");
    put32(&mut bytes, 0x3c, 0x40);
    put(&mut bytes, 0x40, b"PE\0\0\x64\x86\x01\0");
    put(&mut bytes, 0x54, &[0xa0, 0, 6, 2, 0x0b, 2]);
    for (at, value) in [(32, 0x1000), (36, 0x200), (60, setup), (108, 6)] {
        put32(&mut bytes, 0x58 + at, value);
    }
    put(&mut bytes, 0xf8, b".text");
    for (at, value) in [(8, rest), (12, setup), (16, rest), (20, setup), (36, 0x6000_0020)] {
        put32(&mut bytes, 0xf8 + at, value);
    }
    bytes[0x1f1] = SECTORS as u8;
    put(&mut bytes, 0x1fe, b"\x55\xaa\xeb\x6aHdrS\x0f\x02");
    put(&mut bytes, 0x20e, &0x600u16.to_le_bytes());
    put(&mut bytes, 0x236, &0x2bu16.to_le_bytes());
    put32(&mut bytes, 0x248, 0x2c4);
    put32(&mut bytes, 0x24c, payload.len());
    put(&mut bytes, 0x800, VERSION.as_bytes());
    bytes
}

/// An EFI zboot file.
pub fn zboot(payload: &[u8], kind: &str) -> Vec<u8> {
    let mut bytes = program(ARM64, 0x1000);
    let place = bytes.len();
    put(&mut bytes, 4, b"zimg");
    put32(&mut bytes, 8, place);
    put32(&mut bytes, 0xc, payload.len());
    put(&mut bytes, 0x18, kind.as_bytes());
    bytes.extend(payload);
    bytes
}

/// Behind a payload stands the size of what is in it.
pub fn with_size(mut packed: Vec<u8>, unpacked: &[u8]) -> Vec<u8> {
    packed.extend((unpacked.len() as u32).to_le_bytes());
    packed
}

/// Compressed by gzip.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
