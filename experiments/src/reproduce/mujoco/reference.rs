//! Published learning curves, for drawing beside ours: read from a folder that is given, as their
//! authors' repositories hold them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use hstep::{Error, Result, files};

use crate::compare::{Points, between};
use crate::plot::Series;

/// Curves of several algorithms, seed by seed, of which SAC's are drawn; and SAC's of a second source.
const CURVES: &str = "gym_mujoco_v4_curves_simbav2repo.csv";
const TIANSHOU: &str = "tianshou_mujoco_v3_sac_td3_reinforce.csv";
/// Steps between the points drawn of SAC.
const GRID: f64 = 2_500.0;
/// Steps by a random policy that tianshou's benchmark makes before it counts.
const TIANSHOU_UNCOUNTED: f64 = 10_000.0;

/// What was found, and where.
#[derive(Default)]
pub struct Published {
    pub series: Vec<Series>,
    pub sources: BTreeSet<&'static str>,
}

/// SAC as published, with a band over both sources, and MBPO where there is a run of it (one episode
/// an evaluation); up to `steps`, those by a random policy counted. `style` is the first of two styles.
///
/// # Errors
/// [`Error::Io`] for a file that cannot be read, [`Error::Config`] for one that is not as expected.
pub fn published(folder: &Path, env: &str, steps: f64, style: usize) -> Result<Published> {
    // Rewards and ends of the variants are others, and so are their returns.
    let Some((task, "v4" | "v5")) = env.split_once('-') else { return Ok(Published::default()) };
    let (mut found, mut named) = (Vec::new(), BTreeSet::new());
    let sources = [seeds(folder, "sac", task)?, tianshou(folder, "SAC", task)?];
    let (mut line, mut band) = (Vec::new(), Vec::new());
    for x in grid(steps) {
        let at: Vec<(f64, f64)> = sources.iter().filter_map(|source| source.at(x)).collect();
        if at.is_empty() {
            continue;
        }
        line.push((x, at.iter().map(|(mean, _)| mean).sum::<f64>() / at.len() as f64));
        let low = at.iter().map(|(m, s)| m - s).fold(f64::INFINITY, f64::min);
        let high = at.iter().map(|(m, s)| m + s).fold(f64::NEG_INFINITY, f64::max);
        band.push((low, high));
    }
    if line.len() > 1 {
        let sac = Series::line("SAC, published", style, line).without_markers();
        found.push(sac.with_band(band));
        let names = [
            "SAC of SimbaV2's benchmark (v4)",
            "SAC of tianshou's (v2, v3; its random steps counted)",
        ];
        let there = sources
            .iter()
            .zip(names)
            .filter(|(source, _)| grid(steps).any(|x| source.at(x).is_some()));
        named.extend(there.map(|(_, name)| name));
    }
    let points = x35f(folder, task)?;
    let points: Points = points.into_iter().filter(|(x, _)| *x <= steps).collect();
    if points.len() > 1 {
        let name = "MBPO, published (one run)";
        found.push(Series::line(name, style + 1, points).without_markers());
        // Its episode lengths come in tenths.
        named.insert("MBPO of x35f (ten episodes an evaluation)");
    }
    Ok(Published { series: found, sources: named })
}

fn grid(steps: f64) -> impl Iterator<Item = f64> {
    (1..).map(|i| f64::from(i) * GRID).take_while(move |x| *x <= steps)
}

/// Means and standard deviations over seeds.
struct Curve {
    mean: Points,
    std: Points,
}

impl Curve {
    /// Both at `x`, between points in a straight line; `None` outside.
    fn at(&self, x: f64) -> Option<(f64, f64)> {
        Some((between(&self.mean, x)?, between(&self.std, x)?))
    }
}

/// SimbaV2's repository: one row a seed and step.
fn seeds(folder: &Path, algo: &str, task: &str) -> Result<Curve> {
    let mut all: BTreeMap<String, Points> = BTreeMap::new();
    let env = format!("{task}-v4");
    for row in rows(folder, CURVES, &["algo", "env", "seed", "env_step", "return"])? {
        if row[0] == algo && row[1] == env {
            let point = (number(&row[3])?, number(&row[4])?);
            all.entry(row[2].clone()).or_default().push(point);
        }
    }
    let (mut mean, mut std) = (Points::new(), Points::new());
    let steps: Vec<f64> = all.values().next().map_or(vec![], |c| c.iter().map(|p| p.0).collect());
    for x in steps {
        let at: Vec<f64> = all.values().filter_map(|curve| between(curve, x)).collect();
        let m = at.iter().sum::<f64>() / at.len() as f64;
        let v = at.iter().map(|y| (y - m).powi(2)).sum::<f64>() / at.len() as f64;
        mean.push((x, m));
        std.push((x, v.sqrt()));
    }
    Ok(Curve { mean, std })
}

