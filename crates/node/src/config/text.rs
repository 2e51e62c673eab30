//! Values as people write them: durations, sizes, addresses. Each says what is expected, in the configuration file, in
//! flags, and in environment variables alike.

use std::fmt;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::time::Duration;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A value that is written as text.
pub(crate) trait Text: Sized {
    /// What is expected, as the rest of a sentence.
    const EXPECTED: &'static str;
    /// The same for a [`Bound`].
    const EXPECTED_BOUND: &'static str = Self::EXPECTED;

    /// Reads it.
    fn parse(text: &str) -> Option<Self>;

    /// Writes it, so that [`Text::parse`] reads it back.
    fn format(&self) -> String;
}

/// Reads a value; the error is a sentence.
pub(crate) fn parse<T: Text>(text: &str) -> Result<T, String> {
    T::parse(text).ok_or_else(|| format!("expected {}, found {text:?}", T::EXPECTED))
}

/// For `#[serde(with = "text::one")]`.
pub(super) mod one {
    use super::*;

    pub(crate) fn serialize<T: Text, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&value.format())
    }

    pub(crate) fn deserialize<'de, T: Text, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        Wrapped::deserialize(deserializer).map(|Wrapped(value)| value)
    }
}

/// For `#[serde(with = "text::list")]`.
pub(super) mod list {
    use super::*;

    pub(crate) fn serialize<T: Text, S: Serializer>(values: &[T], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().map(Text::format))
    }

    pub(crate) fn deserialize<'de, T: Text, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
        let values = Vec::<Wrapped<T>>::deserialize(deserializer)?;
        Ok(values.into_iter().map(|Wrapped(value)| value).collect())
    }
}

struct Wrapped<T>(T);

impl<'de, T: Text> Deserialize<'de> for Wrapped<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor(PhantomData)).map(Wrapped)
    }
}

struct TextVisitor<T>(PhantomData<T>);

impl<T: Text> de::Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        parse(text).map_err(E::custom)
    }
}

impl Text for Duration {
    const EXPECTED: &'static str = r#"a duration such as "500ms", "30s", "10m", "1h 30m" or "7d""#;
    const EXPECTED_BOUND: &'static str = r#"a duration such as "12h" or "7d", or "unlimited""#;

    fn parse(text: &str) -> Option<Duration> {
        humantime::parse_duration(text).ok()
    }

    fn format(&self) -> String {
        humantime::format_duration(*self).to_string()
    }
}

/// A bound, or none: written as the bound, or as `unlimited`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound<T> {
    /// None.
    Unlimited,
    /// At most this.
    AtMost(T),
}

impl<T> Bound<T> {
    /// The bound, if there is one.
    pub fn at_most(self) -> Option<T> {
        match self {
            Bound::Unlimited => None,
            Bound::AtMost(bound) => Some(bound),
        }
    }
}

impl<T: Text> Text for Bound<T> {
    const EXPECTED: &'static str = T::EXPECTED_BOUND;
    const EXPECTED_BOUND: &'static str = T::EXPECTED_BOUND;

    fn parse(text: &str) -> Option<Bound<T>> {
        match text {
            "unlimited" => Some(Bound::Unlimited),
            _ => T::parse(text).map(Bound::AtMost),
        }
    }

    fn format(&self) -> String {
        match self {
            Bound::Unlimited => "unlimited".to_owned(),
            Bound::AtMost(bound) => bound.format(),
        }
    }
}

/// A number of bytes, written with a unit: `150KB` is 150,000 bytes, `64KiB` is 65,536.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// From large to small, and those that end in "B" before "B" itself.
const UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1_000),
    ("B", 1),
];

impl ByteSize {
    /// As a length in memory.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl Text for ByteSize {
    const EXPECTED: &'static str = r#"a size such as "150KB" or "64KiB" (units B, KB, KiB, MB, MiB, GB, GiB)"#;
    const EXPECTED_BOUND: &'static str = r#"a size such as "500MB" or "20GiB", or "unlimited""#;

    fn parse(text: &str) -> Option<ByteSize> {
        let (number, factor) = UNITS.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))?;
        let number: u64 = number.trim_end().parse().ok()?;
        number.checked_mul(*factor).map(ByteSize)
    }

    fn format(&self) -> String {
        let exact = UNITS.iter().find(|(_, factor)| self.0 > 0 && self.0.is_multiple_of(*factor));
        let (unit, factor) = exact.copied().unwrap_or(("B", 1));
        format!("{}{unit}", self.0 / factor)
    }
}

impl Text for Multiaddr {
    const EXPECTED: &'static str = r#"a multiaddress: TCP such as "/ip4/192.0.2.1/tcp/60000" or "/dns4/example.org/tcp/60000/p2p/16Uiu2...", WebSocket (".../tcp/8000/ws"), or QUIC (".../udp/60000/quic-v1")"#;

    fn parse(text: &str) -> Option<Multiaddr> {
        let address: Multiaddr = text.parse().ok()?;
        is_dialable(&address).then_some(address)
    }

    fn format(&self) -> String {
        self.to_string()
    }
}

/// Where something listens, or that it does not: written as an address and port, or as `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// Nowhere.
    Off,
    /// Here; port 0 is any free one.
    At(SocketAddr),
}

impl Text for Listen {
    const EXPECTED: &'static str = r#"an address and port such as "127.0.0.1:8645" or "[::1]:8645", or "off""#;

    fn parse(text: &str) -> Option<Listen> {
        match text {
            "off" => Some(Listen::Off),
            _ => text.parse().ok().map(Listen::At),
        }
    }

    fn format(&self) -> String {
        match self {
            Listen::Off => "off".to_owned(),
            Listen::At(address) => address.to_string(),
        }
    }
}

/// A host, a transport that the node speaks, and maybe a peer.
pub(crate) fn is_dialable(address: &Multiaddr) -> bool {
    let mut parts: Vec<Protocol<'_>> = address.iter().collect();
    if let Some(Protocol::P2p(_)) = parts.last() {
        parts.pop();
    }
    let Some((host, transport)) = parts.split_first() else { return false };
    let known = matches!(
        transport,
        [Protocol::Tcp(_)]
            | [Protocol::Tcp(_), Protocol::Ws(_) | Protocol::Wss(_)]
            | [Protocol::Tcp(_), Protocol::Tls, Protocol::Ws(_)]
            | [Protocol::Udp(_), Protocol::QuicV1]
    );
    match host {
        Protocol::Dnsaddr(_) => transport.is_empty() || known,
        Protocol::Ip4(_) | Protocol::Ip6(_) | Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_) => known,
        _ => false,
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        one::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ByteSize, D::Error> {
        one::deserialize(deserializer)
    }
}
