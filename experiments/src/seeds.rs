//! Seeds as they are written: `3`, `0..4` (both ends count), `0,2,5`.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Seeds in the order in which they were written, each once.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Vec<u64>")]
pub struct Seeds(pub Vec<u64>);

/// The most seeds of a range: more are a slip of the pen.
const MOST: u64 = 100_000;

/// How seeds stand in a TOML file.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    List(Vec<u64>),
    One(u64),
}

impl TryFrom<Written> for Seeds {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Text(text) => text.parse(),
            Written::List(list) => Self::each_once(list),
            Written::One(seed) => Ok(Self(vec![seed])),
        }
    }
}

impl From<Seeds> for Vec<u64> {
    fn from(seeds: Seeds) -> Self {
        seeds.0
    }
}

impl Seeds {
    fn each_once(list: Vec<u64>) -> Result<Self, String> {
        let mut sorted = list.clone();
        sorted.sort_unstable();
        match sorted.windows(2).find(|w| w[0] == w[1]) {
            Some(twice) => Err(format!("expected every seed once, got {} twice", twice[0])),
            None => Ok(Self(list)),
        }
    }
}

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("expected seeds such as `0..4` (both ends count), `0,2,5` or `3`, got `{text}`")
        };
        let number = |text: &str| text.trim().parse::<u64>().map_err(|_| wrong());
        let mut all = Vec::new();
        for part in text.split(',') {
            match part.split_once("..") {
                None => all.push(number(part)?),
                Some((first, last)) => {
                    let (first, last) = (number(first)?, number(last)?);
                    if last < first || last - first >= MOST {
                        return Err(wrong());
                    }
                    all.extend(first..=last);
                }
            }
        }
        Self::each_once(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_of_a_range_count() {
        let seeds = |text: &str| text.parse::<Seeds>().map(|s| s.0);
        assert_eq!(seeds("0..4").unwrap(), [0, 1, 2, 3, 4]);
        assert_eq!(seeds("7").unwrap(), [7]);
        assert_eq!(seeds("5, 0..1,9").unwrap(), [5, 0, 1, 9]);
        for wrong in ["", "4..0", "a", "0..", "-1", "0...3", "0..1,1", "0..99999999"] {
            assert!(seeds(wrong).is_err(), "{wrong}");
        }
        #[derive(Deserialize)]
        struct File {
            seeds: Seeds,
        }
        for (text, expected) in [("'0..2'", vec![0, 1, 2]), ("[4, 2]", vec![4, 2]), ("3", vec![3])]
        {
            let file: File = toml::from_str(&format!("seeds = {text}")).unwrap();
            assert_eq!(file.seeds.0, expected);
        }
    }
}
