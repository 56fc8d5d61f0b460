//! Who may connect. USB/IP has no authentication: whoever reaches the port from another machine
//! can use the key. Which users of this machine may is [`ImportFrom`](super::ImportFrom)'s.

use std::net::IpAddr;

use ipnet::IpNet;

/// The addresses that may attach keys: loopback always, others by CIDR block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowList {
    /// False only where a test wants to be refused without leaving the machine.
    loopback: bool,
    blocks: Vec<IpNet>,
}

impl Default for AllowList {
    fn default() -> Self {
        Self::loopback()
    }
}

impl AllowList {
    /// Loopback only.
    #[must_use]
    pub fn loopback() -> Self {
        Self::new([])
    }

    /// Loopback and these blocks.
    #[must_use]
    pub fn new(blocks: impl IntoIterator<Item = IpNet>) -> Self {
        Self {
            loopback: true,
            blocks: blocks.into_iter().collect(),
        }
    }

    /// Not even loopback.
    #[cfg(test)]
    pub(super) fn nobody() -> Self {
        Self {
            loopback: false,
            blocks: Vec::new(),
        }
    }

    /// Whether it has no block.
    #[must_use]
    pub fn is_loopback_only(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Whether a peer may attach keys. An IPv4 address that a dual-stack socket shows as IPv6
    /// (`::ffff:a.b.c.d`) counts as IPv4, on both sides.
    #[must_use]
    pub fn allows(&self, peer: IpAddr) -> bool {
        let canonical = peer.to_canonical();
        let listed = |block: &IpNet| block.contains(&canonical) || block.contains(&peer);
        self.loopback && canonical.is_loopback() || self.blocks.iter().any(listed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(blocks: &[&str]) -> AllowList {
        AllowList::new(blocks.iter().map(|block| block.parse::<IpNet>().unwrap()))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn empty_list_allows_loopback_only() {
        let list = AllowList::loopback();
        for peer in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert!(list.allows(ip(peer)), "{peer}");
        }
        for peer in ["10.0.0.1", "0.0.0.0", "::", "fe80::1", "::ffff:10.0.0.1"] {
            assert!(!list.allows(ip(peer)), "{peer}");
        }
    }

    #[test]
    fn ipv4_block_allows_mapped_address() {
        let list = list(&["192.168.7.0/24", "2001:db8::/32"]);
        assert!(list.allows(ip("192.168.7.200")));
        assert!(list.allows(ip("::ffff:192.168.7.200")));
        assert!(list.allows(ip("2001:db8::5")));
        assert!(!list.allows(ip("192.168.8.1")));
        assert!(!list.allows(ip("::ffff:192.168.8.1")));
        assert!(!list.allows(ip("2001:db9::5")));
    }

    #[test]
    fn mapped_block_allows_the_address_it_names() {
        assert!(list(&["::ffff:10.1.0.0/112"]).allows(ip("::ffff:10.1.2.3")));
        assert!(!list(&["::ffff:10.1.0.0/112"]).allows(ip("::ffff:10.2.2.3")));
    }
}
