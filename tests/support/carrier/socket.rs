//! Real sockets: a server with keys in a tokio runtime of its own, and blocking hosts.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use roamkey::{
    key::{Key, Seed},
    presence::Broker,
    profile::Profile,
    vault::KeyVault,
};
use roamkey_transport::usbip::{AllowList, Server};
use tokio::runtime::{Builder, Runtime};

use super::{Link, Received};

/// op_common and the device record of OP_REP_IMPORT.
const IMPORT_REPLY_LEN: usize = 8 + 312;

/// A server with keys. Dropping it ends every session.
pub(crate) struct Sockets {
    pub(crate) address: SocketAddr,
    /// Keys and server run until this is dropped.
    _runtime: Runtime,
}

impl Sockets {
    /// Keys as bus ids 1-1 and on, one for each vault.
    pub(crate) fn start(
        profile: &Profile,
        seeds: Vec<Seed>,
        vaults: Vec<Box<dyn KeyVault>>,
        broker: &Broker,
    ) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listen = "127.0.0.1:0".parse().expect("an address");
        let server = Server::bind(listen, AllowList::new([])).expect("a free port");
        let address = server.local_addr().expect("an address");
        let exports = server.exports();
        for (index, (seed, vault)) in seeds.into_iter().zip(vaults).enumerate() {
            let name = format!("1-{}", index + 1);
            let key = Key::open(profile, seed, vault, broker.seat(&name));
            let key = runtime.block_on(key).expect("a whole key");
            let identity = profile.usb_identity(&format!("TEST{index}"));
            let identity = identity.expect("an identity that fits");
            let busid = name.parse().expect("a bus id");
            let hosts = exports.add(busid, identity).expect("a free bus id");
            runtime.spawn(key.run(hosts));
        }
        runtime.spawn(server.run());
        Self {
            address,
            _runtime: runtime,
        }
    }
}

/// A connection without a request yet.
pub(crate) fn raw_connection(address: SocketAddr) -> TcpStream {
    connect(address).expect("the server listens")
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    Ok(stream)
}

/// OP_REQ_IMPORT; the error is the status of a refusal.
pub(crate) fn request_import(address: SocketAddr, busid: &str) -> Result<Box<dyn Link>, u32> {
    try_import(address, busid).expect("the server answers")
}

/// The same with a server that may be gone at any point.
pub(crate) fn try_import(
    address: SocketAddr,
    busid: &str,
) -> io::Result<Result<Box<dyn Link>, u32>> {
    let mut stream = connect(address)?;
    let mut request = vec![0x01, 0x11, 0x80, 0x03, 0, 0, 0, 0];
    let mut field = [0; 32];
    field[..busid.len()].copy_from_slice(busid.as_bytes());
    request.extend(field);
    stream.write_all(&request)?;
    let mut reply = [0; IMPORT_REPLY_LEN];
    stream.read_exact(&mut reply[..8])?;
    assert_eq!(reply[..4], [0x01, 0x11, 0x00, 0x03], "OP_REP_IMPORT");
    let status = u32::from_be_bytes(reply[4..8].try_into().expect("four bytes"));
    if status != 0 {
        let rest = stream.read(&mut reply)?;
        assert_eq!(rest, 0, "a refusal is the header alone");
        return Ok(Err(status));
    }
    stream.read_exact(&mut reply[8..])?;
    let record = &reply[8..];
    assert_eq!(record[256..288], field, "the bus id is echoed");
    let word = |at: usize| u32::from_be_bytes(record[at..at + 4].try_into().expect("four bytes"));
    assert_eq!(word(296), 2, "full speed");
    Ok(Ok(Box::new(SocketLink {
        stream,
        devid: word(288) << 16 | word(292),
        origin: Instant::now(),
    })))
}

struct SocketLink {
    stream: TcpStream,
    devid: u32,
    origin: Instant,
}

impl Link for SocketLink {
    fn send(&mut self, bytes: &[u8]) {
        // A server that ended the session is seen by reading.
        let _ = self.stream.write_all(bytes);
    }

    fn recv(&mut self, into: &mut Vec<u8>, wait_ms: u64) -> Received {
        let limit = Duration::from_millis(wait_ms.max(1));
        self.stream.set_read_timeout(Some(limit)).expect("a limit");
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(0) => Received::Closed,
            Ok(count) => {
                into.extend(&buffer[..count]);
                Received::Some
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {
                    Received::Nothing
                }
                _ => Received::Closed,
            },
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_millis()).expect("no test lasts that long")
    }

    fn devid(&self) -> u32 {
        self.devid
    }
}
