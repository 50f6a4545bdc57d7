//! Planners against Riccati's solution and against the Gaussian that the prior ratio tilts to.

use candle_core::Tensor;
use hstep::objective::{Actions, Noise};
use hstep::planner::{
    Ascent, Base, Cem, CemConfig, EliteWeights, Gradient, GradientConfig, MirrorDescent,
    MirrorDescentConfig, Mppi, MppiConfig, Planner, Problem, Utility, shifted,
};

use super::fixtures::*;

/// Noise and temperature shrink over the iterations to 2 % and 0.1 % of their start.
fn decays(iterations: usize) -> (f64, f64) {
    (0.02_f64.powf(1.0 / iterations as f64), 1e-3_f64.powf(1.0 / iterations as f64))
}

/// Every planner without a prior ratio; `curvature` is the largest of `J`'s.
fn planners(
    count: usize,
    iterations: usize,
    noise: f64,
    curvature: f64,
) -> Vec<(String, Box<dyn Planner>)> {
    let (noise_decay, temperature_decay) = decays(iterations);
    let samples = samples(count, 1, f64::INFINITY);
    let annealed = MirrorDescentConfig {
        samples: samples.clone(),
        iterations,
        noise,
        noise_decay,
        temperature_decay,
        ..MirrorDescentConfig::default()
    };
    let elites = |weights| MirrorDescentConfig { weights, ..annealed.clone() };
    // The plain cost moves by step x noise^2 x gradient, so its step is the inverse curvature in
    // that unit, and the noise stays as it is.
    let cost = MirrorDescentConfig {
        utility: Utility::Cost,
        noise: 0.2,
        noise_decay: 1.0,
        step: 1.0 / (0.04 * curvature),
        ..annealed.clone()
    };
    let exponential = MirrorDescentConfig { utility: Utility::Exponential, ..annealed.clone() };
    // The elites' variance shrinks on the way as well as at the goal: a wide start, smoothed.
    let cem = CemConfig {
        samples: samples.clone(),
        iterations,
        noise: 4.0 * noise,
        truncation: f64::INFINITY,
        smoothing: 0.5,
        settled: 0.0,
        ..CemConfig::default()
    };
    let plain = MppiConfig {
        samples,
        iterations,
        noise,
        noise_decay,
        temperature_decay,
        ..MppiConfig::default()
    };
    let mut all: Vec<(String, Box<dyn Planner>)> =
        vec![("mppi".into(), Box::new(Mppi::new(plain)))];
    for (name, config) in [
        ("shifted", elites(EliteWeights::Shifted)),
        ("uniform", elites(EliteWeights::Uniform)),
        ("softmax", elites(EliteWeights::Softmax)),
        ("exponential", exponential),
        ("cost", cost),
    ] {
        all.push((name.into(), Box::new(MirrorDescent::new(config))));
    }
    all.push(("cem".into(), Box::new(Cem::new(cem))));
    for (name, ascent, steps) in [("adam", Ascent::Adam, 300), ("l-bfgs", Ascent::Lbfgs, 50)] {
        let unclipped = super::fixtures::samples(1, 1, f64::INFINITY);
        let config = GradientConfig { samples: unclipped, ascent, steps, ..Default::default() };
        all.push((name.into(), Box::new(Gradient::new(config))));
    }
    all
}

fn curvature(system: &System, horizon: usize) -> f64 {
    let n = system.lqr.b.dims().0;
    system.quadratic(&vec![0.0; n], horizon).curvature.spectral_norm().unwrap()
}

#[test]
fn plans_with_the_exact_value_are_within_a_percent_of_the_optimum() {
    for (name, system) in [("integrator", System::integrator()), ("random", System::random(3))] {
        let n = system.lqr.b.dims().0;
        let objective = system.objective(6);
        let s0 = normals(11, &[4, n]);
        let best = numbers(&system.value.value(&s0).unwrap());
        for (planner_name, planner) in planners(300, 60, 1.0, curvature(&system, 6)) {
            let plan =
                planner.plan(&Problem { objective, s0: &s0, base: Base::Zero }, key(12)).unwrap();
            let j = objective.objective(&s0, Actions::Open(&plan.actions), &Noise::default());
            for (start, (j, best)) in numbers(&j.unwrap()).iter().zip(&best).enumerate() {
                let short = (best - j) / best.abs();
                // The sequence is open-loop but the system deterministic: none is better than V*,
                // up to rounding.
                let what = format!("{name}, {planner_name}, start {start}: {j} of {best}");
                assert!((-1e-12..0.01).contains(&short), "{what}");
            }
        }
    }
}

#[test]
fn replanning_every_step_costs_the_optimum_in_the_long_run() {
    let system = System::integrator();
    let objective = system.objective(5);
    let starts = [[1.0, 0.0], [-0.5, 1.5], [2.0, -1.0]];
    for (name, planner) in planners(100, 15, 1.0, curvature(&system, 5)) {
        let mut s = tensor(starts.as_flattened(), &[3, 2]);
        let (mut costs, mut discount, mut warm) = ([0.0; 3], 1.0, None::<Tensor>);
        for t in 0..100 {
            let base = warm.as_ref().map_or(Base::Zero, Base::Open);
            let plan = planner.plan(&Problem { objective, s0: &s, base }, key(t)).unwrap();
            let (states, actions) = (numbers(&s), numbers(&plan.first().unwrap()));
            let mut next = Vec::new();
            for (i, (s, u)) in states.chunks(2).zip(&actions).enumerate() {
                let lqr = &system.lqr;
                let stage = lqr.q.quadratic(s).unwrap() + lqr.r.at(0, 0) * u * u;
                costs[i] += discount * stage;
                let moved = lqr.a.mul(&column(s)).unwrap().add(*u, &lqr.b).unwrap();
                next.extend_from_slice(moved.data());
            }
            s = tensor(&next, &[3, 2]);
            warm = Some(shifted(&plan.mean).unwrap());
            discount *= system.lqr.gamma;
        }
        for (start, cost) in starts.iter().zip(costs) {
            let best = system.p.quadratic(start).unwrap();
            // What comes after 100 steps is 0.6 % of the stage costs there, which are next to 0.
            let what = format!("{name} from {start:?}: {cost} against {best}");
            assert!((-1e-6..0.01).contains(&((cost - best) / best)), "{what}");
        }
    }
}

