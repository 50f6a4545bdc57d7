//! Policy, critic and model as graphs of ONNX operations.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use candle_core::Tensor;
use hstep::Error;
use hstep::learner::Agent;
use hstep::shape::to_f64;
use serde_json::{Value, json};

use super::onnx::{Dim, Graph};
use super::{learned, section};
use crate::plot::write;

/// The tensors of a run, and which settings their networks have.
struct Networks<'a> {
    tensors: BTreeMap<String, Tensor>,
    settings: &'a toml::Table,
    about: &'a Value,
}

/// The tensor that a graph needs, its name, and how it is made.
type Kind = (&'static str, &'static str, fn(&Networks) -> Result<Vec<u8>>);

/// A graph for each of policy, critic and model that the run has, in the folder `out`.
pub fn write_all(
    agent: &Agent,
    settings: &toml::Table,
    about: &Value,
    out: &Path,
) -> Result<Vec<PathBuf>> {
    let networks = Networks { tensors: learned(agent)?, settings, about };
    let mut written = Vec::new();
    let all: [Kind; 3] = [
        ("actor.l0.w", "policy", |own| own.policy()),
        ("critic.l0.w", "critic", |own| own.critic()),
        ("model.net.l0.w", "model", |own| own.model()),
    ];
    for (needs, name, graph) in all {
        if networks.tensors.contains_key(needs) {
            let path = out.join(format!("{name}.onnx"));
            std::fs::create_dir_all(out).map_err(Error::io("cannot create", out))?;
            write(&path, &graph(&networks)?)?;
            written.push(path);
        }
    }
    if written.is_empty() {
        let problem = "none of the run's networks is of a stock kind, and only those have graphs; \
                       `safetensors` and `npz` take any";
        return Err(Error::config("--format", problem).into());
    }
    Ok(written)
}

