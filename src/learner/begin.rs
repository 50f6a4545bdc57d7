//! What a fresh agent can begin with: recorded transitions, and the weights of another one.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Tensor;

use super::{Agent, STANDARD};
use crate::dynamics::States;
use crate::error::{Error, Result};
use crate::replay::{NEXT_STATE, Recorded, Rows, STATE};

/// What is saved with a part beside it, by the end of its name.
const BESIDE: [&str; 4] = ["_target", "_bounds", "_fixed", "_seen"];

/// Whether a tensor is of the part, and no moment of an optimiser.
fn is_weight(key: &str, part: &str) -> bool {
    let mut words = key.split('.');
    let own = words.next().unwrap_or_default().strip_prefix(part);
    own.is_some_and(|rest| rest.is_empty() || BESIDE.contains(&rest))
        && !words.any(|word| word == "adam" || word.ends_with("_adam"))
}

impl Agent {
    /// Takes over the weights of every part that a run whose tensors these are has under the same
    /// name: policies, critics, values and models, what follows them, and how inputs are scaled. Returns
    /// the names. Optimisers, the temperature and all else stay fresh.
    ///
    /// # Errors
    /// [`Error::Config`] naming `run.from` when no part is in common, or one has other shapes.
    pub fn start_from(&mut self, source: &BTreeMap<String, Tensor>) -> Result<Vec<String>> {
        let wrong = |problem: String| Err(Error::config("run.from", problem));
        let mut all = self.tensors()?;
        let parts = &self.parts;
        let names = parts.policies.keys().chain(parts.critics.keys()).chain(parts.values.keys());
        let names: Vec<&str> = names.chain(parts.models.keys()).map(String::as_str).collect();
        let mut taken = Vec::new();
        for name in names.iter().copied().chain([STANDARD]) {
            let there: BTreeMap<_, _> = source.iter().filter(|(k, _)| is_weight(k, name)).collect();
            let here: Vec<String> = all.keys().filter(|k| is_weight(k, name)).cloned().collect();
            match (here.is_empty(), there.is_empty(), name == STANDARD) {
                (true, true, _) | (true, _, false) | (_, true, false) => continue,
                (false, false, _) => {}
                (_, none, true) => {
                    let does = if none { "does not standardise" } else { "standardises" };
                    return wrong(format!(
                        "that run {does} observations: set `loop.standardise` as there"
                    ));
                }
            }
            for key in &here {
                let shape = all[key].dims();
                match there.get(key).map(|tensor| tensor.dims()) {
                    Some(own) if own == shape => {}
                    Some(own) => {
                        let problem = format!("`{key}` is {own:?} there, expected {shape:?}");
                        return wrong(format!("its `{name}` does not fit: {problem}"));
                    }
                    None => return wrong(format!("its `{name}` does not fit: it has no `{key}`")),
                }
            }
            if let Some(key) = there.keys().find(|key| !here.contains(key)) {
                return wrong(format!("its `{name}` does not fit: here is no `{key}`"));
            }
            all.extend(there.into_iter().map(|(key, tensor)| (key.clone(), tensor.clone())));
            if name != STANDARD {
                taken.push(name.to_string());
            }
        }
        if taken.is_empty() {
            return wrong(format!("that run has none of {}", names.join(", ")));
        }
        self.load_tensors(&all)?;
        Ok(taken)
    }

    /// Puts the transitions of a file into the replay ([`Recorded::read`]), and returns how many. They
    /// are no environment steps. Actions are in the environment's own units there.
    ///
    /// # Errors
    /// [`Error::Config`] naming `loop.data`, the file and the row.
    pub fn remember(&mut self, path: &Path) -> Result<usize> {
        let mut file = Recorded::read(path, self.info.obs_dim, self.info.action_dim())?;
        let (n, room) = (file.rows(), self.real.capacity());
        let wrong = |problem: String| Err(Error::config("loop.data", problem));
        if n > room {
            return wrong(format!(
                "{} holds {n} transitions; expected at most `loop.replay`, {room}",
                path.display()
            ));
        }
        let believes = self.states() == States::Believed;
        let states = [STATE, NEXT_STATE];
        if let Some((name, _)) =
            self.real.own().find(|(name, _)| !(believes && states.contains(name)))
        {
            return wrong(format!(
                "recorded transitions have no `{name}`, which this algorithm stores"
            ));
        }
        let actions = std::mem::take(&mut file.columns[1]);
        let bounds = self.info.action_low.iter().zip(&self.info.action_high);
        for (at, (x, (low, high))) in actions.iter().zip(bounds.cycle()).enumerate() {
            let slack = 1e-6 * (high - low);
            if !(low - slack..=high + slack).contains(x) {
                let problem = format!("`action`: expected a number from {low} to {high}, got {x}");
                return Err(file.wrong_in(at / file.widths[1], &problem));
            }
            file.columns[1].push((2.0 * (x - low) / (high - low) - 1.0).clamp(-1.0, 1.0));
        }
        let columns =
            file.columns.map(|column| column.iter().map(|x| *x as f32).collect::<Vec<_>>());
        let own: Vec<Vec<f32>> = self.real.own().map(|(_, width)| vec![0.0; n * width]).collect();
        let [obs, action, reward, next_obs, cont] = columns.each_ref().map(Vec::as_slice);
        let own = own.iter().map(Vec::as_slice).collect();
        self.real.push_batch(&Rows { obs, action, reward, next_obs, cont, own }, None)?;
        if let Some((moments, _)) = &mut self.seen {
            obs.chunks(self.info.obs_dim).for_each(|obs| moments.push(obs));
        }
        self.believe_anew()?;
        Ok(n)
    }
}