#[test]
fn with_the_exact_value_the_first_action_is_riccatis_at_every_horizon() {
    const SEEDS: usize = 24;
    for (system, s) in
        [(System::integrator(), vec![1.0, -0.5]), (System::random(3), vec![1.0, -0.5, 0.3, 0.8])]
    {
        let want = system.optimal_action(&s);
        // Rows read different numbers, so equal rows are independent runs.
        let s0 = tensor(&s.repeat(SEEDS), &[SEEDS, s.len()]);
        for horizon in [1, 3, 6, 10] {
            let (noise_decay, temperature_decay) = decays(60);
            let config = MppiConfig {
                samples: samples(200, 1, f64::INFINITY),
                iterations: 60,
                noise: 1.0,
                noise_decay,
                temperature_decay,
                ..MppiConfig::default()
            };
            let plan = mppi(&config, system.objective(horizon), &s0, Base::Zero, key(21));
            let first = numbers(&plan.first().unwrap());
            for (i, want_i) in want.iter().enumerate() {
                let of_seeds: Vec<f64> =
                    first.iter().skip(i).step_by(want.len()).copied().collect();
                let (mean, error) = mean_and_error(&of_seeds);
                let what = format!("H={horizon} [{i}]: {mean} +- {error} against {want_i}");
                assert!((mean - want_i).abs() < 2.0 * error, "{what}");
                // The error is small enough to say something.
                assert!(error < 0.02 * want_i.abs().max(0.5), "{what}");
            }
        }
    }
}

#[test]
fn the_quadratic_of_the_matrices_is_the_objective() {
    for system in [System::integrator(), System::random(3)] {
        let (n, m) = system.lqr.b.dims();
        let (s0, x) = (normals(31, &[1, n]), normals(32, &[1, 4, m]));
        let j = system.objective(4).objective(&s0, Actions::Open(&x), &Noise::default()).unwrap();
        let quadratic = system.quadratic(&numbers(&s0), 4);
        close(&numbers(&j), &[quadratic.at(&numbers(&x))], 1e-12, "J");
        // Its greatest value is Riccati's, at Riccati's first action.
        let top = quadratic.maximiser();
        let best = -system.p.quadratic(&numbers(&s0)).unwrap();
        close(&[quadratic.at(&top)], &[best], 1e-10, "V*");
        close(&top[..m], &system.optimal_action(&numbers(&s0)), 1e-9, "-K s");
    }
}

#[test]
fn with_the_ratio_mppi_is_the_soft_solution() {
    // The KL-regularised optimum over open-loop sequences q,
    //   max_q E_q[J_H(x)] - lambda KL(q || N(0, sigma^2)) = lambda log Z,
    // is the tilted prior (Gibbs), a Gaussian whose mean and Z are known in closed form.
    let (sigma, lambda) = (0.5, 2.0);
    for (system, s, horizon) in [
        (System::integrator(), vec![1.0, -0.5], 5),
        (System::random(3), vec![0.6, -0.3, 0.2, 0.5], 2),
    ] {
        let (mean, log_z) = system.quadratic(&s, horizon).tilted(sigma, lambda);
        let config = MppiConfig {
            samples: samples(20_000, 1, f64::INFINITY),
            iterations: 4,
            temperature: lambda,
            noise: sigma,
            prior_ratio: true,
            ..MppiConfig::default()
        };
        let s0 = tensor(&s, &[1, s.len()]);
        let plan = mppi(&config, system.objective(horizon), &s0, Base::Zero, key(41));
        let (weights, x) = (numbers(&plan.weights), numbers(&plan.samples));
        let width = mean.len();
        for (i, (got, want)) in numbers(&plan.actions).iter().zip(&mean).enumerate() {
            let x: Vec<f64> = x.iter().skip(i).step_by(width).copied().collect();
            let error = standard_error(&weights, &x, *want);
            // Four standard errors: one in 16,000 for each of the few numbers.
            let what = format!("[{i}]: {got} +- {error} against {want}");
            assert!((got - want).abs() < 4.0 * error && error < 0.02, "{what}");
        }
        // The mean is not where the plan without the ratio goes: the test can tell.
        let top = system.quadratic(&s, horizon).maximiser();
        let apart = top.iter().zip(&mean).map(|(t, m)| (t - m).abs()).fold(0.0, f64::max);
        assert!(apart > 0.1, "{apart}");
        // Variance of the mean of K weights, relative to their mean: 1 / ESS - 1 / K.
        let effective = numbers(&plan.effective_samples)[0];
        let error = (1.0 / effective - 1.0 / 20_000.0).sqrt();
        let got = numbers(&plan.log_normaliser)[0];
        let what = format!("log Z: {got} +- {error} against {log_z}");
        assert!((got - log_z).abs() < 4.0 * error && error < 0.02, "{what}");
        close(&numbers(&plan.value), &[lambda * got], 1e-12, "value");
    }
}
