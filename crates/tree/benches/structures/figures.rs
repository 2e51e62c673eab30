//! What is measured, what is asked of it, and how both are shown.

/// Something that is measured.
#[derive(Clone, Copy)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    unit: Unit,
    /// The worst that will do.
    asked: Option<f64>,
    /// How many times worse it may be with keys that somebody ground.
    ground: f64,
}

#[derive(Clone, Copy, PartialEq)]
enum Unit {
    /// Million keys a second.
    Rate,
    /// Percent of what BLAKE3 does alone: the more, the better.
    Share,
    Micros,
    Bytes,
    Entries,
}

/// All of them, in the order in which a column of values has them.
pub(crate) const FIGURES: [Figure; 19] = [
    figure("bulk build with all digests", Unit::Rate, None),
    figure("... share of BLAKE3 on its chunks", Unit::Share, Some(60.0)),
    figure("append in order, one root", Unit::Rate, Some(10.0)),
    figure("... in one batch", Unit::Rate, None),
    figure("random inserts, one root", Unit::Rate, Some(1.5)),
    figure("... in batches of 10,000", Unit::Rate, None),
    figure("... in one batch", Unit::Rate, None),
    figure("one append and a fresh root", Unit::Micros, Some(2.0)),
    figure("heap a key after a bulk build", Unit::Bytes, Some(44.0)),
    figure("heap a key after random inserts", Unit::Bytes, Some(64.0)),
    figure("fingerprint of a random range", Unit::Micros, Some(20.0)),
    figure("... between chunk starts, at first", Unit::Micros, Some(1.0)),
    figure("... between chunk starts, again", Unit::Micros, Some(1.0)),
    figure("... of one chunk", Unit::Micros, Some(1.0)),
    figure("summary of 70 spans, at first", Unit::Micros, Some(300.0)),
    figure("... again", Unit::Micros, Some(300.0)),
    figure("comparing a foreign one, at first", Unit::Micros, Some(1000.0)),
    figure("dropping the older half", Unit::Micros, Some(5000.0)),
    Figure { name: "largest chunk (8Q = 1,024)", unit: Unit::Entries, asked: Some(1024.0), ground: f64::INFINITY },
];

const fn figure(name: &'static str, unit: Unit, asked: Option<f64>) -> Figure {
    Figure { name, unit, asked, ground: 2.0 }
}

impl Figure {
    /// The limit with keys that are ground: memory may triple where every key is a chunk of its own on every level.
    pub(crate) fn with_memory(self, times: f64) -> Figure {
        if self.unit == Unit::Bytes { Figure { ground: times, ..self } } else { self }
    }

    fn more_is_better(self) -> bool {
        matches!(self.unit, Unit::Rate | Unit::Share)
    }

    pub(crate) fn show(self, value: f64) -> String {
        match self.unit {
            Unit::Rate => format!("{value:.2} M/s"),
            Unit::Share => format!("{value:.0} %"),
            Unit::Micros if value < 100.0 => format!("{value:.2} us"),
            Unit::Micros => format!("{value:.0} us"),
            Unit::Bytes => format!("{value:.1} B"),
            Unit::Entries => format!("{value:.0}"),
        }
    }

    pub(crate) fn asked(self) -> String {
        let sign = if self.more_is_better() { ">=" } else { "<=" };
        self.asked.map_or(String::new(), |asked| format!("{sign} {}", self.show(asked)))
    }

    /// Whether `value` is as asked.
    pub(crate) fn judge(self, value: f64) -> &'static str {
        match self.asked {
            None => "",
            Some(asked) if value == asked || (value > asked) == self.more_is_better() => "met",
            Some(_) => "MISSED",
        }
    }

    /// How many times worse `value` is than `honest`, with a mark where that is more than may be.
    pub(crate) fn compare(self, value: f64, honest: f64) -> String {
        if self.unit == Unit::Entries {
            return self.judge(value).into();
        }
        let times = if self.more_is_better() { honest / value } else { value / honest };
        format!("x{times:.1}{}", if times > self.ground { " !" } else { "  " })
    }
}
