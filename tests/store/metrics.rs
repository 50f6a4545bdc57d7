//! Metrics files: what is written is read back, by this library and by TensorBoard itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hstep::Error;
use hstep::metrics::{EventWriter, MetricsWriter, Row, Seal, read_columns, read_csv};
use proptest::prelude::*;
use tempfile::TempDir;

const COLUMNS: [&str; 3] = ["env_steps", "return", "critic/loss"];
const TIMING: [&str; 2] = ["env_steps", "seconds"];

fn row(env_steps: u64) -> Row {
    Row::from_iter([("env_steps", env_steps as f64), ("return", -0.1 * env_steps as f64)])
}

fn create(dir: &TempDir) -> MetricsWriter {
    MetricsWriter::create(dir.path(), &COLUMNS, &TIMING).unwrap()
}

fn resume(dir: &TempDir, seal: &Seal) -> Result<MetricsWriter, Error> {
    MetricsWriter::resume(dir.path(), &COLUMNS, &TIMING, seal)
}

#[test]
fn rows_have_fixed_columns_and_empty_cells() {
    let dir = TempDir::new().unwrap();
    let mut writer = create(&dir);
    writer.write(&row(3)).unwrap();
    let mut full = row(1_000_000);
    full.set("critic/loss", 1e-7).set("return", f64::NAN);
    writer.write(&full).unwrap();
    writer.write_timing(&Row::from_iter([("seconds", 0.25)])).unwrap();
    let text = fs::read_to_string(dir.path().join("metrics.csv")).unwrap();
    let expected = "env_steps,return,critic/loss\n3,-0.30000000000000004,\n1000000,NaN,1e-7\n";
    assert_eq!(text, expected);
    assert_eq!(writer.sync().unwrap().bytes, expected.len() as u64);
    let text = fs::read_to_string(dir.path().join("timing.csv")).unwrap();
    assert_eq!(text, "env_steps,seconds\n,0.25\n");

    let error = writer.write(&Row::from_iter([("losss", 1.0)])).unwrap_err().to_string();
    assert!(error.starts_with("config: `losss`: is no column of"), "{error}");
    assert!(error.ends_with("there are env_steps, return, critic/loss"), "{error}");
    for bad in ["a,b", "", "a\n", "\"a\""] {
        assert!(MetricsWriter::create(dir.path(), &[bad], &[]).is_err());
    }
    let twice = MetricsWriter::create(dir.path(), &["a", "a"], &[]).unwrap_err();
    assert!(twice.to_string().contains("occurs twice"));
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None, cases: 64, ..ProptestConfig::default()
    })]
    #[test]
    fn numbers_are_read_back_to_the_bit(
        cells in prop::collection::vec(prop::option::of(any::<f64>()), 3..30),
    ) {
        let dir = TempDir::new().unwrap();
        let mut writer = create(&dir);
        let rows: Vec<_> = cells.chunks_exact(3).collect();
        for cells in &rows {
            let present = COLUMNS.iter().zip(*cells).filter_map(|(&name, &x)| Some((name, x?)));
            writer.write(&present.collect()).unwrap();
        }
        let table = read_csv(&dir.path().join("metrics.csv")).unwrap();
        prop_assert_eq!(&table.columns, &COLUMNS);
        prop_assert_eq!(table.rows.len(), rows.len());
        // All NaN are one NaN in text.
        let bits = |x: &Option<f64>| x.map(|x| if x.is_nan() { 0 } else { x.to_bits() ^ 1 });
        for (read, written) in table.rows.iter().zip(rows) {
            prop_assert!(read.iter().map(bits).eq(written.iter().map(bits)));
        }
    }
}

