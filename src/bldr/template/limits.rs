//! What a template may use up. A template comes from outside, and a few words of one can ask for anything:
//! `repeat`, `until`, `printf "%999999d"`, or a range in a range.

/// The largest template, in bytes. Its words and its tree take a hundred times as much at the worst.
pub const SIZE_MAX: usize = 256 << 10;
/// The most variables that can be seen at one place: they are searched one by one.
pub const VARIABLES_MAX: usize = 200;
/// The most nodes, iterations, calls, and elements of lists and mappings of one rendering. The largest package
/// of the official trees takes about a thousand.
pub const STEPS_MAX: u64 = 1_000_000;
/// The most bytes of text that one rendering may make, in between and as its result; this bounds its memory.
pub const BYTES_MAX: u64 = 16 << 20;
/// The deepest nesting: of blocks and parentheses in a template, of templates that call each other, of lists in
/// lists and of what is printed. All of them are recursive.
pub const DEPTH_MAX: usize = 64;

/// Something goes wrong, the place is not known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// Go's template would fail as well, mostly.
    Plain(String),
    /// One of the limits above.
    Limit(String),
}

impl Fault {
    pub(super) fn new(problem: impl Into<String>) -> Self {
        Self::Plain(problem.into())
    }

    pub(super) fn too_deep() -> Self {
        Self::Limit(format!("nested deeper than {DEPTH_MAX} levels"))
    }
}

/// What is left of the limits.
#[derive(Debug)]
pub(super) struct Budget {
    steps: u64,
    bytes: u64,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self { steps: STEPS_MAX, bytes: BYTES_MAX }
    }

    /// Takes steps.
    pub(super) fn steps(&mut self, count: usize) -> Result<(), Fault> {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        let left = self.steps.checked_sub(count);
        self.steps = left.ok_or_else(|| Fault::Limit(format!("more than {STEPS_MAX} steps")))?;
        Ok(())
    }

    /// Takes bytes.
    pub(super) fn bytes(&mut self, count: usize) -> Result<(), Fault> {
        self.allows(count)?;
        self.bytes -= u64::try_from(count).unwrap_or(self.bytes);
        Ok(())
    }

    /// Whether that many bytes are left: asked before they are made.
    pub(super) fn allows(&self, count: usize) -> Result<(), Fault> {
        if count > self.left() {
            return Err(Fault::Limit(format!("more than {} MiB of text", BYTES_MAX >> 20)));
        }
        Ok(())
    }

    /// The bytes that are left.
    pub(super) fn left(&self) -> usize {
        usize::try_from(self.bytes).unwrap_or(usize::MAX)
    }
}
