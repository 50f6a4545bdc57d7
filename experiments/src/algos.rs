//! What there is to say of the algorithms: `hstep list algos`, and the tables of `docs/algorithms.md`.

use std::collections::BTreeMap;
use std::path::Path;

use hstep::algo::{Entry, table};
use hstep::{Error, Result, config, files};
use serde_json::Value as Json;
use toml::Value;

use crate::output::{say, write};
use crate::plot;
use crate::registry::Registry;

/// Prints the compositions and the presets.
pub fn list(registry: &Registry) -> Result<()> {
    let rows = registry.rows();
    let each = rows.iter().map(|entry| row(registry, entry)).collect::<Result<Vec<_>>>()?;
    write(format_args!("{}", table(&each)))?;
    say!("\nPresets; the bare name is the paper's:")?;
    for entry in rows {
        let names: Vec<String> = entry.preset_names().collect();
        let citation = entry.about()?.citation;
        say!("{:<10} {} ({citation})", entry.name, names.join(", "))?;
    }
    Ok(())
}

fn row(registry: &Registry, entry: &Entry) -> Result<[String; 6]> {
    let kinds = registry.kinds();
    Ok(entry.builder(&entry.preset(None, kinds)?, kinds)?.build()?.row())
}

/// The source of each of a row's own settings, by dotted key: `paper`, `code` or `ours`, and a word more.
pub fn tags(row: &str) -> Vec<(String, String)> {
    let (mut tags, mut section) = (Vec::new(), String::new());
    for line in row.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.split_once(']')) {
            section = format!("{}.", name.0);
        } else if let (Some((key, _)), Some((_, tag))) =
            (line.split_once(" = "), line.split_once(" # "))
        {
            tags.push((format!("{section}{key}"), tag.to_string()));
        }
    }
    tags
}

const MARK: (&str, &str) = ("<!-- table of ", " -->");
const END: &str = "<!-- end -->";

/// Writes the tables between the markers of a file anew.
pub fn renew(file: &Path, registry: &Registry) -> Result<()> {
    let new = renewed(&files::text(file, files::TEXT)?, registry)?;
    plot::write(file, new.as_bytes())
}

fn renewed(text: &str, registry: &Registry) -> Result<String> {
    let (mut out, mut lines) = (String::new(), text.lines());
    while let Some(line) = lines.next() {
        out += &format!("{line}\n");
        let Some(name) = line.strip_prefix(MARK.0).and_then(|l| l.strip_suffix(MARK.1)) else {
            continue;
        };
        out += &format!("{}{END}\n", markdown(registry, &registry.find(name)?.0)?);
        if !lines.any(|line| line == END) {
            return Err(Error::config(name, format!("expected `{END}` after its marker")));
        }
    }
    Ok(out)
}

