//! `hstep schema`: the JSON schema of a configuration file.

use hstep::schema::of;
use hstep::train::RunConfig;
use serde_json::{Value, json};

use crate::presets::TWO_CORES;
use crate::registry::Registry;

/// What `hstep train FILE.toml` and `hstep sweep FILE.toml` take, a person's own kinds among it.
pub fn schema(registry: &Registry) -> Value {
    let mut all = registry.kinds().schema();
    let rows = registry.rows();
    let bare = rows.iter().map(|row| row.name.to_string());
    let fewer = rows.iter().map(|row| format!("{}{TWO_CORES}", row.name));
    let presets = rows.iter().flat_map(hstep::algo::Entry::preset_names);
    let algos: Vec<String> = bare.chain(fewer).chain(presets).collect();
    let mut run = of::<RunConfig>();
    run["properties"]["algo"]["examples"] = json!(algos);
    run["properties"]["env"]["examples"] = json!(registry.env_names());
    all["properties"]["run"] = run;
    all["properties"]["base"] = json!({
        "description": "The algorithm or preset that this file changes.",
        "enum": algos,
    });
    all["properties"]["sweep"] = json!({
        "description": "For `hstep sweep`: algos, envs, seeds, and what is varied (`grid`, `list`, `random`).",
        "type": "object",
    });
    all["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    all["title"] = json!("hstep");
    all["description"] = json!("A configuration of hstep: what differs from its algorithm.");
    all
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use toml::Table;

    use super::*;

    /// The first thing of `value` that the schema refuses: the part of draft 7 that is printed.
    fn refused(schema: &Value, value: &Value, at: &str) -> Option<String> {
        let known = [
            "$schema",
            "title",
            "description",
            "default",
            "examples",
            "minimum",
            "type",
            "properties",
            "additionalProperties",
            "required",
            "anyOf",
            "oneOf",
            "enum",
            "const",
            "items",
            "minItems",
            "maxItems",
        ];
        for key in schema.as_object()?.keys() {
            assert!(known.contains(&key.as_str()), "{key} is not checked here");
        }
        let wrong = |what: &str| Some(format!("{at}: {value} is not {what}"));
        let fits = match schema["type"].as_str() {
            Some("object") => value.is_object(),
            Some("array") => value.is_array(),
            Some("string") => value.is_string(),
            Some("boolean") => value.is_boolean(),
            Some("integer") => value.is_i64(),
            Some("number") => value.is_number(),
            None => true,
            Some(other) => panic!("{other}"),
        };
        if !fits {
            return wrong(schema["type"].as_str().unwrap());
        }
        if schema["const"] != Value::Null && schema["const"] != *value {
            return wrong(&schema["const"].to_string());
        }
        if schema["enum"].as_array().is_some_and(|all| !all.contains(value)) {
            return wrong("one of the words");
        }
        for any in ["anyOf", "oneOf"] {
            if let Some(all) = schema[any].as_array() {
                let each: Vec<_> = all.iter().map(|one| refused(one, value, at)).collect();
                if each.iter().all(Option::is_some) {
                    return Some(each.into_iter().flatten().collect::<Vec<_>>().join("; "));
                }
            }
        }
        if let (Some(items), Some(all)) = (schema["items"].as_object(), value.as_array()) {
            let items = Value::Object(items.clone());
            return all.iter().find_map(|one| refused(&items, one, at));
        }
        let table = value.as_object()?;
        let names = schema["required"].as_array().into_iter().flatten();
        if let Some(name) = names.flat_map(Value::as_str).find(|name| !table.contains_key(*name)) {
            return Some(format!("{at}: without {name}"));
        }
        table.iter().find_map(|(key, value)| {
            let at = format!("{at}.{key}");
            match (&schema["properties"][key], &schema["additionalProperties"]) {
                (Value::Null, Value::Bool(false)) => Some(format!("{at}: unknown")),
                (Value::Null, Value::Null) => None,
                (Value::Null, others) => refused(others, value, &at),
                (own, _) => refused(own, value, &at),
            }
        })
    }

    fn tomls(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => tomls(&path, found),
                false if path.extension().is_some_and(|e| e == "toml") => found.push(path),
                false => {}
            }
        }
    }

    #[test]
    fn every_committed_table_fits_the_schema() {
        let schema = schema(&Registry::new());
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut count = 0;
        for folder in ["src/algo", "experiments/configs", "examples", "figures/data"] {
            let mut files = Vec::new();
            tomls(&root.join(folder), &mut files);
            for file in files {
                let mut table: Table = std::fs::read_to_string(&file).unwrap().parse().unwrap();
                table.remove("row");
                let mut all: Value = serde_json::to_value(table).unwrap();
                let mut check = |schema: &Value, value: &Value| {
                    count += 1;
                    let problem = refused(schema, value, "");
                    assert!(problem.is_none(), "{}: {}", file.display(), problem.unwrap());
                };
                if folder == "experiments/configs" {
                    // A table `model`, and a composition for each algorithm.
                    if let Some(model) = all.as_object_mut().unwrap().remove("model") {
                        check(&schema["properties"]["model"], &model);
                    }
                    all.as_object().unwrap().values().for_each(|own| check(&schema, own));
                } else {
                    check(&schema, &all);
                }
            }
        }
        assert!(count > 150, "{count}");
    }

    #[test]
    fn unknown_keys_and_wrong_values_do_not() {
        let schema = schema(&Registry::new());
        let problem = |text: &str| {
            let value = serde_json::to_value(text.parse::<Table>().unwrap()).unwrap();
            refused(&schema, &value, "")
        };
        for text in [
            "gama = 0.9",
            "[bhave]\nkind = 'plan'",
            "[behave]\nkind = 'plann'",
            "[behave]\nkind = 'policy'\nhorizon = 3.0",
            "[improve]\nkind = 'pathwise'\nhorizn = 3",
            "[improve]\nhorizon = 'long'",
            "[target.steve]\nhorizn = 3",
            "[run]\nstep = 3",
            "[run.eval]\nevry = 3",
            "[mine]\nhorizon = 3",
            "base = 'mac'",
        ] {
            assert!(problem(text).is_some(), "{text} fits");
        }
        for text in [
            "[improve]\nhorizon = 3",
            "[mine]\nkind = 'rollout'\nhorizon = 3",
            "model.max_steps = 'unset'",
            "gamma = 'unset'",
            "imagine.horizon = [0, 1000, 1, 5]",
        ] {
            assert_eq!(problem(text), None, "{text}");
        }
        // What an editor shows.
        let about = &schema["properties"]["loop"]["properties"]["batch"];
        assert!(about["description"].is_string() && about["default"] == 256, "{about}");
    }
}
