//! What nothing can be faster than: bare round trips, a bare signature, a bare key generation, a
//! bare sync.

use std::{
    fs::File,
    hint::black_box,
    io::{self, Write as _},
    path::Path,
    time::{Duration, Instant},
};

use p256::{
    SecretKey,
    ecdsa::{Signature, SigningKey, signature::Signer as _},
};
use redb::{Database, TableDefinition};
use roamkey_transport::usbip::urb::HEADER_LEN;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// The longest frame: a header with a report behind a header.
const FRAME: usize = 4096;
/// What an authenticator signs: authData without extensions, and the hash of client data.
const SIGNED: [u8; 69] = [1; 69];
/// A stored passkey has about this many bytes.
const RECORD: [u8; 1_000] = [7; 1_000];
const BARE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("bare");

/// One sequential round trip: bytes to the key, and bytes back before the next can go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exchange {
    pub(super) sent: usize,
    pub(super) received: usize,
}

/// A client of an echo task: it sends the length of its frame and that of the one that it wants
/// back, and fills the frame up.
pub(super) struct Echo {
    stream: TcpStream,
    buffer: Box<[u8; FRAME]>,
}

impl Echo {
    pub(super) async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            serve(stream).await
        });
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Box::new([0; FRAME]),
        })
    }

    /// The same round trips as an operation's, with frames of the same lengths.
    pub(super) async fn run(&mut self, exchanges: &[Exchange]) -> io::Result<()> {
        for exchange in exchanges {
            self.send(*exchange).await?;
            let received = part(self.buffer.as_mut_slice(), exchange.received)?;
            self.stream.read_exact(received).await?;
        }
        Ok(())
    }

    /// A host asks for the next report when an operation is over, and has no answer to it: so
    /// that frame is under way when the next operation begins.
    pub(super) async fn park(&mut self) -> io::Result<()> {
        let frame = Exchange {
            sent: HEADER_LEN,
            received: 0,
        };
        self.send(frame).await
    }

    async fn send(&mut self, exchange: Exchange) -> io::Result<()> {
        let sent = part(self.buffer.as_mut_slice(), exchange.sent)?;
        let lengths = [exchange.sent, exchange.received];
        for (to, length) in sent.chunks_exact_mut(4).zip(lengths) {
            let length = u32::try_from(length).map_err(io::Error::other)?;
            to.copy_from_slice(&length.to_be_bytes());
        }
        self.stream.write_all(sent).await
    }
}

/// Reads whole frames and answers each with one of the length asked for.
async fn serve(mut stream: TcpStream) -> io::Result<()> {
    let (mut buffer, mut answer) = (Box::new([0; FRAME]), Box::new([0; FRAME]));
    let mut filled = 0;
    loop {
        let room = buffer.get_mut(filled..).unwrap_or_default();
        let read = stream.read(room).await?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        while let Some((sent, wanted)) = lengths(buffer.get(..filled).unwrap_or_default()) {
            buffer.copy_within(sent..filled, 0);
            filled -= sent;
            if wanted > 0 {
                let answer = part(answer.as_mut_slice(), wanted)?;
                stream.write_all(answer).await?;
            }
        }
    }
}

/// Those of a frame that has come whole, and of its answer.
fn lengths(received: &[u8]) -> Option<(usize, usize)> {
    let (words, _) = received.as_chunks::<4>();
    let [sent, wanted, ..] = words else {
        return None;
    };
    let [sent, wanted] = [sent, wanted].map(|word| u32::from_be_bytes(*word).try_into());
    let sent = sent
        .ok()
        .filter(|sent| (8..=received.len()).contains(sent))?;
    Some((sent, wanted.ok()?))
}

fn part(buffer: &mut [u8], length: usize) -> io::Result<&mut [u8]> {
    let part = buffer.get_mut(..length);
    part.ok_or_else(|| io::Error::other("a frame that no operation has"))
}

/// The cryptography that an operation cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    None,
    Signature,
    SignatureAndKey,
}

/// Does it, with a key that is at hand.
pub(super) struct Crypto {
    scalar: [u8; 32],
    key: SigningKey,
}

impl Crypto {
    pub(super) fn new() -> io::Result<Self> {
        let scalar = [0x5a; 32];
        let key = SigningKey::from_slice(&scalar).map_err(io::Error::other)?;
        Ok(Self { scalar, key })
    }

    pub(super) fn run(&self, work: Work) {
        match work {
            Work::None => {}
            Work::Signature => self.sign(),
            Work::SignatureAndKey => {
                let key = SecretKey::from_slice(black_box(&self.scalar));
                black_box(key.map(|key| key.public_key()).ok());
                self.sign();
            }
        }
    }

    fn sign(&self) {
        let signature: Signature = self.key.sign(black_box(&SIGNED));
        black_box(signature.to_der());
    }
}

/// A file and a database that have no other purpose.
pub(super) struct Disk {
    file: File,
    database: Database,
    next: u64,
}

impl Disk {
    pub(super) fn new(directory: &Path) -> io::Result<Self> {
        let database = Database::create(directory.join("bare.redb"));
        Ok(Self {
            file: File::create(directory.join("bare"))?,
            database: database.map_err(io::Error::other)?,
            next: 0,
        })
    }

    /// A record's bytes on the disk.
    pub(super) fn sync(&mut self) -> io::Result<Duration> {
        let start = Instant::now();
        self.file.write_all(&RECORD)?;
        self.file.sync_data()?;
        Ok(start.elapsed())
    }

    /// The same in a transaction.
    pub(super) fn commit(&mut self) -> io::Result<Duration> {
        self.next += 1;
        let start = Instant::now();
        let write = self.database.begin_write().map_err(io::Error::other)?;
        {
            let mut table = write.open_table(BARE).map_err(io::Error::other)?;
            let inserted = table.insert(self.next, RECORD.as_slice());
            inserted.map_err(io::Error::other)?;
        }
        write.commit().map_err(io::Error::other)?;
        Ok(start.elapsed())
    }
}
