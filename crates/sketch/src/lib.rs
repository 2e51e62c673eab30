//! Set sketches: what two sets differ in, for 4 bytes a difference and in one message.
//!
//! A [`Sketch`] of capacity c is 4c bytes, whatever the size of the set. Folding the sketches of two sets gives the
//! sketch of their differences, from which up to c - 1 can be read, with the last 32 bits left to verify. Which side
//! has what, the side that decodes tells by looking among its own. It is PinSketch (Dodis, Ostrovsky, Reyzin and Smith,
//! "Fuzzy extractors", 2008, section 6.3): the syndromes of a BCH code over GF(2^32). `README.md` of this crate has the
//! exact definition, and `vectors/` what another implementation should get.
//!
//! Elements are [`ShortId`]s, made from 32-byte ids by a hash ([`ShortIds`]) whose salt is fresh for every exchange.
//!
//! ```
//! use hearken_sketch::{ShortIds, Sketch};
//!
//! let id = |n: u8| [n; 32];
//! let short = ShortIds::new(0x5eed);
//!
//! // The requester holds 0 to 99, and sends 20 bytes.
//! let request = Sketch::encode(5, (0..100).map(|n| short.of(&id(n)))).into_syndromes();
//!
//! // The provider holds 2 to 101.
//! let own: Vec<_> = (2..102).map(|n| short.of(&id(n))).collect();
//! let mut difference = Sketch::encode(request.len(), own.iter().copied());
//! difference.fold(&Sketch::from_syndromes(request));
//! let found = difference.decode_among(&own, difference.max_differences())?;
//!
//! assert_eq!(found.held, [98, 99]); // what the requester lacks: the places of 100 and 101
//! assert_eq!(found.lacking.len(), 2); // what the provider lacks: short ids of 0 and 1
//! assert_eq!(found.balance(), 100 - 100); // has to agree with the counts
//! # Ok::<(), hearken_sketch::Undecodable>(())
//! ```
//!
//! What it costs is known before: see [`encode_work`] and [`work`]. Nothing here panics, allocates more than a few
//! times its input and O(capacity^2), or takes longer than [`work`] says, whatever sums a peer sends.
//!
//! # Map
//! From the outside in:
//! - `short_id`: the salted hash.
//! - `sketch`: the sums, and putting elements in.
//! - `decode`: from sums to a polynomial (Berlekamp-Massey), from its roots to the answer, and the checks.
//! - `roots`, `quadratic`, `poly`: factoring that polynomial.
//! - `kernel`: the inner loops for each kind of processor; `unsafe` lives here, in one file for each.
//! - `field`: GF(2^32) in plain integers.
//! - `work`: cost units.
#![deny(unsafe_code)]

mod decode;
mod field;
mod kernel;
mod poly;
mod quadratic;
mod roots;
mod short_id;
mod sketch;
mod work;

pub use decode::{Decoded, Undecodable};
pub use short_id::{ShortId, ShortIds};
pub use sketch::Sketch;
pub use work::{encode_work, work};
