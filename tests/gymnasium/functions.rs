//! Functions of a batch beside a Python environment.

use candle_core::{Tensor, Var};
use hstep::shape::{Spec, to_f64};

use super::*;

fn falls(name: &str) -> Gymnasium {
    Gymnasium::new(&format!("gym:falls:{name}"), &options()).unwrap()
}

/// Observations, normalised actions and next observations of `n` rows.
fn batch(n: usize) -> [Tensor; 3] {
    let spec = Spec::f32();
    let rows = |width: usize, f: &dyn Fn(usize) -> f64| {
        let all: Vec<f64> = (0..n * width).map(f).collect();
        spec.tensor(&all, (n, width)).unwrap()
    };
    [
        rows(2, &|i| i as f64 / 2.0),
        rows(1, &|i| 0.25 * (i % 5) as f64),
        rows(2, &|i| (i % 3) as f64),
    ]
}

#[test]
fn ends_and_rewards_of_a_batch_are_those_of_python() {
    let env = falls("Told-v0");
    let known = env.known();
    let (continuation, reward) = (known.continuation.unwrap(), known.reward.unwrap());
    // More than a frame holds: 40 bytes a row.
    for n in [0, 1, 7, 500_000] {
        let [s, a, next] = batch(n);
        let cont = continuation(&s, &a, &next).unwrap();
        assert_eq!((cont.dims(), cont.dtype()), (&[n][..], s.dtype()));
        let lean: Vec<f64> = to_f64(&next).unwrap().into_iter().step_by(2).collect();
        let want: Vec<f64> = lean.iter().map(|x| f64::from(u8::from(x.abs() <= 1.2))).collect();
        assert!(to_f64(&cont).unwrap() == want);
        let got = to_f64(&reward(&s, &a, &next).unwrap()).unwrap();
        for i in [0, 3, n / 2, n.saturating_sub(1)].into_iter().filter(|i| *i < n) {
            let want = 10.0 * i as f64 + 0.25 * (i % 5) as f64 + 0.1 * lean[i];
            assert!((got[i] - want).abs() < 1e-6 * want.abs().max(1.0), "{i}: {} {want}", got[i]);
        }
    }
    // They outlive their environment.
    drop(env);
    let [s, a, next] = batch(3);
    assert_eq!(to_f64(&continuation(&s, &a, &next).unwrap()).unwrap(), [1.0, 0.0, 1.0]);
}

#[test]
fn what_an_environment_does_not_have_is_not_known() {
    let known = falls("Falls-v0").known();
    // Its `reward` takes one argument.
    assert!(known.continuation.is_none() && known.reward.is_none());
    // A function of the module that the name gives.
    let folder = tempfile::tempdir().unwrap();
    let text = "from falls import *\n\n\ndef terminated(obs, action, next_obs):\n    return [True for \
                _ in obs]\n";
    std::fs::write(folder.path().join("beside.py"), text).unwrap();
    let mut options = options();
    options.path.push(folder.path().into());
    for (name, cont) in [("Falls-v0", 0.0), ("Told-v0", 1.0)] {
        let env = Gymnasium::new(&format!("gym:beside:{name}"), &options).unwrap();
        let [s, a, next] = batch(1);
        let got = env.known().continuation.unwrap()(&s, &a, &next).unwrap();
        assert_eq!(to_f64(&got).unwrap(), [cont], "{name}");
    }
}

#[test]
fn answers_of_functions_are_checked() {
    let [s, a, next] = batch(4);
    let told = "expected bool of shape (4,): one for each row of the batch";
    for (how, words) in [
        ("raise", &["ValueError: which side is up?", "in terminated"][..]),
        ("one", &["it returned bool of shape ()", told]),
        ("few", &["it returned bool of shape (3,)", told]),
        ("numbers", &["it returned float of shape (4,)", told]),
    ] {
        let mut env = falls(&format!("Mistold-v0?how={how}"));
        let text = message(env.known().continuation.unwrap()(&s, &a, &next));
        let operation = "`terminated(obs, action, next_obs)` failed in Python:";
        for word in words.iter().chain([&operation]) {
            assert!(text.contains(word), "`{word}` is not in:\n{text}");
        }
        // The environment goes on.
        env.reset(&mut Rng::new(0)).unwrap();
    }
    // Actions come in the environment's own units: 0 is the middle of -3 and 5.
    let env = falls("Mistold-v0?how=action");
    let ends = env.known().continuation.unwrap()(&s, &a, &next).unwrap();
    assert_eq!(to_f64(&ends).unwrap(), [1.0, 1.0, 1.0, 1.0]);
    let high = (a.ones_like().unwrap() * 0.9).unwrap();
    let ends = env.known().continuation.unwrap()(&s, &high, &next).unwrap();
    assert_eq!(to_f64(&ends).unwrap(), [0.0; 4]);
    let reward = env.known().reward.unwrap();
    let text = message(reward(&s, &a, &next));
    assert!(text.contains("it returned nan in row 0; expected finite numbers"), "{text}");
    // A gradient is not left out in silence.
    let action = Var::from_tensor(&a).unwrap();
    let text = message(reward(&s, action.as_tensor(), &next));
    assert!(
        text.contains("has no gradient") && text.contains("`model.learn_reward=true`"),
        "{text}"
    );
}

#[test]
fn pictures_are_those_of_pythons_renderer() {
    let mut env = falls("Seen-v0?render_mode=rgb_array");
    let obs = env.reset(&mut Rng::new(3)).unwrap();
    let image = env.picture().unwrap().unwrap();
    assert_eq!((image.width, image.height, image.rgb.len()), (40, 20, 40 * 20 * 3));
    let at = (20.0 + 10.0 * obs[0]) as usize;
    let dark: Vec<usize> = (0..40).filter(|x| image.rgb[3 * x..][..3] == [20, 30, 60]).collect();
    assert_eq!(dark, [at]);
    // Without being asked for when it is made there is none.
    let mut blind = falls("Seen-v0");
    blind.reset(&mut Rng::new(3)).unwrap();
    assert!(blind.picture().unwrap().is_none());
    let mut wrong = falls("Seen-v0?render_mode=rgb_array&wrong=none");
    wrong.reset(&mut Rng::new(3)).unwrap();
    let error = wrong.picture().unwrap_err().to_string();
    assert!(error.contains("render returned") && error.contains("[height, width, 3]"), "{error}");
}
