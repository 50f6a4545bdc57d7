//! Physical parameters of a model by name, `KIND:NAME`: `mass:ball`, `damping:hinge`.

use std::ffi::c_int;

use super::version::Array;
use super::{Data, Model};
use crate::env::parameters::{self, Parameter, Possible};
use crate::error::Result;

/// `mjtObj` of bodies, joints, geoms and tendons.
const BODY: c_int = 1;
const JOINT: c_int = 3;
const GEOM: c_int = 5;
const TENDON: c_int = 18;

/// A kind of parameters.
#[derive(Debug)]
struct Kind {
    word: &'static str,
    object: c_int,
    array: Array,
    possible: Possible,
    /// Whether the model holds more that follows from it.
    derived: bool,
}

const fn kind(word: &'static str, object: c_int, array: Array) -> Kind {
    Kind { word, object, array, possible: Possible::NotNegative, derived: false }
}

const KINDS: [Kind; 9] = [
    Kind { possible: Possible::Positive, derived: true, ..kind("mass", BODY, Array::Mass) },
    Kind { possible: Possible::Positive, derived: true, ..kind("inertia", BODY, Array::Inertia) },
    kind("friction", GEOM, Array::Friction),
    kind("stiffness", JOINT, Array::JointStiffness),
    kind("damping", JOINT, Array::Damping),
    kind("frictionloss", JOINT, Array::FrictionLoss),
    Kind { derived: true, ..kind("armature", JOINT, Array::Armature) },
    kind("stiffness", TENDON, Array::TendonStiffness),
    kind("damping", TENDON, Array::TendonDamping),
];

/// A parameter of a model: where it is, and what is there now.
#[derive(Debug, Clone)]
struct Found {
    name: String,
    kind: &'static Kind,
    at: usize,
    /// The moments of an inertia as shares of the largest, which is the parameter; else 1.
    shares: Vec<f64>,
    value: f64,
}

/// Every parameter with a name. Of a joint with several directions it is the first, of an inertia the
/// largest moment, with which the others go, of friction that against sliding.
fn found(model: &Model) -> Vec<Found> {
    let [joints, geoms, tendons] = model.counts();
    let mut all = Vec::new();
    for kind in &KINDS {
        let count = match kind.object {
            BODY => model.sizes().bodies,
            JOINT => joints,
            GEOM => geoms,
            _ => tendons,
        };
        let numbers = model.numbers(kind.array);
        for (i, name) in model.names(kind.object, count).into_iter().enumerate() {
            let (at, width) = match kind.array {
                Array::Inertia => (3 * i, 3),
                Array::Friction => (3 * i, 1),
                Array::Damping | Array::FrictionLoss | Array::Armature => {
                    (model.first_velocity(i).unwrap_or(usize::MAX), 1)
                }
                _ => (i, 1),
            };
            let own = at.checked_add(width).and_then(|end| numbers.get(at..end));
            let (Some(name), Some(own)) = (name, own) else { continue };
            let value = own.iter().fold(0.0, |most: f64, x| most.max(*x));
            // The world weighs nothing.
            if !kind.possible.holds(value) {
                continue;
            }
            let shares = match width {
                1 => vec![1.0],
                _ => own.iter().map(|x| x / value).collect(),
            };
            all.push(Found { name: format!("{}:{name}", kind.word), kind, at, shares, value });
        }
    }
    all
}

/// The parameters of a model.
pub(super) fn parameters(model: &Model) -> Vec<Parameter> {
    let as_parameter =
        |f: Found| Parameter { name: f.name, value: f.value, possible: f.kind.possible };
    found(model).into_iter().map(as_parameter).collect()
}

/// Parameters that are set again and again.
#[derive(Debug, Default)]
pub(super) struct Varied {
    places: Vec<Found>,
    now: Vec<f64>,
}

impl Varied {
    /// These parameters of a simulation, which is given a model of its own.
    pub fn new(env: &str, data: &mut Data, names: &[&str]) -> Result<Self> {
        let all = found(data.model());
        let listed = parameters(data.model());
        let place = |name: &&str| {
            let i = parameters::place(env, &listed, name, "parameter")?;
            Ok(all[i].clone())
        };
        let places = names.iter().map(place).collect::<Result<Vec<Found>>>()?;
        data.own_model()?;
        let now = places.iter().map(|place| place.value).collect();
        Ok(Self { places, now })
    }

    /// Sets them; whether the state of the simulation is lost with it.
    pub fn set(&mut self, data: &mut Data, values: &[f64]) -> Result<bool> {
        if self.now == values {
            return Ok(false);
        }
        if data.model_mut().is_none() {
            // Somebody paints the model that it was.
            data.own_model()?;
        }
        let Some(model) = data.model_mut() else { return Ok(false) };
        let mut derived = false;
        for ((place, value), now) in self.places.iter().zip(values).zip(&mut self.now) {
            let numbers = model.numbers_mut(place.kind.array);
            let own = numbers.iter_mut().skip(place.at);
            own.zip(&place.shares).for_each(|(own, share)| *own = share * value);
            derived |= place.kind.derived && now != value;
            *now = *value;
        }
        if derived {
            data.set_constants()?;
        }
        Ok(derived)
    }
}
