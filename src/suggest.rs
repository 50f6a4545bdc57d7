//! "Did you mean": the nearest known word to a misspelt one.

/// The candidate nearest to `word`, or `None` when none is near enough to be a likely misspelling.
///
/// Words that begin alike count as near (Jaro-Winkler similarity of at least 0.75), and so do words
/// two edits apart; case is ignored. Of equally near candidates the first is taken.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let mut best: Option<(f64, &str)> = None;
    for candidate in candidates {
        let lower = candidate.to_lowercase();
        let similarity = strsim::jaro_winkler(&word, &lower);
        let edits = strsim::damerau_levenshtein(&word, &lower);
        let near = similarity >= 0.75 || (edits <= 2 && lower.chars().count() > 3);
        if near && best.is_none_or(|(s, _)| similarity > s) {
            best = Some((similarity, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn misspellings_find_their_word_and_nonsense_finds_none() {
        let words = ["learning_rate", "horizon", "temperature", "seed"];
        assert_eq!(nearest("learnign_rate", words), Some("learning_rate"));
        assert_eq!(nearest("Horizons", words), Some("horizon"));
        assert_eq!(nearest("temp", words), Some("temperature"));
        assert_eq!(nearest("xyzzy", words), None);
        assert_eq!(nearest("seed", []), None);
    }
}