#[test]
fn resume_cuts_back_to_the_checkpoint() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("metrics.csv");
    let mut writer = create(&dir);
    (0..3).for_each(|i| writer.write(&row(i)).unwrap());
    let seal = writer.sync().unwrap();
    (3..6).for_each(|i| writer.write(&row(i)).unwrap());
    let uninterrupted = fs::read(&path).unwrap();
    writer.write_timing(&Row::from_iter([("seconds", 1.5)])).unwrap();
    drop(writer);
    // Interrupted inside a row, of both files.
    fs::write(&path, &uninterrupted[..uninterrupted.len() - 3]).unwrap();
    let timing = dir.path().join("timing.csv");
    fs::write(&timing, fs::read_to_string(&timing).unwrap() + "3,2").unwrap();
    assert_eq!(read_csv(&path).unwrap().rows.len(), 5, "the half row is left out");

    let mut writer = resume(&dir, &seal).unwrap();
    assert_eq!(writer.sync().unwrap(), seal);
    (3..6).for_each(|i| writer.write(&row(i)).unwrap());
    writer.write_timing(&Row::from_iter([("seconds", 3.5)])).unwrap();
    assert_eq!(fs::read(&path).unwrap(), uninterrupted);
    assert_eq!(fs::read_to_string(&timing).unwrap(), "env_steps,seconds\n,1.5\n,3.5\n");

    assert_eq!(fs::read(&path).unwrap(), uninterrupted);
    let other = MetricsWriter::resume(dir.path(), &["env_steps"], &TIMING, &seal).unwrap_err();
    assert!(other.to_string().contains("does not start with the columns `env_steps`"), "{other}");
}

#[test]
fn rows_that_changed_since_the_checkpoint_are_named() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("metrics.csv");
    let mut writer = create(&dir);
    (0..3).for_each(|i| writer.write(&row(i)).unwrap());
    let seal = writer.sync().unwrap();
    writer.write(&row(3)).unwrap();
    drop(writer);
    let good = fs::read_to_string(&path).unwrap();
    let refused = |text: &str| {
        fs::write(&path, text).unwrap();
        let problem = match resume(&dir, &seal).unwrap_err() {
            Error::Checkpoint { problem, .. } => problem,
            other => panic!("{other}"),
        };
        assert_eq!(fs::read_to_string(&path).unwrap(), text, "a refusal changes nothing");
        problem
    };
    let row = "line 3 (it begins with `1`) is not as it was written: restore the file";
    for (from, to) in [("\n1,-0.1", "\n1,-0.9"), ("\n1,-0.1,", "\n1,,"), ("\n1,-0.1", "\n1,-0.12")]
    {
        let said = refused(&good.replacen(from, to, 1));
        assert!(said.starts_with(row), "{said}");
    }
    assert!(
        refused(&good.replacen("\n1,-0.1,\n", "\n", 1)).starts_with("line 3 (it begins with `2`)")
    );
    assert!(
        refused(&good.replacen("return", "reward", 1)).starts_with("line 1 (it begins with `env")
    );
    let rows = "has 28 bytes, the checkpoint was saved with";
    assert!(refused(&good[..28]).starts_with(rows), "{}", refused(&good[..28]));
    assert!(refused("").starts_with("has 0 bytes"));
    // What came after the checkpoint is not sealed.
    fs::write(&path, good.replacen("\n3,", "\n4,", 1)).unwrap();
    drop(resume(&dir, &seal).unwrap());
    fs::remove_file(&path).unwrap();
    let missing = resume(&dir, &seal).unwrap_err().to_string();
    assert!(missing.contains("is missing"), "{missing}");
}

const CRASH_FOLDER: &str = "HSTEP_TEST_METRICS_FOLDER";

/// The child of the next test; as a test of its own it has nothing to do.
#[test]
fn crash_child() {
    let Some(folder) = std::env::var_os(CRASH_FOLDER) else { return };
    let mut writer = MetricsWriter::create(Path::new(&folder), &COLUMNS, &TIMING).unwrap();
    (0..9).for_each(|i| writer.write(&row(i)).unwrap());
}

#[test]
fn a_process_aborted_inside_a_row_leaves_half_of_it() {
    let dir = TempDir::new().unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::metrics::crash_child", "--nocapture"])
        .env("HSTEP_FAULT", "metrics-half-row:3")
        .env(CRASH_FOLDER, dir.path())
        .status()
        .unwrap();
    assert!(!child.success());
    let path = dir.path().join("metrics.csv");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.lines().count() == 4 && text.ends_with("\n2,-0"), "{text}");
    assert_eq!(read_csv(&path).unwrap().rows.len(), 2);
    let undisturbed = TempDir::new().unwrap();
    let mut writer = create(&undisturbed);
    (0..2).for_each(|i| writer.write(&row(i)).unwrap());
    resume(&dir, &writer.sync().unwrap()).unwrap().write(&row(2)).unwrap();
    let whole = text.rfind('\n').unwrap() + 1;
    assert_eq!(fs::read_to_string(&path).unwrap(), text[..whole].to_owned() + "2,-0.2,\n");
}

