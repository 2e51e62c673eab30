//! The simulator's pages, opened in a real browser: on a desk and on a phone, by day and by night. Nothing is complained about
//! on the console, every chart is drawn, text can be read, and what is drawn is what the JSON says.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::harness::{simulator, turn};

/// Widths in CSS pixels.
const WIDTHS: [u32; 2] = [1200, 390];

#[test]
fn a_report_is_drawn_as_its_json_says() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("report.html");
    let mut arguments = vec!["run", "--json", "--report", page.to_str().unwrap(), "--compare", "none,negentropy,nwaku"];
    for setting in ["network.nodes=16", "event.0.parts=[\"0..8\"]", "duration=14m", "expect.repaired_min=10"] {
        arguments.extend(["--set", setting]);
    }
    let outcome: Value = serde_json::from_str(&simulator(arguments).success().stdout).unwrap();
    for (width, dark) in WIDTHS.into_iter().flat_map(|width| [(width, false), (width, true)]) {
        let seen = look(&page, width, dark);
        // Three of the charts are drawn twice, for either width.
        assert_eq!(seen["charts"].as_array().unwrap().len(), 10, "charts at {width}: {seen:#}");
        let missing = numbers(&outcome["series"]["missing"]);
        assert_curve(chart(&seen, "Missing copies over time"), 0, &missing);
        let mut repaired = numbers(&outcome["series"]["repaired"]);
        (1..repaired.len()).for_each(|at| repaired[at] += repaired[at - 1]);
        assert_curve(chart(&seen, "Copies repaired so far"), 0, &repaired);
        assert_bars(chart(&seen, "IHAVEs per interval"), &numbers(&outcome["ihaves_per_interval"]["counts"]));
        assert_bars(chart(&seen, "Load of providers"), &numbers(&outcome["providers"]["curve"]));
        let shares: Vec<f64> =
            outcome["completeness_cdf"].as_array().unwrap().iter().map(|point| point[1].as_f64().unwrap()).collect();
        assert_curve(chart(&seen, "Messages that were everywhere"), 0, &shares);
        let compared = chart(&seen, "Missing copies over time, side by side");
        assert_eq!(compared["curves"].as_array().unwrap().len(), 4, "one of each protocol");
    }
}

#[test]
fn a_sweep_is_drawn_as_its_json_says() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("sweep.html");
    let mut arguments = vec!["sweep", "relay-loss", "--json", "--report", page.to_str().unwrap(), "--seeds", "1"];
    arguments.extend(["--over", "interval_max=10s,30s,2m", "--over", "delivery_loss=0.05,0.2"]);
    for setting in ["network.nodes=10", "traffic.rate=2", "traffic.until=2m", "duration=8m"] {
        arguments.extend(["--set", setting]);
    }
    let sweep: Value = serde_json::from_str(&simulator(arguments).success().stdout).unwrap();
    let points = sweep["points"].as_array().unwrap();
    for width in WIDTHS {
        let seen = look(&page, width, false);
        let drawn = chart(&seen, "Staleness against bytes");
        let scale = Scale::of(drawn);
        let mut heights: Vec<f64> = numbers(&drawn["points"]).iter().map(|y| scale.value(*y)).collect();
        let mut expected: Vec<f64> = points.iter().map(|point| point["staleness_s"].as_f64().unwrap()).collect();
        heights.sort_by(f64::total_cmp);
        expected.sort_by(f64::total_cmp);
        assert_close(&heights, &expected, scale.pixel(), "staleness");
    }
}

