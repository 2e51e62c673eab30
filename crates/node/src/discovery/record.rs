use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use enr::k256::ecdsa::signature::hazmat::PrehashVerifier;
use enr::k256::ecdsa::{Signature, VerifyingKey};
use sha3::{Digest, Keccak256};

use super::ListUrl;
use super::node::NodeRecord;

/// A text of a list is not what it has to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// Not of that form.
    #[error("expected {expected}, found {found:?}")]
    Form {
        /// What was expected.
        expected: &'static str,
        /// What came, cut short.
        found: String,
    },
    /// Not signed with the key of the list.
    #[error("the list's root is not signed with the key of its URL")]
    Signature,
    /// The text is another than its name says.
    #[error("the record {0} holds another text than its name says")]
    Hash(String),
}

/// The root of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Root {
    /// The name of the first record of nodes.
    pub(super) nodes: Name,
    /// The name of the first record of links to other lists.
    pub(super) links: Name,
    /// Grows with each change.
    pub(super) sequence: u64,
}

/// The name of a record below the list's own: a hash of 16 to 32 bytes, base32.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name(String);

/// Another record of a list.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Record {
    Branch(Vec<Name>),
    Link(ListUrl),
    Node(Box<NodeRecord>),
}

impl Root {
    /// Reads a root and checks its signature: `enrtree-root:v1 e=NAME l=NAME seq=NUMBER sig=SIGNATURE`.
    pub(super) fn read(text: &str, key: &VerifyingKey) -> Result<Root, RecordError> {
        let (content, signature) = text.rsplit_once(" sig=").ok_or_else(|| form(ROOT, text))?;
        let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).map_err(|_| form(ROOT, text))?;
        // 64 bytes, and one by which the key could be recovered.
        let signature = signature.get(..64).filter(|_| signature.len() == 65);
        let signature = signature.and_then(|bytes| Signature::from_slice(bytes).ok()).ok_or(RecordError::Signature)?;
        key.verify_prehash(&Keccak256::digest(content), &signature).map_err(|_| RecordError::Signature)?;
        let mut fields = content.strip_prefix("enrtree-root:v1 ").ok_or_else(|| form(ROOT, text))?.split(' ');
        let mut field = |name: &str| fields.next()?.strip_prefix(name)?.strip_prefix('=');
        let mut read = || {
            let (nodes, links) = (Name::read(field("e")?)?, Name::read(field("l")?)?);
            Some(Root { nodes, links, sequence: field("seq")?.parse().ok()? })
        };
        read().ok_or_else(|| form(ROOT, text))
    }
}

impl Name {
    fn read(text: &str) -> Option<Name> {
        let hash = BASE32_NOPAD.decode(text.as_bytes()).ok()?;
        (16..=32).contains(&hash.len()).then(|| Name(text.to_owned()))
    }

    /// As a name in DNS, below the list's.
    pub(super) fn below(&self, list: &str) -> String {
        format!("{}.{list}", self.0)
    }

    /// Whether this is the name of a record with that text.
    fn fits(&self, text: &str) -> bool {
        let hash = Keccak256::digest(text);
        BASE32_NOPAD.decode(self.0.as_bytes()).is_ok_and(|name| hash.get(..name.len()) == Some(&name[..]))
    }
}

impl Record {
    /// Reads the text of the record with this name.
    pub(super) fn read(text: &str, name: &Name) -> Result<Record, RecordError> {
        if !name.fits(text) {
            return Err(RecordError::Hash(name.0.clone()));
        }
        if let Some(names) = text.strip_prefix("enrtree-branch:") {
            let names = names.split(',').filter(|name| !name.is_empty()).map(Name::read);
            return names.collect::<Option<_>>().map(Record::Branch).ok_or_else(|| form(RECORD, text));
        }
        if text.starts_with("enrtree://") {
            return text.parse().map(Record::Link).map_err(|_| form(RECORD, text));
        }
        text.parse().map(|node| Record::Node(Box::new(node))).map_err(|_: String| form(RECORD, text))
    }
}

const ROOT: &str = "a list's root, enrtree-root:v1 e=NAME l=NAME seq=NUMBER sig=SIGNATURE";
const RECORD: &str = "a branch (enrtree-branch:NAME,NAME,...), a link (enrtree://KEY@NAME) or a node (enr:...)";

fn form(expected: &'static str, found: &str) -> RecordError {
    RecordError::Form { expected, found: found.chars().take(80).collect() }
}
