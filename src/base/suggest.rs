//! "Did you mean": the nearest known word to one that is not known.

/// The candidate nearest to `word`, if it is near enough to be a slip of the hand: at most a third
/// of the letters differ (Damerau–Levenshtein: `sha521` is one transposition from `sha512`).
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| {
            (strsim::damerau_levenshtein(&word.to_lowercase(), &candidate.to_lowercase()), candidate)
        })
        .filter(|(distance, candidate)| *distance * 3 <= candidate.chars().count().max(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_finds_its_word_and_another_word_finds_none() {
        assert_eq!(nearest("sha521", ["sha256", "sha512"]), Some("sha512"));
        assert_eq!(nearest("Version", ["version", "metadata"]), Some("version"));
        assert_eq!(nearest("colour", ["name", "version"]), None);
    }
}