/// Opens the page and tells what is to be seen of it. Fails if the console complains, text is too small, or something is cut off.
fn look(page: &Path, width: u32, dark: bool) -> Value {
    let html = std::fs::read_to_string(page).unwrap();
    let probed = html.replacen("</body>", &format!("<script>{PROBE}</script></body>"), 1);
    let quoted = probed.replace('&', "&amp;").replace('"', "&quot;");
    // A browser's window cannot be as narrow as a phone; a frame in it can.
    let frame = format!(
        "<!doctype html><pre id=\"seen\"></pre><iframe style=\"border:0\" width=\"{width}\" height=\"900\" srcdoc=\"{quoted}\"></iframe>"
    );
    let file = page.with_extension("framed.html");
    std::fs::write(&file, frame).unwrap();
    let (dom, complaints) = browse(&file, dark);
    assert_eq!(complaints, "", "the console complains at {width}");
    let text = dom.split_once("<pre id=\"seen\">").and_then(|(_, rest)| rest.split_once("</pre>"));
    let seen: Value = serde_json::from_str(&unescape(text.expect("the probe's place").0)).unwrap();
    assert_eq!((seen["width"].as_u64(), seen["dark"].as_bool()), (Some(u64::from(width)), Some(dark)));
    assert!(seen["overflow"].as_f64().unwrap() <= 0.0, "the page is wider than {width}: {:#}", seen["overflow"]);
    for chart in seen["charts"].as_array().unwrap() {
        let (marks, text) = (chart["marks"].as_u64().unwrap(), chart["text"].as_f64().unwrap());
        assert!(marks > 0, "nothing is drawn: {chart:#}");
        assert!(text >= 9.0, "text of {text} px at {width}: {}", chart["label"]);
        assert_eq!(chart["outside"].as_u64(), Some(0), "text is cut off at {width}: {}", chart["label"]);
    }
    seen
}

/// The page's elements once it was drawn, and what the console said.
fn browse(file: &Path, dark: bool) -> (String, String) {
    let profile = tempfile::tempdir().unwrap();
    let mut command = Command::new(browser());
    command.args([
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--window-size=1280,900",
        "--enable-logging=stderr",
    ]);
    command.arg(format!("--user-data-dir={}", profile.path().display()));
    command.arg(format!("--blink-settings=preferredColorScheme={}", u8::from(!dark)));
    let output =
        command.args(["--virtual-time-budget=5000", "--dump-dom"]).arg(file).output().expect("the browser starts");
    let said = String::from_utf8_lossy(&output.stderr);
    let complaints = said.lines().filter(|line| line.contains("CONSOLE")).fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "{line}");
        text
    });
    (String::from_utf8_lossy(&output.stdout).into_owned(), complaints)
}

fn browser() -> PathBuf {
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&path).flat_map(|folder| names.map(|name| folder.join(name))).find(|file| file.is_file());
    found.expect("chromium is missing: tests/run installs it (Debian: apt-get install chromium)")
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}

/// Runs in the page. Of a chart that is shown: its curves as places, its bars as heights, its points, and where the numbers
/// beside its upright axis stand.
const PROBE: &str = r#"
addEventListener("load", () => {
  const charts = [...document.querySelectorAll("svg.chart")].filter(svg => getComputedStyle(svg).display !== "none");
  const px = svg => svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
  const places = d => { let x = 0, y = 0; const all = [];
    for (const [, op, rest] of d.matchAll(/([MHVL])([^MHVL]*)/g)) {
      const n = rest.trim().split(/\s+/).map(Number);
      if (op === "V") { y = n[0]; all[all.length - 1] = [x, y]; continue; }
      if (op === "H") x = n[0]; else [x, y] = n;
      all.push([x, y]); }
    return all; };
  const seen = charts.map(svg => { const box = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll("text")];
    const drawn = [...svg.querySelectorAll("path.curve,rect.bar,circle.point")].filter(el => { const b = el.getBBox(); return b.width + b.height > 0; });
    return { label: svg.getAttribute("aria-label"), marks: drawn.length,
      text: Math.min(...texts.map(t => parseFloat(getComputedStyle(t).fontSize) * px(svg))),
      outside: texts.filter(t => { const b = t.getBoundingClientRect(); return b.left < box.left - 1 || b.right > box.right + 1; }).length,
      curves: [...svg.querySelectorAll("path.curve")].map(p => places(p.getAttribute("d"))),
      bars: [...svg.querySelectorAll("rect.bar")].map(r => +r.getAttribute("height")),
      points: [...svg.querySelectorAll("circle.point")].map(c => +c.getAttribute("cy")),
      ticks: [...svg.querySelectorAll("line.grid")].map(l => +l.getAttribute("y1")).map((y, at) => [texts[at].textContent, y]) }; });
  parent.document.getElementById("seen").textContent = JSON.stringify({ width: innerWidth, charts: seen,
    dark: matchMedia("(prefers-color-scheme: dark)").matches, overflow: document.documentElement.scrollWidth - innerWidth });
});
"#;

