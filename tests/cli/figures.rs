//! Figures: their numbers, files and settings.

use std::path::Path;

use crate::run;

/// `y` by `x` of one line of one panel.
fn line(csv: &Path, panel: &str, series: &str) -> Vec<f64> {
    let mut reader = csv::Reader::from_path(csv).unwrap();
    let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
    let line: Vec<f64> = rows
        .iter()
        .filter(|r| r[0].contains(panel) && &r[1] == series)
        .map(|r| r[3].parse().unwrap())
        .collect();
    assert!(!line.is_empty(), "no `{series}` in `{panel}`");
    line
}

fn lowest(errors: &[f64]) -> (usize, f64) {
    errors.iter().copied().enumerate().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap()
}

#[test]
fn maac_fig3_has_its_shape_and_needs_no_system_font() {
    let folder = tempfile::tempdir().unwrap();
    let out = run(&["reproduce", "maac-fig3", "--out", folder.path().to_str().unwrap()]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let csv = folder.path().join("data/maac-fig3.csv");

    let perturbed = line(&csv, "Q perturbed", "perturbed dynamics");
    let (h, e) = lowest(&perturbed);
    assert!((0.75..=1.15).contains(&perturbed[0]), "H = 0: {}", perturbed[0]);
    assert!((7..=13).contains(&h) && (0.15..=0.27).contains(&e), "lowest {e} at {h}");
    assert!((0.2..=0.55).contains(&perturbed[60]), "H = 60: {}", perturbed[60]);

    let exact = line(&csv, "Q perturbed", "true dynamics");
    assert!(exact.windows(2).all(|w| w[1] < w[0]), "true dynamics must fall: {exact:?}");
    assert!(exact[60] < 2e-4, "H = 60: {}", exact[60]);

    // Learned from data: more data is better, and little data has a best horizon.
    let learned = |n: &str| line(&csv, "learned", n);
    let (few, more, many) =
        (learned("N = 100"), learned("N = 1\u{a0}000"), learned("N = 10\u{a0}000"));
    let (h, e) = lowest(&few);
    assert!((3..=25).contains(&h) && few[60] > 1.05 * e, "N = 100: lowest {e} at {h}");
    assert!(few[60] > 1.5 * more[60] && more[60] > 1.5 * many[60]);

    // The lemma's reading: at H = 0 no model is used, so only Q's error is left, the same for both.
    let same = folder.path().join("data/maac-fig3-same-horizon.csv");
    let (wrong, right) = (line(&same, "", "perturbed dynamics"), line(&same, "", "true dynamics"));
    assert!((wrong[0] - right[0]).abs() < 1e-9 && wrong[60] > 100.0 * right[60]);

    let png = std::fs::read(folder.path().join("maac-fig3.png")).unwrap();
    assert_eq!(png[..8], *b"\x89PNG\r\n\x1a\n");
    assert_eq!(u32::from_be_bytes(png[16..20].try_into().unwrap()), 2400);
    let svg = std::fs::read_to_string(folder.path().join("maac-fig3.svg")).unwrap();
    assert!(svg.contains("best at H = ") && svg.contains("sans-serif") && !svg.contains("NaN"));
    let manifest = std::fs::read_to_string(folder.path().join("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let seeds = manifest["maac-fig3"]["seeds"].as_array().unwrap();
    assert_eq!(seeds.len(), 20);
    assert_eq!(manifest["maac-fig3"]["config_hash"].as_str().unwrap().len(), 8);
}

#[test]
fn maac_fig3_takes_its_numbers_from_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let settings = ["gamma=0.9", "dt=0.05", "k=[1, 1]", "model_error=0", "critic_error=0.2"];
    let more = ["seeds=[3, 5]", "horizon_max=12", "data_sizes=[50]"];
    let mut args = vec!["reproduce", "maac-fig3", "--out", out];
    args.extend(settings.iter().chain(&more));
    let output = run(&args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let csv = folder.path().join("data/maac-fig3.csv");
    let perturbed = line(&csv, "Q perturbed", "perturbed dynamics");
    assert_eq!(perturbed.len(), 13);
    // Without model error both lines are one.
    assert_eq!(perturbed, line(&csv, "Q perturbed", "true dynamics"));
    let seeds = std::fs::read_to_string(folder.path().join("data/maac-fig3-seeds.csv")).unwrap();
    assert!(seeds.contains(",3,12,") && seeds.contains(",5,0,") && !seeds.contains(",0,0,"));
}
