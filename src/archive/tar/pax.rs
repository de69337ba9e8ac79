//! Extended header records: `LENGTH KEY=VALUE\n`, the length counting all of it.
//!
//! POSIX.1-2017 `pax`, "pax Extended Header"; `SCHILY.xattr.` is star's, as GNU tar, Go and
//! containerd write it. `LIBARCHIVE.xattr.` says the same once more in base64; Go does not read it,
//! so at boot it would not be there, and it is not read here either.

use std::collections::BTreeMap;

/// Prefix of an extended attribute's key.
pub(super) const XATTR: &str = "SCHILY.xattr.";

/// The records that mean something here. An empty value takes a record back (POSIX), except that
/// an attribute may be empty.
#[derive(Debug, Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<i64>,
    pub(super) xattrs: BTreeMap<String, Vec<u8>>,
    pub(super) sparse: Sparse,
}

/// GNU's sparse records, formats 0.0, 0.1 and 1.0.
#[derive(Debug, Default)]
pub(super) struct Sparse {
    pub(super) major: Option<u64>,
    pub(super) minor: Option<u64>,
    pub(super) name: Option<Vec<u8>>,
    /// `GNU.sparse.realsize` or, before 1.0, `GNU.sparse.size`.
    pub(super) size: Option<u64>,
    /// `GNU.sparse.map`: 0.1.
    pub(super) map: Option<Vec<u64>>,
    /// `GNU.sparse.offset` and `.numbytes` as they alternate: 0.0.
    pub(super) numbers: Vec<u64>,
}

impl Pax {
    /// Reads all records of one extended header.
    pub(super) fn parse(mut bytes: &[u8]) -> Result<Self, String> {
        let mut pax = Self::default();
        while !bytes.is_empty() {
            let (key, value, rest) = record(bytes)?;
            pax.take(key, value)?;
            bytes = rest;
        }
        Ok(pax)
    }

    fn take(&mut self, key: &str, value: &[u8]) -> Result<(), String> {
        let text = || match value {
            [] => Ok(None),
            value if value.contains(&0) => Err(format!("extended header `{key}` contains a NUL byte")),
            value => Ok(Some(value.to_vec())),
        };
        let number = || match value {
            [] => Ok(None),
            value => decimal(value)
                .map(Some)
                .ok_or_else(|| format!("extended header `{key}` is no decimal number")),
        };
        match key {
            "path" => self.path = text()?,
            "linkpath" => self.link = text()?,
            "size" => self.size = number()?,
            "uid" => self.uid = number()?,
            "gid" => self.gid = number()?,
            "mtime" if value.is_empty() => self.mtime = None,
            "mtime" => self.mtime = Some(time(value).ok_or("extended header `mtime` is no time")?),
            "GNU.sparse.major" => self.sparse.major = number()?,
            "GNU.sparse.minor" => self.sparse.minor = number()?,
            "GNU.sparse.name" => self.sparse.name = text()?,
            "GNU.sparse.size" | "GNU.sparse.realsize" => self.sparse.size = number()?,
            "GNU.sparse.offset" => self.sparse_number(number()?, 0)?,
            "GNU.sparse.numbytes" => self.sparse_number(number()?, 1)?,
            "GNU.sparse.map" => {
                let numbers: Option<_> = value.split(|&byte| byte == b',').map(decimal).collect();
                self.sparse.map =
                    Some(numbers.ok_or("extended header `GNU.sparse.map` is no list of numbers")?);
            }
            _ => {
                if let Some(name) = key.strip_prefix(XATTR) {
                    self.xattrs.insert(name.to_owned(), value.to_vec());
                }
            }
        }
        Ok(())
    }

    /// 0.0 repeats `offset`, `numbytes` in turn: the one place where order matters.
    fn sparse_number(&mut self, number: Option<u64>, place: usize) -> Result<(), String> {
        match number {
            Some(number) if self.sparse.numbers.len() % 2 == place => {
                self.sparse.numbers.push(number);
                Ok(())
            }
            _ => {
                Err("extended headers `GNU.sparse.offset` and `GNU.sparse.numbytes` do not alternate"
                    .to_owned())
            }
        }
    }

    /// Takes the records of a global header over those of the ones before it.
    ///
    /// POSIX and GNU tar apply every one of them to all that follows, Go applies none. Owner and
    /// time are applied, `comment` and the unknown mean nothing; a name, a size or an attribute
    /// for all members is refused, since it would unpack differently in the two.
    pub(super) fn take_global(&mut self, other: Self) -> Result<(), String> {
        let fatal = [
            ("path", other.path.is_some()),
            ("linkpath", other.link.is_some()),
            ("size", other.size.is_some()),
            (XATTR, !other.xattrs.is_empty()),
            ("GNU.sparse", other.sparse.is_used()),
        ];
        if let Some((key, _)) = fatal.iter().find(|(_, there)| *there) {
            return Err(format!("sets `{key}` for every member that follows, which readers do not agree on"));
        }
        self.uid = other.uid.or(self.uid);
        self.gid = other.gid.or(self.gid);
        self.mtime = other.mtime.or(self.mtime);
        Ok(())
    }
}

