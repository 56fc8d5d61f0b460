//! Two connected stream sockets: one for the key's session, one for the kernel.
//!
//! TCP only where the kernel takes no UNIX socket: its listener is open for a moment, and
//! whoever else connects in that moment is turned away.

use std::io;
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::time::timeout;

use crate::vhci::VhciError;

/// How long a connection within this machine may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);

/// Ours, and the kernel's.
pub(super) fn unix_pair() -> Result<(UnixStream, StdUnixStream), VhciError> {
    let pair = || {
        let (ours, kernels) = StdUnixStream::pair()?;
        ours.set_nonblocking(true)?;
        Ok((UnixStream::from_std(ours)?, kernels))
    };
    pair().map_err(|error: io::Error| VhciError::Io("no socket pair", error))
}

/// Ours, and the kernel's.
pub(super) async fn tcp_pair() -> Result<(TcpStream, std::net::TcpStream), VhciError> {
    let pair = async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        connect_to(listener).await
    };
    let made = timeout(CONNECT_LIMIT, pair).await;
    made.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(|error| VhciError::Io("no TCP connection within this machine", error))
}

async fn connect_to(listener: TcpListener) -> io::Result<(TcpStream, std::net::TcpStream)> {
    let kernels = TcpStream::connect(listener.local_addr()?).await?;
    let own = kernels.local_addr()?;
    let ours = loop {
        let (stream, peer) = listener.accept().await?;
        if peer == own {
            break stream;
        }
    };
    ours.set_nodelay(true)?;
    kernels.set_nodelay(true)?;
    let kernels = kernels.into_std()?;
    kernels.set_nonblocking(false)?;
    Ok((ours, kernels))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn tcp_pair_is_one_connection_whoever_else_comes() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut stray = TcpStream::connect(address).await.unwrap();
        let (mut ours, mut kernels) = connect_to(listener).await.unwrap();
        kernels.write_all(b"urb").unwrap();
        let mut got = [0; 3];
        ours.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"urb");
        ours.write_all(b"ret").await.unwrap();
        kernels.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"ret");
        let end = timeout(Duration::from_secs(10), stray.read(&mut got)).await;
        assert!(!matches!(end.unwrap(), Ok(1..)), "turned away");
        assert!(TcpStream::connect(address).await.is_err(), "closed");
    }

    #[tokio::test]
    async fn unix_pair_is_connected_and_the_kernels_end_blocks() {
        let (mut ours, mut kernels) = unix_pair().unwrap();
        ours.write_all(b"ret").await.unwrap();
        let mut got = [0; 3];
        kernels.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"ret");
        let writer = tokio::task::spawn_blocking(move || {
            let mut got = [0; 1];
            kernels.read_exact(&mut got).map(|()| got)
        });
        tokio::task::yield_now().await;
        ours.write_all(b"x").await.unwrap();
        assert_eq!(writer.await.unwrap().unwrap(), *b"x");
    }
}
