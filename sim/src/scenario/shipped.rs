//! Scenarios that ship with the program.

/// A scenario that ships.
pub(crate) struct Shipped {
    pub(crate) name: &'static str,
    pub(crate) text: &'static str,
}

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        &[$(Shipped { name: $name, text: include_str!(concat!("../../scenarios/", $name, ".toml")) }),*]
    };
}

/// All of them.
pub(crate) const ALL: &[Shipped] = shipped![
    "default",
    "chain",
    "chain-8",
    "partition",
    "burst",
    "late-start",
    "hour-offline",
    "relay-loss",
    "loss-1",
    "loss-1000",
    "windows",
    "skew",
    "refusals",
    "mixed",
    "operations",
    "churn",
    "hostile-fifth",
    "hostile-200",
    "replayed",
    "rare-news",
    "thousand-gap",
    "thirty",
    "waku-target",
    "equal-1000",
    "equal-10000",
    "live-10000",
];

/// A trace that ships.
pub(crate) fn trace(name: &str) -> Option<&'static [u8]> {
    (name == "chat.ndjson").then_some(include_bytes!("../../scenarios/chat.ndjson"))
}

pub(crate) fn find(name: &str) -> Option<&'static Shipped> {
    ALL.iter().find(|shipped| shipped.name == name)
}
