//! What native environments look like: bodies of their true lengths, inside the picture.

use hstep::env::native::{self, Acrobot, Leg2R, Native, Pendulum, Reacher2};
use hstep::env::scene::{Part, Point, Role, Scene, Shape};
use hstep::env::{Env, Simulator};
use hstep::rng::Rng;

fn length([a, b]: [Point; 2]) -> f64 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}

/// The ends of the capsules of a role.
fn capsules(scene: &Scene, role: Role) -> Vec<[Point; 2]> {
    let ends = |part: &Part| match part.shape {
        Shape::Capsule { ends, .. } if part.role == role => Some(ends),
        _ => None,
    };
    scene.parts.iter().filter_map(ends).collect()
}

/// Every point of a scene with its distance to the shape's edge.
fn extent(scene: &Scene) -> Vec<(Point, f64)> {
    let of = |part: &Part| match &part.shape {
        Shape::Capsule { ends, radius } => ends.iter().map(|&end| (end, *radius)).collect(),
        Shape::Circle { centre, radius } => vec![(*centre, *radius)],
        Shape::Path(points) => points.iter().map(|&point| (point, 0.0)).collect::<Vec<_>>(),
    };
    scene.parts.iter().flat_map(of).chain(scene.traced.iter().map(|&p| (p, 0.0))).collect()
}

#[test]
fn every_native_task_with_a_body_shows_it_and_stays_in_the_picture() {
    for name in native::names() {
        let mut env = native::make(name).unwrap();
        let mut rng = Rng::new(7);
        env.reset(&mut rng).unwrap();
        let Some(first) = env.scene() else {
            assert_eq!(*name, "stand-in");
            continue;
        };
        let (mut rng, mut moved) = (rng.fork("actions"), false);
        for _ in 0..40 {
            let info = env.info().clone();
            let action = info.action_low.iter().map(|_| 0.4 * rng.uniform() - 0.2);
            let action: Vec<f64> = action.collect();
            env.step(&info.denormalise(&action).unwrap()).unwrap();
            let scene = env.scene().unwrap();
            assert_eq!(scene.camera.size, first.camera.size);
            assert_eq!(scene.parts.len(), first.parts.len());
            assert_eq!(scene.traced.len(), first.traced.len());
            let [w, h] = scene.camera.size;
            for (point, reach) in extent(&scene) {
                let inside = |i: usize, size: f64| {
                    (point[i] - scene.camera.centre[i]).abs() + reach <= 0.5 * size
                };
                // The mass of the double integrator is followed, its target is not.
                let side = *name == "double-integrator" || inside(0, w);
                assert!(side && inside(1, h), "{name}: {point:?} with {reach}");
            }
            moved |= scene != first;
        }
        assert!(moved, "{name}");
    }
}

#[test]
fn a_pendulum_is_upright_at_zero_and_turns_to_the_left() {
    let mut env = Native::new(Pendulum::default());
    let mut rod = |angle: f64| {
        env.reset_to(&[angle, 0.0]).unwrap();
        capsules(&env.scene().unwrap(), Role::Body)[0][1]
    };
    assert_eq!(rod(0.0), [0.0, 1.0]);
    assert!(rod(0.5)[0] < -0.4 && rod(0.5)[1] > 0.8);
}

#[test]
fn two_links_have_their_lengths_and_end_at_the_tip() {
    let state = [0.7, -0.4, 0.1, 0.2];
    let scenes = [
        (Native::new(Acrobot::default()).with(&state), Acrobot::body(), true),
        (Native::new(Leg2R::default()).with(&[0.7, -0.4, 0.1, 0.2, 1.0]), Leg2R::body(), true),
        (
            Native::new(Reacher2::default()).with(&[0.7, -0.4, 0.1, 0.2, 0.3, 0.4]),
            Reacher2::body(),
            false,
        ),
    ];
    for (scene, body, hangs) in scenes {
        let (first, second) = (capsules(&scene, Role::Body)[0], capsules(&scene, Role::Limb)[0]);
        // The rounding of a few sums of numbers below 1.
        assert!((length(first) - body.links[0].length).abs() < 1e-12);
        assert!((length(second) - body.links[1].length).abs() < 1e-12);
        assert_eq!((first[0], first[1]), ([0.0, 0.0], second[0]));
        let ([x, y], _) = body.tip(&state);
        assert_eq!(second[1], if hangs { [y, -x] } else { [x, y] });
        assert_eq!(scene.traced, [second[1]]);
    }
    // The point to reach or to follow is where the reward has it.
    let targets = |scene: &Scene| -> Vec<Point> {
        let of = |part: &Part| match part.shape {
            Shape::Circle { centre, .. } if part.role == Role::Target => Some(centre),
            _ => None,
        };
        scene.parts.iter().filter_map(of).collect()
    };
    let scene = Native::new(Reacher2::default()).with(&[0.0, 0.0, 0.0, 0.0, 0.3, 0.4]);
    assert_eq!(targets(&scene), [[0.3, 0.4]]);
    let ([down, forward], _) = Leg2R::desired(1.0);
    let scene = Native::new(Leg2R::default()).with(&[0.0, 0.0, 0.0, 0.0, 1.0]);
    assert_eq!(targets(&scene), [[forward, -down]]);
}

/// The scene of a state.
trait With {
    fn with(self, state: &[f64]) -> Scene;
}

impl<P: native::Physics> With for Native<P> {
    fn with(mut self, state: &[f64]) -> Scene {
        self.reset_to(state).unwrap();
        // What is restored looks as what was saved.
        let scene = self.scene().unwrap();
        let saved = self.save();
        self.step(&self.info().action_high.clone()).unwrap();
        self.restore(&saved).unwrap();
        assert_eq!(self.scene().unwrap(), scene);
        scene
    }
}
