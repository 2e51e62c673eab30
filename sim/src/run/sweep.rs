//! `hearken-sim sweep`: a scenario with every combination of some settings, and which of them to choose.

use std::{error::Error, path::PathBuf, process::ExitCode, str::FromStr};

use clap::Args as ClapArgs;
use serde::Serialize;

use super::{Outcome, SimError, grouped, parallel, quoted, show_time, simulate};
use crate::{net::real, scenario::Scenario};

/// What `hearken-sim sweep` is told.
#[derive(ClapArgs)]
pub struct Args {
    /// A scenario file, or the name of one that ships (see `hearken-sim list`)
    scenario: String,
    /// Values of a setting, as in `--over interval_max=10s,30s,2m`; several make a grid
    ///
    /// A setting of [sync] is something to choose; one of [network], [gossipsub] or [traffic] is what the network is like, and a
    /// choice has to hold for all of its values. Where its table is not named, it is found in that order.
    #[arg(long = "over", value_name = "KEY=VALUE,...", required = true)]
    over: Vec<Over>,
    /// Seeds for each combination
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// Runs at a time
    #[arg(long, default_value_t = parallel::cores())]
    threads: usize,
    /// Change a setting for all, as in `--set network.nodes=100`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// What to recommend a setting for: `staleness=60s` (the cheapest that is no staler), `background=500` (the least stale that
    /// sends no more B/s a node); without it, the best trade
    #[arg(long)]
    goal: Option<Goal>,
    /// Where to write the page
    #[arg(long, value_name = "FILE", default_value = "hearken-sweep.html")]
    report: PathBuf,
    /// Print one JSON object with every figure
    #[arg(long)]
    json: bool,
}

/// A setting and its values.
#[derive(Clone, Debug, Serialize)]
pub struct Over {
    /// The setting.
    pub key: String,
    /// Its values.
    pub values: Vec<String>,
}

impl FromStr for Over {
    type Err = String;

    fn from_str(text: &str) -> Result<Over, String> {
        let (key, values) = text.split_once('=').ok_or("expected KEY=VALUE,VALUE, like interval_max=10s,30s,2m")?;
        let values: Vec<String> = values.split(',').map(|value| value.trim().to_owned()).collect();
        if values.iter().any(String::is_empty) {
            return Err(format!("`{key}` needs a value before and after each comma"));
        }
        Ok(Over { key: key.trim().to_owned(), values })
    }
}

/// What a recommendation is for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// No staler than so many seconds, as cheap as can be.
    Staleness(f64),
    /// No more background bytes a second and node, as little stale as can be.
    Background(f64),
}

impl FromStr for Goal {
    type Err = String;

    fn from_str(text: &str) -> Result<Goal, String> {
        let expected = format!("`{text}` is no goal: expected staleness=60s or background=500 (bytes a second)");
        match text.split_once('=') {
            Some(("staleness", time)) => {
                let time = humantime::parse_duration(time).map_err(|_| expected)?;
                Ok(Goal::Staleness(time.as_secs_f64()))
            }
            Some(("background", bytes)) => Ok(Goal::Background(bytes.parse().map_err(|_| expected)?)),
            _ => Err(expected),
        }
    }
}

/// What came of one combination, over all seeds.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    /// The value of each setting.
    pub values: Vec<String>,
    /// Seconds within which 99 % of the messages were everywhere, the median of the seeds; `null` if in one of them they were not.
    pub staleness_s: Option<f64>,
    /// The same, of the worst seed.
    pub staleness_worst_s: Option<f64>,
    /// Background bytes a second and node, the median of the seeds.
    pub background: f64,
    /// IHAVEs an interval, on average.
    pub ihaves: f64,
    /// Bytes to find a missing message, on average.
    pub bytes_per_repair: f64,
    /// Copies repaired, on average.
    pub repaired: f64,
    /// Runs that ended with everything everywhere.
    pub converged: u64,
}

