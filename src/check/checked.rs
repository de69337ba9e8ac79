//! Inputs that were checked: finished things are other types than unfinished ones.

use super::finding::Report;
use super::rules::Code;

/// Inputs on which every rule was run, none of which found an error that was not allowed. Only this crate's own
/// judging makes it, so that nothing can be built of inputs that were not judged.
#[derive(Debug)]
pub struct Checked<T> {
    inputs: T,
    report: Report,
}

impl<T> Checked<T> {
    /// The inputs, if `report`, which is all that was found in them, has no error but those of rules in
    /// `allow`; otherwise the report.
    pub(crate) fn new(inputs: T, report: Report, allow: &[Code]) -> Result<Self, Box<Report>> {
        if report.has_errors(allow) { Err(Box::new(report)) } else { Ok(Self { inputs, report }) }
    }

    /// What was found: warnings and infos, and errors that were allowed.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The inputs.
    pub fn inputs(&self) -> &T {
        &self.inputs
    }

    /// The inputs, and what was found.
    pub(crate) fn into_parts(self) -> (T, Report) {
        (self.inputs, self.report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Finding;

    #[test]
    fn an_error_that_is_not_allowed_leaves_nothing_to_build_from() {
        let report = || Report::new(vec![Finding::new(Code::HardLink, "e"), Finding::new(Code::SetId, "w")]);
        let refused = Checked::new(1, report(), &[]).unwrap_err();
        assert_eq!(*refused, report());
        let allowed = Checked::new(1, report(), &[Code::HardLink]).unwrap();
        assert_eq!((allowed.inputs(), allowed.report()), (&1, &report()));
        assert_eq!(allowed.into_parts(), (1, report()));
    }
}
