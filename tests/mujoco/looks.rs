//! What the tasks look like: drawn from the poses of their bodies, and by MuJoCo's own renderer.

use super::{bits, on_its_way, random_action, task};
use hstep::env::mujoco::{self, Kind};
use hstep::env::scene::{Ground, Part, Role, Scene, Shape};
use hstep::env::{Env, Simulator};
use hstep::rng::Rng;

fn near(a: [f64; 2], b: [f64; 2]) -> bool {
    (a[0] - b[0]).hypot(a[1] - b[1]) < 1e-5
}

/// Whether there is such a capsule, in either direction.
fn has(scene: &Scene, role: Role, from: [f64; 2], to: [f64; 2], radius: f64) -> bool {
    scene.parts.iter().any(|part| match part.shape {
        Shape::Capsule { ends: [a, b], radius: r } => {
            let same = near(a, from) && near(b, to) || near(a, to) && near(b, from);
            part.role == role && (r - radius).abs() < 1e-6 && same
        }
        _ => false,
    })
}

#[test]
fn a_pose_is_drawn_where_its_joints_say() {
    let mut env = task("HalfCheetah-v4");
    // 3 m away, a quarter turn about y: the head, in front, points downwards.
    let mut qpos = [0.0; 9];
    (qpos[0], qpos[1], qpos[2]) = (3.0, 0.5, std::f64::consts::FRAC_PI_2);
    env.reset_to(&qpos, &[0.0; 9]).unwrap();
    let scene = env.scene().unwrap();
    // The torso is a rod of 1 m about the root, which stands 0.7 m above the ground at 0.
    assert!(has(&scene, Role::Body, [3.0, 1.7], [3.0, 0.7], 0.046), "{scene:?}");
    assert_eq!((scene.camera.centre[0], &scene.ground), (3.0, &Some(Ground::Level(0.0))));
    assert_eq!(scene.time_step, Some(0.05));
    let count = |role| scene.parts.iter().filter(|part: &&Part| part.role == role).count();
    // Torso and head; thigh, shin and foot of either leg.
    assert_eq!([Role::Body, Role::Limb, Role::OtherLimb].map(count), [2, 3, 3]);
    // The hind leg hangs from the rear end of the torso, which is above now.
    let mean = |role: Role| {
        let of = |part: &Part| match part.shape {
            Shape::Capsule { ends, .. } if part.role == role => {
                Some(0.5 * (ends[0][1] + ends[1][1]))
            }
            _ => None,
        };
        scene.parts.iter().filter_map(of).sum::<f64>() / 3.0
    };
    assert!(mean(Role::Limb) > 1.2 && mean(Role::OtherLimb) < 1.2);

    // The arm of the reacher from above: the second link a right angle to the left of the first.
    let mut env = task("Reacher-v4");
    env.reset_to(&[0.0, std::f64::consts::FRAC_PI_2, 0.15, -0.05], &[0.0; 4]).unwrap();
    let scene = env.scene().unwrap();
    assert!(has(&scene, Role::Body, [0.0, 0.0], [0.1, 0.0], 0.01), "{scene:?}");
    assert!(has(&scene, Role::Limb, [0.1, 0.0], [0.1, 0.1], 0.01), "{scene:?}");
    let target = scene.parts.iter().find(|part| part.role == Role::Target).unwrap();
    assert!(matches!(target.shape, Shape::Circle { centre, .. } if near(centre, [0.15, -0.05])));
}