#[test]
fn garbled_tables_are_refused_by_line() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("t.csv");
    let problem = |text: &str| {
        fs::write(&path, text).unwrap();
        read_csv(&path).unwrap_err().to_string()
    };
    assert!(problem("").contains("is empty"));
    assert!(problem("a,b\n1,2\n3,x\n").contains("line 3: `x` is no number"));
    assert!(problem("a,b\n1,2\n3\n").contains("line: 3"));
    fs::write(&path, "a,b\n1,\n").unwrap();
    let table = read_csv(&path).unwrap();
    assert_eq!(table.column("b").unwrap(), [None]);
    assert!(table.column("c").unwrap_err().to_string().contains("there are a, b"));
    assert!(matches!(read_csv(&dir.path().join("none.csv")), Err(Error::Io { .. })));
}

#[test]
fn some_columns_are_read_as_the_whole_table_has_them() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("metrics.csv");
    let read = |text: &str, names: &[&str]| {
        fs::write(&path, text).unwrap();
        read_columns(&path, names)
    };
    let text = "a,b,c\n1,,3e-5\n-2.5,7,\n9,";
    // In any order, one twice; the half row is left out.
    let got = read(text, &["c", "a", "c"]).unwrap();
    let table = read_csv(&path).unwrap();
    let whole = |name: &str| table.column(name).unwrap();
    assert_eq!(got, [whole("c"), whole("a"), whole("c")]);
    let said = |text: &str| read(text, &["a", "b"]).unwrap_err().to_string();
    assert!(said("a,c\n1,2\n").contains("`b`: is no column"));
    assert!(said("a,b\n1,2\n1\n").contains("line 3: expected at least 2 cells, got 1"));
    assert!(said("a,b\n1,x\n").contains("line 2: `x` is no number"));
    assert!(said("").contains("is empty"));
    assert!(matches!(read_columns(&dir.path().join("none.csv"), &[]), Err(Error::Io { .. })));
}

#[test]
fn unwritable_places_are_io_errors() {
    let dir = TempDir::new().unwrap();
    let below_a_file = dir.path().join("file");
    fs::write(&below_a_file, "").unwrap();
    let refused = MetricsWriter::create(&below_a_file, &COLUMNS, &TIMING).unwrap_err();
    assert!(matches!(refused, Error::Io { .. }));
    assert!(matches!(EventWriter::create(&below_a_file, 0.0, None), Err(Error::Io { .. })));
}

const TENSORBOARD: &str = "tensorboard==2.20.0";

/// A folder with the Python package `tensorboard`, installed once and kept below `target`.
fn tensorboard() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(TENSORBOARD.replace("==", "-"));
    let complete = folder.join("complete");
    if !complete.exists() {
        let _ = fs::remove_dir_all(&folder);
        let install = Command::new("python3")
            .args(["-m", "pip", "install", "--quiet", "--target"])
            .arg(&folder)
            .args([TENSORBOARD, "setuptools<81"])
            .output()
            .expect("this test reads events with the real TensorBoard: it needs python3 on PATH");
        assert!(
            install.status.success(),
            "this test reads events with the real TensorBoard: `python3 -m pip install \
             {TENSORBOARD}` failed: {}",
            String::from_utf8_lossy(&install.stderr)
        );
        fs::write(complete, "").unwrap();
    }
    folder
}

/// Prints the records of each file, then what the accumulator makes of the folder. Both check the
/// records' checksums.
const READER: &str = r#"
import os, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
folder = sys.argv[1]
for name in sorted(os.listdir(folder)):
    for e in LegacyEventFileLoader(os.path.join(folder, name)).Load():
        kind = e.WhichOneof("what")
        what = e.file_version if kind == "file_version" else e.session_log.status
        if kind == "summary":
            what = " ".join(f"{v.tag}={v.simple_value!r}" for v in e.summary.value)
        print("record", name, repr(e.wall_time), e.step, kind, what)
a = EventAccumulator(folder, purge_orphaned_data=True)
a.Reload()
for tag in sorted(a.Tags()["scalars"]):
    for s in a.Scalars(tag):
        print("scalar", tag, s.step, repr(s.wall_time), repr(s.value))
"#;

