//! Runs that begin with something: another run's weights, recorded transitions.

use std::collections::BTreeMap;

use candle_core::Tensor;
use hstep::replay::Recorded;
use hstep::shape::to_f64;
use hstep::train::{hash_of_data, hash_of_run};

use super::*;

/// The tensors of an agent as numbers.
fn tensors(trainer: &Trainer) -> BTreeMap<String, Vec<f64>> {
    let all = trainer.agent().tensors().unwrap();
    all.into_iter().map(|(name, tensor)| (name, to_f64(&tensor).unwrap())).collect()
}

fn fresh(hybrid: Hybrid, config: RunConfig) -> Result<Trainer> {
    let folder = TempDir::new().unwrap();
    Trainer::open(config, hybrid, factory("pendulum"), folder.path(), "identity", &Spec::f32())
}

fn refusal(hybrid: Hybrid, config: RunConfig, words: &[&str]) {
    let message = fresh(hybrid, config).err().unwrap().to_string();
    for word in words {
        assert!(message.contains(word), "`{word}` is not in: {message}");
    }
}

fn from(folder: &Path) -> RunConfig {
    RunConfig { from: Some(folder.display().to_string()), ..run_config("pendulum", 300) }
}

#[test]
fn a_run_begins_with_the_weights_of_another() {
    let folder = TempDir::new().unwrap();
    let mut source = open("mbpo", "pendulum", 200, folder.path());
    go(&mut source).unwrap();
    let there = tensors(&source);

    let begun = fresh(hybrid("mbpo"), from(folder.path())).unwrap();
    assert!(begun.agent().real.is_empty() && begun.agent().counters.env_steps == 0);
    let plain = tensors(&fresh(hybrid("mbpo"), run_config("pendulum", 300)).unwrap());
    let here = tensors(&begun);
    let mut counts = [0; 2];
    for (name, x) in &here {
        // Optimisers and the temperature are those of a fresh run.
        let stays = name.contains("adam") || name.starts_with("temperature");
        counts[usize::from(stays)] += 1;
        assert_eq!(x, if stays { &plain[name] } else { &there[name] }, "{name}");
    }
    assert!(counts[0] > 20 && counts[1] > 5, "{counts:?}");
    assert!(here["actor.l0.w"] != plain["actor.l0.w"] && here["model.fitted"] == [1.0]);

    // Without the model a part of them is in common.
    let sac = tensors(&fresh(hybrid("sac"), from(folder.path())).unwrap());
    assert_eq!(sac["critic_target.l0.w"], there["critic_target.l0.w"]);

    refusal(
        hybrid_with("sac", &["critic.hidden=[16]"]),
        from(folder.path()),
        &[
            "`run.from`",
            "its `critic` does not fit",
            "`critic.l0.b` is [2, 32] there, expected [2, 16]",
        ],
    );
    refusal(
        hybrid_with("sac", &["loop.standardise=true"]),
        from(folder.path()),
        &["does not standardise observations"],
    );
    refusal(hybrid("sac"), from(Path::new("nowhere")), &["there is no such folder"]);
    let empty = TempDir::new().unwrap();
    refusal(hybrid("sac"), from(empty.path()), &["`run.from`", "it holds no checkpoint"]);
    drop(source);
    let only_plans = TempDir::new().unwrap();
    let (planner, _) = algo::find("mppi-mbrl").unwrap();
    let planner = planner.build(&planner.preset(None, &Kinds::stock()).unwrap()).unwrap();
    drop(open_with(planner, factory("pendulum"), run_config("pendulum", 200), only_plans.path()));
    refusal(hybrid("sac"), from(only_plans.path()), &["that run has none of actor, critic"]);

    // A hash that is not that of the run's weights.
    let hash = hash_of_run(folder.path()).unwrap();
    let with = |hash: &str| RunConfig { from_hash: Some(hash.into()), ..from(folder.path()) };
    assert!(fresh(hybrid("sac"), with(&hash)).is_ok());
    refusal(hybrid("sac"), with("0"), &["has changed", &hash]);
}

#[test]
fn standardised_observations_go_with_the_weights() {
    let folder = TempDir::new().unwrap();
    let standard = || hybrid_with("sac", &["loop.standardise=true"]);
    let mut source =
        open_with(standard(), factory("pendulum"), run_config("pendulum", 200), folder.path());
    go(&mut source).unwrap();
    let (there, here) =
        (tensors(&source), tensors(&fresh(standard(), from(folder.path())).unwrap()));
    for name in there.keys().filter(|name| name.starts_with("observations")) {
        assert_eq!(here[name], there[name], "{name}");
    }
    refusal(hybrid("sac"), from(folder.path()), &["that run standardises observations"]);
}

