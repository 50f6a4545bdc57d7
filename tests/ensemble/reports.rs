//! Open-loop error, and messages about bad data and bad numbers.

use hstep::dynamics::{Ensemble, EnsembleConfig, Recorded, open_loop_error};
use hstep::env::Known;
use hstep::rng::Rng;
use hstep::shape::Spec;

use super::{A, SIGMA, fitted, linear_gaussian, small, truth};

#[test]
fn open_loop_error_grows_from_the_one_step_error() {
    let (ensemble, report) = fitted(&small(), 3000, &Spec::f32());
    let mut rng = Rng::new(8);
    let (mut s, mut obs, mut action) = ([0.5, -0.5], vec![], vec![]);
    for _ in 0..400 {
        obs.extend(s.map(|x| x as f32));
        let a = 2.0 * rng.uniform() - 1.0;
        action.push(a as f32);
        let y = truth(s, a);
        s = [y[0] + SIGMA[0] * rng.normal(), y[1] + SIGMA[1] * rng.normal()];
    }
    obs.extend(s.map(|x| x as f32));
    let stretch = [Recorded { obs: &obs, action: &action, state: &[] }];
    let open = open_loop_error(&ensemble.mean(), &stretch, 5).unwrap();
    assert_eq!((open.starts, open.rmse.len(), open.rmse[0].len()), (396, 5, 2));
    // The error's covariance follows P' = A P A' + diag(sigma^2).
    let (mut p, mut want) = ([[0.0; 2]; 2], vec![]);
    for _ in 0..5 {
        let mut next = [[0.0; 2]; 2];
        for (i, row) in next.iter_mut().enumerate() {
            for (j, x) in row.iter_mut().enumerate() {
                for k in 0..2 {
                    for l in 0..2 {
                        *x += A[i][k] * p[k][l] * A[j][l];
                    }
                }
            }
            row[i] += SIGMA[i] * SIGMA[i];
        }
        p = next;
        want.push([p[0][0].sqrt(), p[1][1].sqrt()]);
    }
    for (got, want) in open.rmse.iter().zip(want) {
        for d in 0..2 {
            assert!((got[d] / want[d] - 1.0).abs() < 0.2, "{got:?} {want:?}");
        }
    }
    assert!((open.rmse[0][1] / report.calibration.rmse[1] - 1.0).abs() < 0.15);
    assert!(open_loop_error(&ensemble, &stretch, 0).is_err());
    assert!(open_loop_error(&ensemble, &stretch, 401).is_err());
}

#[test]
fn bad_data_and_bad_numbers_are_named() {
    let mut rng = Rng::new(4);
    let mut e = Ensemble::new(&small(), 2, 1, Known::default(), &mut rng, &Spec::f32()).unwrap();
    let few = linear_gaussian(9, &mut rng);
    let message = e.fit(&few.view(), &mut rng).unwrap_err().to_string();
    assert!(message.contains("at least 10"), "{message}");
    let mut data = linear_gaussian(50, &mut rng);
    data.reward[17] = f32::NAN;
    let message = e.fit(&data.view(), &mut rng).unwrap_err().to_string();
    assert!(message.contains("`reward`") && message.contains("row 17"), "{message}");
    data.reward[17] = 0.0;
    data.action.pop();
    let message = e.fit(&data.view(), &mut rng).unwrap_err().to_string();
    assert!(message.contains("`action`") && message.contains("50 rows of 1"), "{message}");
    data.action.push(0.0);
    // A network that is already broken is noticed at the first loss.
    let n = e.net().params().len();
    e.net().params().set_flat(&vec![f64::NAN; n]).unwrap();
    let message = e.fit(&data.view(), &mut rng).unwrap_err().to_string();
    assert!(message.contains("model loss") && message.contains("gradient step 1"), "{message}");

    let bad: [(&str, EnsembleConfig); 6] = [
        ("elites", EnsembleConfig { elites: 5, ..small() }),
        ("lr", EnsembleConfig { lr: f64::NAN, ..small() }),
        ("holdout_ratio", EnsembleConfig { holdout_ratio: 1.0, ..small() }),
        ("weight_decay", EnsembleConfig { weight_decay: vec![0.1], ..small() }),
        ("logvar_min", EnsembleConfig { logvar_min: 1.0, ..small() }),
        ("batch", EnsembleConfig { batch: 0, ..small() }),
    ];
    for (key, config) in bad {
        let made = Ensemble::new(&config, 2, 1, Known::default(), &mut rng, &Spec::f32());
        let message = made.err().unwrap().to_string();
        assert!(message.contains(&format!("`model.{key}`")), "{message}");
    }
    let parsed = toml::from_str::<EnsembleConfig>("member = 3").unwrap_err().to_string();
    assert!(parsed.contains("unknown field"), "{parsed}");
    assert_eq!(toml::from_str::<EnsembleConfig>("").unwrap(), EnsembleConfig::default());
}
