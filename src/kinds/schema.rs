//! The JSON schema of a composition.

use serde_json::{Map, Value, json};

use super::{Choice, Head, Kinds, Slot};
use crate::agent::LoopConfig;
use crate::parts::{ACTOR, CRITIC, MODEL, TemperatureConfig, VALUE};
use crate::schema::of;

impl<T: ?Sized> Choice<T> {
    fn schema(&self) -> Value {
        let mut own = (self.schema)();
        own["title"] = json!(self.name);
        own["properties"]["kind"] = json!({ "const": self.name });
        if let Some(version) = self.version {
            own["properties"]["version"] = json!({ "const": version });
        }
        own
    }
}

impl<T: ?Sized> Slot<T> {
    /// A table of any of the kinds; without the word it is one of them, too.
    fn schema(&self) -> Value {
        json!({ "anyOf": self.0.iter().map(Choice::schema).collect::<Vec<_>>() })
    }
}

impl Kinds {
    /// The JSON schema (draft 7) of a composition's table, such as `src/algo/maac.toml` without its
    /// section `row`. A slot is any of its kinds, each with its own settings.
    #[must_use]
    pub fn schema(&self) -> Value {
        let mut all = of::<Head>();
        let slots = [
            ("loop", of::<LoopConfig>()),
            ("temperature", of::<TemperatureConfig>()),
            (ACTOR, self.policy.schema()),
            (CRITIC, self.critic.schema()),
            (VALUE, self.value.schema()),
            (MODEL, self.model.schema()),
            ("planner", self.planner.schema()),
            ("behave", self.behave.schema()),
            ("imagine", self.imagine.schema()),
            ("improve", self.improve.schema()),
            ("target", self.target.schema()),
        ];
        // A step's table may have any name; then it says its kind.
        let named = |mut step: Value| {
            step["required"] = json!(["kind"]);
            step
        };
        let steps = self.step.0.iter().map(Choice::schema);
        all["additionalProperties"] = json!({ "anyOf": steps.map(named).collect::<Vec<_>>() });
        let steps = self.step.0.iter().map(|step| (step.name, step.schema()));
        let own: Map<String, Value> =
            steps.chain(slots).map(|(name, schema)| (name.to_string(), schema)).collect();
        if let Some(properties) = all["properties"].as_object_mut() {
            properties.extend(own);
        }
        all
    }
}
