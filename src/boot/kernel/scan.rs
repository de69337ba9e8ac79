//! One pass over an unpacked kernel, in bounded memory, for everything that is looked for in it.

use std::io::{self, Read};
use std::ops::Range;

use memchr::memmem;

/// Bytes that are searched at a time.
const WINDOW: usize = 1 << 20;

/// Something that is looked for.
pub(super) trait Seeker {
    /// The bytes that it begins with.
    fn needle(&self) -> &'static [u8];

    /// How many bytes from the start of the needle on it looks at.
    fn reach(&self) -> usize;

    /// How many bytes before the needle it looks at.
    fn lead(&self) -> usize {
        0
    }

    /// Told of every place that has the needle.
    fn found(&mut self, place: &Place<'_>);
}

/// A place that has a needle.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// Bytes from the start of what is searched to the needle.
    pub(super) position: u64,
    /// The bytes before it: as many as [`Seeker::lead`], fewer only near the start.
    pub(super) before: &'a [u8],
    /// The bytes from the needle on: as many as [`Seeker::reach`], fewer only near the end.
    pub(super) bytes: &'a [u8],
}

/// Reads to the end, and tells the seekers of what they look for in the order of places. Gives the number
/// of bytes; an `InvalidData` error if there are more than `limit`.
pub(super) fn scan(mut reader: impl Read, limit: u64, seekers: &mut [&mut dyn Seeker]) -> io::Result<u64> {
    let reach = seekers.iter().map(|seeker| seeker.reach().max(seeker.needle().len())).max().unwrap_or(0);
    let lead = seekers.iter().map(|seeker| seeker.lead()).max().unwrap_or(0);
    let finders: Vec<_> = seekers.iter().map(|seeker| memmem::Finder::new(seeker.needle())).collect();
    let mut buffer = Vec::with_capacity(lead + WINDOW + reach);
    // Bytes that are no more in the buffer, and those in it that were searched already.
    let (mut before, mut searched) = (0u64, 0);
    loop {
        let wanted = (lead + WINDOW + reach - buffer.len()) as u64; // what was kept is less
        let at_end = (&mut reader).take(wanted).read_to_end(&mut buffer)? < wanted as usize;
        let total = before + buffer.len() as u64;
        if total > limit {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("it unpacks to more than {limit} bytes, which no kernel has"),
            ));
        }
        // What begins behind this is looked at next time, together with what follows it.
        let settled = if at_end { buffer.len() } else { buffer.len() - reach };
        for (seeker, finder) in seekers.iter_mut().zip(&finders) {
            tell(*seeker, finder, before, &buffer, searched..settled);
        }
        if at_end {
            return Ok(total);
        }
        let gone = settled.saturating_sub(lead);
        buffer.drain(..gone);
        before += gone as u64;
        searched = settled - gone;
    }
}

/// Tells a seeker of every place in `range`.
fn tell(
    seeker: &mut dyn Seeker,
    finder: &memmem::Finder<'_>,
    before: u64,
    buffer: &[u8],
    range: Range<usize>,
) {
    let end = buffer.len().min(range.end.saturating_add(seeker.needle().len()).saturating_sub(1));
    for place in finder.find_iter(buffer.get(range.start..end).unwrap_or_default()) {
        let place = range.start + place;
        let (lead, bytes) = buffer.split_at_checked(place).unwrap_or_default();
        seeker.found(&Place {
            position: before + place as u64,
            before: lead.get(place.saturating_sub(seeker.lead())..).unwrap_or_default(),
            bytes: bytes.get(..seeker.reach()).unwrap_or(bytes),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Remembers the places of `needle!`, the five bytes before and the four bytes behind.
    #[derive(Default)]
    struct Places(Vec<(u64, Vec<u8>, Vec<u8>)>);

    impl Seeker for Places {
        fn needle(&self) -> &'static [u8] {
            b"needle!"
        }

        fn reach(&self) -> usize {
            11
        }

        fn lead(&self) -> usize {
            5
        }

        fn found(&mut self, place: &Place<'_>) {
            self.0.push((place.position, place.before.to_vec(), place.bytes.to_vec()));
        }
    }

    /// Gives a few bytes at a time, as decompressors do.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let len = buffer.len().min(70_001);
            self.0.read(&mut buffer[..len])
        }
    }

    #[test]
    fn everything_is_found_once_wherever_the_windows_meet() {
        let len = 3 * WINDOW + 5;
        let mut places: Vec<usize> =
            [WINDOW, 2 * WINDOW].iter().flat_map(|edge| (edge - 26..edge + 27).step_by(13)).collect();
        places.extend([0, len - 7]);
        places.sort_unstable();
        let mut bytes: Vec<u8> = (0..len).map(|at| (at % 31) as u8).collect();
        for place in &places {
            bytes[*place..place + 7].copy_from_slice(b"needle!");
        }
        let mut seeker = Places::default();
        assert_eq!(scan(Slow(&bytes), u64::MAX, &mut [&mut seeker]).unwrap(), len as u64);
        assert_eq!(seeker.0.iter().map(|(place, ..)| *place as usize).collect::<Vec<_>>(), places);
        for (place, before, seen) in &seeker.0 {
            let place = *place as usize;
            assert_eq!(before, &bytes[place.saturating_sub(5)..place]);
            assert_eq!(seen, &bytes[place..len.min(place + 11)]);
        }
    }

    #[test]
    fn what_is_longer_than_the_limit_is_an_error_and_what_is_as_long_is_none() {
        let bytes = vec![0; WINDOW];
        assert_eq!(scan(&bytes[..], WINDOW as u64, &mut []).unwrap(), WINDOW as u64);
        let error = scan(&bytes[..], WINDOW as u64 - 1, &mut []).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
