use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use data_encoding::BASE32_NOPAD;
use enr::k256::ecdsa::VerifyingKey;

use crate::config::text::Text;

/// A list of nodes: `enrtree://KEY@NAME`, where KEY is a public key (secp256k1, 33 bytes, base32) and NAME a name in DNS.
#[derive(Clone, PartialEq, Eq)]
pub struct ListUrl {
    pub(super) key: VerifyingKey,
    pub(super) name: String,
}

const SCHEME: &str = "enrtree://";

impl ListUrl {
    /// The list that is signed with this key, under this name.
    pub fn new(key: VerifyingKey, name: &str) -> ListUrl {
        ListUrl { key, name: name.to_ascii_lowercase() }
    }
}

impl FromStr for ListUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<ListUrl, String> {
        let read = || {
            let (key, name) = text.strip_prefix(SCHEME)?.split_once('@')?;
            let key = BASE32_NOPAD.decode(key.to_ascii_uppercase().as_bytes()).ok()?;
            let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            let sound = !name.is_empty() && name.len() <= 200 && name.chars().all(known);
            sound.then(|| VerifyingKey::from_sec1_bytes(&key).ok()).flatten().map(|key| ListUrl::new(key, name))
        };
        read().ok_or_else(|| format!("expected {}, found {text:?}", ListUrl::EXPECTED))
    }
}

impl fmt::Display for ListUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}@{}", BASE32_NOPAD.encode(&self.key.to_sec1_point(true).to_bytes()), self.name)
    }
}

impl fmt::Debug for ListUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Text for ListUrl {
    const EXPECTED: &'static str =
        r#"a list of nodes as "enrtree://KEY@NAME", where KEY is a public key in base32 and NAME a name in DNS"#;

    fn parse(text: &str) -> Option<ListUrl> {
        text.parse().ok()
    }

    fn format(&self) -> String {
        self.to_string()
    }
}

/// Who resolves names: written as an address and port, or as `system`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DnsServer {
    /// Whom the system asks.
    System,
    /// This server.
    At(SocketAddr),
}

impl Text for DnsServer {
    const EXPECTED: &'static str = r#"an address and port such as "192.0.2.53:53", or "system""#;

    fn parse(text: &str) -> Option<DnsServer> {
        match text {
            "system" => Some(DnsServer::System),
            _ => text.parse().ok().map(DnsServer::At),
        }
    }

    fn format(&self) -> String {
        match self {
            DnsServer::System => "system".to_owned(),
            DnsServer::At(address) => address.to_string(),
        }
    }
}
