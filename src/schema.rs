//! JSON schemas of settings, so that editors complete and explain configuration files.
//!
//! A setting's struct is the one source: its fields, their types and defaults, and its doc comments.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::config::UNSET;

/// The schema of a struct of settings (draft 7, without references). A setting that may be absent also
/// takes the word [`UNSET`].
#[must_use]
pub fn of<T: JsonSchema>() -> Value {
    let mut settings = SchemaSettings::draft07();
    settings.inline_subschemas = true;
    settings.meta_schema = None;
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    tidy(&mut schema);
    schema
}

/// Schemas below a schema: one, a list, or by name.
const WITHIN: [&str; 4] = ["items", "anyOf", "oneOf", "allOf"];

fn tidy(schema: &mut Value) {
    let Value::Object(map) = schema else { return };
    map.remove("format");
    if map.get("default").is_some_and(Value::is_null) {
        map.remove("default");
    }
    if let Some(Value::String(text)) = map.get_mut("description") {
        // Links of rustdoc, and Rust's word for what is not set.
        *text = text.replace("[`", "`").replace("`]", "`").replace("`None`", "unset");
    }
    // TOML has no null: what may be absent may be taken back.
    if let Some(Value::Array(types)) = map.get("type")
        && types.contains(&json!("null"))
        && let Some(own) = types.iter().find(|name| **name != "null").cloned()
    {
        let about = ["description", "default", "title"];
        let (outer, mut inner): (Map<_, _>, Map<_, _>) =
            std::mem::take(map).into_iter().partition(|(key, _)| about.contains(&key.as_str()));
        inner.insert("type".into(), own);
        *map = outer;
        map.insert("anyOf".into(), json!([inner, { "type": "null" }]));
    }
    if let Some(Value::Array(any)) = map.get_mut("anyOf") {
        any.iter_mut()
            .filter(|one| **one == json!({ "type": "null" }))
            .for_each(|null| *null = json!({ "const": UNSET }));
    }
    for name in WITHIN {
        match map.get_mut(name) {
            Some(Value::Array(all)) => all.iter_mut().for_each(tidy),
            Some(one) => tidy(one),
            None => {}
        }
    }
    if let Some(Value::Object(properties)) = map.get_mut("properties") {
        properties.values_mut().for_each(tidy);
    }
    // Of a table whose keys are names.
    if let Some(own) = map.get_mut("additionalProperties") {
        tidy(own);
    }
}
