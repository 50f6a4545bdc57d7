//! What the tasks look like: of every model, from where it is seen and which shape stands for what.

use super::definition::{File, Task};
use super::{Geom, Kind, Mujoco};
use crate::env::native::{Leg2R, Physics as _};
use crate::env::scene::{Camera, Ground, Part, Point, Role, Scene};
use crate::error::Result;

/// From where a model is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    /// From the right: x and z.
    TheRight,
    /// From above: x and y.
    Above,
}

/// How a model looks.
struct Looks {
    /// Its files begin so.
    file: &'static str,
    from: From,
    /// Middle of the picture, m; added to where a body is that goes away.
    centre: Point,
    /// Width and height of the picture, m.
    size: [f64; 2],
    /// The shape that the camera goes with.
    followed: Option<&'static str>,
    /// Parts of names, and what the shapes stand for; the first that fits counts. A shape without a
    /// name is called by kind and radius.
    roles: &'static [(&'static str, Role)],
}

/// Of the walkers: what is on the left, or behind, is told from the rest.
const WALKER: Looks = Looks {
    file: "",
    from: From::TheRight,
    centre: [0.0, 0.86],
    size: [3.2, 2.2],
    followed: Some("torso"),
    roles: &[("left", Role::OtherLimb), ("torso", Role::Body), ("", Role::Limb)],
};

const HUMANOID: Looks = Looks {
    file: "humanoid.xml",
    roles: &[("left", Role::OtherLimb), ("right", Role::Limb), ("", Role::Body)],
    ..WALKER
};

const ALL: [Looks; 12] = [
    Looks {
        file: "half_cheetah",
        centre: [0.0, 0.52],
        size: [3.4, 1.5],
        roles: &[
            ("torso", Role::Body),
            ("head", Role::Body),
            ("b", Role::Limb),
            ("", Role::OtherLimb),
        ],
        ..WALKER
    },
    Looks { file: "hopper", ..WALKER },
    Looks { file: "walker2d", ..WALKER },
    Looks {
        file: "ant",
        centre: [0.0, 0.55],
        size: [3.6, 1.7],
        roles: &[
            ("torso", Role::Body),
            ("back", Role::Limb),
            ("third", Role::Limb),
            ("fourth", Role::Limb),
            ("aux_3", Role::Limb),
            ("aux_4", Role::Limb),
            ("", Role::OtherLimb),
        ],
        ..WALKER
    },
    HUMANOID,
    Looks { file: "humanoidstandup", ..HUMANOID },
    Looks {
        file: "inverted_pendulum",
        centre: [0.0, 0.25],
        size: [2.6, 1.2],
        followed: None,
        roles: POLES,
        ..WALKER
    },
    Looks {
        file: "inverted_double_pendulum",
        centre: [0.0, 0.5],
        size: [3.0, 1.9],
        followed: None,
        roles: POLES,
        ..WALKER
    },
    Looks {
        file: "reacher",
        from: From::Above,
        centre: [0.0, 0.0],
        size: [0.7, 0.7],
        followed: None,
        roles: &[
            ("side", Role::Fixed),
            ("root", Role::Fixed),
            ("link0", Role::Body),
            ("target", Role::Target),
            ("", Role::Limb),
        ],
    },
    Looks {
        file: "pusher",
        from: From::Above,
        centre: [0.3, -0.4],
        size: [2.4, 1.9],
        followed: None,
        roles: &[
            ("cylinder 0.080", Role::Target),
            ("cylinder", Role::Body),
            ("sphere 0.050", Role::Body),
            ("e1", Role::Fixed),
            ("e2", Role::Fixed),
            ("sp", Role::Fixed),
            ("", Role::Limb),
        ],
    },
    Looks {
        file: "ball_in_cup",
        centre: [0.0, 0.5],
        size: [1.2, 1.0],
        followed: None,
        roles: &[("ball", Role::Body), ("cup", Role::Limb), ("", Role::Fixed)],
        ..WALKER
    },
    Looks {
        file: "swimmer",
        from: From::Above,
        // Behind its head.
        centre: [-1.0, 0.0],
        size: [6.0, 3.2],
        followed: Some("capsule"),
        roles: &[("", Role::Body)],
    },
];

const POLES: &[(&str, Role)] =
    &[("rail", Role::Fixed), ("cart", Role::Body), ("cpole2", Role::OtherLimb), ("", Role::Limb)];

