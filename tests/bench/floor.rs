//! What nothing can be faster than: bare round trips, a bare signature, a bare key generation.

use std::hint::black_box;

use p256::{
    SecretKey,
    ecdsa::{Signature, SigningKey, signature::Signer},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{Work, host::Exchange};

/// A client of an echo task: it sends the length that it wants back, then a frame.
pub(crate) struct Echo {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Echo {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            serve(stream).await;
        });
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            buffer: vec![0; 4096],
        }
    }

    /// The same round trips as an operation's, with frames of the same length.
    pub(crate) async fn run(&mut self, exchanges: &[Exchange]) {
        for exchange in exchanges {
            let sent = &mut self.buffer[..exchange.sent];
            sent[..4].copy_from_slice(&(exchange.sent as u32).to_be_bytes());
            sent[4..8].copy_from_slice(&(exchange.received as u32).to_be_bytes());
            self.stream.write_all(sent).await.unwrap();
            let received = &mut self.buffer[..exchange.received];
            self.stream.read_exact(received).await.unwrap();
        }
    }
}

/// Reads whole frames and answers each with one of the length asked for.
async fn serve(mut stream: TcpStream) {
    let mut buffer = vec![0; 4096];
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).await.unwrap();
        if read == 0 {
            return;
        }
        filled += read;
        let length = |at: usize| {
            let bytes = buffer[at..at + 4].try_into().unwrap();
            u32::from_be_bytes(bytes) as usize
        };
        if filled < 8 || filled < length(0) {
            continue;
        }
        assert_eq!(filled, length(0));
        let wanted = length(4);
        filled = 0;
        stream.write_all(&buffer[..wanted]).await.unwrap();
    }
}

/// The cryptography that an operation cannot do without.
pub(crate) fn work(work: Work) {
    let scalar = black_box([0x5a; 32]);
    match work {
        Work::None => {}
        Work::Signature => sign(&scalar),
        Work::SignatureAndKey => {
            let key = SecretKey::from_slice(&scalar).unwrap();
            black_box(key.public_key());
            sign(&scalar);
        }
    }
}

/// A signature with a key that is at hand.
fn sign(scalar: &[u8; 32]) {
    thread_local! {
        static KEY: std::cell::OnceCell<SigningKey> = const { std::cell::OnceCell::new() };
    }
    KEY.with(|key| {
        let key = key.get_or_init(|| SigningKey::from_slice(scalar).unwrap());
        let signature: Signature = key.sign(black_box(&[1; 69]));
        black_box(signature.to_der());
    });
}
