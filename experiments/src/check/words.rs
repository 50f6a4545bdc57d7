//! Reports in words.

use hstep::Result;
use hstep_proofs::attack::Certificate;
use hstep_proofs::check::{Example, Report, ratio};
use hstep_proofs::{Number as _, Rational};
use serde_json::Value;

use crate::output::say;

/// Longest fraction that is written out.
const LONG: usize = 28;

/// A fraction, or a decimal where the fraction is long.
fn number(x: &Rational) -> String {
    let text = x.to_string();
    if text.len() <= LONG { text } else { short(x.float()) }
}

/// Six digits; 0.999999 is never rounded up to 1.
fn short(x: f64) -> String {
    match x {
        x if x.is_infinite() => "unbounded".into(),
        x if x >= 1e6 || (x != 0.0 && x.abs() < 1e-4) => format!("{x:.3e}"),
        x if x < 1.0 => format!("{:.6}", (x * 1e6).floor() / 1e6),
        x if x < 1000.0 => format!("{x:.4}"),
        x => format!("{x:.0}"),
    }
}

/// `1 250 000`.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let first = digits.len() % 3;
    let mut out = digits[..first].to_owned();
    for (i, c) in digits[first..].chars().enumerate() {
        if i % 3 == 0 && !out.is_empty() {
            out.push(' ');
        }
        out.push(c);
    }
    out
}

fn sides((left, right): &(Rational, Rational), sign: &str) -> String {
    let ratio = ratio(&(left.clone(), right.clone()));
    let ratio = ratio.map_or(String::new(), |r| format!(", ratio {}", ratio_words(&r)));
    format!("{} {sign} {}{ratio}", number(left), number(right))
}

fn ratio_words(r: &Rational) -> String {
    let (fraction, decimal) = (r.to_string(), short(r.float()));
    match fraction.contains('/') {
        false => fraction,
        true if fraction.len() > 12 => decimal,
        true => format!("{fraction} = {decimal}"),
    }
}

fn line(label: &str, text: &str) -> Result<()> {
    say!("  {label:<11}{text}")
}

/// A report.
pub fn report(report: &Report) -> Result<()> {
    let (s, attack) = (report.statement, &report.attack);
    say!("{}  {}, {}: {}", s.name, s.paper, s.equation, s.about)?;
    line("reading", &report.reading)?;
    line("printed", s.printed)?;
    let above = 100.0 * attack.printed.violations as f64 / attack.evaluations.max(1) as f64;
    let largest = short(report.largest_printed());
    line(
        "",
        &format!(
            "{}; largest ratio {largest}; {above:.0} % of instances above 1",
            report.verdict()
        ),
    )?;
    for Example { name, about, exact } in &report.counterexamples {
        line("broken by", &format!("{name}: {about}"))?;
        line("", &sides(&exact.printed, ">"))?;
    }
    if report.counterexamples.is_empty()
        && let Some(Certificate { printed, instance, .. }) = report.counterexample()
    {
        line("broken by", &format!("{}: {instance}", sides(printed, ">")))?;
    }
    line("corrected", s.corrected)?;
    let holds = if report.corrected_holds() { "survives" } else { "FALSE on" };
    let with_error = 100.0 * attack.with_error as f64 / attack.evaluations.max(1) as f64;
    line(
        "",
        &format!(
            "{holds} {} instances, {} of them different, {with_error:.0} % with an error; largest ratio {}",
            grouped(attack.evaluations),
            grouped(attack.distinct),
            short(attack.corrected.largest)
        ),
    )?;
    if let Some(Example { about, exact, .. }) = &report.tight {
        line("tight", &format!("{about}: {}", sides(&exact.corrected, "of")))?;
    }
    say!()
}

/// One line a statement, as Markdown.
pub fn table(reports: &[Report]) -> String {
    let mut out = String::from(
        "| statement | as printed | counterexample, exact | largest ratio | corrected form | instances | \
         largest ratio |\n|---|---|---|---|---|---|---|\n",
    );
    for r in reports {
        let s = r.statement;
        let counter = r.counterexample().map_or("none found".into(), |c| {
            let (left, right) = &c.printed;
            format!("{} > {}", number(left), number(right))
        });
        let holds = if r.corrected_holds() { "survives" } else { "false" };
        out.push_str(&format!(
            "| {}, {} | {} | {counter} | {} | {holds} | {} | {} |\n",
            s.paper,
            s.equation,
            r.verdict(),
            short(r.largest_printed()),
            grouped(r.attack.distinct),
            short(r.tightness()),
        ));
    }
    out
}

/// What was measured on one's own problem.
pub fn measured(measured: &Value) -> Result<()> {
    let empty = serde_json::Map::new();
    for (key, value) in measured.as_object().unwrap_or(&empty) {
        if key == "float" {
            continue;
        }
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match measured["float"].get(key).and_then(Value::as_f64) {
            Some(float) if text.contains('/') => say!("{key:<22}{text}  ({})", short(float))?,
            _ => say!("{key:<22}{text}")?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_never_flattered() {
        assert_eq!(short(0.999_999_9), "0.999999");
        assert_eq!(short(f64::INFINITY), "unbounded");
        assert_eq!(short(47.368_421), "47.3684");
        assert_eq!(short(18_449.9), "18450");
        assert_eq!(grouped(1_250_000), "1 250 000");
        assert_eq!(grouped(12), "12");
        assert_eq!(number(&Rational::ratio(90, 19)), "90/19");
    }
}
