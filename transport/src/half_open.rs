//! Finding a TCP peer that vanished without a word: its machine lost power, or its network is gone.

use std::io;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

#[cfg(target_os = "linux")]
use crate::limits::UNACKNOWLEDGED_LIMIT;
use crate::limits::{KEEPALIVE_INTERVAL, KEEPALIVE_RETRIES, KEEPALIVE_TIME};

/// Makes a connection end by itself within about half a minute once its peer is gone; and small
/// messages leave at once, since somebody waits for each.
///
/// # Errors
/// The connection is over already.
pub fn watch_over(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_TIME)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_RETRIES);
    socket.set_tcp_keepalive(&keepalive)?;
    // Elsewhere, Windows among them, the system gives up by itself within half a minute or so.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_LIMIT))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection that was accepted, and the other end of it.
    async fn pair() -> (TcpStream, TcpStream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap());
        let (accepted, peer) = tokio::join!(listener.accept(), peer);
        (accepted.unwrap().0, peer.unwrap())
    }

    #[tokio::test]
    async fn accepted_socket_has_its_options() {
        let (stream, _peer) = pair().await;
        watch_over(&stream).unwrap();
        let socket = SockRef::from(&stream);
        assert!(stream.nodelay().unwrap());
        assert!(socket.keepalive().unwrap());
        #[cfg(unix)]
        {
            assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE_TIME);
            assert_eq!(socket.tcp_keepalive_interval().unwrap(), KEEPALIVE_INTERVAL);
            assert_eq!(socket.tcp_keepalive_retries().unwrap(), KEEPALIVE_RETRIES);
        }
        #[cfg(target_os = "linux")]
        {
            let limit = socket.tcp_user_timeout().unwrap();
            assert_eq!(limit, Some(UNACKNOWLEDGED_LIMIT));
        }
    }

    #[test]
    fn vanished_peer_is_found_before_windows_comes_back_after_30_seconds() {
        let found = KEEPALIVE_TIME + KEEPALIVE_INTERVAL * KEEPALIVE_RETRIES;
        assert_eq!(found.as_secs(), 30);
        assert!(UNACKNOWLEDGED_LIMIT <= found);
    }
}
