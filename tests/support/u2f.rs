//! A platform's side of CTAP1/U2F (FIDO U2F raw message formats 1.2).

use x509_cert::{Certificate, der::Decode};

use super::{
    cose::PublicKey,
    ctaphid::{Channel, Platform, command},
};

/// Status words.
pub(crate) mod word {
    pub(crate) const CONDITIONS_NOT_SATISFIED: u16 = 0x6985;
    pub(crate) const COMMAND_NOT_ALLOWED: u16 = 0x6986;
    pub(crate) const WRONG_DATA: u16 = 0x6a80;
    pub(crate) const WRONG_LENGTH: u16 = 0x6700;
    pub(crate) const CLA_NOT_SUPPORTED: u16 = 0x6e00;
    pub(crate) const INS_NOT_SUPPORTED: u16 = 0x6d00;
}

/// P1 of an authentication.
#[derive(Clone, Copy)]
pub(crate) enum Control {
    CheckOnly = 0x07,
    Enforce = 0x03,
    DontEnforce = 0x08,
}

/// A registration, its signature verified with the certificate's key.
#[derive(Clone, Debug)]
pub(crate) struct U2fRegistered {
    pub(crate) public_key: PublicKey,
    pub(crate) key_handle: Vec<u8>,
    pub(crate) certificate: Vec<u8>,
}

/// An authentication, its signature verified.
#[derive(Clone, Copy, Debug)]
pub(crate) struct U2fAuthenticated {
    pub(crate) user_present: bool,
    pub(crate) counter: u32,
}

/// An APDU with extended lengths.
pub(crate) fn apdu(ins: u8, p1: u8, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, ins, p1, 0, 0];
    if !data.is_empty() {
        let length = u16::try_from(data.len()).expect("a length that fits");
        bytes.extend(length.to_be_bytes());
        bytes.extend(data);
    }
    bytes.extend([0, 0]);
    bytes
}

pub(crate) fn register_apdu(challenge: &[u8; 32], application: &[u8; 32]) -> Vec<u8> {
    apdu(0x01, 0, &[challenge.as_slice(), application].concat())
}

pub(crate) fn authenticate_apdu(
    control: Control,
    challenge: &[u8; 32],
    application: &[u8; 32],
    key_handle: &[u8],
) -> Vec<u8> {
    let length = [u8::try_from(key_handle.len()).expect("a length that fits")];
    let data = [challenge.as_slice(), application, &length, key_handle].concat();
    apdu(0x02, control as u8, &data)
}

impl Platform {
    /// An APDU's answer; the error is a status word other than 9000.
    pub(crate) fn u2f(&mut self, channel: Channel, apdu: &[u8]) -> Result<Vec<u8>, u16> {
        let answer = self.call(channel, command::MSG, apdu);
        assert_eq!(answer.message.command, command::MSG, "{answer:02x?}");
        assert!(answer.keepalives.is_empty(), "keepalives are CBOR's");
        let payload = answer.message.payload;
        let (data, word) = payload.split_at(payload.len() - 2);
        match u16::from_be_bytes([word[0], word[1]]) {
            0x9000 => Ok(data.to_vec()),
            other => {
                assert!(data.is_empty(), "an error is its word alone");
                Err(other)
            }
        }
    }

    /// The same, asked again as platforms do until there is another answer than "touch".
    pub(crate) fn u2f_polled(&mut self, channel: Channel, apdu: &[u8]) -> Result<Vec<u8>, u16> {
        for _ in 0..50 {
            match self.u2f(channel, apdu) {
                Err(word::CONDITIONS_NOT_SATISFIED) => self.idle(20),
                other => return other,
            }
        }
        panic!("still asked for a touch after 50 polls");
    }

    pub(crate) fn u2f_register(
        &mut self,
        channel: Channel,
        challenge: &[u8; 32],
        application: &[u8; 32],
    ) -> U2fRegistered {
        let response = self.u2f_polled(channel, &register_apdu(challenge, application));
        registered(&response.expect("a registration"), challenge, application)
    }

    pub(crate) fn u2f_authenticate(
        &mut self,
        channel: Channel,
        control: Control,
        application: &[u8; 32],
        (key_handle, public_key): (&[u8], &PublicKey),
    ) -> Result<U2fAuthenticated, u16> {
        let challenge = [0x55; 32];
        let apdu = authenticate_apdu(control, &challenge, application, key_handle);
        let response = self.u2f_polled(channel, &apdu)?;
        let (head, signature) = response.split_at(5);
        public_key.verify(&[application, head, &challenge], signature);
        Ok(U2fAuthenticated {
            user_present: head[0] == 1,
            counter: u32::from_be_bytes(head[1..].try_into().expect("four bytes")),
        })
    }
}

/// Takes a registration response apart (§4.3) and verifies it.
pub(crate) fn registered(
    response: &[u8],
    challenge: &[u8; 32],
    application: &[u8; 32],
) -> U2fRegistered {
    assert_eq!(response[0], 0x05, "reserved byte");
    let (point, rest) = response[1..].split_at(65);
    let (key_handle, rest) = rest[1..].split_at(usize::from(rest[0]));
    // A certificate is a DER sequence with a length of two bytes.
    assert_eq!(rest[..2], [0x30, 0x82]);
    let length = 4 + usize::from(u16::from_be_bytes([rest[2], rest[3]]));
    let (certificate, signature) = rest.split_at(length);
    let parsed = Certificate::from_der(certificate).expect("an X.509 certificate");
    let subject = parsed.tbs_certificate().subject_public_key_info();
    let attestation = PublicKey::from_sec1(subject.subject_public_key.raw_bytes());
    let parts = [[0].as_slice(), application, challenge, key_handle, point];
    attestation.verify(&parts, signature);
    U2fRegistered {
        public_key: PublicKey::from_sec1(point),
        key_handle: key_handle.to_vec(),
        certificate: certificate.to_vec(),
    }
}
