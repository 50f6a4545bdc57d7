//! The versions of MuJoCo that are known to work, and where in `mjData` each keeps what no function
//! of its interface gives.

/// The version that `hstep setup mujoco` fetches, and that results are compared on.
pub const REFERENCE: &str = "3.17.0";

/// An array in `mjData` that is computed from a state and lags behind it by a frame: its offset is
/// taken from the table of the version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// Positions of the body frames, m. `[bodies,3]`
    Xpos,
    /// Positions of the bodies' centres of mass, m. `[bodies,3]`
    Xipos,
    /// Position of the first site, m. `[3]`
    Site,
    /// Inertias about the centre of mass of the tree, and masses (last). `[bodies,10]`
    Cinert,
    /// Velocities about the centre of mass of the tree, turning first. `[bodies,6]`
    Cvel,
    /// Actuator forces in the coordinates of the joints. `[velocities]`
    QfrcActuator,
    /// Constraint forces in the coordinates of the joints. `[velocities]`
    QfrcConstraint,
    /// External forces on the bodies, torque first; needs
    /// [`Data::external_forces`](super::Data::external_forces). `[bodies,6]`
    CfrcExt,
}

impl Field {
    /// Every field.
    pub(super) const ALL: [Self; 8] = [
        Self::Xpos,
        Self::Xipos,
        Self::Site,
        Self::Cinert,
        Self::Cvel,
        Self::QfrcActuator,
        Self::QfrcConstraint,
        Self::CfrcExt,
    ];
}

/// An array of a model that is a physical parameter of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Array {
    /// Masses, kg. `[bodies]`
    Mass,
    /// Principal moments of inertia, kg m^2. `[bodies,3]`
    Inertia,
    /// Friction that slides, spins and rolls. `[geoms,3]`
    Friction,
    /// Stiffness of joints. `[joints]`
    JointStiffness,
    /// `[velocities]`
    Damping,
    /// `[velocities]`
    FrictionLoss,
    /// `[velocities]`
    Armature,
    /// Stiffness of tendons, N/m. `[tendons]`
    TendonStiffness,
    /// Damping of tendons, N s/m. `[tendons]`
    TendonDamping,
}

/// Bytes from the start of `mjModel`.
#[derive(Debug, Clone, Copy)]
pub(super) struct ModelOffsets {
    /// Of the numbers of joints, geoms and tendons (64 bits each).
    pub counts: [usize; 3],
    /// Of the pointer to the first velocity of each joint (32 bits each).
    pub first_velocity: usize,
    /// Of the pointer to each array, in the order of [`Array`].
    pub arrays: [usize; 9],
}

/// A version and its offsets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Version {
    /// As `mj_versionString` gives it.
    pub name: &'static str,
    /// `mjSTATE_INTEGRATION`: the parts of the state that the next step depends on.
    pub integration: i32,
    /// Bytes from the start of `mjData` to the pointer of each field, in the order of
    /// [`Field::ALL`].
    pub offsets: [usize; 8],
    /// Where the parameters of a model are.
    pub model: ModelOffsets,
    /// Bytes from one `mjvGeom` to the next.
    pub geom: usize,
}

/// Every version that was tried; the offsets are those that a C compiler computes from its headers.
pub(super) const TABLE: [Version; 2] = [
    Version {
        name: REFERENCE,
        integration: 0x3fff,
        offsets: [160_840, 160_864, 160_912, 160_976, 161_280, 161_408, 161_432, 161_464],
        model: ModelOffsets {
            counts: [88, 136, 480],
            first_velocity: 2120,
            arrays: [1944, 1960, 2568, 2208, 2336, 2320, 2328, 4632, 4648],
        },
        geom: 252,
    },
    Version {
        name: "4.0.0",
        integration: 0x7fff,
        offsets: [160_848, 160_872, 160_936, 161_008, 161_296, 161_424, 161_448, 161_480],
        model: ModelOffsets {
            counts: [88, 136, 472],
            first_velocity: 2120,
            arrays: [1944, 1960, 2592, 2216, 2352, 2336, 2344, 4648, 4664],
        },
        geom: 256,
    },
];

/// The entry of a version.
pub(super) fn find(name: &str) -> Option<&'static Version> {
    TABLE.iter().find(|version| version.name == name)
}

/// The versions that work, as text.
pub(super) fn known() -> String {
    TABLE.map(|version| version.name).join(" and ")
}
