//! Every request parser, CTAP2 and U2F, and beside them those who only look at a message: what
//! rules about operations see and what traces show is what the parser reads.
//!
//! Input: a byte, even for a CTAP2 payload and odd for an APDU, then the message. Deliberately
//! absent: what the key does about it (`reports`, `sequences`).

use roamkey_ctap::{Command, Status, Trace, fuzz};

/// Runs one input.
pub fn run(data: &[u8]) {
    let Some((mode, message)) = data.split_first() else {
        return;
    };
    let is_ctap2 = mode & 1 == 0;
    let seen = if is_ctap2 {
        fuzz::see_ctap2(message)
    } else {
        fuzz::see_apdu(message)
    };
    let [
        Trace::Started { command, .. },
        Trace::Finished { rp_id, .. },
    ] = &seen.traces[..]
    else {
        panic!("{:?}", seen.traces);
    };
    let (peeked, peeked_rp) = &seen.peeked;
    assert_eq!(command, peeked, "one message, two commands");
    match &seen.parsed {
        Ok(site) => {
            assert_ne!(*command, Command::Unknown, "parsed");
            assert_eq!(site, peeked_rp, "the site at a glance");
            assert_eq!(site, rp_id, "the site in a trace");
        }
        Err(code) if is_ctap2 => {
            let status = u8::try_from(*code).ok().and_then(Status::from_code);
            let known = matches!(
                status,
                Some(
                    Status::InvalidCommand
                        | Status::InvalidParameter
                        | Status::InvalidLength
                        | Status::CborUnexpectedType
                        | Status::InvalidCbor
                        | Status::MissingParameter
                        | Status::InvalidSubcommand
                        | Status::UnsupportedAlgorithm
                        | Status::LimitExceeded
                        | Status::InvalidOption
                )
            );
            assert!(known, "a parser answers {status:?}");
            let unknown = *command == Command::Unknown;
            assert_eq!(unknown, status == Some(Status::InvalidCommand));
            // The bytes are no request; what a glance and a trace both see is the same.
            assert!(peeked_rp.is_none() || peeked_rp == rp_id);
        }
        Err(word) => assert!(matches!(word, 0x6700 | 0x6a80 | 0x6d00 | 0x6e00)),
    }
    if is_ctap2 && !message.is_empty() && status_is(&seen.parsed, Status::InvalidCbor) {
        let bare = matches!(message[0], 0x04 | 0x07 | 0x08 | 0x0b);
        assert!(bare || !fuzz::is_canonical(&message[1..]), "canonical");
    }
}

fn status_is<T>(parsed: &Result<T, u16>, status: Status) -> bool {
    parsed
        .as_ref()
        .is_err_and(|code| *code == u16::from(status.code()))
}
