//! `hstep render`: evaluation episodes of a run as pictures and films, drawn from body poses.
//!
//! An environment says what it looks like ([`hstep::env::scene`]); everything else is done here: a
//! strip of pictures as SVG or PNG, a film as GIF or HTML.

mod gif;
mod html;
mod marks;
mod pixels;
mod record;
mod stage;
mod strip;
mod svg;
mod title;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use hstep::config::check;
use hstep::train::{EnvFactory, EvalConfig};
use hstep::{Error, limits};

use crate::cli::{Format, Render};
use crate::commands::eval::failed;
use crate::output::say;
use crate::plot::{self, grouped};
use crate::registry::Registry;
use crate::reproduce::compare::{algorithm, environment};
use crate::run_folder::RunFolder;
use crate::settings::Settings;
use marks::Picture;
use record::{Episode, Part, record};
use title::Title;

/// Pixels a CSS pixel, of a PNG and of a film.
const SHARP: f64 = 2.0;
const FILM: f64 = 1.5;
/// Width of a picture by an environment's own renderer, pixels.
const PAINTED: usize = 720;
/// The most pictures of a film: 16 s at 25 a second.
const LONGEST: usize = 400;
/// Pictures whose colours stand for the whole film's.
const SAMPLE: usize = 12;
/// How long a film rests on its last picture, hundredths of a second.
const REST: u16 = 120;

pub fn run(args: &Render, registry: &Arc<Registry>) -> Result<()> {
    check::count("episodes", args.episodes, limits::EPISODES)?;
    check::at_least("frames", args.frames, 1)?;
    if let Some(step) = args.step {
        check::at_least("step", step, 1)?;
    }
    if let Some(to) = args.to.filter(|to| *to < args.from) {
        let problem = format!("expected at most --to, which is {to}, got {}", args.from);
        return Err(Error::config("--from", problem).into());
    }
    let folder = RunFolder::open(&args.run)?;
    let outputs = outputs(args, folder.path())?;
    if args.offscreen && outputs.iter().any(|(f, _)| matches!(f, Format::Svg | Format::Html)) {
        let problem = "SVG and HTML hold drawings only; expected PNG or GIF with --offscreen";
        return Err(Error::config("--format", problem).into());
    }
    let settings = Settings::resolved(registry, folder.config()?)?;
    let agent = settings.trained(folder.path(), args.best)?;
    let config = EvalConfig { episodes: args.episodes, ..settings.run.eval.clone() };
    let (mut episodes, result) = record(&agent, &shown_by(&settings, registry, args), &config)?;
    let part = Part { from: args.from, to: args.to.unwrap_or(usize::MAX), step: args.step };
    let longest = result.lengths.iter().copied().max().unwrap_or(0);
    if args.from > longest {
        let problem = format!(
            "expected a step of an episode, of which the longest has {longest}, got {}",
            args.from
        );
        return Err(Error::config("--from", problem).into());
    }
    if args.offscreen {
        paint_shown(&mut episodes, part, args, &outputs, &settings)?;
    }
    let run = &settings.run;
    let steps = grouped(agent.counters.env_steps);
    let title = Title {
        heading: environment(&run.env),
        run: format!("{}, seed {}, after {steps} steps", algorithm(&run.algo), run.seed),
        reached: match result.returns[..] {
            [one] => format!("return {}", Title::number(one)),
            _ => format!("mean return {}", Title::number(result.mean())),
        },
    };
    for (format, path) in &outputs {
        if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            std::fs::create_dir_all(parent).map_err(Error::io("cannot create", parent))?;
        }
        match format {
            Format::Svg => {
                let picture = strip::strip(&episodes, part, args.frames, &title);
                plot::write(path, svg::svg(&picture).as_bytes())?;
            }
            Format::Png => {
                let picture = strip::strip(&episodes, part, args.frames, &title);
                let image = pixels::pixels(&picture, SHARP)?;
                let size = (image.width as u32, image.height as u32);
                plot::save_pixels(path, size, &image.rgb)?;
            }
            Format::Gif => {
                let (pictures, time) = film(&episodes, part, &title);
                plot::write(path, &animated(&pictures, time)?)?;
            }
            Format::Html => {
                let (pictures, time) = film(&episodes, part, &title);
                let heading = format!("{}: {}", title.heading, title.run);
                plot::write(path, html::html(&pictures, time, &heading).as_bytes())?;
            }
        }
    }
    say!("env_steps   {}", agent.counters.env_steps)?;
    say!("episodes    {}", args.episodes)?;
    say!("return      {:.3} (standard deviation {:.3})", result.mean(), result.std())?;
    say!("length      {:.1}", result.length())?;
    if let Some(line) = failed(&result.failures) {
        say!("failed      {line}")?;
    }
    let filmed = outputs.iter().any(|(format, _)| matches!(format, Format::Gif | Format::Html));
    if let Some(shown) = cut_short(&episodes, part).filter(|_| filmed) {
        say!("film        {shown}")?;
    }
    for (_, path) in &outputs {
        say!("{}", path.display())?;
    }
    Ok(())
}

