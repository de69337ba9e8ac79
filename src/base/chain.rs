//! An error with its causes, in one line.

use std::error::Error;

/// The error's text and those of its sources, joined by `: `. A source that is quoted in what stands
/// before it is not said again.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::chain;
    use crate::base::fsio::FileError;

    #[test]
    fn causes_follow_their_error_once() {
        let source = std::io::Error::other("the disk is gone");
        let error = FileError { action: "read", path: "x".into(), source };
        assert_eq!(chain(&error), "cannot read `x`: the disk is gone");
    }
}
