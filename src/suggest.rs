//! "Did you mean": the known word nearest to one that is not known.

/// The candidate nearest to `word`: one that contains it or is contained in it comes first (three
/// letters or more), then edit distance decides (transpositions count once, case does not). The
/// first of equals; `None` only without candidates.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let part = |a: &str, b: &str| a.len() >= 3 && b.contains(a);
    candidates.into_iter().min_by_key(|candidate| {
        let known = candidate.to_lowercase();
        let apart = !part(&word, &known) && !part(&known, &word);
        (apart, strsim::damerau_levenshtein(&word, &known))
    })
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn finds_typos_transpositions_and_other_case() {
        let known = ["pendulum", "mountain-car", "cartpole-swingup"];
        assert_eq!(nearest("pednulum", known), Some("pendulum"));
        assert_eq!(nearest("Cartpole", known), Some("cartpole-swingup"));
        assert_eq!(nearest("mountain_car", known), Some("mountain-car"));
        assert_eq!(nearest("x", []), None);
    }
}
