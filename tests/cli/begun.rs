//! Runs that begin with another run's weights or with recorded transitions.

use std::path::Path;

use crate::small::{ENDLESS, Running, STEPS, Small, ended, fails};

fn leak(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

fn config(run: &Small) -> String {
    std::fs::read_to_string(run.file("config.toml")).unwrap()
}

/// Trains once in a go, and once with a kill and a resume without what it began with; both must be equal.
fn resumes_without(setting: &'static str, gone: &Path) {
    let whole = Small::new("sac").with(setting);
    let killed = Small::new("sac").with(setting);
    let mut running = Running::start(&mut killed.train(ENDLESS));
    running.wait_for_step(300);
    running.kill();
    let steps = STEPS.max(killed.saved_step().unwrap());
    ended(&mut whole.train(steps));
    let away = gone.with_file_name("away");
    std::fs::rename(gone, &away).unwrap();
    ended(&mut killed.resume(steps));
    std::fs::rename(&away, gone).unwrap();
    assert_eq!(whole.folder().file_name(), killed.folder().file_name());
    assert!(whole.result() == killed.result(), "{setting}");
    // The same command finds its run.
    ended(&mut killed.train(steps));
}

#[test]
fn weights_of_another_run_are_part_of_the_identity_and_read_once() {
    let source = Small::new("sac");
    ended(&mut source.train(300));
    let setting = leak(format!("run.from={:?}", source.folder().display().to_string()));
    resumes_without(setting, &source.folder());

    let option = Small::new("sac");
    ended(option.train(10).arg("--from").arg(source.folder()));
    let of_setting = Small::new("sac").with(setting);
    ended(&mut of_setting.train(10));
    assert_eq!(option.folder().file_name(), of_setting.folder().file_name());
    assert!(config(&option).contains("from_hash = "), "{}", config(&option));
    let plain = Small::new("sac");
    ended(&mut plain.train(10));
    assert_ne!(option.folder().file_name(), plain.folder().file_name());
    assert!(!config(&plain).contains("from"), "{}", config(&plain));
    // More training of the source is another start.
    ended(&mut source.resume(400));
    let later = Small::new("sac").with(setting);
    ended(&mut later.train(10));
    assert_ne!(option.folder().file_name(), later.folder().file_name());

    let nothing = Small::new("sac");
    let words = ["`run.from`", "expected the folder of a run"];
    fails(nothing.train(10).args(["--from", "nowhere"]), 2, &words);
    let misfit = Small::new("sac").with("critic.hidden=[8]").with(setting);
    fails(&mut misfit.train(10), 2, &["`run.from`", "its `critic` does not fit"]);
    assert!(!misfit.root.path().join("train").exists(), "a refused run left a folder");
}

#[test]
fn recorded_transitions_are_part_of_the_identity_and_read_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("old.csv");
    let names = |base: &str| (0..3).map(|i| format!("{base}_{i},")).collect::<String>();
    let header = format!("{}action_0,{}reward,terminated", names("obs"), names("next_obs"));
    let row = "0.5,-0.5,1,0.25,0.6,-0.4,1.5,-3,0\n";
    std::fs::write(&file, format!("{header}\n{}", row.repeat(40))).unwrap();
    let setting = leak(format!("loop.data={:?}", file.display().to_string()));
    resumes_without(setting, &file);

    let [first, second] = [40, 41].map(|n| {
        std::fs::write(&file, format!("{header}\n{}", row.repeat(n))).unwrap();
        let run = Small::new("sac").with(setting);
        ended(&mut run.train(10));
        run
    });
    assert_ne!(first.folder().file_name(), second.folder().file_name());
    assert!(config(&first).contains("data_hash = "), "{}", config(&first));

    std::fs::write(&file, format!("{header}\n{row}{}", row.replace("-3", "inf"))).unwrap();
    let refused = Small::new("sac").with(setting);
    let words = ["`loop.data`", "old.csv", "line 3: `reward`: expected a finite number, got inf"];
    fails(&mut refused.train(10), 2, &words);
    assert!(!refused.root.path().join("train").exists(), "a refused run left a folder");
}
