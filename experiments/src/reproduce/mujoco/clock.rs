//! How long a run took, and with what.

use std::path::Path;

use hstep::log::Phase;
use hstep::metrics::read_csv;
use hstep::train::TOTAL_COLUMN;

/// Seconds of a run, all its processes together.
pub struct Clock {
    /// Altogether.
    pub total: f64,
    /// In each of [`Phase::ALL`].
    pub phases: Vec<f64>,
}

impl Clock {
    /// Reads `timing.csv`; `None` where there is none.
    ///
    /// # Errors
    /// For a file that is not as a run writes it.
    pub fn read(folder: &Path) -> hstep::Result<Option<Self>> {
        let path = folder.join("timing.csv");
        if !path.is_file() {
            return Ok(None);
        }
        let table = read_csv(&path)?;
        let column = |name: &str| -> hstep::Result<Vec<f64>> {
            Ok(table.column(name)?.into_iter().map(|x| x.unwrap_or(0.0)).collect())
        };
        let total = column(TOTAL_COLUMN)?;
        let phases: Vec<Vec<f64>> =
            Phase::ALL.iter().map(|p| column(p.column())).collect::<hstep::Result<_>>()?;
        let sum = |column: &[f64]| processes(&total).map(|row| column[row]).sum();
        Ok(Some(Self { total: sum(&total), phases: phases.iter().map(|p| sum(p)).collect() }))
    }

    /// The largest shares in words: `updates 62 %, model 24 %`.
    pub fn profile(&self) -> String {
        let names = Phase::ALL.map(|phase| phase.column().trim_end_matches("_s").replace('_', " "));
        let mut shares: Vec<(f64, &String)> =
            self.phases.iter().map(|s| 100.0 * s / self.total.max(1e-9)).zip(&names).collect();
        shares.sort_by(|a, b| b.0.total_cmp(&a.0));
        let words = shares.iter().filter(|(share, _)| *share >= 1.0);
        words.map(|(share, name)| format!("{name} {share:.0} %")).collect::<Vec<_>>().join(", ")
    }
}

/// The last row of every process: they begin with a row of zeros.
fn processes(total: &[f64]) -> impl Iterator<Item = usize> {
    (0..total.len()).filter(|&row| total.get(row + 1).is_none_or(|next| *next == 0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resumed_run_has_the_time_of_all_its_processes() {
        let rows = [0.0, 5.0, 9.0, 0.0, 4.0, 0.0, 1.0, 2.0];
        assert_eq!(processes(&rows).map(|i| rows[i]).sum::<f64>(), 15.0);
        let clock = Clock { total: 100.0, phases: vec![0.5; Phase::ALL.len()] };
        assert_eq!(clock.profile(), "");
    }
}
