//! Charts as inline SVG. Colours come from the page's style, so that light, dark and print need no second drawing.

use std::fmt::Write as _;

use crate::net::{real, whole};

/// Room for labels around the plot: left, right, top, bottom.
const MARGIN: [f64; 4] = [46.0, 12.0, 10.0, 34.0];

/// Lines that can be told apart.
const COLOURS: usize = 6;

/// Where a chart is drawn, and what along.
pub(super) struct Chart {
    width: f64,
    height: f64,
    x: Axis,
    y: Axis,
    body: String,
    title: String,
}

/// How values lie along an axis, and where its ticks are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    Even,
    /// Ticks at minutes and hours.
    Clock,
    Logarithmic,
}

/// One direction of a chart.
pub(super) struct Axis {
    pub(super) label: &'static str,
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) scale: Scale,
    pub(super) show: fn(f64) -> String,
}

impl Axis {
    /// From zero to a little above `to`.
    pub(super) fn up_to(label: &'static str, to: f64, show: fn(f64) -> String) -> Axis {
        let step = nice_step(to.max(1e-9) / 4.0);
        Axis { label, from: 0.0, to: (to.max(1e-9) / step).ceil() * step, scale: Scale::Even, show }
    }

    /// From zero to exactly `to`.
    pub(super) fn exactly(label: &'static str, to: f64, show: fn(f64) -> String) -> Axis {
        Axis { label, from: 0.0, to: to.max(1e-9), scale: Scale::Even, show }
    }

    /// Virtual time, from the beginning to `to` seconds.
    pub(super) fn clock(to: f64, show: fn(f64) -> String) -> Axis {
        Axis { label: "time", from: 0.0, to: to.max(1.0), scale: Scale::Clock, show }
    }

    /// Logarithmic, between powers of ten.
    pub(super) fn logarithmic(label: &'static str, from: f64, to: f64, show: fn(f64) -> String) -> Axis {
        let (from, to) = (from.max(1e-3), to.max(1e-2));
        let (low, high) = (10f64.powf(from.log10().floor()), 10f64.powf(to.log10().ceil()));
        Axis { label, from: low, to: if high > low { high } else { low * 10.0 }, scale: Scale::Logarithmic, show }
    }

    /// 0 to 1 along the axis.
    fn place(&self, value: f64) -> f64 {
        let share = if self.scale == Scale::Logarithmic {
            (value.max(self.from) / self.from).log10() / (self.to / self.from).log10()
        } else {
            (value - self.from) / (self.to - self.from)
        };
        share.clamp(0.0, 1.0)
    }

    fn ticks(&self) -> Vec<f64> {
        if self.scale == Scale::Logarithmic {
            let decades = whole((self.to / self.from).log10());
            return (0..=decades).map(|decade| self.from * 10f64.powf(real(decade))).collect();
        }
        let least = (self.to - self.from) / 4.5;
        let step = if self.scale == Scale::Clock { clock_step(least) } else { nice_step(least) };
        let many = whole(((self.to - self.from) / step + 1e-6).floor());
        (0..=many).map(|tick| self.from + real(tick) * step).collect()
    }
}

/// Seconds, minutes or hours as clocks count them, at least `least`.
fn clock_step(least: f64) -> f64 {
    let steps = [10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0, 7_200.0, 21_600.0];
    steps.into_iter().find(|step| *step >= least).unwrap_or_else(|| (least / 86_400.0).ceil() * 86_400.0)
}

/// 1, 2, 2.5 or 5 times a power of ten, at least `least`.
fn nice_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    let factor = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().find(|factor| factor * power >= least * 0.999);
    factor.unwrap_or(10.0) * power
}

impl Chart {
    pub(super) fn new(title: &str, size: (f64, f64), x: Axis, y: Axis) -> Chart {
        let mut chart = Chart { width: size.0, height: size.1, x, y, body: String::new(), title: escape(title) };
        chart.axes();
        chart
    }

    fn at_x(&self, value: f64) -> f64 {
        MARGIN[0] + self.x.place(value) * (self.width - MARGIN[0] - MARGIN[1])
    }

    fn at_y(&self, value: f64) -> f64 {
        self.height - MARGIN[3] - self.y.place(value) * (self.height - MARGIN[2] - MARGIN[3])
    }

    fn floor(&self) -> f64 {
        self.height - MARGIN[3]
    }