/// tianshou's benchmark: aggregated over seeds.
fn tianshou(folder: &Path, algo: &str, task: &str) -> Result<Curve> {
    let (mut mean, mut std) = (Points::new(), Points::new());
    for row in rows(folder, TIANSHOU, &["env", "env_step", "rew", "rew_std", "Agent"])? {
        // One version of each task, which may be an older one.
        if row[0].split('-').next() == Some(task) && row[4] == algo {
            let x = number(&row[1])? + TIANSHOU_UNCOUNTED;
            mean.push((x, number(&row[2])?));
            std.push((x, number(&row[3])?));
        }
    }
    Ok(Curve { mean, std })
}

/// x35f's runs of MBPO; empty for a task without one.
fn x35f(folder: &Path, task: &str) -> Result<Points> {
    let name = format!("mbpo_x35f_{task}.csv");
    if !folder.join(&name).is_file() {
        return Ok(Points::new());
    }
    let rows = rows(folder, &name, &["tag", "env_step", "value"])?;
    let returns = rows.iter().filter(|row| row[0] == "performance/eval_return");
    returns.map(|row| Ok((number(&row[1])?, number(&row[2])?))).collect()
}

/// The `columns` of a file whose first lines may be remarks.
fn rows(folder: &Path, name: &str, columns: &[&str]) -> Result<Vec<Vec<String>>> {
    let path = folder.join(name);
    let text = files::text(&path, files::METRICS)?;
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    let head: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let places = columns.iter().map(|column| head.iter().position(|name| name == column));
    let Some(places) = places.collect::<Option<Vec<usize>>>() else {
        let problem = format!("{}: expected the columns {columns:?}, got {head:?}", path.display());
        return Err(Error::config("--reference", problem));
    };
    let most = places.iter().copied().max().unwrap_or(0);
    let mut found = Vec::new();
    for line in lines {
        let cells: Vec<&str> = line.split(',').collect();
        if cells.len() > most {
            found.push(places.iter().map(|&i| cells[i].to_owned()).collect());
        }
    }
    Ok(found)
}

fn number(text: &str) -> Result<f64> {
    text.parse()
        .map_err(|_| Error::config("--reference", format!("expected a number, got `{text}`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sources_make_one_band() {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write(
            CURVES,
            "# source\nalgo,env,seed,env_step,return\nsac,Hopper-v4,0,0,0\nsac,Hopper-v4,0,10000,300\n\
             sac,Hopper-v4,1,0,0\nsac,Hopper-v4,1,10000,500\nsac,Ant-v4,0,5000,9\n",
        );
        write(
            TIANSHOU,
            "env,env_step,rew,rew_std,Agent\nHopper-v3,0,500,40,SAC\nHopper-v3,10000,800,80,SAC\n",
        );
        write(
            "mbpo_x35f_Hopper.csv",
            "# s\ntag,env_step,value,wall_s\nperformance/eval_return,0,10,1\nother,1,5,1\nperformance/eval_return,2000,30,2\n",
        );
        let found = published(folder.path(), "Hopper-v4", 15_000.0, 5).unwrap();
        let (found, sources) = (found.series, Vec::from_iter(found.sources));
        let all = [
            "MBPO of x35f (ten episodes an evaluation)",
            "SAC of SimbaV2's benchmark (v4)",
            "SAC of tianshou's (v2, v3; its random steps counted)",
        ];
        assert_eq!((found.len(), &sources[..]), (2, &all[..]));
        let ant = published(folder.path(), "Ant-v5", 15_000.0, 5).unwrap();
        assert!(ant.sources.is_empty(), "one point is no curve");
        let variant = published(folder.path(), "Hopper-mbbl", 15_000.0, 5).unwrap();
        assert!(variant.series.is_empty() && variant.sources.is_empty());
        // At 10,000 steps 400 +- 100 of two seeds, and 500 +- 40, where the other source begins.
        let points = [(2500.0, 100.0), (5000.0, 200.0), (7500.0, 300.0), (10000.0, 450.0)];
        assert_eq!(found[0].points[..4], points);
        assert_eq!(found[0].points[4..], [(12500.0, 575.0), (15000.0, 650.0)]);
        assert_eq!(found[0].band[3], (300.0, 540.0));
        assert_eq!(found[1].points, [(0.0, 10.0), (2000.0, 30.0)]);
        let error = published(Path::new("nowhere"), "Hopper-v4", 1.0, 4).err().unwrap();
        assert!(error.to_string().contains("cannot read"), "{error}");
    }
}
