//! The names of layers, and the order that follows from them.
//!
//! Talos' imager unpacks extensions to folders named by their number and takes the folders in the order
//! of their names as text, so that beyond ten the order is 0, 1, 10, 11, 2 …: which layer lies on top is
//! then not what the user asked for.

/// The image of the extension that indexes all modules; the last of the list.
pub const MODULES_DEP_IMAGE: &str = "modules.dep.sqsh";

/// How layers are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerNames {
    /// As Talos' imager does: `0.sqsh`, `1.sqsh`, … in the order of these names as text.
    Upstream,
    /// With zeros in front where there are more than ten (`00.sqsh`, …), in the order given.
    Padded,
}

impl LayerNames {
    /// The layers of `count` extensions in the order of the list: the number of the extension, and the
    /// name of its image.
    pub fn of(self, count: usize) -> Vec<(usize, String)> {
        let width = match self {
            Self::Upstream => 1,
            Self::Padded => count.saturating_sub(1).to_string().len(),
        };
        let mut names: Vec<(usize, String)> =
            (0..count).map(|number| (number, format!("{number:0width$}"))).collect();
        names.sort_by(|(_, one), (_, other)| one.cmp(other));
        names.into_iter().map(|(number, name)| (number, format!("{name}.sqsh"))).collect()
    }

    /// Whether the order of the list is the order given.
    pub fn keeps_order(self, count: usize) -> bool {
        self == Self::Padded || count <= 10
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(scheme: LayerNames, count: usize) -> String {
        scheme.of(count).iter().map(|(_, name)| name.trim_end_matches(".sqsh")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn beyond_ten_upstream_goes_by_text_and_padded_names_keep_the_order() {
        assert_eq!(names(LayerNames::Upstream, 12), "0 1 10 11 2 3 4 5 6 7 8 9");
        assert_eq!(names(LayerNames::Padded, 12), "00 01 02 03 04 05 06 07 08 09 10 11");
        for scheme in [LayerNames::Upstream, LayerNames::Padded] {
            assert_eq!(names(scheme, 10), "0 1 2 3 4 5 6 7 8 9");
            assert_eq!(names(scheme, 0), "");
        }
        assert_eq!(names(LayerNames::Padded, 101).get(..7), Some("000 001"));
        for count in 0..120 {
            for scheme in [LayerNames::Upstream, LayerNames::Padded] {
                let numbers: Vec<usize> = scheme.of(count).iter().map(|(number, _)| *number).collect();
                assert_eq!(numbers.is_sorted(), scheme.keeps_order(count), "{scheme:?} {count}");
            }
        }
    }
}
