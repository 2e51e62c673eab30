//! Who resolves names.

use std::net::{IpAddr, Ipv4Addr};

use hickory_resolver::config::{NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::system_conf::read_system_conf;

/// The resolver that the system is configured to use. Where its configuration is missing, empty or cannot be read, the server on this
/// machine, as resolv.conf(5) has it: names may then not resolve, but a node whose peers have addresses needs none.
pub(crate) fn system_resolver() -> (ResolverConfig, ResolverOpts) {
    usable(read_system_conf().map_err(|error| error.to_string()))
}

fn usable(found: Result<(ResolverConfig, ResolverOpts), String>) -> (ResolverConfig, ResolverOpts) {
    let found = found.and_then(|(config, options)| match config.name_servers().is_empty() {
        true => Err("it names no server".to_owned()),
        false => Ok((config, options)),
    });
    found.unwrap_or_else(|reason| {
        tracing::warn!(
            "names are asked of this machine, since the system's resolver configuration cannot be used: {reason}"
        );
        let server = NameServerConfig::udp_and_tcp(IpAddr::from(Ipv4Addr::LOCALHOST));
        (ResolverConfig::from_name_servers(vec![server]), ResolverOpts::default())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A container may have no /etc/resolv.conf: a node starts there all the same.
    #[test]
    fn without_a_configuration_this_machine_is_asked() {
        let empty = ResolverConfig::from_name_servers(Vec::new());
        for found in [Err("no such file".to_owned()), Ok((empty, ResolverOpts::default()))] {
            let servers: Vec<IpAddr> = usable(found).0.name_servers().iter().map(|server| server.ip).collect();
            assert_eq!(servers, [IpAddr::from(Ipv4Addr::LOCALHOST)]);
        }
    }
}