/// The pendulum, seen in units of one's own.
struct InUnits(Box<dyn Env>, f64);

impl Env for InUnits {
    fn info(&self) -> &EnvInfo {
        self.0.info()
    }

    fn reset(&mut self, rng: &mut Rng) -> Result<Vec<f64>> {
        Ok(self.0.reset(rng)?.iter().map(|x| x * self.1).collect())
    }

    fn step(&mut self, action: &[f64]) -> Result<Step> {
        let step = self.0.step(action)?;
        Ok(Step { obs: step.obs.iter().map(|x| x * self.1).collect(), ..step })
    }
}

#[test]
fn units_of_standardised_observations_do_not_matter() {
    let learned = |unit: f64, standardise: bool| {
        let folder = TempDir::new().unwrap();
        let make: EnvFactory =
            Arc::new(move || Ok(Box::new(InUnits(native::make("pendulum")?, unit))));
        let hybrid = hybrid_with("sac", &[&format!("loop.standardise={standardise}")]);
        go(&mut open_with(hybrid, make, run_config("pendulum", 300), folder.path())).unwrap();
        let rows = metrics(folder.path());
        ["critic_loss", "q_mean", "eval_return"].map(|name| *numbers(&rows, name).last().unwrap())
    };
    let metres = learned(1.0, true);
    for (there, here) in learned(1_000.0, true).iter().zip(metres) {
        assert!((there - here).abs() < 0.02 * here.abs(), "{there} and {here}");
    }
    // As they are, their size decides: Q is of the size of the observations.
    assert!(learned(1_000.0, false)[1].abs() > 10.0 * metres[1].abs());
}

/// Rows of the pendulum as a file has them: torques in -2 to 2.
fn rows(n: usize) -> Vec<[f64; 9]> {
    let x = |i: usize| 0.01 * i as f64;
    (0..n)
        .map(|i| [x(i), -x(i), 1.0, 2.0 - x(i), -x(i), x(i + 1), 0.5, 1.5, f64::from(i % 3 == 2)])
        .collect()
}

const HEADER: &str =
    "obs_0,obs_1,obs_2,action_0,reward,next_obs_0,next_obs_1,next_obs_2,terminated";

fn csv(header: &str, rows: &[[f64; 9]]) -> String {
    let line = |row: &[f64; 9]| row.map(|x| x.to_string()).join(",");
    format!("{header}\n{}\n", rows.iter().map(line).collect::<Vec<_>>().join("\n"))
}

fn npz(path: &Path, rows: &[[f64; 9]], end: &str, flip: bool) {
    let column = |range: std::ops::Range<usize>| {
        let width = range.len();
        let flat: Vec<f64> = rows.iter().flat_map(|row| row[range.clone()].to_vec()).collect();
        let array = Tensor::from_vec(flat, (rows.len(), width), &candle_core::Device::Cpu).unwrap();
        if width == 1 { array.squeeze(1).unwrap() } else { array }
    };
    let ends = column(8..9);
    let ends = if flip { (1.0 - ends).unwrap() } else { ends };
    let action = column(3..4).unsqueeze(1).unwrap();
    let arrays = [
        ("obs", column(0..3)),
        ("action", action),
        ("reward", column(4..5)),
        ("next_obs", column(5..8)),
        (end, ends),
    ];
    Tensor::write_npz(&arrays, path).unwrap();
}

fn with_data(path: &Path) -> Hybrid {
    hybrid_with("sac", &[&format!("loop.data={:?}", path.display().to_string())])
}

#[test]
fn recorded_transitions_are_there_before_the_first_step() {
    let folder = TempDir::new().unwrap();
    let [one, two, three] = ["a.csv", "b.npz", "c.npz"].map(|name| folder.path().join(name));
    std::fs::write(&one, csv(HEADER, &rows(7))).unwrap();
    npz(&two, &rows(7), "terminated", false);
    npz(&three, &rows(7), "cont", true);
    for path in [&one, &two, &three] {
        let trainer = fresh(with_data(path), run_config("pendulum", 300)).unwrap();
        let agent = trainer.agent();
        assert_eq!((agent.real.len(), agent.counters.env_steps), (7, 0));
        for (row, want) in agent.real.iter().zip(rows(7)) {
            let want = want.map(|x| x as f32);
            assert_eq!((row.obs, row.next_obs), (&want[..3], &want[5..8]));
            assert_eq!((row.reward, row.cont), (want[4], 1.0 - want[8]));
            assert!((row.action[0] - want[3] / 2.0).abs() < 1e-6, "{:?}", row.action);
        }
    }
    // What was put there stays until it is pushed out.
    let run = TempDir::new().unwrap();
    let mut trainer =
        open_with(with_data(&one), factory("pendulum"), run_config("pendulum", 120), run.path());
    go(&mut trainer).unwrap();
    assert_eq!(trainer.agent().real.len(), 127);
    drop(trainer);
    // A resumed run does not need the file.
    let at_start = TempDir::new().unwrap();
    drop(open_with(
        with_data(&one),
        factory("pendulum"),
        run_config("pendulum", 120),
        at_start.path(),
    ));
    let hybrid = || with_data(&one);
    let hash = hash_of_data(&one).unwrap();
    std::fs::remove_file(&one).unwrap();
    for begun in [&run, &at_start] {
        let mut trainer =
            open_with(hybrid(), factory("pendulum"), run_config("pendulum", 150), begun.path());
        go(&mut trainer).unwrap();
        assert_eq!(trainer.agent().real.len(), 157);
    }
    std::fs::write(&one, csv(HEADER, &rows(6))).unwrap();
    let data = format!("loop.data={:?}", one.display().to_string());
    let changed = hybrid_with("sac", &[&data, &format!("loop.data_hash={hash}")]);
    refusal(changed, run_config("pendulum", 300), &["`loop.data`", "has changed", &hash]);
}