/// The composition of a row, and every setting that it or one of its presets chooses.
fn markdown(registry: &Registry, entry: &Entry) -> Result<String> {
    let kinds = registry.kinds();
    let [_, uses @ ..] = row(registry, entry)?;
    let mut out = line(["dynamics", "behave", "imagine", "improve", "target"].map(String::from));
    out += &line([(); 5].map(|()| "---".to_string()));
    out += &line(uses);

    let flat = |suffix| Ok::<_, Error>(config::flat(&entry.preset(suffix, kinds)?, &[]));
    let usual = flat(None)?;
    let mut presets = Vec::new();
    for (suffix, text) in entry.presets.iter().filter(|(_, text)| !text.is_empty()) {
        let own = config::parse_text(Path::new(entry.name), text)?;
        let keys: Vec<String> = config::flat(&own, &[]).into_keys().collect();
        presets.push((format!("`{}-{suffix}`", entry.name), keys, flat(Some(suffix))?));
    }
    let tags = tags(entry.text);
    let mut keys: Vec<&String> = tags.iter().map(|(key, _)| key).collect();
    for key in presets.iter().flat_map(|(_, keys, _)| keys) {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    if keys.is_empty() {
        return Ok(out);
    }
    let schema = kinds.schema();
    let tags: BTreeMap<_, _> = tags.iter().map(|(key, tag)| (key, tag)).collect();
    let names = presets.iter().map(|(name, ..)| name.clone());
    let head: Vec<String> = ["key".into(), "value".into(), "from".into()]
        .into_iter()
        .chain(names)
        .chain(["meaning".into()])
        .collect();
    out += &format!("\n{}", line(head.clone()));
    out += &line(head.iter().map(|_| "---".to_string()));
    for key in keys {
        let value = usual.get(key);
        let own = presets.iter().map(|(_, _, all)| match all.get(key) {
            other if other == value => String::new(),
            other => shown(other),
        });
        let start = [format!("`{key}`"), shown(value)];
        let tag = tags.get(key).map_or(String::new(), ToString::to_string);
        let about = meaning(&schema, &usual, key);
        out += &line(start.into_iter().chain([tag]).chain(own).chain([about]));
    }
    Ok(out)
}

fn line(cells: impl IntoIterator<Item = String>) -> String {
    let cells = cells.into_iter().map(|cell| match cell.as_str() {
        "" => " ".to_string(),
        cell => format!(" {} ", cell.replace('|', "\\|")),
    });
    format!("|{}|\n", cells.collect::<Vec<_>>().join("|"))
}

fn shown(value: Option<&Value>) -> String {
    value.map_or("unset".to_string(), |value| format!("`{value}`"))
}

/// The first sentence on a setting, of the kind that its slot holds.
fn meaning(schema: &Json, usual: &BTreeMap<String, Value>, key: &str) -> String {
    let (mut at, mut path) = (schema, String::new());
    for part in key.split('.') {
        let own = at["properties"].get(part).or_else(|| {
            let kind = usual.get(&format!("{path}.kind"));
            let of_kind = |one: &&Json| {
                let word = &one["properties"]["kind"]["const"];
                word.is_null() || word.as_str() == kind.and_then(Value::as_str)
            };
            let one = at["anyOf"].as_array()?.iter().find(of_kind)?;
            one["properties"].get(part)
        });
        let Some(own) = own else { return String::new() };
        (at, path) = (own, if path.is_empty() { part.into() } else { format!("{path}.{part}") });
    }
    let text = at["description"].as_str().unwrap_or_default().replace('\n', " ");
    let sentence = text.split(". ").next().unwrap_or_default();
    // The default of all rows has a tag of its own there.
    let tagged = |rest: &str| ["(paper", "(code", "(ours"].iter().any(|tag| rest.contains(tag));
    let without = sentence.rsplit_once("; ").filter(|(_, rest)| tagged(rest));
    without.map_or(sentence, |(text, _)| text).trim_end_matches('.').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_the_algorithms_has_their_tables() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/algorithms.md");
        let (text, registry) = (std::fs::read_to_string(page).unwrap(), Registry::new());
        for row in registry.rows() {
            let mark = format!("{}{}{}", MARK.0, row.name, MARK.1);
            assert!(text.contains(&mark), "`{mark}` is missing in docs/algorithms.md");
        }
        let new = renewed(&text, &registry).unwrap();
        let differs = text.lines().zip(new.lines()).find(|(old, new)| old != new);
        assert!(
            new == text,
            "docs/algorithms.md is behind the tables of src/algo: run\n    \
             hstep list algos --markdown docs/algorithms.md\nThe first line: {differs:?}"
        );
    }

    #[test]
    fn settings_have_their_meaning_and_a_marker_its_end() {
        let registry = Registry::new();
        let maac = registry.find("maac").unwrap().0;
        let text = markdown(&registry, &maac).unwrap();
        let line = text.lines().find(|line| line.starts_with("| `improve.horizon`")).unwrap();
        assert!(line.starts_with("| `improve.horizon` | `4` | code"), "{line}");
        assert!(line.contains("Model steps H"), "{line}");
        let line = text.lines().find(|line| line.starts_with("| `model.members`")).unwrap();
        assert!(line.contains("| `7` |  | `8` |") || line.contains("| `7` | | `8` |"), "{line}");
        assert!(renewed("<!-- table of sac -->\n", &registry).is_err());
        assert!(renewed("<!-- table of sca -->\n<!-- end -->\n", &registry).is_err());
    }
}