#[test]
fn every_task_is_drawn_in_every_state() {
    for name in mujoco::names() {
        let mut rng = Rng::new(7);
        let mut env = task(name);
        env.reset(&mut rng).unwrap();
        let first = env.scene().unwrap();
        assert!(first.parts.len() >= 2, "{name}");
        for _ in 0..20 {
            let before = env.save();
            let step = env.step(&random_action(&env, &mut rng)).unwrap();
            let scene = env.scene().unwrap();
            assert_eq!(scene.camera.size, first.camera.size, "{name}");
            assert_eq!(scene.parts.len(), first.parts.len(), "{name}");
            assert_ne!(scene.parts, first.parts, "{name}");
            // Something of the body is in the middle of the picture.
            let [[x, y], [w, h]] = [scene.camera.centre, scene.camera.size];
            assert!(
                scene.parts.iter().any(|part| {
                    let at = match &part.shape {
                        Shape::Circle { centre, .. } => *centre,
                        Shape::Capsule { ends, .. } => ends[0],
                        Shape::Path(points) => points[0],
                    };
                    (at[0] - x).abs() < 0.3 * w && (at[1] - y).abs() < 0.4 * h
                }),
                "{name}"
            );
            // Drawing is no part of the simulation, and follows what is restored.
            let after = env.save();
            env.restore(&before).unwrap();
            env.scene().unwrap();
            env.restore(&after).unwrap();
            assert_eq!(env.scene().unwrap(), scene, "{name}");
            assert_eq!(bits(&env.save()), bits(&after), "{name}");
            if step.terminated {
                env.reset(&mut rng).unwrap();
            }
        }
    }
}

#[test]
fn shapes_have_the_names_and_sizes_of_the_model() {
    let env = on_its_way("Ant-v5", &mut Rng::new(3));
    let sizes = env.data().model().sizes().integration;
    let geoms = env.data().model().geoms(&env.save()[..sizes]).unwrap();
    assert_eq!((geoms.len(), geoms[0].kind, geoms[0].name.as_str()), (14, Kind::Plane, "floor"));
    assert_eq!((geoms[1].kind, geoms[1].size[0]), (Kind::Sphere, 0.25));
    let error = env.data().model().geoms(&[0.0; 3]).unwrap_err().to_string();
    assert!(error.contains(&format!("[{sizes}]")), "{error}");
}

#[test]
fn mujoco_paints_or_says_what_is_missing() {
    let mut rng = Rng::new(11);
    let mut env = on_its_way("HalfCheetah-v4", &mut rng);
    let mut painter = match env.painter([160, 90]) {
        Ok(painter) => painter,
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains("OSMesa") && text.contains("libosmesa6"), "{text}");
            return;
        }
    };
    let state = env.save();
    let first = painter.paint(&state).unwrap();
    assert_eq!((first.width, first.height, first.rgb.len()), (160, 90, 3 * 160 * 90));
    // The sky is grey, the body's colour is not: more red than blue, about the middle.
    let pixel = |x: usize, y: usize| &first.rgb[3 * (y * 160 + x)..][..3];
    let colourful = |p: &[u8]| p[0].saturating_sub(p[2]) > 30;
    assert!(!(0..160).any(|x| colourful(pixel(x, 2))));
    let body = (0..90).flat_map(|y| (0..160).map(move |x| (x, y)));
    let body: Vec<_> = body.filter(|&(x, y)| colourful(pixel(x, y))).collect();
    assert!((100..3000).contains(&body.len()), "{}", body.len());
    let mean = |along: fn(&(usize, usize)) -> usize| {
        body.iter().map(along).sum::<usize>() as f64 / body.len() as f64
    };
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    // The camera stands a little higher than the body: that is in the lower half.
    assert!((50.0..110.0).contains(&x) && (48.0..80.0).contains(&y), "{x} {y}");
    // The same state gives the same picture, another state another one.
    assert_eq!(painter.paint(&state).unwrap(), first);
    for _ in 0..5 {
        env.step(&random_action(&env, &mut rng)).unwrap();
    }
    assert_ne!(painter.paint(&env.save()).unwrap(), first);
    assert!(painter.paint(&[0.0; 3]).unwrap_err().to_string().contains("saved state"));
    // A second renderer beside the first, of another model and size.
    let other = on_its_way("Ant-v4", &mut rng);
    let mut second = other.painter([64, 64]).unwrap();
    assert_eq!(second.paint(&other.save()).unwrap().width, 64);
    assert_eq!(painter.paint(&state).unwrap(), first);
    drop(second);
    assert_eq!(painter.paint(&state).unwrap(), first);
    assert!(env.painter([0, 10]).is_err());
}