impl Looks {
    /// Those of a model file.
    fn of(file: &str) -> Option<&'static Self> {
        ALL.iter().find(|looks| file.starts_with(looks.file))
    }

    fn name(geom: &Geom) -> String {
        match geom.kind {
            _ if !geom.name.is_empty() => geom.name.clone(),
            Kind::Sphere => format!("sphere {:.3}", geom.size[0]),
            Kind::Capsule => format!("capsule {:.3}", geom.size[0]),
            Kind::Cylinder => format!("cylinder {:.3}", geom.size[0]),
            Kind::Plane | Kind::Other => String::new(),
        }
    }

    fn role(&self, geom: &Geom) -> Role {
        let name = Self::name(geom);
        let found = self.roles.iter().find(|(part, _)| name.contains(part));
        found.map_or(Role::Body, |(_, role)| *role)
    }

    /// In the picture's plane, and towards the eye.
    fn seen(&self, [x, y, z]: [f64; 3]) -> (Point, f64) {
        match self.from {
            From::TheRight => ([x, z], -y),
            From::Above => ([x, y], z),
        }
    }

    /// A shape as it is seen: those of the tasks keep their outline from everywhere, but for a
    /// cylinder, which is drawn with round ends.
    fn part(&self, geom: &Geom) -> Option<Part> {
        let (middle, _) = self.seen(geom.pos);
        let (axis, _) = self.seen(geom.axis);
        let ([radius, _, half], role) = (geom.size, self.role(geom));
        let reach = half * axis[0].hypot(axis[1]);
        match geom.kind {
            Kind::Plane | Kind::Other => None,
            Kind::Capsule | Kind::Cylinder if reach > 0.05 * radius => {
                let end = |side: f64| [0, 1].map(|i| middle[i] + side * half * axis[i]);
                Some(Part::capsule(role, end(-1.0), end(1.0), radius))
            }
            Kind::Sphere | Kind::Capsule | Kind::Cylinder => {
                Some(Part::circle(role, middle, radius))
            }
        }
    }

    fn camera(&self, geoms: &[Geom]) -> Camera {
        let followed = self.followed.and_then(|name| {
            geoms.iter().find(|geom| geom.kind != Kind::Plane && Self::name(geom).contains(name))
        });
        let [mut x, mut y] = self.centre;
        if let Some(geom) = followed {
            let (at, _) = self.seen(geom.pos);
            x += at[0];
            if self.from == From::Above {
                y += at[1];
            }
        }
        Camera { centre: [x, y], size: self.size }
    }

    fn scene(&self, geoms: &[Geom], dt: f64) -> Scene {
        let camera = self.camera(geoms);
        // Far things first; at one distance the body last, which the limbs hang from.
        let mut order: Vec<&Geom> = geoms.iter().collect();
        order.sort_by_key(|geom| {
            let near = self.seen(geom.pos).1;
            let rank = match self.role(geom) {
                Role::Fixed => 0,
                Role::Target => 1,
                Role::OtherLimb => 2,
                Role::Limb => 3,
                Role::Body => 4,
            };
            ((1e3 * near).round() as i64, rank)
        });
        let lowest = camera.centre[1] - 0.5 * camera.size[1];
        let floor = geoms.iter().find(|geom| geom.kind == Kind::Plane).map(|geom| geom.pos[2]);
        let floor = floor.filter(|z| self.from == From::TheRight && *z > lowest);
        Scene {
            parts: order.into_iter().filter_map(|geom| self.part(geom)).collect(),
            ground: floor.map(Ground::Level),
            traced: Vec::new(),
            camera,
            time_step: Some(dt),
        }
    }
}

/// What a state of a task looks like.
pub(super) fn scene(env: &Mujoco, state: &[f64]) -> Result<Option<Scene>> {
    let task: &Task = env.task();
    let file = match task.file {
        File::Asset(file) | File::Control(file) => file,
        File::Own(..) => {
            let (&[q1, q2], &[w1, w2]) = (env.qpos(), env.qvel()) else { return Ok(None) };
            return Ok(Leg2R::default().scene(&[q1, q2, w1, w2, env.phase()]));
        }
    };
    let Some(looks) = Looks::of(file) else { return Ok(None) };
    let geoms = env.data().model().geoms(state)?;
    Ok(Some(looks.scene(&geoms, task.dt())))
}
