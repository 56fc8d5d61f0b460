//! Who on this machine may import a key: decided by the user who made the importing socket.
//!
//! Whoever can run a program here can reach a loopback port, so an address says nothing. Linux
//! knows the user of every TCP socket of this network namespace, and says it of one (sock_diag(7))
//! or of all in /proc/net/tcp and tcp6 (Documentation/networking/proc_net_tcp.rst); a peer that is
//! found so is on this machine, whatever address it came from. One that is not found and did not
//! come from loopback is another machine, or a container with its own network: nothing here can
//! check it, and the [`AllowList`](super::AllowList) alone decides.
//!
//! `usbip attach` runs as root, so its socket is root's; the peer of QEMU's user networking is
//! the user who runs QEMU. A program that hands its connection to another user's is believed.

use std::fmt;
use std::net::SocketAddr;

#[cfg(target_os = "linux")]
mod proc_net;
#[cfg(target_os = "linux")]
mod sock_diag;

/// Which users of this machine may import keys from a server. Other machines are not checked:
/// USB/IP has no authentication, and the allow-list alone keeps them away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportFrom {
    /// Root alone.
    Root,
    /// Root, and the user that this process runs as.
    Me,
    /// Every user.
    Anyone,
}

impl Default for ImportFrom {
    /// [`Me`](Self::Me) where it can be checked, which is Linux; elsewhere
    /// [`Anyone`](Self::Anyone).
    fn default() -> Self {
        if cfg!(target_os = "linux") {
            Self::Me
        } else {
            Self::Anyone
        }
    }
}

impl ImportFrom {
    /// Whether this platform can tell who imports.
    pub(super) fn is_supported(self) -> bool {
        match self {
            Self::Root | Self::Me => cfg!(target_os = "linux"),
            Self::Anyone => true,
        }
    }

    /// Decides, by the user who made the peer's socket.
    fn allows(self, importer: Importer) -> Result<(), Refused> {
        let allowed = match (self, importer) {
            (Self::Anyone, _) | (Self::Root | Self::Me, Importer::OtherMachine) => true,
            (Self::Root, Importer::User { uid, me: _ }) => uid == 0,
            (Self::Me, Importer::User { uid, me }) => uid == 0 || uid == me,
            (Self::Root | Self::Me, Importer::Unknown) => false,
        };
        if allowed {
            return Ok(());
        }
        Err(match importer {
            Importer::User { uid, me } => Refused::User { uid, me },
            Importer::Unknown | Importer::OtherMachine => Refused::Unknown,
        })
    }
}

impl fmt::Display for ImportFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Root => "root",
            Self::Me => "me",
            Self::Anyone => "anyone",
        })
    }
}

/// Who made the peer's socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Importer {
    /// A user of this machine; `me` is the one that this process runs as.
    User { uid: u32, me: u32 },
    /// Somebody on this machine whose socket is not listed: it is closed already.
    Unknown,
    /// Somebody else.
    OtherMachine,
}

/// Why an import is refused. Its text is for the log of the key's owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    User { uid: u32, me: u32 },
    Unknown,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User { uid, me } if uid == me => write!(
                f,
                "user {uid} (who runs roamkey) asked, and only root may: --import-from me allows it"
            ),
            Self::User { uid, me: _ } => write!(
                f,
                "user {uid} asked, who may not: --import-from anyone allows every user of this \
                 machine"
            ),
            Self::Unknown => f.write_str(
                "nobody knows whose connection it is: closed already, or of another network \
                 namespace; --import-from anyone does not ask",
            ),
        }
    }
}

/// Finds who made the socket whose own address is the first and whose peer is the second; None
/// if it is not on this machine, or closed.
type FindOwner = fn(SocketAddr, SocketAddr) -> Option<u32>;

/// Asks for each import.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gate {
    from: ImportFrom,
    find_owner: FindOwner,
    me: u32,
}

impl Gate {
    pub(super) fn new(from: ImportFrom) -> Self {
        Self {
            from,
            find_owner,
            me: me(),
        }
    }

    /// A gate that is told who asks.
    #[cfg(test)]
    pub(super) fn told(from: ImportFrom, find_owner: FindOwner, me: u32) -> Self {
        Self {
            from,
            find_owner,
            me,
        }
    }

    /// Whether a peer may import; `local` is this end of its connection.
    pub(super) async fn check(self, peer: SocketAddr, local: SocketAddr) -> Result<(), Refused> {
        if self.from == ImportFrom::Anyone {
            return Ok(());
        }
        // Where the kernel does not answer about one socket it walks them all, which takes
        // milliseconds where there are many.
        let owner = tokio::task::spawn_blocking(move || (self.find_owner)(peer, local)).await;
        let importer = match owner {
            Ok(Some(uid)) => Importer::User { uid, me: self.me },
            Ok(None) if !peer.ip().to_canonical().is_loopback() => Importer::OtherMachine,
            Ok(None) | Err(_) => Importer::Unknown,
        };
        self.from.allows(importer)
    }
}

#[cfg(target_os = "linux")]
fn find_owner(own: SocketAddr, remote: SocketAddr) -> Option<u32> {
    sock_diag::owner(own, remote).or_else(|| proc_net::owner(own, remote))
}

/// Never asked: [`ImportFrom::is_supported`] sees to it.
#[cfg(not(target_os = "linux"))]
fn find_owner(_own: SocketAddr, _remote: SocketAddr) -> Option<u32> {
    None
}

#[cfg(target_os = "linux")]
fn me() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[cfg(not(target_os = "linux"))]
fn me() -> u32 {
    0
}

#[cfg(test)]
mod tests;
