//! Values with units.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::net::{real, whole};

/// Bytes: a number, or `"150 kB"`, `"10 MB"`, `"64 KiB"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size(pub u64);

/// A time that may be negative: `"30s"`, `"-500ms"`. In nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signed(pub i64);

const UNITS: [(&str, f64); 8] = [
    ("KiB", 1024.0),
    ("MiB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
    ("kB", 1e3),
    ("KB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("B", 1.0),
];

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Size, String> {
        let text = text.trim().trim_end_matches("/s");
        let unit = UNITS.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)));
        let (number, factor) = unit.unwrap_or((text, 1.0));
        let number: Option<f64> = number.trim().parse().ok().filter(|number| (0.0..1e15).contains(number));
        let number = number
            .ok_or_else(|| format!("`{text}` is no size: expected bytes, like 1500, \"150 kB\" or \"64 KiB\""))?;
        Ok(Size(whole(number * factor)))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = match self.0 {
            0..1_000 => ("B", 1.0),
            1_000..1_000_000 => ("kB", 1e3),
            1_000_000..1_000_000_000 => ("MB", 1e6),
            _ => ("GB", 1e9),
        };
        let value = real(self.0) / factor;
        if value >= 100.0 || unit == "B" { write!(f, "{value:.0} {unit}") } else { write!(f, "{value:.1} {unit}") }
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Size, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes, like 1500, \"150 kB\" or \"64 KiB\"")
            }

            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<Size, E> {
                u64::try_from(bytes).map(Size).map_err(|_| E::custom("a size is at least 0"))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl FromStr for Signed {
    type Err = String;

    fn from_str(text: &str) -> Result<Signed, String> {
        let text = text.trim();
        let (sign, length) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
        let length: Option<Duration> = humantime::parse_duration(length.trim_start_matches('+')).ok();
        let nanos = length.and_then(|length| i64::try_from(length.as_nanos()).ok());
        nanos
            .map(|nanos| Signed(sign * nanos))
            .ok_or_else(|| format!("`{text}` is no time: expected one like \"30s\" or \"-500ms\""))
    }
}

impl fmt::Display for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{}", humantime::format_duration(Duration::from_nanos(self.0.unsigned_abs())))
    }
}

impl Serialize for Signed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Signed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Signed, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
