//! Axes: from numbers to positions, and where the ticks go.

/// How numbers are spread along an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Equal steps.
    Linear,
    /// Equal ratios, base ten. What is not positive is left out.
    Log,
}

/// One axis.
#[derive(Debug, Clone)]
pub struct Axis {
    /// What is measured, with its unit.
    pub label: String,
    /// Linear or logarithmic.
    pub scale: Scale,
    /// Ends of the axis; `None` takes them from the data.
    pub range: Option<(f64, f64)>,
    /// Names at 0, 1, 2, ... instead of numbers; empty for numbers.
    pub names: Vec<String>,
}

impl Axis {
    /// A linear axis that spans its data.
    pub fn linear(label: impl Into<String>) -> Self {
        Self { label: label.into(), scale: Scale::Linear, range: None, names: Vec::new() }
    }

    /// A logarithmic axis that spans its data.
    pub fn log(label: impl Into<String>) -> Self {
        Self { label: label.into(), scale: Scale::Log, range: None, names: Vec::new() }
    }

    /// An axis of names, each a unit wide.
    pub fn named(label: impl Into<String>, names: Vec<String>) -> Self {
        let high = names.len() as f64 - 0.5;
        Self { names, ..Self::linear(label).between(-0.5, high) }
    }

    /// The same axis with fixed ends.
    #[must_use]
    pub fn between(self, low: f64, high: f64) -> Self {
        Self { range: Some((low, high)), ..self }
    }

    /// The ends of the axis, fixed or widened a little beyond `values`.
    pub fn ends(&self, values: impl Iterator<Item = f64>) -> (f64, f64) {
        if let Some(range) = self.range {
            return range;
        }
        let (low, high) = values
            .filter(|v| v.is_finite() && (self.scale == Scale::Linear || *v > 0.0))
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        if low > high {
            return if self.scale == Scale::Log { (0.1, 1.0) } else { (0.0, 1.0) };
        }
        let (a, b) = (self.along(low), self.along(high));
        let pad = if b > a { 0.05 * (b - a) } else { 0.5 };
        match self.scale {
            Scale::Linear => (a - pad, b + pad),
            Scale::Log => (10_f64.powf(a - pad), 10_f64.powf(b + pad)),
        }
    }

    /// The coordinate in which the axis is uniform.
    pub fn along(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => value,
            Scale::Log => value.log10(),
        }
    }

    /// Where `value` lies between the ends: 0 at the lower, 1 at the upper.
    pub fn fraction(&self, value: f64, (low, high): (f64, f64)) -> f64 {
        let (a, b) = (self.along(low), self.along(high));
        (self.along(value) - a) / (b - a)
    }

    /// Labelled ticks inside the ends.
    pub fn ticks(&self, ends: (f64, f64)) -> Vec<(f64, String)> {
        if !self.names.is_empty() {
            return self.names.iter().cloned().enumerate().map(|(i, n)| (i as f64, n)).collect();
        }
        let values = match self.scale {
            Scale::Linear => linear_ticks(ends),
            Scale::Log => log_ticks(ends),
        };
        let step = values.windows(2).map(|w| w[1] - w[0]).fold(f64::INFINITY, f64::min);
        // One way of writing for the whole axis.
        let plain = values.iter().all(|v| (0.99e-4..1.01e4).contains(v));
        let text = |v: f64| match self.scale {
            Scale::Linear => linear_text(v, step),
            Scale::Log if plain => format!("{}", (v * 1e6).round() / 1e6),
            Scale::Log => power_text(v),
        };
        values.into_iter().map(|v| (v, text(v))).collect()
    }
}

/// Steps of 1, 2 or 5 times a power of ten, about five of them.
fn linear_ticks((low, high): (f64, f64)) -> Vec<f64> {
    let rough = (high - low) / 6.0;
    let power = 10_f64.powf(rough.log10().floor());
    let step =
        [1.0, 2.0, 5.0, 10.0].into_iter().find(|m| m * power >= rough).unwrap_or(10.0) * power;
    let slack = 1e-9 * (high - low);
    let first = ((low - slack) / step).ceil() as i64;
    let last = ((high + slack) / step).floor() as i64;
    (first..=last).map(|i| i as f64 * step).collect()
}

