//! A USB/IP host that parks one IN URB, as Linux does, and nothing more: it trusts what it reads.

use std::{
    io,
    net::SocketAddr,
    num::NonZeroU16,
    time::{Duration, Instant},
};

use roamkey_transport::{
    REPORT_LEN,
    usb::Direction,
    usbip::{
        BusId,
        op::{self, RECORD_LEN},
        urb::{Basic, Command, DevId, HEADER_LEN, SeqNum, Submit},
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

use super::{
    ctaphid::{BROADCAST, Request, Response, channel_of, credential_id_of},
    floor::Exchange,
};

/// More than is ever on its way to a host with one IN URB.
const INPUT_LEN: usize = 512;
/// More round trips than any measured operation has.
const MOST_EXCHANGES: usize = 64;
/// SET_CONFIGURATION 1 (USB 2.0 §9.4.7).
const SET_CONFIGURATION: [u8; 8] = [0, 9, 1, 0, 0, 0, 0, 0];

/// A finished CTAPHID transaction.
pub(super) struct Transaction {
    pub(super) exchanges: Vec<Exchange>,
    /// From the first packet to the last, without the URB that waits for the next operation.
    pub(super) elapsed: Duration,
    pub(super) payload: Vec<u8>,
}

/// A key that this host has attached, with a channel of CTAPHID.
pub(super) struct Host {
    stream: BufReader<TcpStream>,
    devid: DevId,
    seqnum: u32,
    channel: [u8; 4],
}

impl Host {
    /// Attaches the `n`th key of a server.
    pub(super) async fn attach(server: SocketAddr, n: NonZeroU16) -> io::Result<Self> {
        let busid = BusId::nth(n);
        let devid = busid.devid().ok_or_else(|| io::Error::other("no bus id"))?;
        let mut stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        let mut import = op::Request::Import.emit().to_vec();
        import.extend(busid.emit());
        stream.write_all(&import).await?;
        let mut host = Self {
            stream: BufReader::with_capacity(INPUT_LEN, stream),
            devid,
            seqnum: 0,
            channel: BROADCAST,
        };
        let mut reply = [0; op::HEADER_LEN];
        host.stream.read_exact(&mut reply).await?;
        let [.., status] = reply;
        if status != 0 {
            let text = format!("the key {busid} cannot be attached: status {status}");
            return Err(io::Error::other(text));
        }
        host.stream.read_exact(&mut [0; RECORD_LEN]).await?;
        host.configure().await?;
        host.park().await?;
        let init = host.transact(&Request::init()).await?;
        host.channel = channel_of(&init.payload)?;
        Ok(host)
    }

    async fn configure(&mut self) -> io::Result<()> {
        let frame = self.submit(Direction::Out, 0, 0, SET_CONFIGURATION);
        self.stream.get_mut().write_all(&frame).await?;
        self.stream.read_exact(&mut [0; HEADER_LEN]).await?;
        Ok(())
    }

    fn submit(
        &mut self,
        direction: Direction,
        ep: u32,
        length: u32,
        setup: [u8; 8],
    ) -> [u8; HEADER_LEN] {
        self.seqnum = self.seqnum.wrapping_add(1);
        let basic = Basic {
            seqnum: SeqNum(self.seqnum),
            devid: self.devid,
            direction,
            ep,
        };
        Command::Submit(Submit {
            basic,
            transfer_flags: 0,
            transfer_buffer_length: length,
            start_frame: 0,
            number_of_packets: 0,
            interval: 5,
            setup,
        })
        .emit()
    }

    fn interrupt(&mut self, direction: Direction) -> [u8; HEADER_LEN] {
        let length = u32::try_from(REPORT_LEN).unwrap_or(u32::MAX); // it is 64
        self.submit(direction, 1, length, [0; 8])
    }

    /// Waits for a report without waiting for the answer.
    async fn park(&mut self) -> io::Result<()> {
        let frame = self.interrupt(Direction::In);
        self.stream.get_mut().write_all(&frame).await
    }

    /// A request as it goes over the wire. What the host does itself is no part of an operation,
    /// so this is done before the clock runs.
    fn frames(&mut self, request: &Request) -> Vec<[u8; HEADER_LEN + REPORT_LEN]> {
        let packets = request.packets(self.channel).into_iter();
        let frame = |packet| {
            let header = self.interrupt(Direction::Out);
            let mut frame = [0; HEADER_LEN + REPORT_LEN];
            for (to, from) in frame.iter_mut().zip(header.into_iter().chain(packet)) {
                *to = from;
            }
            frame
        };
        packets.map(frame).collect()
    }

    /// Sends a request and reads its response.
    pub(super) async fn transact(&mut self, request: &Request) -> io::Result<Transaction> {
        let frames = self.frames(request);
        let mut exchanges = Vec::with_capacity(MOST_EXCHANGES);
        let mut response = Response::to(request);
        let start = Instant::now();
        for frame in &frames {
            self.stream.get_mut().write_all(frame).await?;
            self.stream.read_exact(&mut [0; HEADER_LEN]).await?;
            exchanges.push(Exchange {
                sent: HEADER_LEN + REPORT_LEN,
                received: HEADER_LEN,
            });
        }
        // The first IN report comes with the acknowledgement of the last OUT report.
        if let Some(last) = exchanges.last_mut() {
            last.received += HEADER_LEN + REPORT_LEN;
        }
        loop {
            let mut report = [0; REPORT_LEN];
            self.stream.read_exact(&mut [0; HEADER_LEN]).await?;
            self.stream.read_exact(&mut report).await?;
            let elapsed = start.elapsed();
            self.park().await?;
            if let Some(payload) = response.take(&report)? {
                return Ok(Transaction {
                    exchanges,
                    elapsed,
                    payload,
                });
            }
            exchanges.push(Exchange {
                sent: HEADER_LEN,
                received: HEADER_LEN + REPORT_LEN,
            });
        }
    }

    /// Makes a credential; its id.
    pub(super) async fn register(&mut self) -> io::Result<Vec<u8>> {
        let made = self.transact(&Request::make_credential()?).await?;
        credential_id_of(&made.payload)
    }
}
