//! The text of a `.profile` section: `KEY=value` lines as in os-release (UAPI group, "Unified Kernel
//! Image", "Multi-Profile UKIs").

/// What a profile says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProfileText {
    /// `ID`, by which it can be chosen.
    pub id: Option<String>,
    /// `TITLE`, by which a menu calls it.
    pub title: Option<String>,
}

impl ProfileText {
    /// Reads the text; other keys are passed over.
    pub fn parse(text: &str) -> Self {
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='));
            line.map(unquote).filter(|value| !value.is_empty()).map(str::to_owned)
        };
        Self { id: value("ID"), title: value("TITLE") }
    }
}

/// The value without quotes around it.
fn unquote(value: &str) -> &str {
    let inner = |quote| value.strip_prefix(quote)?.strip_suffix(quote);
    inner('"').or_else(|| inner('\'')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_and_title_are_read_with_and_without_quotes() {
        let text = |id: Option<&str>, title: Option<&str>| ProfileText {
            id: id.map(str::to_owned),
            title: title.map(str::to_owned),
        };
        assert_eq!(ProfileText::parse("ID=main"), text(Some("main"), None));
        assert_eq!(ProfileText::parse("# x\nTITLE=\"A b\"\nID='c'\n"), text(Some("c"), Some("A b")));
        assert_eq!(ProfileText::parse("IDX=main\nID=\nTITLE"), text(None, None));
    }
}
