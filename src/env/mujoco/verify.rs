//! Whether a library computes what its version should: the offsets of its version are tried on a
//! model whose numbers are known in closed form.

use std::sync::Arc;

use super::{Data, Field, Geom, Kind, Library, Model, Parts, physical};
use crate::error::{Error, Result};

/// Two bodies far from each other, without gravity: a slider along x pushed by an actuator, and a
/// free ball that is pushed from outside; the slider also rubs.
const MODEL: &str = r#"
<mujoco>
  <option gravity="0 0 0" timestep="0.01"/>
  <worldbody>
    <body pos="1 2 3">
      <joint name="slide" type="slide" axis="1 0 0" frictionloss="0.5"/>
      <inertial pos="0 0 0.25" mass="2" diaginertia="0.1 0.1 0.1"/>
      <site name="mark" pos="0 0.5 0"/>
      <geom name="rod" type="capsule" size="0.125 0.5" pos="0 0 1" euler="0 90 0"
        contype="0" conaffinity="0"/>
    </body>
    <body pos="0 0 9">
      <freejoint/>
      <inertial pos="0 0 0" mass="3" diaginertia="0.2 0.2 0.2"/>
      <geom type="sphere" size="0.25" contype="0" conaffinity="0"/>
    </body>
  </worldbody>
  <actuator>
    <motor joint="slide" gear="4"/>
  </actuator>
</mujoco>
"#;

/// Every kind of parameter, each of another value.
const PARAMETERS: &str = r#"
<mujoco>
  <worldbody>
    <body name="a">
      <inertial pos="0 0 0" mass="2" diaginertia="0.125 0.25 0.375"/>
      <geom name="g" type="sphere" size="0.25" friction="0.5 0.0625 0.03125"/>
      <freejoint/>
    </body>
    <body name="b" pos="0 0 1">
      <inertial pos="0 0 0" mass="3" diaginertia="0.5 0.5 0.5"/>
      <joint name="j" type="hinge" axis="0 1 0" damping="0.75" frictionloss="0.875" armature="1.25"
        stiffness="1.5"/>
      <site name="s"/>
    </body>
    <site name="t" pos="0 0 2"/>
  </worldbody>
  <tendon>
    <spatial name="t" stiffness="1.75" damping="2.25"><site site="s"/><site site="t"/></spatial>
  </tendon>
</mujoco>
"#;

/// What [`PARAMETERS`] says.
const SAID: [(&str, f64); 10] = [
    ("mass:a", 2.0),
    ("mass:b", 3.0),
    ("inertia:a", 0.375),
    ("inertia:b", 0.5),
    ("friction:g", 0.5),
    ("stiffness:j", 1.5),
    ("damping:j", 0.75),
    ("frictionloss:j", 0.875),
    ("armature:j", 1.25),
    ("stiffness:t", 1.75),
];

/// # Errors
/// [`Error::Env`] naming the first field that holds something else.
pub(super) fn check(library: &Arc<Library>) -> Result<()> {
    let model: Arc<Model> = library.model_of_text("of the check at load", MODEL)?;
    let mut data = Data::new(&model)?;
    let wrong = |what: &str, expected: &[f64], got: &[f64]| {
        let problem = format!(
            "{library:?} does not compute what that version should: {what} should be {expected:?}, \
             got {got:?}; `hstep setup mujoco` fetches a good one"
        );
        Err(Error::env("mujoco", problem))
    };
    let sizes = model.sizes();
    let expected = [8.0, 7.0, 1.0, 3.0];
    let got = [sizes.positions, sizes.velocities, sizes.controls, sizes.bodies].map(|n| n as f64);
    if got != expected {
        return wrong("the sizes of a model", &expected, &got);
    }

    // The slider at 0.5 m and 0.75 m/s, pushed by 4 x 8 N; the ball turning at 2 rad/s about y and
    // pushed by 5 N along z.
    let (slow, push) = (0.75, 8.0);
    data.reset()?;
    data.set(Parts::QPOS, &[0.5, 0.0, 0.0, 9.0, 1.0, 0.0, 0.0, 0.0])?;
    data.set(Parts::QVEL, &[slow, 0.0, 0.0, 0.0, 0.0, 2.0, 0.0])?;
    data.set(Parts::CTRL, &[push])?;
    let mut forces = [0.0; 18];
    forces[14] = 5.0;
    data.set(Parts::XFRC_APPLIED, &forces)?;
    data.forward()?;
    data.external_forces()?;

    let first = |field: Field, from: usize, n: usize| {
        let numbers = data.field(field);
        numbers.get(from..from + n).map(<[f64]>::to_vec).unwrap_or_default()
    };
    for (what, got, expected) in [
        ("a body's position", first(Field::Xpos, 3, 3), vec![1.5, 2.0, 3.0]),
        ("a centre of mass", first(Field::Xipos, 3, 3), vec![1.5, 2.0, 3.25]),
        ("a site's position", first(Field::Site, 0, 3), vec![1.5, 2.5, 3.0]),
        ("a mass", first(Field::Cinert, 19, 1), vec![2.0]),
        ("a mass", first(Field::Cinert, 29, 1), vec![3.0]),
        ("a velocity", first(Field::Cvel, 6, 6), vec![0.0, 0.0, 0.0, slow, 0.0, 0.0]),
        ("a rate of turning", first(Field::Cvel, 12, 3), vec![0.0, 2.0, 0.0]),
        ("an actuator's force", first(Field::QfrcActuator, 0, 1), vec![4.0 * push]),
        ("friction", first(Field::QfrcConstraint, 0, 1), vec![-0.5]),
        ("an outer force", first(Field::CfrcExt, 15, 3), vec![0.0, 0.0, 5.0]),
    ] {
        // The solver of the friction stops within 1e-8 of its minimum.
        let near = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-6;
        if got.len() != expected.len() || !got.iter().zip(&expected).all(near) {
            return wrong(what, &expected, &got);
        }
    }
    let mut state = vec![0.0; sizes.integration];
    data.get(Parts::INTEGRATION, &mut state)?;
    let geoms = model.geoms(&state)?;
    let numbers = |geom: &Geom| [geom.size, geom.pos, geom.axis].concat();
    let got: Vec<f64> = geoms.iter().flat_map(numbers).collect();
    let rod = [0.125, 0.125, 0.5, 1.5, 2.0, 4.0, 1.0, 0.0, 0.0];
    let ball = [0.25, 0.25, 0.25, 0.0, 0.0, 9.0, 0.0, 0.0, 1.0];
    let expected = [rod, ball].concat();
    let near = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-6;
    if got.len() != expected.len() || !got.iter().zip(&expected).all(near) {
        return wrong("what is seen of a model", &expected, &got);
    }
    let parameters =
        physical::parameters(&*library.model_of_text("of the second check", PARAMETERS)?);
    let values: Vec<(&str, f64)> = parameters.iter().map(|p| (p.name.as_str(), p.value)).collect();
    if values.len() != SAID.len() + 1 || values[..SAID.len()] != SAID {
        let numbers: Vec<f64> = values.iter().map(|(_, value)| *value).collect();
        return wrong("the parameters of a model", &SAID.map(|(_, value)| value), &numbers);
    }
    let kinds: Vec<(Kind, &str)> = geoms.iter().map(|g| (g.kind, g.name.as_str())).collect();
    if kinds != [(Kind::Capsule, "rod"), (Kind::Sphere, "")] {
        return wrong("the kinds and names of what is seen", &[], &[]);
    }
    Ok(())
}
