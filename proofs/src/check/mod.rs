//! Each statement of the papers, what breaks it, what holds instead, and a search against both.

mod demorl;
mod given;
mod maac;
mod mpq;
mod planning;
mod policies;
mod statements;
mod wide;

pub use given::{FINITE, measure};
pub use statements::{STATEMENTS, Statement, find};
pub use wide::{WIDE, measure_wide};

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::attack::{
    Budget, Certificate, Form, Found, PIECE, Target, certify_finely, certify_violation, search,
};
use super::file::text;
use super::number::{Number as _, Rational};
use super::reading::{Norm, Play, Reading, RewardRange};
use hstep::{Error, Result};

/// What is left open by the statements, and how long to search.
#[derive(Debug, Clone)]
pub struct Options {
    /// The norm of the model error.
    pub norm: Norm,
    /// How plans are played.
    pub play: Play,
    /// What `r_max` is; each statement has its own default.
    pub range: Option<RewardRange>,
    /// The horizon; several when left out.
    pub horizon: Option<usize>,
    /// Evaluations of the search.
    pub evaluations: u64,
    /// Search on for so many seconds.
    pub seconds: Option<f64>,
    /// The seed of the search.
    pub seed: u64,
}

/// The most: each leaves eight bytes, to count different ones.
const MOST: u64 = 100_000_000;
/// The longest horizon of a search.
const LONGEST: usize = 30;
/// Evaluations of a search unless told otherwise.
pub const EVALUATIONS: u64 = 1_250_000;

impl Default for Options {
    fn default() -> Self {
        Self {
            norm: Norm::Tv,
            play: Play::Receding,
            range: None,
            horizon: None,
            evaluations: EVALUATIONS,
            seconds: None,
            seed: 0,
        }
    }
}

impl Options {
    /// The reading, with `range` unless another is asked for.
    #[must_use]
    pub fn reading(&self, range: RewardRange) -> Reading {
        Reading { norm: self.norm, play: self.play, range: self.range.unwrap_or(range) }
    }

    fn validate(&self) -> Result<()> {
        if self.horizon == Some(0) {
            return Err(Error::config("horizon", "expected at least 1 step, got 0"));
        }
        if self.evaluations == 0 || self.evaluations > MOST {
            let problem = format!("expected 1 to {MOST}, got {}", self.evaluations);
            return Err(Error::config("evaluations", problem));
        }
        let seconds = self.seconds.unwrap_or(0.0);
        if !(0.0..=1e6).contains(&seconds) {
            let problem = format!("expected a number of seconds up to 1e6, got {seconds}");
            return Err(Error::config("seconds", problem));
        }
        Ok(())
    }
}

/// An instance in exact arithmetic that breaks the printed form or attains the corrected one.
#[derive(Debug, Clone)]
pub struct Example {
    /// Its name, without spaces.
    pub name: &'static str,
    /// What it is, in words.
    pub about: String,
    /// Both sides of both forms, and the instance.
    pub exact: Certificate,
}

/// What a search found about one form.
#[derive(Debug, Clone)]
pub struct Searched {
    /// The largest ratio of left to right side.
    pub largest: f64,
    /// Evaluations above one.
    pub violations: u64,
    /// Bins of ratios: lower edge, upper edge, count.
    pub histogram: Vec<(f64, f64, u64)>,
    /// The instance of the largest ratio, in exact arithmetic, where that can be had.
    pub exact: Option<Certificate>,
}

/// What a search found.
#[derive(Debug, Clone)]
pub struct Attack {
    /// Instances evaluated.
    pub evaluations: u64,
    /// Different ones among them.
    pub distinct: u64,
    /// Those with an error above zero.
    pub with_error: u64,
    /// The seed.
    pub seed: u64,
    /// The printed form.
    pub printed: Searched,
    /// The corrected form.
    pub corrected: Searched,
}

/// Loss and bounds along a parameter, for a figure.
#[derive(Debug, Clone)]
pub struct Curve {
    /// What is varied.
    pub x: &'static str,
    /// Which instances these are.
    pub about: String,
    /// `x`, left side, printed bound, corrected bound.
    pub points: Vec<[f64; 4]>,
}

