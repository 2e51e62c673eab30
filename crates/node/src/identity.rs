//! The node's identity: a key pair in its data folder, made at the first start.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use libp2p::identity::Keypair;

/// The file's name in the data folder.
pub const FILE: &str = "identity.key";

/// The identity cannot be read or made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The file cannot be read or written.
    #[error("the node's identity {} cannot be read or created: {error}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file holds something else.
    #[error(
        "{} does not hold a node's identity (a libp2p private key, protobuf): restore it from a backup, or remove it to start \
         under a new identity",
        .path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
}

/// Reads the identity in `data_dir`; makes one (Ed25519) if there is none.
pub fn load_or_create(data_dir: &Path) -> Result<Keypair, IdentityError> {
    let path = data_dir.join(FILE);
    let io = |error| IdentityError::Io { path: path.clone(), error };
    match fs::read(&path) {
        Ok(bytes) => Keypair::from_protobuf_encoding(&bytes).map_err(|_| IdentityError::Foreign { path: path.clone() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let keypair = Keypair::generate_ed25519();
            let bytes = keypair.to_protobuf_encoding().map_err(|error| io(io::Error::other(error)))?;
            write_secret(&path, &bytes).map_err(io)?;
            Ok(keypair)
        }
        Err(error) => Err(io(error)),
    }
}

/// Written under another name first: a kill in between must not leave half a key.
fn write_secret(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("key.new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}
