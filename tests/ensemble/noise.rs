//! Settings of the noise: rollouts by the means, beta-NLL, and improvements that stand out of it.

use candle_core::Tensor;
use hstep::dynamics::{Dynamics, EnsembleConfig, Member, NoiseKind, StepNoise};
use hstep::env::Known;
use hstep::rng::Rng;
use hstep::shape::{Spec, to_f64};

use super::made::{arbitrary, close};
use super::{fitted, small};

const KINDS: [NoiseKind; 3] = [NoiseKind::PerInput, NoiseKind::PerOutput, NoiseKind::Residual];

#[test]
fn rollouts_that_do_not_scatter_go_on_with_the_means() {
    for (noise, learn_termination) in KINDS.into_iter().flat_map(|k| [(k, None), (k, Some(true))]) {
        for spec in [Spec::f64(), Spec::f64().plain(), Spec::f32()] {
            let config = EnsembleConfig { noise: Some(noise), learn_termination, ..small() };
            let quiet = EnsembleConfig { scatter: Some(false), ..config.clone() };
            let made = |config| arbitrary(config, (2, 1), Known::default(), 3, &spec);
            let (loud, quiet) = (made(&config), made(&quiet));
            let ends = usize::from(learn_termination.is_some());
            assert_eq!((loud.noise_dim(), quiet.noise_dim()), (3 + ends, ends), "{noise:?}");
            let mut rng = Rng::new(1);
            let [s, a] = [2, 1].map(|width| rng.normals((5, width), &spec).unwrap());
            let step = |model: &dyn Dynamics, eps: Option<Tensor>| {
                let noise = StepNoise { normal: eps, member: Member::Best };
                to_f64(&model.step(&s, &a, &noise).unwrap().next).unwrap()
            };
            let eps = |width: usize| (width > 0).then(|| spec.zeros((5, width)).unwrap() + 1.0);
            let mean = step(&loud, None);
            assert!(step(&loud, eps(3 + ends).map(Result::unwrap)) != mean, "{noise:?}");
            close(&step(&quiet, eps(ends).map(Result::unwrap)), &mean, 1e-12, "no scatter");
        }
    }
}

#[test]
fn an_improvement_has_to_stand_out_of_the_noise() {
    let base = EnsembleConfig { patience: 3, improvement: 0.0, max_epochs: Some(40), ..small() };
    let epochs = |significance| {
        let config = EnsembleConfig { significance, ..base.clone() };
        fitted(&config, 600, &Spec::f64()).1.epochs
    };
    let [unset, any, clear, never] = [None, Some(0.0), Some(2.0), Some(1e9)].map(epochs);
    // A mean that is lower is lower by some standard errors.
    assert_eq!(unset, any);
    assert!(clear < any, "{clear} against {any}");
    // The first epoch has nothing to be compared with.
    assert_eq!(never, 1 + 3);
}