/// All that is known about a statement.
#[derive(Debug, Clone)]
pub struct Report {
    /// The statement.
    pub statement: &'static Statement,
    /// Its reading in words.
    pub reading: String,
    /// Instances that break the printed form, if any do.
    pub counterexamples: Vec<Example>,
    /// An instance that attains the corrected form, or nearly.
    pub tight: Option<Example>,
    /// The search.
    pub attack: Attack,
    /// Loss and bounds along a parameter.
    pub curve: Curve,
}

/// `left > right`.
fn broken(sides: &(Rational, Rational)) -> bool {
    sides.0 > sides.1
}

/// Left over right as a fraction; `None` for a right side of 0.
#[must_use]
pub fn ratio(sides: &(Rational, Rational)) -> Option<Rational> {
    (sides.1 != Rational::ratio(0, 1)).then(|| &sides.0 / &sides.1)
}

impl Report {
    /// The counterexample to show: the first, or what the search found.
    #[must_use]
    pub fn counterexample(&self) -> Option<&Certificate> {
        let found = self.attack.printed.exact.as_ref();
        let all = self.counterexamples.iter().map(|e| &e.exact).chain(found);
        all.into_iter().find(|c| broken(&c.printed))
    }

    /// Whether no instance breaks the printed form: examples in exact arithmetic, or the search.
    #[must_use]
    pub fn printed_holds(&self) -> bool {
        self.counterexample().is_none() && self.attack.printed.violations == 0
    }

    /// Whether nothing breaks the corrected form. An exact evaluation overrules a rounded one.
    #[must_use]
    pub fn corrected_holds(&self) -> bool {
        let examples = self.counterexamples.iter().chain(&self.tight).map(|e| &e.exact);
        let found = &self.attack.corrected;
        let exactly = examples.chain(&found.exact).all(|c| !broken(&c.corrected));
        exactly && found.violations == 0
    }

    /// The largest ratio of the printed form among examples and search.
    #[must_use]
    pub fn largest_printed(&self) -> f64 {
        let of = |e: &Example| ratio(&e.exact.printed).map_or(f64::INFINITY, |r| r.float());
        self.counterexamples.iter().map(of).fold(self.attack.printed.largest, f64::max)
    }

    /// How near anything comes to the corrected form, as a ratio.
    #[must_use]
    pub fn tightness(&self) -> f64 {
        let of = |e: &Example| ratio(&e.exact.corrected).map_or(0.0, |r| r.float());
        self.tight.iter().map(of).fold(self.attack.corrected.largest, f64::max)
    }

    /// The report as JSON; fractions are strings, and so are infinite ratios.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let statement = self.statement;
        let example = |e: &Example| {
            let mut out = certificate_json(&e.exact);
            out["name"] = e.name.into();
            out["about"] = e.about.clone().into();
            out
        };
        json!({
            "result": statement.name,
            "paper": statement.paper,
            "equation": statement.equation,
            "reading": self.reading,
            "printed": {
                "statement": statement.printed,
                "holds": self.printed_holds(),
                "verdict": self.verdict(),
                "largest_ratio": finite(self.largest_printed()),
            },
            "corrected": {
                "statement": statement.corrected,
                "holds": self.corrected_holds(),
                "largest_ratio": finite(self.tightness()),
            },
            "counterexamples": self.counterexamples.iter().map(example).collect::<Value>(),
            "tight": self.tight.as_ref().map(example),
            "search": {
                "evaluations": self.attack.evaluations,
                "distinct": self.attack.distinct,
                "with_error": self.attack.with_error,
                "seed": self.attack.seed,
                "printed": searched_json(&self.attack.printed),
                "corrected": searched_json(&self.attack.corrected),
            },
        })
    }

    /// The verdict on the printed form, in a few words.
    #[must_use]
    pub fn verdict(&self) -> String {
        match (self.printed_holds(), statements::note(self.statement.name)) {
            (false, Some(note)) => note.to_owned(),
            (false, None) => "false".into(),
            (true, _) => "survives".into(),
        }
    }
}

