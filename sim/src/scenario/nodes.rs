//! Some of the nodes, as a scenario names them.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::net::{NodeId, dice::Dice, node_id, real, whole};

/// Some of the nodes: `"all"`, `3`, `"0..10"` (without 10), `"10%"` (any), or a list of these.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Nodes {
    /// Every one.
    #[default]
    All,
    /// This one.
    One(u32),
    /// From the first up to, but not including, the second.
    Range(u32, u32),
    /// So many in a hundred, chosen by the seed.
    Percent(f64),
    /// All of these.
    Many(Vec<Nodes>),
}

impl Nodes {
    /// Which they are, sorted.
    pub(crate) fn pick(&self, nodes: usize, dice: &mut Dice) -> Vec<NodeId> {
        let mut picked = BTreeSet::new();
        self.collect(nodes, dice, &mut picked);
        picked.into_iter().collect()
    }

    fn collect(&self, nodes: usize, dice: &mut Dice, picked: &mut BTreeSet<NodeId>) {
        match self {
            Nodes::All => picked.extend((0..nodes).map(node_id)),
            Nodes::One(node) => picked.extend([*node]),
            Nodes::Range(from, to) => picked.extend(*from..*to),
            Nodes::Percent(percent) => {
                let mut all: Vec<NodeId> = (0..nodes).map(node_id).collect();
                dice.shuffle(&mut all);
                let many = usize::try_from(whole(real(nodes as u64) * percent / 100.0)).unwrap_or(nodes);
                picked.extend(all.into_iter().take(many.max(1)));
            }
            Nodes::Many(several) => several.iter().for_each(|some| some.collect(nodes, dice, picked)),
        }
    }

    /// The highest node named.
    pub(crate) fn highest(&self) -> Option<u32> {
        match self {
            Nodes::All | Nodes::Percent(_) => None,
            Nodes::One(node) => Some(*node),
            Nodes::Range(_, to) => to.checked_sub(1),
            Nodes::Many(several) => several.iter().filter_map(Nodes::highest).max(),
        }
    }
}

impl FromStr for Nodes {
    type Err = String;

    fn from_str(text: &str) -> Result<Nodes, String> {
        let text = text.trim();
        let parsed = if text == "all" {
            Some(Nodes::All)
        } else if let Some(percent) = text.strip_suffix('%') {
            percent.trim().parse().ok().filter(|percent| (0.0..=100.0).contains(percent)).map(Nodes::Percent)
        } else if let Some((from, to)) = text.split_once("..") {
            let bounds = (from.trim().parse(), to.trim().parse());
            if let (Ok(from), Ok(to)) = bounds
                && from < to
            {
                Some(Nodes::Range(from, to))
            } else {
                None
            }
        } else {
            text.parse().ok().map(Nodes::One)
        };
        parsed.ok_or_else(|| {
            format!("`{text}` names no nodes: expected \"all\", 3, \"0..10\", \"10%\", or a list of these")
        })
    }
}

impl fmt::Display for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Nodes::All => f.write_str("all"),
            Nodes::One(node) => write!(f, "{node}"),
            Nodes::Range(from, to) => write!(f, "{from}..{to}"),
            Nodes::Percent(percent) => write!(f, "{percent}%"),
            Nodes::Many(several) => {
                let several: Vec<String> = several.iter().map(Nodes::to_string).collect();
                f.write_str(&several.join(", "))
            }
        }
    }
}

impl Serialize for Nodes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Nodes::One(node) => serializer.serialize_u32(*node),
            Nodes::Many(several) => several.serialize(serializer),
            other => serializer.collect_str(other),
        }
    }
}

impl<'de> Deserialize<'de> for Nodes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Nodes, D::Error> {
        deserializer.deserialize_any(Visitor)
    }
}

struct Visitor;

impl<'de> de::Visitor<'de> for Visitor {
    type Value = Nodes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nodes: \"all\", 3, \"0..10\", \"10%\", or a list of these")
    }

    fn visit_i64<E: de::Error>(self, node: i64) -> Result<Nodes, E> {
        let node = u32::try_from(node);
        node.map(Nodes::One).map_err(|_| E::custom("a node's number is at least 0"))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Nodes, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut several: A) -> Result<Nodes, A::Error> {
        let mut nodes = Vec::new();
        while let Some(some) = several.next_element()? {
            nodes.push(some);
        }
        Ok(Nodes::Many(nodes))
    }
}
