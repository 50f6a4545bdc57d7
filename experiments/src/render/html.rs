//! A film as one HTML file: the pictures as SVG, and a few lines that show one after the other.

use super::marks::Picture;
use super::svg::{elements, escaped};

/// The whole file; `time` is that of a picture in hundredths of a second.
pub fn html(pictures: &[Picture], time: u16, heading: &str) -> String {
    let (width, height) = pictures.first().map_or((1.0, 1.0), |p| p.size);
    // What all begin with is drawn once.
    let same = |at: usize| {
        let mark = pictures.first().and_then(|p| p.marks.get(at));
        mark.is_some() && pictures.iter().all(|p| p.marks.get(at) == mark)
    };
    let fixed = (0..).take_while(|&at| same(at)).count();
    let still = pictures.first().map_or(String::new(), |p| elements(&p.marks[..fixed]));
    let frames: String = pictures
        .iter()
        .map(|p| format!("<g display=\"none\">\n{}</g>\n", elements(&p.marks[fixed..])))
        .collect();
    let (last, delay) = (pictures.len().saturating_sub(1), u32::from(time) * 10);
    let heading = escaped(heading);
    format!(
        r##"<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{heading}</title>
<style>
body {{ margin: 2rem auto; max-width: {width}px; font: 15px Roboto, Helvetica, Arial, sans-serif;
  color: #222831; background: #fff }}
svg#film {{ width: 100%; height: auto }}
form {{ display: flex; gap: .7rem; align-items: center; padding: 0 12px }}
button {{ font: inherit; min-width: 5rem; padding: .2rem .6rem }}
input {{ flex: 1; accent-color: #2d69af }}
</style>
<svg id="film" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"
  font-family="Roboto, Helvetica, Arial, sans-serif">
{still}{frames}</svg>
<form><button type="button">Pause</button>
<input type="range" min="0" max="{last}" value="0" aria-label="picture"></form>
<script>
const frames = document.querySelectorAll("#film > g");
const button = document.querySelector("button"), slider = document.querySelector("input");
let shown = 0, runs = true;
function show(i) {{
  frames[shown].setAttribute("display", "none");
  frames[shown = i].removeAttribute("display");
  slider.value = i;
}}
function play(on) {{ runs = on; button.textContent = on ? "Pause" : "Play"; }}
button.onclick = () => {{
  if (!runs && shown === frames.length - 1) show(0);
  play(!runs);
}};
slider.oninput = () => {{ play(false); show(+slider.value); }};
setInterval(() => {{
  if (!runs) return;
  if (shown < frames.length - 1) show(shown + 1); else play(false);
}}, {delay});
show(0);
</script>
</html>
"##
    )
}
