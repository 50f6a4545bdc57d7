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
    /// Bytes from one `mjvGeom` to the next.
    pub geom: usize,
}

/// Every version that was tried; the offsets are those that a C compiler computes from its headers.
pub(super) const TABLE: [Version; 2] = [
    Version {
        name: REFERENCE,
        integration: 0x3fff,
        offsets: [160_840, 160_864, 160_912, 160_976, 161_280, 161_408, 161_432, 161_464],
        geom: 252,
    },
    Version {
        name: "4.0.0",
        integration: 0x7fff,
        offsets: [160_848, 160_872, 160_936, 161_008, 161_296, 161_424, 161_448, 161_480],
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
