//! The second version that is known to work, fetched beside the first.

use std::path::PathBuf;
use std::process::Command;

use super::failures::exploding;
use super::{bits, random_action, ready};
use hstep::env::mujoco::tasks::TASKS;
use hstep::env::mujoco::{Library, Mujoco};
use hstep::env::{Env, Simulator};
use hstep::rng::Rng;

const VERSION: &str = "4.0.0";

/// The library of that version, below `.mujoco`.
fn library() -> PathBuf {
    let site = ready::root().join(".mujoco").join(VERSION);
    let file = site.join(format!("mujoco/libmujoco.so.{VERSION}"));
    if file.is_file() {
        return file;
    }
    let python = |args: &[&str]| {
        let out = Command::new("python3").args(args).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    };
    let wheels = tempfile::tempdir().unwrap();
    let to = wheels.path().to_str().unwrap();
    let package = format!("mujoco-core=={VERSION}");
    // The library is the same for every Python.
    let any = ["--no-deps", "--only-binary=:all:", "--python-version", "3.11", "--dest", to];
    python(&[&["-m", "pip", "download", "--quiet"][..], &any, &[&package]].concat());
    let wheel = std::fs::read_dir(to).unwrap().next().unwrap().unwrap().path();
    let part = tempfile::tempdir_in(ready::root().join(".mujoco")).unwrap();
    let (wheel, part_name) = (wheel.to_str().unwrap(), part.path().to_str().unwrap());
    python(&["-m", "zipfile", "-e", wheel, part_name]);
    std::fs::rename(part.keep(), &site).unwrap();
    file
}

#[test]
fn the_newer_version_runs_every_task() {
    ready::ready();
    // What is read of its structures is tried on a known model as it is opened.
    let library = Library::open(&library()).unwrap();
    assert_eq!(library.version(), VERSION);
    for task in &TASKS {
        let mut env = Mujoco::new(task, &library).unwrap();
        let mut rng = Rng::new(5);
        env.reset(&mut rng).unwrap();
        for _ in 0..25 {
            let (before, action) = (env.save(), random_action(&env, &mut rng));
            let step = env.step(&action).unwrap();
            let after = env.save();
            env.restore(&before).unwrap();
            let again = env.step(&action).unwrap();
            assert_eq!(bits(&again.obs), bits(&step.obs), "{}", task.name);
            assert_eq!(again.reward.to_bits(), step.reward.to_bits(), "{}", task.name);
            assert_eq!(bits(&env.save()), bits(&after), "{}", task.name);
            if step.terminated {
                env.reset(&mut rng).unwrap();
            }
        }
        assert!(env.scene().unwrap().parts.len() >= 2, "{}", task.name);
    }
    let cheetah = hstep::env::mujoco::task("HalfCheetah-v4").unwrap();
    let mut env = Mujoco::new(cheetah, &library).unwrap();
    env.reset(&mut Rng::new(6)).unwrap();
    match env.painter([160, 90]) {
        Ok(mut painter) => {
            let rgb = painter.paint(&env.save()).unwrap().rgb;
            let brown = rgb.chunks_exact(3).filter(|p| p[0].saturating_sub(p[2]) > 30).count();
            assert!((100..3000).contains(&brown), "{brown}");
        }
        Err(error) => assert!(error.to_string().contains("libosmesa6"), "{error}"),
    }
    exploding(&mut env);
    let step = env.step(&[0.0; 6]).unwrap();
    assert_eq!((step.terminated, step.truncated, env.failure_kind()), (false, true, Some("qvel")));
}