impl Networks<'_> {
    fn numbers(&self, name: &str) -> Result<(Vec<usize>, Vec<f32>)> {
        let missing = || Error::checkpoint(name, "is not in the run's checkpoint");
        let tensor = self.tensors.get(name).ok_or_else(missing)?;
        let numbers = to_f64(tensor)?.into_iter().map(|x| x as f32).collect();
        Ok((tensor.dims().to_vec(), numbers))
    }

    /// A tensor as a weight of the same name.
    fn weight(&self, graph: &mut Graph, name: &str) -> Result<String> {
        let (dims, numbers) = self.numbers(name)?;
        Ok(graph.weight(name, &dims, &numbers))
    }

    fn width(&self, name: &str, axis: usize) -> Result<usize> {
        let (dims, _) = self.numbers(name)?;
        Ok(dims.get(axis).copied().unwrap_or_default())
    }

    /// `x [B,D]` through the dense layers `part.l0`, `part.l1`, ... of every member: `[E,B,O]`.
    fn stack(&self, graph: &mut Graph, part: &str, activation: &str, x: &str) -> Result<String> {
        let layers =
            (0..).take_while(|l| self.tensors.contains_key(&format!("{part}.l{l}.w"))).count();
        let mut x = x.to_owned();
        for l in 0..layers {
            let w = self.weight(graph, &format!("{part}.l{l}.w"))?;
            let (dims, b) = self.numbers(&format!("{part}.l{l}.b"))?;
            let b = graph.weight(&format!("{part}.l{l}.b"), &[dims[0], 1, dims[1]], &b);
            let product = graph.apply("MatMul", &[&x, &w]);
            x = graph.apply("Add", &[&product, &b]);
            if l + 1 < layers {
                x = match activation {
                    "tanh" => graph.apply("Tanh", &[&x]),
                    "swish" => {
                        let gate = graph.apply("Sigmoid", &[&x]);
                        graph.apply("Mul", &[&x, &gate])
                    }
                    _ => graph.apply("Relu", &[&x]),
                };
            }
        }
        Ok(x)
    }

    /// `(x - mean) / std` by the statistics `name.mean` and `name.std`, where there are any.
    fn standardised(&self, graph: &mut Graph, name: &str, x: &str) -> Result<String> {
        if !self.tensors.contains_key(&format!("{name}.mean")) {
            return Ok(x.to_owned());
        }
        let mean = self.weight(graph, &format!("{name}.mean"))?;
        let std = self.weight(graph, &format!("{name}.std"))?;
        let centred = graph.apply("Sub", &[x, &mean]);
        Ok(graph.apply("Div", &[&centred, &std]))
    }

    fn words(&self, activation: &str, says: &str) -> Vec<(&'static str, String)> {
        vec![
            ("about", self.about.to_string()),
            ("activation", activation.to_owned()),
            ("outputs", says.to_owned()),
        ]
    }

    fn of(&self, part: &str, key: &str) -> Value {
        section(self.settings, part).get(key).cloned().unwrap_or(Value::Null)
    }

    fn activation(&self, part: &str, usual: &str) -> String {
        self.of(part, "activation").as_str().unwrap_or(usual).to_owned()
    }

    /// Observations to the action of evaluation, and mean and log standard deviation before squashing.
    fn policy(&self) -> Result<Vec<u8>> {
        let mut graph = Graph::default();
        let activation = self.activation("actor", "relu");
        let o = self.width("actor.l0.w", 1)?;
        let last =
            (0..).take_while(|l| self.tensors.contains_key(&format!("actor.l{l}.w"))).count() - 1;
        let a = self.width(&format!("actor.l{last}.b"), 1)? / 2;
        let obs = graph.input("obs", &[Dim::Rows, Dim::Of(o)]);
        let x = self.standardised(&mut graph, "observations", &obs)?;
        let raw = self.stack(&mut graph, "actor", &activation, &x)?;
        // One member.
        let shape = graph.integers(&[-1, 2 * a as i64]);
        let raw = graph.apply("Reshape", &[&raw, &shape]);
        let (mean, mut log_std) = (graph.columns(&raw, 0, a), graph.columns(&raw, a, 2 * a));
        if self.of("actor", "deviation") == json!("softplus") {
            let (soft, least) = (graph.apply("Softplus", &[&log_std]), graph.number(1e-5));
            let std = graph.apply("Add", &[&soft, &least]);
            log_std = graph.apply("Log", &[&std]);
        }
        let edge = |key: &str, usual: f64| self.of("actor", key).as_f64().unwrap_or(usual);
        let (low, high) =
            (graph.number(edge("log_std_min", -20.0)), graph.number(edge("log_std_max", 2.0)));
        let log_std = graph.apply("Clip", &[&log_std, &low, &high]);
        let mode = graph.apply("Tanh", &[&mean]);
        for (name, x) in [("action", &mode), ("mean", &mean), ("log_std", &log_std)] {
            graph.output(name, x, &[Dim::Rows, Dim::Of(a)]);
        }
        let says = "action = tanh(mean), in [-1, 1]; a sample is tanh(mean + exp(log_std) eps)";
        Ok(graph.finish("policy", &self.words(&activation, says)))
    }

    /// Observations and actions to the values of every member.
    fn critic(&self) -> Result<Vec<u8>> {
        let mut graph = Graph::default();
        let activation = self.activation("critic", "relu");
        let (e, width) = (self.width("critic.l0.w", 0)?, self.width("critic.l0.w", 1)?);
        let a = self.action_width()?;
        let obs = graph.input("obs", &[Dim::Rows, Dim::Of(width - a)]);
        let action = graph.input("action", &[Dim::Rows, Dim::Of(a)]);
        let x = self.standardised(&mut graph, "observations", &obs)?;
        let x = graph.concat(&[&x, &action]);
        let q = self.stack(&mut graph, "critic", &activation, &x)?;
        let mut q = graph.squeeze_last(&q);
        if self.tensors.contains_key("critic_bounds.bounds") {
            let (_, bounds) = self.numbers("critic_bounds.bounds")?;
            let (low, high) = (f64::from(bounds[0]), f64::from(bounds[1]));
            let (half, centre) =
                (graph.number(0.5 * (high - low)), graph.number(0.5 * (high + low)));
            let scaled = graph.apply("Mul", &[&q, &half]);
            q = graph.apply("Add", &[&scaled, &centre]);
        }
        graph.output("q", &q, &[Dim::Of(e), Dim::Rows]);
        let says = "q: the value of each member, [E,B]; actions are in [-1, 1]";
        Ok(graph.finish("critic", &self.words(&activation, says)))
    }

    fn action_width(&self) -> Result<usize> {
        let low = self.about["action_low"].as_array().map(Vec::len);
        Ok(low.ok_or_else(|| Error::config("action_low", "is not known"))?)
    }

    /// Observations and actions to each member's mean of the next observation, and of the reward where that is learned.
    fn model(&self) -> Result<Vec<u8>> {
        let mut graph = Graph::default();
        let activation = self.activation("model", "swish");
        let (e, width) = (self.width("model.net.l0.w", 0)?, self.width("model.net.l0.w", 1)?);
        let a = self.action_width()?;
        let o = width - a;
        let t = self.width("model.targets.mean", 0)?;
        let obs = graph.input("obs", &[Dim::Rows, Dim::Of(o)]);
        let action = graph.input("action", &[Dim::Rows, Dim::Of(a)]);
        let both = graph.concat(&[&obs, &action]);
        let x = self.standardised(&mut graph, "model.inputs", &both)?;
        let out = self.stack(&mut graph, "model.net", &activation, &x)?;
        let mean = graph.columns(&out, 0, t);
        let (scale, shift) = (
            self.weight(&mut graph, "model.targets.std")?,
            self.weight(&mut graph, "model.targets.mean")?,
        );
        let scaled = graph.apply("Mul", &[&mean, &scale]);
        let target = graph.apply("Add", &[&scaled, &shift]);
        let mut next = graph.columns(&target, 0, o);
        if self.of("model", "target") != json!("next") {
            next = graph.apply("Add", &[&next, &obs]);
        }
        graph.output("next_obs", &next, &[Dim::Of(e), Dim::Rows, Dim::Of(o)]);
        if t > o {
            let reward = graph.columns(&target, o, t);
            let reward = graph.squeeze_last(&reward);
            graph.output("reward", &reward, &[Dim::Of(e), Dim::Rows]);
        }
        let (_, elites) = self.numbers("model.elites")?;
        let elites: Vec<String> = elites.iter().map(|m| format!("{m}")).collect();
        let mut words =
            self.words(&activation, "means of every member: next_obs [E,B,O], reward [E,B]");
        words.push(("elites", elites.join(",")));
        Ok(graph.finish("model", &words))
    }
}