#[test]
fn files_that_cannot_be_are_refused_with_the_row() {
    let folder = TempDir::new().unwrap();
    let message = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let error = fresh(with_data(&path), run_config("pendulum", 300)).err().unwrap();
        assert!(matches!(error, Error::Config { .. }), "{error:?}");
        let message = error.to_string();
        assert!(message.contains("`loop.data`") && message.contains(name), "{message}");
        message
    };
    let good = csv(HEADER, &rows(3));
    let mut number = rows(3);
    number[1][4] = f64::NAN;
    let mut beyond = rows(3);
    beyond[2][0] = 1e39;
    let mut action = rows(3);
    action[0][3] = 2.5;
    let mut end = rows(3);
    end[1][8] = 0.5;
    for (text, words) in [
        (csv(HEADER, &number), "line 3: `reward`: expected a finite number, got NaN"),
        (csv(HEADER, &beyond), "line 4: `obs`: expected a finite number, got 1"),
        (csv(HEADER, &action), "line 2: `action`: expected a number from -2 to 2, got 2.5"),
        (csv(HEADER, &end), "line 3: `cont`: expected 0 or 1, got 0.5"),
        (good.replace("0.5", "half"), "line 2: `next_obs_1`: expected a number, got `half`"),
        (good.replace("reward", "price"), "has no column `reward`"),
        (good.replace(",obs_2", ",obs_3"), "has no column `obs_2`"),
        (
            csv(&HEADER.replace("reward", "obs_3"), &rows(3)),
            "has a column `obs_3`; expected 3 of `obs`",
        ),
        (good.replace("terminated", "done"), "expected one of `terminated` and `cont`"),
        (format!("{HEADER}\n1,2,3\n"), "3 fields"),
        (format!("{HEADER}\n"), "holds no transition"),
        (String::new(), "expected one of `terminated` and `cont`"),
    ] {
        let message = message("a.csv", &text);
        assert!(message.contains(words), "`{words}` is not in: {message}");
    }
    assert!(message("a.txt", &good).contains("expected a file .csv or .npz"));
    assert!(message("a.npz", &good).contains("numpy.savez"));
    let path = folder.path().join("b.npz");
    let of_path = |words: &str| {
        let message =
            fresh(with_data(&path), run_config("pendulum", 300)).err().unwrap().to_string();
        assert!(message.contains(words) && message.contains("b.npz"), "{message}");
    };
    npz(&path, &number, "terminated", false);
    of_path("row 1: `reward`: expected a finite number, got NaN");
    npz(&path, &rows(3), "done", false);
    of_path("expected one of `terminated` and `cont`");
    npz(&path, &[], "cont", false);
    of_path("holds no transition");
    let error = Recorded::read(&path, 2, 1).unwrap_err().to_string();
    assert!(
        error.contains("holds no transition") || error.contains("expected the shape"),
        "{error}"
    );
    npz(&path, &rows(4), "cont", false);
    let error = Recorded::read(&path, 2, 1).unwrap_err().to_string();
    assert!(error.contains("array `obs`: expected the shape [4,2], got [4, 3]"), "{error}");

    std::fs::remove_file(&path).unwrap();
    let missing = fresh(with_data(&path), run_config("pendulum", 300)).err().unwrap();
    assert!(missing.to_string().contains("b.npz"), "{missing}");
    npz(&path, &rows(80), "cont", false);
    let data = format!("loop.data={:?}", path.display().to_string());
    let small = hybrid_with("sac", &[&data, "loop.replay=64"]);
    refusal(
        small,
        run_config("pendulum", 300),
        &["holds 80 transitions; expected at most `loop.replay`, 64"],
    );
}