fn chart<'a>(seen: &'a Value, label: &str) -> &'a Value {
    let charts = seen["charts"].as_array().unwrap();
    let exact = charts.iter().find(|chart| chart["label"] == label);
    let starts = || charts.iter().find(|chart| chart["label"].as_str().unwrap().starts_with(label));
    exact.or_else(starts).unwrap_or_else(|| panic!("no chart {label}: {seen:#}"))
}

fn numbers(values: &Value) -> Vec<f64> {
    values.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

/// An upright axis, as its lowest and highest numbers say.
struct Scale {
    low: (f64, f64),
    high: (f64, f64),
}

impl Scale {
    fn of(chart: &Value) -> Scale {
        let ticks = chart["ticks"].as_array().unwrap();
        let tick = |tick: &Value| (number(tick[0].as_str().unwrap()), tick[1].as_f64().unwrap());
        Scale { low: tick(ticks.first().unwrap()), high: tick(ticks.last().unwrap()) }
    }

    fn value(&self, y: f64) -> f64 {
        self.low.0 + (y - self.low.1) / (self.high.1 - self.low.1) * (self.high.0 - self.low.0)
    }

    /// What a tenth of a pixel, to which places are rounded, is worth.
    fn pixel(&self) -> f64 {
        ((self.high.0 - self.low.0) / (self.high.1 - self.low.1)).abs() * 0.11
    }
}

/// `1,200`, `12k`, `75 %` or `100 s`.
fn number(text: &str) -> f64 {
    let digits: String = text.chars().filter(|c| c.is_ascii_digit() || *c == '.').collect();
    let factor =
        [("k", 1e3), ("M", 1e6), ("%", 0.01), (" min", 60.0)].into_iter().find(|(unit, _)| text.ends_with(unit));
    digits.parse::<f64>().unwrap() * factor.map_or(1.0, |(_, factor)| factor)
}

#[track_caller]
fn assert_close(found: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!(
            (found - expected).abs() <= tolerance,
            "{what} {at}: {found} is drawn, {expected} is meant (± {tolerance})"
        );
    }
}

#[track_caller]
fn assert_curve(chart: &Value, curve: usize, expected: &[f64]) {
    let scale = Scale::of(chart);
    let drawn = chart["curves"][curve].as_array().unwrap().iter().map(|place| scale.value(place[1].as_f64().unwrap()));
    assert_close(&drawn.collect::<Vec<_>>(), expected, scale.pixel(), chart["label"].as_str().unwrap());
}

#[track_caller]
fn assert_bars(chart: &Value, expected: &[f64]) {
    let scale = Scale::of(chart);
    let floor = scale.low.1;
    let drawn: Vec<f64> = numbers(&chart["bars"]).iter().map(|height| scale.value(floor - height)).collect();
    assert_close(&drawn, expected, scale.pixel(), chart["label"].as_str().unwrap());
}

/// That the checks above can fail.
#[test]
fn another_curve_is_seen_to_be_another() {
    let chart: Value = serde_json::json!({
        "label": "x", "ticks": [["0", 100.0], ["1,000", 0.0]], "curves": [[[0, 100], [1, 50]]], "bars": [50.0],
    });
    assert_curve(&chart, 0, &[0.0, 500.0]);
    assert_bars(&chart, &[500.0]);
    assert!(std::panic::catch_unwind(|| assert_curve(&chart, 0, &[0.0, 510.0])).is_err());
}
