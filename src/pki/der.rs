//! Elements of DER (ITU-T X.690), from untrusted bytes. Nothing is copied, and nothing recurses.

/// `INTEGER`
pub const INTEGER: u8 = 0x02;
/// `BIT STRING`
pub const BIT_STRING: u8 = 0x03;
/// `OCTET STRING`
pub const OCTET_STRING: u8 = 0x04;
/// `OBJECT IDENTIFIER`
pub const OID: u8 = 0x06;
/// `BOOLEAN`
pub const BOOLEAN: u8 = 0x01;
/// `SEQUENCE`
pub const SEQUENCE: u8 = 0x30;
/// `SET`
pub const SET: u8 = 0x31;

/// The tag of a constructed element `[number]`.
pub const fn context(number: u8) -> u8 {
    0xa0 | number
}

/// The tag of a primitive element `[number]`.
pub const fn context_primitive(number: u8) -> u8 {
    0x80 | number
}

/// Bytes are not the element that should be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DerError {
    /// An element is longer than what holds it.
    #[error("it ends within an element")]
    Truncated,
    /// A length of more than four bytes, or one that is told by the end.
    #[error("the length of an element is written in a way that is not read")]
    Length,
    /// Something else.
    #[error("tag {found:#04x} stands where {expected:#04x} should")]
    Tag {
        /// The tag that is there.
        found: u8,
        /// The tag that should be.
        expected: u8,
    },
    /// There is more than there should be.
    #[error("there are {0} bytes behind its end")]
    Behind(usize),
}

/// One element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element<'a> {
    /// Its tag. Those of several bytes, which nothing here has, count as unknown tags.
    pub tag: u8,
    /// What is in it.
    pub body: &'a [u8],
    /// All of it, with tag and length.
    pub whole: &'a [u8],
}

/// Reads elements one after another.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader of what stands in `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next element, whatever it is. As the kernel's decoder (lib/asn1_decoder.c), it takes a length
    /// in more bytes than needed.
    pub fn element(&mut self) -> Result<Element<'a>, DerError> {
        let (tag, first, rest) = match self.rest {
            [tag, first, rest @ ..] => (*tag, *first, rest),
            _ => return Err(DerError::Truncated),
        };
        let (len, body) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (bytes, body) =
                    rest.split_at_checked(usize::from(first & 0x7f)).ok_or(DerError::Truncated)?;
                let len = bytes.iter().fold(0u64, |len, byte| len << 8 | u64::from(*byte));
                (usize::try_from(len).map_err(|_| DerError::Length)?, body)
            }
            _ => return Err(DerError::Length),
        };
        let (body, rest) = body.split_at_checked(len).ok_or(DerError::Truncated)?;
        let whole = self.rest.get(..self.rest.len() - rest.len()).ok_or(DerError::Truncated)?;
        self.rest = rest;
        Ok(Element { tag, body, whole })
    }

    /// The next element, which has this tag.
    pub fn expect(&mut self, expected: u8) -> Result<Element<'a>, DerError> {
        let element = self.clone().element()?;
        if element.tag != expected {
            return Err(DerError::Tag { found: element.tag, expected });
        }
        self.element()
    }

    /// The next element if it has this tag.
    pub fn optional(&mut self, tag: u8) -> Result<Option<Element<'a>>, DerError> {
        if self.rest.first() == Some(&tag) { self.element().map(Some) } else { Ok(None) }
    }

    /// A reader of what stands in the next element, which has this tag.
    pub fn enter(&mut self, tag: u8) -> Result<Self, DerError> {
        Ok(Self::new(self.expect(tag)?.body))
    }

    /// That nothing is left.
    pub fn finish(self) -> Result<(), DerError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DerError::Behind(self.rest.len())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_read_one_after_another() {
        let mut reader = Reader::new(&[0x30, 3, 2, 1, 7, 4, 0x81, 1, 9]);
        assert_eq!(reader.enter(SEQUENCE).unwrap().expect(INTEGER).unwrap().body, [7]);
        assert_eq!(reader.optional(SET), Ok(None));
        let octets = reader.optional(OCTET_STRING).unwrap().unwrap();
        assert_eq!((octets.body, octets.whole), (&[9][..], &[4, 0x81, 1, 9][..]));
        assert!(reader.is_empty());
        assert_eq!(reader.optional(SET), Ok(None));
        assert_eq!(reader.element(), Err(DerError::Truncated));
        assert_eq!(reader.finish(), Ok(()));
        assert_eq!(Reader::new(&[1]).finish(), Err(DerError::Behind(1)));
    }

    #[test]
    fn what_is_cut_or_of_another_kind_is_an_error_and_is_not_passed() {
        for (bytes, error) in [
            (&[][..], DerError::Truncated),
            (&[2], DerError::Truncated),
            (&[2, 1], DerError::Truncated),
            (&[2, 0x82, 1], DerError::Truncated),
            (&[2, 0x84, 0xff, 0xff, 0xff, 0xff, 0], DerError::Truncated),
            (&[2, 0x80, 0, 0], DerError::Length),
            (&[2, 0x85, 0, 0, 0, 0, 0], DerError::Length),
        ] {
            assert_eq!(Reader::new(bytes).element(), Err(error), "{bytes:?}");
        }
        let mut reader = Reader::new(&[2, 1, 7]);
        assert_eq!(reader.expect(SET), Err(DerError::Tag { found: 2, expected: 0x31 }));
        assert_eq!(reader.expect(INTEGER).unwrap().body, [7]);
    }
}
