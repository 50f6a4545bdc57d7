//! How algorithms and environments are called in words.

/// An algorithm as papers write it; a preset's suffix stays.
pub fn algorithm(name: &str) -> String {
    let (base, suffix) = name.split_once('-').unwrap_or((name, ""));
    let word = match (base, suffix) {
        ("mopac", _) => "MoPAC",
        ("demorl", _) => "M-DeMoRL",
        ("mppi", "mbrl") => return "MPPI-MBRL".into(),
        ("reinforce", _) => "REINFORCE",
        (other, _) => &other.to_uppercase(),
    };
    match suffix {
        "" => word.into(),
        "2core" => format!("{word} (two cores)"),
        other => format!("{word} ({other})"),
    }
}

/// An environment in words.
pub fn environment(name: &str) -> String {
    match name {
        "cartpole-swingup" => "cart-pole swing-up".into(),
        "leg-2r" => "two-link leg".into(),
        "leg-2r-mujoco" => "two-link leg on MuJoCo".into(),
        other => other.replace('-', " "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_as_in_the_papers() {
        let words: Vec<String> =
            ["sac", "maac-paper", "demorl", "mopac-code", "mppi-mbrl", "mbpo-2core"]
                .map(algorithm)
                .into();
        let expected =
            ["SAC", "MAAC (paper)", "M-DeMoRL", "MoPAC (code)", "MPPI-MBRL", "MBPO (two cores)"];
        assert_eq!(words, expected);
        assert_eq!(environment("mountain-car"), "mountain car");
    }
}
