//! Permissions as `chmod` reads them: octal, or symbolic after POSIX' grammar with GNU's `X`, `s`, `t` and
//! copies (`g=u`).

/// The umask of the steps.
pub(super) const UMASK: u32 = 0o022;
const SET_ID: u32 = 0o6000;

/// A change of permissions.
#[derive(Debug, Clone)]
pub(super) struct Mode(Vec<Change>);

#[derive(Debug, Clone)]
struct Change {
    /// The bits that may change; 0: those that the umask leaves.
    who: u32,
    operator: char,
    value: u32,
    what: What,
    /// Bits that were named: others of a folder's set-id bits stay.
    mentioned: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Bits,
    /// `X`: execution for folders, and for what somebody may execute already.
    Execute,
    /// The bits of user, group or others: which stands in `value`.
    Copy,
}

impl Mode {
    /// Reads one; `None` if it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.starts_with(|first: char| first.is_ascii_digit()) {
            let value = u32::from_str_radix(text, 8).ok().filter(|value| *value <= 0o7777)?;
            if !text.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            let mentioned = if text.len() < 5 { (value & SET_ID) | 0o1777 } else { 0o7777 };
            let change = Change { who: 0o7777, operator: '=', value, what: What::Bits, mentioned };
            return Some(Self(vec![change]));
        }
        let mut changes = Vec::new();
        for clause in text.split(',') {
            clause_of(clause, &mut changes)?;
        }
        Some(Self(changes))
    }

    /// The mode that a file of mode `mode` gets.
    pub(super) fn apply(&self, mode: u32, directory: bool, umask: u32) -> u32 {
        self.0.iter().fold(mode, |mode, change| {
            let kept = if directory { SET_ID & !change.mentioned } else { 0 };
            let value = match change.what {
                What::Bits => change.value,
                What::Execute if directory || mode & 0o111 != 0 => change.value | 0o111,
                What::Execute => change.value,
                What::Copy => {
                    let own = mode & change.value;
                    [0o444, 0o222, 0o111].iter().filter(|bits| own & **bits != 0).sum()
                }
            };
            let value = value & if change.who == 0 { !umask } else { change.who } & !kept;
            match change.operator {
                '+' => mode | value,
                '-' => mode & !value,
                _ => mode & (if change.who == 0 { 0 } else { !change.who } | kept) | value,
            }
        }) & 0o7777
    }
}

/// `ug+rw-x` and the like.
fn clause_of(clause: &str, changes: &mut Vec<Change>) -> Option<()> {
    let mut characters = clause.chars().peekable();
    let mut who = 0;
    while let Some(letter) = characters.peek() {
        who |= match letter {
            'u' => 0o4700,
            'g' => 0o2070,
            'o' => 0o1007,
            'a' => 0o7777,
            _ => break,
        };
        characters.next();
    }
    let mut operator = characters.next().filter(|operator| "+-=".contains(*operator))?;
    loop {
        let (mut value, mut what, mut next) = (0, What::Bits, None);
        if let Some(copied @ ('u' | 'g' | 'o')) = characters.peek().copied() {
            characters.next();
            what = What::Copy;
            value = match copied {
                'u' => 0o700,
                'g' => 0o070,
                _ => 0o007,
            };
            next = characters.next();
        } else {
            for letter in characters.by_ref() {
                value |= match letter {
                    'r' => 0o444,
                    'w' => 0o222,
                    'x' => 0o111,
                    's' => SET_ID,
                    't' => 0o1000,
                    'X' => {
                        what = What::Execute;
                        0
                    }
                    other => {
                        next = Some(other);
                        break;
                    }
                };
            }
        }
        let mentioned = if who == 0 { value } else { who & value };
        changes.push(Change { who, operator, value, what, mentioned });
        match next {
            None => return Some(()),
            Some(another) => operator = Some(another).filter(|operator| "+-=".contains(*operator))?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbolic_modes_change_what_they_name() {
        for (text, before, directory, after) in [
            ("755", 0o644, false, 0o755),
            ("755", 0o2700, true, 0o2755),
            ("00755", 0o2700, true, 0o755),
            ("u+x", 0o644, false, 0o744),
            ("+x", 0o644, false, 0o755),
            ("+w", 0o444, false, 0o644),
            ("a+w", 0o444, false, 0o666),
            ("go-rwx,u=rw", 0o755, false, 0o600),
            ("a+X", 0o644, false, 0o644),
            ("a+X", 0o744, false, 0o755),
            ("a+X", 0o644, true, 0o755),
            ("g=u", 0o640, false, 0o660),
            ("u=rwx,go=rx", 0, false, 0o755),
            ("u+s,g-s", 0o2755, false, 0o4755),
            ("+t", 0o755, true, 0o1755),
            ("u=g-x+w", 0o070, false, 0o670),
            ("=", 0o644, false, 0),
        ] {
            let mode = Mode::parse(text).unwrap();
            assert_eq!(mode.apply(before, directory, UMASK), after, "{text} of {before:o}");
        }
        for text in ["", "8", "u", "u+q", "99999", "+x,", "u+x,y"] {
            assert!(Mode::parse(text).is_none(), "{text}");
        }
    }
}