impl Sparse {
    /// Whether any record of a sparse file was there.
    pub(super) fn is_used(&self) -> bool {
        self.major.is_some() || self.size.is_some() || self.map.is_some() || !self.numbers.is_empty()
    }
}

/// The first record's key and value, and what is behind it.
fn record(bytes: &[u8]) -> Result<(&str, &[u8], &[u8]), String> {
    let broken = |why: &str| format!("has a malformed extended header: {why}");
    // 20 digits hold any u64; without a space among them there is no length.
    let space = bytes.iter().take(21).position(|&byte| byte == b' ').ok_or_else(|| broken("no length"))?;
    let (length, _) = bytes.split_at_checked(space).ok_or_else(|| broken("no length"))?;
    let length = decimal(length).and_then(|n| usize::try_from(n).ok()).ok_or_else(|| broken("no length"))?;
    let (record, rest) = bytes.split_at_checked(length).ok_or_else(|| broken("a record ends behind it"))?;
    let body = record.get(space + 1..).ok_or_else(|| broken("a record is shorter than its length"))?;
    let body = body.strip_suffix(b"\n").ok_or_else(|| broken("a record does not end in a newline"))?;
    let equals = body.iter().position(|&byte| byte == b'=').ok_or_else(|| broken("a record has no `=`"))?;
    let (key, value) = body.split_at_checked(equals).ok_or_else(|| broken("a record has no `=`"))?;
    let key = std::str::from_utf8(key).map_err(|_| broken("a key is not UTF-8"))?;
    if key.is_empty() || key.contains('\0') {
        return Err(broken("a key is empty or contains a NUL byte"));
    }
    Ok((key, value.get(1..).unwrap_or_default(), rest))
}

/// Decimal digits and nothing else.
pub(super) fn decimal(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() || !bytes.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// Seconds with an optional sign and fraction; the fraction is cut off downwards.
fn time(bytes: &[u8]) -> Option<i64> {
    let (negative, digits) = match bytes.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, bytes),
    };
    let mut parts = digits.splitn(2, |&byte| byte == b'.');
    let seconds = i64::try_from(decimal(parts.next()?)?).ok()?;
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let below = negative && fraction.iter().any(|&byte| byte != b'0');
    Some(if negative { -seconds - i64::from(below) } else { seconds })
}

/// Appends one record. The length counts its own digits, so it is found by trying.
pub(super) fn append(records: &mut Vec<u8>, key: &str, value: &[u8]) {
    let bare = key.len() + value.len() + 3; // space, `=`, newline
    let digits = |n: usize| n.checked_ilog10().unwrap_or(0) as usize + 1;
    let mut length = bare + digits(bare);
    if digits(length) > digits(bare) {
        length = bare + digits(length);
    }
    records.extend_from_slice(format!("{length} {key}=").as_bytes());
    records.extend_from_slice(value);
    records.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_every_length_read_back() {
        for len in (0..1100).chain(9_980..10_010) {
            let mut bytes = Vec::new();
            append(&mut bytes, "SCHILY.xattr.user.x", &vec![b'\n'; len]);
            append(&mut bytes, "uid", b"7");
            let pax = Pax::parse(&bytes).unwrap();
            assert_eq!((pax.xattrs["user.x"].len(), pax.uid), (len, Some(7)));
        }
    }

    #[test]
    fn malformed_records_are_refused() {
        for bytes in [
            &b"x"[..],
            b"5 a=b\n",
            b"7 a=b\n",
            b"6 a=bc",
            b"6 abc\n",
            b"5 =b\n",
            b"+6 a=b\n",
            b"3 \n",
            b"2 a=b\n",
            b"11 path=a\0\n",
            b"9 size=x\n",
            b"10 size=-1\n",
            b"99999999999999999999999 a=b\n",
            b"8 a\0b=c\n",
        ] {
            assert!(Pax::parse(bytes).is_err(), "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn times_are_cut_off_downwards() {
        for (text, seconds) in [("1.9", 1), ("-1.5", -2), ("-1.0", -1), ("0.5", 0), ("-0.1", -1)] {
            assert_eq!(time(text.as_bytes()), Some(seconds), "{text}");
        }
        for text in ["", ".", "1e3", "--1", "1.-2", "1.2.3", ".5"] {
            assert_eq!(time(text.as_bytes()), None, "{text}");
        }
    }
}
