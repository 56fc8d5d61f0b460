//! The `usbip` crate's reader, as a second opinion. It sizes buffers from the wire and asserts on
//! what it reads, so that only what was checked and bounded is given to it.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use usbip::usbip_protocol::UsbIpCommand;

/// Reads a command, which has to be all there is.
pub(crate) fn read(bytes: &[u8]) -> UsbIpCommand {
    let mut rest = bytes;
    let command = {
        let reading = pin!(UsbIpCommand::read_from_socket(&mut rest));
        // Bytes in memory are always there.
        match reading.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(command) => command.expect("a command to the usbip crate, too"),
            Poll::Pending => panic!("memory made it wait"),
        }
    };
    assert!(rest.is_empty(), "their reader leaves {} bytes", rest.len());
    command
}
