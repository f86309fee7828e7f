//! How cost grows, as an SVG: panels with lines over a logarithmic axis.

use std::fmt::Write as _;

use super::outcome::{number, whole};

const PANEL: (f64, f64) = (420.0, 260.0);
/// Room for the title and the labels of a panel: left, top, right, bottom.
const MARGIN: (f64, f64, f64, f64) = (64.0, 44.0, 18.0, 52.0);
const COLOURS: [&str; 4] = ["#1b6ca8", "#c8553d", "#3c7a3f", "#7a4e9c"];

/// A quantity that grows with another.
pub(crate) struct Panel {
    pub(crate) title: &'static str,
    /// What is on the axes.
    pub(crate) across: &'static str,
    pub(crate) up: &'static str,
    pub(crate) lines: Vec<Line>,
}

pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Draws panels in two columns.
pub(crate) fn draw(panels: &[Panel]) -> String {
    let rows = panels.len().div_ceil(2);
    let (width, height) = (PANEL.0 * 2.0, PANEL.1 * rows as f64);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"11\" fill=\"#222\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    for (place, panel) in panels.iter().enumerate() {
        let at = ((place % 2) as f64 * PANEL.0, (place / 2) as f64 * PANEL.1);
        panel.draw(&mut svg, at);
    }
    svg.push_str("</svg>\n");
    svg
}

impl Panel {
    fn draw(&self, svg: &mut String, at: (f64, f64)) {
        let points = || self.lines.iter().flat_map(|line| line.points.iter().copied());
        let least = points().map(|(x, _)| x).fold(f64::INFINITY, f64::min).max(1.0);
        let most = points().map(|(x, _)| x).fold(1.0, f64::max);
        let top = round_up(points().map(|(_, y)| y).fold(0.0, f64::max));
        let (left, right) = (at.0 + MARGIN.0, at.0 + PANEL.0 - MARGIN.2);
        let (upper, lower) = (at.1 + MARGIN.1, at.1 + PANEL.1 - MARGIN.3);
        let decades = (most / least).log10().max(1e-9);
        let x = |value: f64| left + (value / least).log10() / decades * (right - left);
        let y = |value: f64| lower - value / top * (lower - upper);
        let text = |svg: &mut String, x: f64, y: f64, anchor: &str, text: &str| {
            // Writing to a string does not fail, here and below. All text is ours, without anything to escape.
            let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>");
        };
        text(svg, left, at.1 + 18.0, "start", self.title);
        text(svg, left, at.1 + 34.0, "start", &format!("{}, over {}", self.up, self.across));
        for step in 0..=4 {
            let value = top * f64::from(step) / 4.0;
            let _ = writeln!(
                svg,
                "<line x1=\"{left:.1}\" x2=\"{right:.1}\" y1=\"{0:.1}\" y2=\"{0:.1}\" stroke=\"#ddd\"/>",
                y(value)
            );
            text(svg, left - 6.0, y(value) + 4.0, "end", &number(value));
        }
        let mut ticks: Vec<f64> = points().map(|(x, _)| x).collect();
        ticks.sort_unstable_by(f64::total_cmp);
        ticks.dedup();
        for tick in ticks {
            text(svg, x(tick), lower + 16.0, "middle", &whole(tick));
        }
        for (place, line) in self.lines.iter().enumerate() {
            let colour = COLOURS[place % COLOURS.len()];
            let path: Vec<String> =
                line.points.iter().map(|&(over, value)| format!("{:.1},{:.1}", x(over), y(value))).collect();
            let _ = writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
                path.join(" ")
            );
            for &(over, value) in &line.points {
                let _ = writeln!(
                    svg,
                    "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"/>",
                    x(over),
                    y(value)
                );
            }
            let across = left + place as f64 * (right - left) / self.lines.len() as f64;
            let _ = writeln!(
                svg,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"{colour}\"/>",
                across + 4.0,
                lower + 34.0
            );
            text(svg, across + 12.0, lower + 38.0, "start", line.name);
        }
    }
}

/// The next larger of 1, 2, 4, 5 and 8 times a power of ten: a quarter of it is easy to read.
fn round_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let unit = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 4.0, 5.0, 8.0, 10.0]
        .map(|times| times * unit)
        .into_iter()
        .find(|&top| top >= value)
        .unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tops_are_round() {
        for (value, top) in [(0.0, 1.0), (0.19, 0.2), (3.9, 4.0), (81.0, 100.0), (4_100.0, 5_000.0)] {
            assert!((round_up(value) - top).abs() < 1e-9, "{value}");
        }
    }

    #[test]
    fn every_point_is_drawn_within_its_panel() {
        let line = |name| Line { name, points: vec![(1.0, 3.0), (1_000.0, 9.0)] };
        let panel = || Panel { title: "t", across: "a", up: "u", lines: vec![line("one"), line("two")] };
        let svg = draw(&[panel(), panel(), panel()]);
        assert_eq!(svg.matches("r=\"3\"").count(), 12);
        assert_eq!(svg.matches("<polyline").count(), 6);
        for part in svg.split("cx=\"").skip(1) {
            let x: f64 = part.split('"').next().and_then(|x| x.parse().ok()).expect("a number");
            assert!((0.0..=2.0 * PANEL.0).contains(&x), "{x}");
        }
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    }
}