/// The environments that are shown: those of Gymnasium make pictures only where they are made to.
fn shown_by(settings: &Settings, registry: &Arc<Registry>, args: &Render) -> EnvFactory {
    let name = &settings.run.env;
    if !args.offscreen || !name.starts_with("gym:") || name.contains("render_mode=") {
        return settings.factory();
    }
    let joined = if name.contains('?') { '&' } else { '?' };
    registry.factory(&format!("{name}{joined}render_mode=rgb_array"))
}

/// Has the environment's own renderer make the pictures that will be shown.
fn paint_shown(
    episodes: &mut [Episode],
    part: Part,
    args: &Render,
    outputs: &[(Format, PathBuf)],
    settings: &Settings,
) -> Result<(), Error> {
    let mut left = LONGEST;
    for episode in episodes {
        let mut shown = Vec::new();
        for (format, _) in outputs {
            shown.extend(match format {
                Format::Png | Format::Svg => part.still(episode, args.frames),
                Format::Gif | Format::Html => part.moving(episode, left).0,
            });
        }
        left -= part.moving(episode, left).0.len();
        record::paint(episode, &shown, &settings.factory(), PAINTED)?;
    }
    Ok(())
}

/// Which steps a film shows, where these are not all that were asked for.
fn cut_short(episodes: &[Episode], part: Part) -> Option<String> {
    let mut left = LONGEST;
    for (i, episode) in episodes.iter().enumerate() {
        if let Some(step) = part.cut(episode, left) {
            return Some(format!(
                "ends before step {step} of {} in episode {i}: --from and --to choose another part, \
                 --step a faster pace",
                episode.len() - 1
            ));
        }
        left -= part.moving(episode, left).0.len();
    }
    None
}

/// The pictures of a film, one episode after the other, and the time of each.
fn film(episodes: &[Episode], part: Part, title: &Title) -> (Vec<Picture>, u16) {
    let (mut pictures, mut time) = (Vec::new(), 4);
    for episode in episodes {
        let (steps, each) = part.moving(episode, LONGEST - pictures.len());
        time = each;
        pictures.extend(steps.iter().map(|&step| strip::film_picture(episode, step, title)));
    }
    (pictures, time)
}

/// The film as a GIF.
fn animated(pictures: &[Picture], time: u16) -> Result<Vec<u8>, Error> {
    let apart = pictures.len().div_ceil(SAMPLE).max(1);
    let sample = pictures.iter().step_by(apart).map(|picture| pixels::pixels(picture, FILM));
    let mut film = gif::Film::new(&sample.collect::<Result<Vec<_>, _>>()?);
    for (i, picture) in pictures.iter().enumerate() {
        let last = i + 1 == pictures.len();
        film.push(&pixels::pixels(picture, FILM)?, if last { REST } else { time });
    }
    Ok(film.finish())
}

/// What is written, and where: one file where its name says so, else files named after the run.
fn outputs(args: &Render, run: &Path) -> Result<Vec<(Format, PathBuf)>, Error> {
    let folder = match &args.out {
        Some(out) if !out.is_dir() => match (out.extension(), args.format) {
            (None, _) => out.clone(),
            (Some(extension), format) => {
                let named = Format::ALL.into_iter().find(|f| extension == f.extension());
                let problem = match (named, format) {
                    (Some(named), None) => return Ok(vec![(named, out.clone())]),
                    (Some(named), Some(format)) if named == format => {
                        return Ok(vec![(format, out.clone())]);
                    }
                    (Some(_), Some(format)) => {
                        format!("`{}` is no name of a {} file", out.display(), format.extension())
                    }
                    (None, _) => format!(
                        "expected a folder, or a file ending in .svg, .png, .gif or .html, got `{}`",
                        out.display()
                    ),
                };
                return Err(Error::config("--out", problem));
            }
        },
        Some(out) => out.clone(),
        None => run.join("render"),
    };
    let whole = run.canonicalize().unwrap_or_else(|_| run.to_path_buf());
    let name = whole.file_name().map_or_else(|| "run".into(), |name| name.to_string_lossy());
    let all = if args.offscreen { vec![Format::Png, Format::Gif] } else { Format::ALL.to_vec() };
    let formats = args.format.map_or(all, |one| vec![one]);
    let file = |format: Format| folder.join(format!("{name}.{}", format.extension()));
    Ok(formats.into_iter().map(|format| (format, file(format))).collect())
}