/// What came of all.
#[derive(Clone, Debug, Serialize)]
pub struct Sweep {
    /// The scenario's title.
    pub title: String,
    /// The grid.
    pub over: Vec<Over>,
    /// Seeds for each combination.
    pub seeds: u64,
    /// Every combination, the last setting changing fastest.
    pub points: Vec<Point>,
    /// The values recommended, of the settings that can be chosen; `null` if none meets the goal.
    pub recommended: Option<Vec<String>>,
    /// In a sentence.
    pub recommendation: String,
}

/// Runs the grid.
///
/// # Errors
/// A scenario that cannot be run with one of the values, a file that cannot be written, or a bug.
pub fn main(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    let over = args.over.iter().map(|over| resolve(args, over)).collect::<Result<Vec<_>, _>>()?;
    let grid = combinations(&over);
    let mut scenarios = Vec::new();
    for values in &grid {
        let settings = settings_of(args, &over, values)?;
        for seed in 1..=args.seeds.max(1) {
            let mut scenario = Scenario::load(&args.scenario, &settings)?;
            scenario.seed = seed;
            scenarios.push(scenario);
        }
    }
    let title = scenarios.first().map(|scenario| scenario.title.clone()).unwrap_or_default();
    let outcomes = parallel::parallel(args.threads, &scenarios, |scenario| simulate(scenario, None, false));
    let outcomes = outcomes.into_iter().collect::<Result<Vec<_>, SimError>>()?;
    let seeds = usize::try_from(args.seeds.max(1)).unwrap_or(1);
    let points = grid.into_iter().zip(outcomes.chunks(seeds)).map(|(values, some)| Point::of(values, some));
    let mut sweep = Sweep {
        title,
        over,
        seeds: args.seeds.max(1),
        points: points.collect(),
        recommended: None,
        recommendation: String::new(),
    };
    sweep.recommend(args.goal);
    let page = crate::report::sweep_page(&sweep, &args.replay());
    std::fs::write(&args.report, page).map_err(|error| format!("cannot write {}: {error}", args.report.display()))?;
    if args.json {
        println!("{}", serde_json::to_string(&sweep)?);
    } else {
        print!("{}", sweep.table());
        println!("\n  {}\n  again: {}\n  report: {}", sweep.recommendation, args.replay(), args.report.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Finds the table that a setting is in.
fn resolve(args: &Args, over: &Over) -> Result<Over, Box<dyn Error>> {
    let scenario = Scenario::load(&args.scenario, &args.settings)?;
    let table = toml::Table::try_from(&scenario)?;
    let within = |table: &toml::Value, key: &str| {
        key.split('.').try_fold(table.clone(), |place, step| place.get(step).cloned()).is_some()
    };
    let whole = toml::Value::Table(table);
    let prefixes = ["", "sync.", "network.", "gossipsub.", "traffic.", "baseline."];
    let found = prefixes.iter().map(|prefix| format!("{prefix}{}", over.key)).find(|key| within(&whole, key));
    // What is not found may still be one without a default: the scenario says so if it is not.
    Ok(Over { key: found.unwrap_or_else(|| over.key.clone()), values: over.values.clone() })
}

fn combinations(over: &[Over]) -> Vec<Vec<String>> {
    over.iter().fold(vec![Vec::new()], |grid, over| {
        let extend = |row: Vec<String>| {
            over.values.iter().map(move |value| [&row[..], std::slice::from_ref(value)].concat()).collect::<Vec<_>>()
        };
        grid.into_iter().flat_map(extend).collect()
    })
}

/// All settings for one combination. A longest interval below the shortest takes the shortest down with it.
fn settings_of(args: &Args, over: &[Over], values: &[String]) -> Result<Vec<String>, Box<dyn Error>> {
    let mut settings = args.settings.clone();
    let chosen = |key: &str| over.iter().position(|over| over.key == key).and_then(|at| values.get(at));
    if let (Some(longest), None) = (chosen("sync.interval_max"), chosen("sync.interval_min")) {
        let usual = Scenario::load(&args.scenario, &args.settings)?.sync.interval_min;
        if humantime::parse_duration(longest).is_ok_and(|longest| longest < usual) {
            settings.push(format!("sync.interval_min={longest}"));
        }
    }
    settings.extend(over.iter().zip(values).map(|(over, value)| format!("{}={value}", over.key)));
    Ok(settings)
}

impl Args {
    fn replay(&self) -> String {
        let over: String = self
            .over
            .iter()
            .map(|o| format!(" --over {}", quoted(&format!("{}={}", o.key, o.values.join(",")))))
            .collect();
        let settings: String = self.settings.iter().map(|setting| format!(" --set {}", quoted(setting))).collect();
        let goal = match self.goal {
            Some(Goal::Staleness(seconds)) => format!(" --goal staleness={seconds}s"),
            Some(Goal::Background(bytes)) => format!(" --goal background={bytes}"),
            None => String::new(),
        };
        format!("hearken-sim sweep {}{over} --seeds {}{settings}{goal}", quoted(&self.scenario), self.seeds)
    }
}

impl Point {
    fn of(values: Vec<String>, outcomes: &[Outcome]) -> Point {
        let staleness: Option<Vec<f64>> = outcomes.iter().map(|outcome| outcome.staleness_s).collect();
        let mean =
            |get: fn(&Outcome) -> f64| outcomes.iter().map(get).sum::<f64>() / real(outcomes.len().max(1) as u64);
        Point {
            values,
            staleness_s: staleness.as_deref().map(median),
            staleness_worst_s: staleness.map(|all| all.into_iter().fold(0.0, f64::max)),
            background: median(&outcomes.iter().map(|o| o.background_bytes_per_s.p50).collect::<Vec<_>>()),
            ihaves: mean(|outcome| outcome.ihaves_per_interval.mean),
            bytes_per_repair: mean(|outcome| outcome.bytes_per_repair),
            repaired: mean(|outcome| real(outcome.repaired)),
            converged: outcomes.iter().filter(|outcome| outcome.converged).count() as u64,
        }
    }
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// A choice, by what it comes to in the worst of the networks that were tried.
struct Choice {
    values: Vec<String>,
    staleness: f64,
    background: f64,
}

impl Sweep {
    /// Whether an operator can choose it; else it is what the network is like.
    pub(crate) fn can_choose(key: &str) -> bool {
        ["sync.", "baseline.", "protocol"].iter().any(|prefix| key.starts_with(prefix))
    }

    fn choices(&self) -> Vec<Choice> {
        let chosen = |values: &[String]| -> Vec<String> {
            let keys = self.over.iter().zip(values).filter(|(over, _)| Sweep::can_choose(&over.key));
            keys.map(|(_, value)| value.clone()).collect()
        };
        let mut choices: Vec<Choice> = Vec::new();
        for point in &self.points {
            let (values, staleness) = (chosen(&point.values), point.staleness_worst_s.unwrap_or(f64::INFINITY));
            match choices.iter_mut().find(|choice| choice.values == values) {
                Some(choice) => {
                    choice.staleness = choice.staleness.max(staleness);
                    choice.background = choice.background.max(point.background);
                }
                None => choices.push(Choice { values, staleness, background: point.background }),
            }
        }
        choices.retain(|choice| choice.staleness.is_finite());
        choices
    }

    fn recommend(&mut self, goal: Option<Goal>) {
        let least =
            |choices: Vec<Choice>, by: fn(&Choice) -> f64| choices.into_iter().min_by(|a, b| by(a).total_cmp(&by(b)));
        let mut choices = self.choices();
        let (best, why) = match goal {
            Some(Goal::Staleness(most)) => {
                choices.retain(|choice| choice.staleness <= most);
                (
                    least(choices, |c| c.background),
                    format!("the cheapest with 99 % everywhere within {}", show_time(most)),
                )
            }
            Some(Goal::Background(most)) => {
                choices.retain(|choice| choice.background <= most);
                (least(choices, |c| c.staleness), format!("the least stale at no more than {most} B/s a node"))
            }
            None => (
                least(choices, |c| c.staleness * c.background),
                "the best trade: the least product of staleness and background bytes".to_owned(),
            ),
        };
        let keys: Vec<&str> =
            self.over.iter().map(|over| over.key.as_str()).filter(|key| Sweep::can_choose(key)).collect();
        self.recommendation = match &best {
            None => format!("No setting that was tried is {why}."),
            Some(_) if keys.is_empty() => {
                "None of the settings that were tried is one to choose: they say what the network is like.".to_owned()
            }
            Some(choice) => {
                let settings: Vec<String> =
                    keys.iter().zip(&choice.values).map(|(k, v)| format!("{k} = {v}")).collect();
                format!(
                    "Recommended: {}: {why} (at worst {} and {} B/s a node).",
                    settings.join(", "),
                    show_time(choice.staleness),
                    grouped(crate::net::whole(choice.background))
                )
            }
        };
        self.recommended = best.map(|choice| choice.values).filter(|_| !keys.is_empty());
    }

    /// For a terminal.
    fn table(&self) -> String {
        let heads = self.over.iter().map(|over| over.key.clone());
        let rest =
            ["99 % everywhere", "worst seed", "B/s a node", "IHAVEs", "B to find one", "whole"].map(str::to_owned);
        let mut rows: Vec<Vec<String>> = vec![heads.chain(rest).collect()];
        let time = |time: Option<f64>| time.map_or("never".to_owned(), show_time);
        for point in &self.points {
            let figures = [
                time(point.staleness_s),
                time(point.staleness_worst_s),
                format!("{:.0}", point.background),
                format!("{:.1}", point.ihaves),
                format!("{:.1}", point.bytes_per_repair),
                format!("{} of {}", point.converged, self.seeds),
            ];
            rows.push(point.values.iter().cloned().chain(figures).collect());
        }
        let title = format!("{}: {} combinations, {} seeds each\n\n", self.title, self.points.len(), self.seeds);
        title + &super::columns(&rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sweep(points: &[(&str, &str, Option<f64>, f64)]) -> Sweep {
        let point = |(interval, loss, staleness, background): &(&str, &str, Option<f64>, f64)| Point {
            values: vec![(*interval).to_owned(), (*loss).to_owned()],
            staleness_s: *staleness,
            staleness_worst_s: *staleness,
            background: *background,
            ihaves: 1.0,
            bytes_per_repair: 1.0,
            repaired: 1.0,
            converged: 1,
        };
        let over = |key: &str| Over { key: key.to_owned(), values: vec![] };
        Sweep {
            title: String::new(),
            over: vec![over("sync.interval_max"), over("network.loss")],
            seeds: 1,
            points: points.iter().map(point).collect(),
            recommended: None,
            recommendation: String::new(),
        }
    }

    #[test]
    fn a_choice_has_to_hold_in_every_network() {
        let mut sweep = sweep(&[
            ("10s", "0.01", Some(40.0), 900.0),
            ("10s", "0.05", Some(50.0), 950.0),
            ("30s", "0.01", Some(55.0), 300.0),
            ("30s", "0.05", Some(80.0), 350.0),
            ("2m", "0.01", Some(70.0), 100.0),
            ("2m", "0.05", None, 120.0),
        ]);
        let mut recommended = |goal| {
            sweep.recommend(goal);
            sweep.recommended.clone().map(|values| values.join(" "))
        };
        assert_eq!(recommended(Some(Goal::Staleness(60.0))).as_deref(), Some("10s"));
        assert_eq!(recommended(Some(Goal::Staleness(90.0))).as_deref(), Some("30s"));
        assert_eq!(recommended(Some(Goal::Background(400.0))).as_deref(), Some("30s"));
        assert_eq!(recommended(Some(Goal::Background(150.0))), None);
        assert_eq!(recommended(None).as_deref(), Some("30s"));
    }
}