/// A ratio as JSON, which knows no infinity.
fn finite(x: f64) -> Value {
    if x.is_finite() { json!(x) } else { json!("unbounded") }
}

fn certificate_json(c: &Certificate) -> Value {
    let sides = |s: &(Rational, Rational)| {
        json!({
            "left": text(&s.0),
            "right": text(&s.1),
            "ratio": ratio(s).map_or(json!("unbounded"), |r| text(&r)),
            "float": { "left": s.0.float(), "right": s.1.float() },
        })
    };
    let (printed, corrected) = (sides(&c.printed), sides(&c.corrected));
    json!({ "printed": printed, "corrected": corrected, "instance": c.instance })
}

fn searched_json(s: &Searched) -> Value {
    json!({
        "largest_ratio": finite(s.largest),
        "above_one": s.violations,
        "histogram": s.histogram.iter().filter(|b| b.2 > 0).map(|(low, high, n)| {
            json!([low, finite(*high), n])
        }).collect::<Value>(),
        "exact": s.exact.as_ref().map(certificate_json),
    })
}

/// Checks one statement. `progress` is told how much of the search is done, in evaluations.
///
/// # Errors
/// [`Error::Config`] for a name that there is not, or options out of range.
pub fn check(name: &str, options: &Options, progress: &(dyn Fn(u64) + Sync)) -> Result<Report> {
    options.validate()?;
    if options.horizon.is_some_and(|h| h > LONGEST) {
        let problem = format!(
            "expected at most {LONGEST} steps in a search, whose rings have a state a step"
        );
        return Err(Error::config("horizon", problem));
    }
    let statement = find(name)?;
    match statement.name {
        "mopac-theorem-1" | "polo-lemma-1" | "polo-lemma-2" => {
            planning::report(statement, options, progress)
        }
        "mopac-lemma-2" => policies::model_gap(statement, options, progress),
        "maac-theorem-4.1" => policies::improvement(statement, options, progress),
        "demorl-lemma-1" => demorl::sequences(statement, options, progress),
        "demorl-theorem-1" => demorl::regret(statement, options, progress),
        "maac-lemma-4.1" => maac::gradient(statement, options, progress),
        "maac-lemma-4.2" => maac::variation(statement, options, progress),
        _ => mpq::report(statement, options, progress),
    }
}

/// Searches, on for as long as asked, and looks at the best finds exactly.
fn attack<T: Target>(target: &T, options: &Options, progress: &(dyn Fn(u64) + Sync)) -> Attack {
    let begun = Instant::now();
    let until = Duration::from_secs_f64(options.seconds.unwrap_or(0.0));
    let budget = |evaluations, first_piece| Budget { evaluations, first_piece, seed: options.seed };
    let mut found = search(target, &budget(options.evaluations, 0), progress);
    while begun.elapsed() < until {
        let before = found.evaluations;
        let further = budget(32 * PIECE, found.next_piece);
        found.merge(search(target, &further, &|n| progress(before + n)));
    }
    let Found { evaluations, with_error, .. } = found;
    let printed = &found.printed;
    let violation = printed.witness.as_ref().filter(|_| printed.largest > 1.0);
    let violation = violation.and_then(|w| certify_violation(target, w, printed.largest));
    let nearest = found.corrected.witness.as_ref().and_then(|w| certify_finely(target, w));
    Attack {
        evaluations,
        distinct: found.distinct(),
        with_error,
        seed: options.seed,
        printed: searched(&found.printed, violation),
        corrected: searched(&found.corrected, nearest),
    }
}

fn searched<I: Clone>(form: &Form<I>, exact: Option<Certificate>) -> Searched {
    Searched {
        largest: form.largest,
        violations: form.violations,
        histogram: form.histogram.rows().collect(),
        exact,
    }
}

/// `p/q`.
fn q(p: i64, q: i64) -> Rational {
    Rational::ratio(p, q)
}
