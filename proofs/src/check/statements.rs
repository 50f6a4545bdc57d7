//! The statements, by name.

use hstep::config::nearest;
use hstep::{Error, Result};

/// One lemma, theorem or equation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement {
    /// The name on the command line.
    pub name: &'static str,
    /// A label for an axis.
    pub short: &'static str,
    /// The paper.
    pub paper: &'static str,
    /// Where in it.
    pub equation: &'static str,
    /// What it is about, in a line.
    pub about: &'static str,
    /// What is printed.
    pub printed: &'static str,
    /// What holds.
    pub corrected: &'static str,
}

/// All of them. `g` is the discount, `H` the horizon, `R` the span of the rewards.
pub const STATEMENTS: &[Statement] = &[
    Statement {
        name: "mopac-theorem-1",
        short: "MoPAC T1",
        paper: "MoPAC",
        equation: "Theorem 1, eq. (2), (3)",
        about: "loss of H-step planning with a learned model and value",
        printed: "J(pi*) - J(pi_MPC) <= 2 g^H eps_V / (1 - g^H) + r_max (1 - g^H) / (1 - g) eps_f",
        corrected: "2 g^H eps_V / (1 - g) + 2 g eps_TV R / (1 - g)^2 (plans run to their end: 1 - g^H first)",
    },
    Statement {
        name: "mopac-lemma-2",
        short: "MoPAC L2",
        paper: "MoPAC",
        equation: "Lemma 2, eq. (4)",
        about: "what a policy loses between model and truth",
        printed: "J^ - J <= 2 g r_max (eps_f + 2 eps_pi) / (1 - g^2) + 4 r_max eps_pi / (1 - g)",
        corrected: "J^ - J <= g R (eps_TV + 2 eps_pi) / (1 - g)^2 + 2 R eps_pi / (1 - g)",
    },
    Statement {
        name: "polo-lemma-1",
        short: "POLO L1",
        paper: "POLO",
        equation: "Lemma 1, eq. (2)",
        about: "loss of the greedy policy",
        printed: "J(pi*) - J(greedy) = Theta(g eps / (1 - g)), looked at with constant 1",
        corrected: "J(pi*) - J(greedy) <= 2 g eps / (1 - g)",
    },
    Statement {
        name: "polo-lemma-2",
        short: "POLO L2",
        paper: "POLO",
        equation: "Lemma 2, eq. (4)",
        about: "loss of H-step planning with a learned value",
        printed: "J(pi*) - J(pi_MPC) <= 2 g^H eps / (1 - g^H)",
        corrected: "2 g^H eps / (1 - g) (plans run to their end: as printed)",
    },
    Statement {
        name: "demorl-lemma-1",
        short: "DeMoRL L1",
        paper: "M-DeMoRL",
        equation: "Lemma 1",
        about: "cost of one control distribution in model and truth",
        printed: "J - J_r <= 2 c_max eps_f sum_{h<H} h g^h + 2 V_max H g^H eps_f",
        corrected: "the same, with 1 - (1 - eps_TV)^h for h eps_f",
    },
    Statement {
        name: "demorl-theorem-1",
        short: "DeMoRL T1",
        paper: "M-DeMoRL",
        equation: "Theorem 1",
        about: "regret of dynamic mirror descent",
        printed: "Re_T <= D_max / a_{T+1} + 4 M W / a_T + G^2 / (2 sigma) sum_{t=1..T} a_t + T R_{f,H}",
        corrected: "Re_T <= D_max / a_{T+1} + 4 M W / a_T + G^2 / (2 sigma) sum_{t=0..T} a_t + (T + 1) R_{f,H}",
    },
    Statement {
        name: "maac-lemma-4.1",
        short: "MAAC L4.1",
        paper: "MAAC",
        equation: "Lemma 4.1",
        about: "error of the gradient of J_H",
        printed: "|grad J - grad J^| <= c_1(H) eps_f + c_2(H) eps_Q",
        corrected: "recursions for states and their gradients, with the model's value error in them",
    },
    Statement {
        name: "maac-lemma-4.2",
        short: "MAAC L4.2",
        paper: "MAAC",
        equation: "Lemma 4.2",
        about: "distance of two policy steps",
        printed: "max_s TV(pi, pi^) <= alpha c_3 |grad J - grad J^|, c_3 = sqrt(F) / 2 at one parameter",
        corrected: "c_3 = 1/2 max sqrt(F), over bounded states and the segment between the parameters",
    },
    Statement {
        name: "maac-theorem-4.1",
        short: "MAAC T4.1",
        paper: "MAAC",
        equation: "Theorem 4.1",
        about: "cost of a step on an erroneous gradient",
        printed: "J(pi^) >= J(pi) - 2 alpha r_max / (1 - g) TV, TV <= alpha c_3 (c_1 eps_f + c_2 eps_Q)",
        corrected: "J(pi^) >= J(pi) - R TV / (1 - g)^2",
    },
    Statement {
        name: "mpq-free-energy",
        short: "MPQ (7)",
        paper: "MPQ",
        equation: "eq. (5)-(7)",
        about: "soft value as free energy of action sequences",
        printed: "V* = -lambda log E_prior exp(-C / lambda), the discount left out for clarity",
        corrected: "V_t = -lambda log E_prior exp(-(c + g E V_{t+1}) / lambda), nested",
    },
];

/// Where "false" is not the whole story.
pub(super) fn note(name: &str) -> Option<&'static str> {
    match name {
        "polo-lemma-1" => Some("true as an order, and 1 is too small a constant"),
        "mpq-free-energy" => Some("false, but true without chance and for g = 1"),
        _ => None,
    }
}

/// A statement by name.
///
/// # Errors
/// [`Error::Config`] naming the nearest one, or all.
pub fn find(name: &str) -> Result<&'static Statement> {
    STATEMENTS.iter().find(|s| s.name == name).ok_or_else(|| {
        let names = STATEMENTS.iter().map(|s| s.name);
        let problem = match nearest(name, names.clone()) {
            Some(near) => format!("there is no result `{name}`; did you mean `{near}`?"),
            None => {
                let all: Vec<&str> = names.collect();
                format!("there is no result `{name}`; there are: {}, all", all.join(", "))
            }
        };
        Error::config("result", problem)
    })
}
