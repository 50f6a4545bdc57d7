//! A picture as SVG.

use std::fmt::Write as _;

use super::marks::{Color, Mark, Picture, Point};
use crate::plot::Anchor;

/// The whole file.
pub fn svg(picture: &Picture) -> String {
    let (w, h) = (number(picture.size.0), number(picture.size.1));
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{h}\" \
         viewBox=\"0 0 {w} {h}\" font-family=\"Roboto, Helvetica, Arial, sans-serif\">\n"
    );
    out.push_str(&elements(&picture.marks));
    out.push_str("</svg>\n");
    out
}

/// The elements of some marks, one a line.
pub fn elements(marks: &[Mark]) -> String {
    let mut out = String::new();
    for mark in marks {
        element(mark, &mut out);
        out.push('\n');
    }
    out
}

fn element(mark: &Mark, out: &mut String) {
    // Writing into a string cannot fail.
    let _ = match mark {
        Mark::Line { points, width, color } => match points[..] {
            [(x, y)] => write!(
                out,
                "<circle cx=\"{}\" cy=\"{}\" r=\"{}\" fill=\"{}\"/>",
                number(x),
                number(y),
                number(0.5 * width),
                hex(*color)
            ),
            _ => write!(
                out,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{}\" \
                 stroke-linecap=\"round\" stroke-linejoin=\"round\"/>",
                pairs(points),
                hex(*color),
                number(*width)
            ),
        },
        Mark::Area { points, color } => {
            write!(out, "<polygon points=\"{}\" fill=\"{}\"/>", pairs(points), hex(*color))
        }
        Mark::Text { text, at, anchor, em, bold, color } => {
            let anchor = match anchor {
                Anchor::Left => "start",
                Anchor::Middle => "middle",
                Anchor::Right => "end",
            };
            let weight = if *bold { " font-weight=\"500\"" } else { "" };
            write!(
                out,
                "<text x=\"{}\" y=\"{}\" font-size=\"{}\" text-anchor=\"{anchor}\"{weight} \
                 fill=\"{}\">{}</text>",
                number(at.0),
                number(at.1),
                number(*em),
                hex(*color),
                escaped(text)
            )
        }
        // Films and strips of images are made of pixels alone.
        Mark::Image { .. } => Ok(()),
        Mark::Clipped { from, to, marks } => {
            // An inner picture clips by itself, and needs no name as a clip path would.
            let [x, y, w, h] = [from.0, from.1, to.0 - from.0, to.1 - from.1].map(number);
            write!(
                out,
                "<svg x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" \
                 viewBox=\"{x} {y} {w} {h}\">\n{}</svg>",
                elements(marks)
            )
        }
    };
}

fn pairs(points: &[Point]) -> String {
    let pairs: Vec<String> =
        points.iter().map(|p| format!("{},{}", number(p.0), number(p.1))).collect();
    pairs.join(" ")
}

/// Hundredths of a pixel, without idle zeros.
fn number(x: f64) -> String {
    let rounded = (100.0 * x).round() / 100.0;
    // No negative zero.
    format!("{}", rounded + 0.0)
}

fn hex(Color(r, g, b): Color) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_become_elements() {
        let ink = Color(1, 2, 255);
        let marks = [
            Mark::disc((1.0, -0.001), 2.0, ink),
            Mark::line(vec![(0.0, 0.0), (1.005, 2.0)], 3.0, ink),
            Mark::Clipped { from: (1.0, 2.0), to: (4.0, 6.0), marks: vec![] },
        ];
        let text = elements(&marks);
        assert!(text.contains("<circle cx=\"1\" cy=\"0\" r=\"2\" fill=\"#0102ff\"/>"), "{text}");
        assert!(text.contains("points=\"0,0 1,2\"") || text.contains("0,0 1.01,2"), "{text}");
        assert!(text.contains("width=\"3\" height=\"4\" viewBox=\"1 2 3 4\""), "{text}");
        assert_eq!(escaped("a<b>&c"), "a&lt;b&gt;&amp;c");
    }
}
