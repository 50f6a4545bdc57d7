//! "Did you mean": the known word nearest to one that is not known.

/// The candidate nearest to `word`, or `None` when none is near enough to be a likely misspelling.
///
/// Near are words that contain one another (three letters or more), that are two edits apart, or
/// that begin alike (Jaro-Winkler similarity of at least 0.75); case is ignored. Of equally near
/// candidates the first is taken.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let part = |a: &str, b: &str| a.len() >= 3 && b.contains(a);
    let mut best: Option<(bool, f64, &str)> = None;
    for candidate in candidates {
        let known = candidate.to_lowercase();
        let contains = part(&word, &known) || part(&known, &word);
        let similarity = strsim::jaro_winkler(&word, &known);
        let edits = strsim::damerau_levenshtein(&word, &known);
        let near = contains || similarity >= 0.75 || (edits <= 2 && known.chars().count() > 3);
        if near && best.is_none_or(|(c, s, _)| (contains, similarity) > (c, s)) {
            best = Some((contains, similarity, candidate));
        }
    }
    best.map(|(_, _, candidate)| candidate)
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

    #[test]
    fn parts_and_other_case_find_their_word() {
        let known = ["pendulum", "mountain-car", "cartpole-swingup"];
        assert_eq!(nearest("pednulum", known), Some("pendulum"));
        assert_eq!(nearest("Cartpole", known), Some("cartpole-swingup"));
        assert_eq!(nearest("swingup", known), Some("cartpole-swingup"));
        assert_eq!(nearest("mountain_car", known), Some("mountain-car"));
        // Of two that are near, the nearer one, wherever it stands.
        assert_eq!(nearest("pendulu", ["pendulum-long", "pendulum"]), Some("pendulum"));
        assert_eq!(nearest("pendulu", ["pendulum", "pendulum-long"]), Some("pendulum"));
    }
}