    fn axes(&mut self) {
        let (left, right) = (MARGIN[0], self.width - MARGIN[1]);
        for tick in self.y.ticks() {
            let (y, text) = (self.at_y(tick), (self.y.show)(tick));
            let _ = write!(self.body, r#"<line class="grid" x1="{left:.1}" x2="{right:.1}" y1="{y:.1}" y2="{y:.1}"/>"#);
            let _ = write!(
                self.body,
                r#"<text class="tick" x="{:.1}" y="{:.1}" text-anchor="end">{text}</text>"#,
                left - 6.0,
                y + 4.0
            );
        }
        let floor = self.floor();
        for tick in self.x.ticks() {
            let (x, text) = (self.at_x(tick), (self.x.show)(tick));
            let anchor = if x > right - 14.0 { "end" } else { "middle" };
            let _ = write!(
                self.body,
                r#"<line class="axis" x1="{x:.1}" x2="{x:.1}" y1="{floor:.1}" y2="{:.1}"/>"#,
                floor + 4.0
            );
            let _ = write!(
                self.body,
                r#"<text class="tick" x="{x:.1}" y="{:.1}" text-anchor="{anchor}">{text}</text>"#,
                floor + 17.0
            );
        }
        let _ =
            write!(self.body, r#"<line class="axis" x1="{left:.1}" x2="{right:.1}" y1="{floor:.1}" y2="{floor:.1}"/>"#);
        let (middle, below) = ((left + right) / 2.0, self.height - 3.0);
        let _ = write!(
            self.body,
            r#"<text class="label" x="{middle:.1}" y="{below:.1}" text-anchor="middle">{}</text>"#,
            self.x.label
        );
    }

    /// A line through points, filled down to the axis if `area`.
    pub(super) fn curve(&mut self, points: &[(f64, f64)], steps: bool, area: bool) {
        self.line(points, steps, area, "");
    }

    /// One of several lines, told apart by their colours.
    pub(super) fn one_of(&mut self, number: usize, points: &[(f64, f64)], steps: bool) {
        self.line(points, steps, false, &format!(" c{}", number % COLOURS));
    }

    /// A dot with what it means; the best one with a ring around it.
    pub(super) fn dot(&mut self, number: usize, (x, y): (f64, f64), tip: &str, best: bool) {
        let (x, y, tip) = (self.at_x(x), self.at_y(y), escape(tip));
        if best {
            let _ = write!(self.body, r#"<circle class="best" cx="{x:.1}" cy="{y:.1}" r="9"/>"#);
        }
        let _ = write!(
            self.body,
            r#"<circle class="point c{}" cx="{x:.1}" cy="{y:.1}" r="4.5"><title>{tip}</title></circle>"#,
            number % COLOURS
        );
    }

    /// A word beside a point, above it or below.
    pub(super) fn word(&mut self, (x, y): (f64, f64), word: &str, above: bool) {
        let (at, y) = (self.at_x(x), self.at_y(y) + if above { -6.0 } else { 15.0 });
        let left = at > self.width - 90.0;
        let (at, anchor) = if left { (at - 9.0, "end") } else { (at + 9.0, "start") };
        let word = escape(word);
        let _ = write!(self.body, r#"<text class="tick" x="{at:.1}" y="{y:.1}" text-anchor="{anchor}">{word}</text>"#);
    }

    fn line(&mut self, points: &[(f64, f64)], steps: bool, area: bool, class: &str) {
        let Some((first, _)) = points.first() else { return };
        let mut path = String::new();
        let mut before = None;
        for (x, y) in points {
            let (x, y) = (self.at_x(*x), self.at_y(*y));
            let _ = match before {
                None => write!(path, "M{x:.1} {y:.1}"),
                Some(before) if steps && before != y => write!(path, "H{x:.1}V{y:.1}"),
                Some(_) => write!(path, "L{x:.1} {y:.1}"),
            };
            before = Some(y);
        }
        if area {
            let (last, floor) = (points.last().map_or(*first, |(x, _)| *x), self.floor());
            let (from, to) = (self.at_x(*first), self.at_x(last));
            let _ = write!(self.body, r#"<path class="area" d="{path}L{to:.1} {floor:.1}L{from:.1} {floor:.1}Z"/>"#);
        }
        let _ = write!(self.body, r#"<path class="curve{class}" d="{path}"/>"#);
    }

    /// Bars side by side, from the left end of the axis to its right end.
    pub(super) fn bars(&mut self, values: &[u64], title: impl Fn(usize, u64) -> String) {
        let room = (self.width - MARGIN[0] - MARGIN[1]) / real(values.len().max(1) as u64);
        let wide = (room * 0.8).clamp(0.6, 40.0);
        for (at, value) in values.iter().enumerate() {
            let x = MARGIN[0] + (real(at as u64) + 0.5) * room - wide / 2.0;
            let y = self.at_y(real(*value));
            let (high, tip) = (self.floor() - y, escape(&title(at, *value)));
            let _ = write!(
                self.body,
                r#"<rect class="bar" x="{x:.1}" y="{y:.1}" width="{wide:.1}" height="{high:.1}"><title>{tip}</title></rect>"#
            );
        }
    }

    /// Something that happened, marked with a number that a legend explains; shaded while it lasted.
    pub(super) fn mark(&mut self, number: usize, from: f64, to: Option<f64>) {
        let (x, top, floor) = (self.at_x(from), MARGIN[2], self.floor());
        if let Some(to) = to {
            let wide = self.at_x(to) - x;
            let high = floor - top;
            let _ = write!(
                self.body,
                r#"<rect class="band" x="{x:.1}" y="{top:.1}" width="{wide:.1}" height="{high:.1}"/>"#
            );
        }
        let _ = write!(self.body, r#"<line class="mark" x1="{x:.1}" x2="{x:.1}" y1="{top:.1}" y2="{floor:.1}"/>"#);
        let _ = write!(self.body, r#"<circle class="dot" cx="{x:.1}" cy="{:.1}" r="7.5"/>"#, top + 2.0);
        let _ = write!(
            self.body,
            r#"<text class="number" x="{x:.1}" y="{:.1}" text-anchor="middle">{number}</text>"#,
            top + 6.0
        );
    }

    /// A dashed line across at a value, with a word.
    pub(super) fn level(&mut self, value: f64, word: &str) {
        let (y, right) = (self.at_y(value), self.width - MARGIN[1]);
        let _ =
            write!(self.body, r#"<line class="mark" x1="{:.1}" x2="{right:.1}" y1="{y:.1}" y2="{y:.1}"/>"#, MARGIN[0]);
        let _ = write!(
            self.body,
            r#"<text class="tick" x="{right:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
            y - 4.0,
            escape(word)
        );
    }

    /// The finished drawing.
    pub(super) fn draw(self, class: &str) -> String {
        let Chart { width, height, body, title, .. } = self;
        format!(
            r#"<svg class="chart {class}" viewBox="0 0 {width} {height}" role="img" aria-label="{title}">{body}</svg>"#
        )
    }
}

/// Bars that lie, each with its name and value: few, named things.
pub(super) fn lying_bars(title: &str, values: &[(&str, f64)], show: fn(f64) -> String) -> String {
    const WIDTH: f64 = 420.0;
    const ROW: f64 = 30.0;
    const LEFT: f64 = 92.0;
    const RIGHT: f64 = 70.0;
    let most = values.iter().map(|(_, value)| *value).fold(1e-9, f64::max);
    let height = ROW * real(values.len() as u64) + 6.0;
    let mut body = String::new();
    for (row, (name, value)) in values.iter().enumerate() {
        let y = ROW * real(row as u64) + 4.0;
        let wide = (value / most * (WIDTH - LEFT - RIGHT)).max(1.0);
        let text = y + 15.0;
        let _ = write!(
            body,
            r#"<text class="tick" x="{:.1}" y="{text:.1}" text-anchor="end">{}</text>"#,
            LEFT - 8.0,
            escape(name)
        );
        let _ = write!(body, r#"<rect class="bar" x="{LEFT:.1}" y="{y:.1}" width="{wide:.1}" height="20" rx="2"/>"#);
        let _ =
            write!(body, r#"<text class="value" x="{:.1}" y="{text:.1}">{}</text>"#, LEFT + wide + 6.0, show(*value));
    }
    let title = escape(title);
    format!(r#"<svg class="chart" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{title}">{body}</svg>"#)
}

/// Text as HTML takes it.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        for to in [0.0, 0.3, 1.0, 7.0, 59.0, 720.0, 1_234_567.0] {
            let axis = Axis::up_to("x", to, |value| value.to_string());
            let ticks = axis.ticks();
            assert!((3..=7).contains(&ticks.len()), "{to}: {ticks:?}");
            assert!(ticks.iter().all(|tick| *tick <= axis.to * 1.001) && axis.to >= to);
        }
        let axis = Axis::logarithmic("x", 0.15, 80.0, |value| value.to_string());
        assert_eq!((axis.ticks().len(), axis.from, axis.to), (4, 0.1, 100.0));
    }
}