#[test]
fn tensorboard_reads_the_events() {
    let dir = TempDir::new().unwrap();
    let start = 1_700_000_000.5;
    let mut writer = EventWriter::create(dir.path(), start, None).unwrap();
    let two = |x: f64| Row::from_iter([("eval/return", -x), ("é loss", 1.0 / x)]);
    writer.write(100, start + 1.0, &two(3.0)).unwrap();
    writer.write(5_000_000_000, start + 2.0, &two(7.0)).unwrap();
    // Resumed within the same second after step 100: the second row is of a lost future.
    let mut resumed = EventWriter::create(dir.path(), start, Some(100)).unwrap();
    assert_ne!(writer.path(), resumed.path());
    let long = "t".repeat(300);
    resumed.write(200, start + 3.0, &Row::from_iter([(long.as_str(), f64::MIN_POSITIVE)])).unwrap();
    resumed.write(300, start + 4.0, &two(9.0)).unwrap();

    let read = Command::new("python3")
        .args(["-c", READER])
        .arg(dir.path())
        .env("PYTHONPATH", tensorboard())
        .env("PYTHONIOENCODING", "utf-8")
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&read.stderr).into_owned();
    assert!(read.status.success(), "{errors}");
    let first = "events.out.tfevents.1700000000.hstep.0000";
    let second = "events.out.tfevents.1700000000.hstep.0001";
    let single = |x: f64| f64::from(x as f32);
    let values = |x: f64| format!("eval/return={:?} é loss={:?}", -single(x), single(1.0 / x));
    let expected = [
        format!("record {first} 1700000000.5 0 file_version brain.Event:2"),
        format!("record {first} 1700000001.5 100 summary {}", values(3.0)),
        format!("record {first} 1700000002.5 5000000000 summary {}", values(7.0)),
        format!("record {second} 1700000000.5 0 file_version brain.Event:2"),
        format!("record {second} 1700000000.5 101 session_log 1"),
        format!("record {second} 1700000003.5 200 summary {long}=0.0"),
        format!("record {second} 1700000004.5 300 summary {}", values(9.0)),
        "scalar eval/return 100 1700000001.5 -3.0".to_owned(),
        "scalar eval/return 300 1700000004.5 -9.0".to_owned(),
        format!("scalar {long} 200 1700000003.5 0.0"),
        format!("scalar é loss 100 1700000001.5 {:?}", single(1.0 / 3.0)),
        format!("scalar é loss 300 1700000004.5 {:?}", single(1.0 / 9.0)),
    ];
    let output = String::from_utf8(read.stdout).unwrap();
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines, expected, "{errors}");
}

/// Prints the text and the hyper-parameters of a folder.
const DESCRIBED: &str = r#"
import os, sys
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from tensorboard.plugins.hparams import plugin_data_pb2
folder = sys.argv[1]
for e in LegacyEventFileLoader(os.path.join(folder, os.listdir(folder)[0])).Load():
    for v in e.summary.value:
        name = v.metadata.plugin_data.plugin_name
        if name == "text":
            print(v.tag, v.tensor.string_val[0].decode())
        else:
            info = plugin_data_pb2.HParamsPluginData.FromString(v.metadata.plugin_data.content).session_start_info
            for key in sorted(info.hparams):
                kind = info.hparams[key].WhichOneof("kind")
                print(v.tag, key, kind, getattr(info.hparams[key], kind))
"#;

#[test]
fn tensorboard_reads_the_settings() {
    let dir = TempDir::new().unwrap();
    let mut writer = EventWriter::create(dir.path(), 1_700_000_000.0, None).unwrap();
    let settings: toml::Table =
        "[run]\nalgo = 'sac'\nsteps = 700\n[actor]\nlr = 3e-4\nhidden = [64, 64]\nzero = true"
            .parse()
            .unwrap();
    let flat = hstep::config::flat(&settings, &[]);
    writer.describe(1_700_000_001.0, "# été", &flat).unwrap();
    let read = Command::new("python3")
        .args(["-c", DESCRIBED])
        .arg(dir.path())
        .env("PYTHONPATH", tensorboard())
        .env("PYTHONIOENCODING", "utf-8")
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&read.stderr).into_owned();
    let output = String::from_utf8(read.stdout).unwrap();
    let session = "_hparams_/session_start_info";
    let expected = [
        "config/text_summary # été".to_owned(),
        format!("{session} actor.hidden string_value [64, 64]"),
        format!("{session} actor.lr number_value 0.0003"),
        format!("{session} actor.zero bool_value True"),
        format!("{session} run.algo string_value sac"),
        format!("{session} run.steps number_value 700.0"),
    ];
    assert_eq!(output.lines().collect::<Vec<_>>(), expected, "{errors}");
}