/// Powers of ten, thinned when there are many; with 2 and 5 between them when there are few.
fn log_ticks((low, high): (f64, f64)) -> Vec<f64> {
    let (a, b) = (low.log10(), high.log10());
    let factors: &[f64] = if b - a < 2.2 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let thin = (((b - a) / 7.0).ceil() as i32).max(1);
    (a.floor() as i32..=b.ceil() as i32)
        .filter(|p| p.rem_euclid(thin) == 0)
        .flat_map(|p| factors.iter().map(move |f| f * 10_f64.powi(p)))
        .filter(|v| (low * 0.999..=high * 1.001).contains(v))
        .collect()
}

/// Digits in groups of three.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('\u{a0}');
        }
        out.push(digit);
    }
    out
}

fn linear_text(value: f64, step: f64) -> String {
    let value = if value.abs() < 1e-9 * step { 0.0 } else { value };
    if value.abs() >= 10_000.0 && (value / 1000.0).fract() == 0.0 {
        return format!("{}k", value / 1000.0).replace('-', "\u{2212}");
    }
    let decimals = if step.is_finite() { (-step.log10().floor()).max(0.0) as usize } else { 2 };
    format!("{value:.decimals$}").replace('-', "\u{2212}")
}

fn power_text(value: f64) -> String {
    // A little above the power of ten itself, which may round to either side.
    let power = (value.log10() + 1e-9).floor() as i32;
    let digits: String = power
        .to_string()
        .chars()
        .map(|c| match c {
            '-' => '\u{207b}',
            '1' => '\u{b9}',
            '2' => '\u{b2}',
            '3' => '\u{b3}',
            d => char::from_u32(0x2070 + d.to_digit(10).unwrap_or(0)).unwrap_or(d),
        })
        .collect();
    let mantissa = value / 10_f64.powi(power);
    if (mantissa - 1.0).abs() < 1e-6 {
        format!("10{digits}")
    } else {
        format!("{mantissa:.0}·10{digits}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis, ends: (f64, f64)) -> Vec<String> {
        axis.ticks(ends).into_iter().map(|t| t.1).collect()
    }

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(
            texts(&Axis::linear(""), (0.0, 60.0)),
            ["0", "10", "20", "30", "40", "50", "60"]
        );
        assert_eq!(
            texts(&Axis::linear(""), (-1.0, 0.2)),
            ["−1.0", "−0.8", "−0.6", "−0.4", "−0.2", "0.0", "0.2"]
        );
        assert_eq!(
            texts(&Axis::linear(""), (0.0, 3e4)),
            ["0", "5000", "10k", "15k", "20k", "25k", "30k"]
        );
        assert_eq!(texts(&Axis::log(""), (1e-4, 2.0)), ["0.0001", "0.001", "0.01", "0.1", "1"]);
        assert_eq!(texts(&Axis::log(""), (1e-5, 0.02)), ["10⁻⁵", "10⁻⁴", "10⁻³", "10⁻²"]);
        assert_eq!(texts(&Axis::log(""), (4e-6, 2e-5)), ["5·10⁻⁶", "10⁻⁵", "2·10⁻⁵"]);
        assert_eq!(texts(&Axis::log(""), (0.1, 2.0)), ["0.1", "0.2", "0.5", "1", "2"]);
    }

    #[test]
    fn names_stand_at_whole_numbers() {
        let axis = Axis::named("", vec!["a".into(), "b".into()]);
        assert_eq!(axis.ticks((-0.5, 1.5)), [(0.0, "a".into()), (1.0, "b".into())]);
        assert_eq!(axis.ends([7.0].into_iter()), (-0.5, 1.5));
    }

    #[test]
    fn fractions_run_from_zero_to_one() {
        let log = Axis::log("");
        assert!((log.fraction(0.1, (0.01, 1.0)) - 0.5).abs() < 1e-12);
        assert!((Axis::linear("").fraction(5.0, (0.0, 20.0)) - 0.25).abs() < 1e-12);
        let (low, high) = log.ends([0.0, -1.0, 0.01, 1.0].into_iter());
        assert!(low < 0.01 && low > 0.005 && high > 1.0 && high < 2.0);
    }
}
