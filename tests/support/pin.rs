//! A platform's side of authenticatorClientPIN and PIN/UV auth protocols one and two
//! (CTAP 2.1 §6.5.5 to §6.5.7), by code of its own.
//!
//! Keys and initialization vectors come by hashing from what the key sent, so that a test's
//! bytes depend on its seed alone.

use aes::{Aes128, Aes256};
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit, block_padding::NoPadding};
use ciborium::Value;
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use p256::{PublicKey, SecretKey, ecdh::diffie_hellman, elliptic_curve::sec1::ToSec1Point};
use sha2::Sha256;

use super::{
    cbor,
    ctap2::{CLIENT_PIN, Outcome, sha256},
    ctaphid::{Channel, Platform},
};

/// Permissions of a token (§6.5.5.7).
pub(crate) mod permission {
    pub(crate) const MC: u64 = 0x01;
    pub(crate) const GA: u64 = 0x02;
    pub(crate) const CM: u64 = 0x04;
    pub(crate) const BE: u64 = 0x08;
    pub(crate) const LBW: u64 = 0x10;
    pub(crate) const ACFG: u64 = 0x20;
    pub(crate) const PCMR: u64 = 0x40;
}

/// Subcommands (§6.5.5).
pub(crate) mod subcommand {
    pub(crate) const GET_PIN_RETRIES: u8 = 0x01;
    pub(crate) const GET_KEY_AGREEMENT: u8 = 0x02;
    pub(crate) const SET_PIN: u8 = 0x03;
    pub(crate) const CHANGE_PIN: u8 = 0x04;
    pub(crate) const GET_PIN_TOKEN: u8 = 0x05;
    pub(crate) const GET_TOKEN_USING_UV: u8 = 0x06;
    pub(crate) const GET_UV_RETRIES: u8 = 0x07;
    pub(crate) const GET_TOKEN_USING_PIN: u8 = 0x09;
}

/// Which protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    One,
    Two,
}

impl Protocol {
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Self::One => Self::Two,
            Self::Two => Self::One,
        }
    }

    /// §6.5.6 authenticate.
    pub(crate) fn authenticate(self, key: &[u8], message: &[u8]) -> Vec<u8> {
        let mut mac = hmac(key, message);
        if self == Self::One {
            mac.truncate(16);
        }
        mac
    }
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

/// What a platform and a key have agreed on.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) protocol: Protocol,
    /// The platform's key agreement key, a COSE_Key.
    pub(crate) key_agreement: Value,
    hmac_key: [u8; 32],
    aes_key: [u8; 32],
}

impl Shared {
    /// §6.5.6 encapsulate, with the COSE_Key that the authenticator sent.
    pub(crate) fn agreed(protocol: Protocol, authenticator: &Value) -> Self {
        for (label, value) in [(1, 2), (3, -25), (-1, 1)] {
            let member = cbor::member(authenticator, label);
            assert_eq!(member, Some(Value::from(value)), "label {label}");
        }
        assert_eq!(authenticator.as_map().map(Vec::len), Some(5));
        let x = cbor::bytes(cbor::member(authenticator, -2));
        let y = cbor::bytes(cbor::member(authenticator, -3));
        let peer = [&[4], x.as_slice(), &y].concat();
        let peer = PublicKey::from_sec1_bytes(&peer).expect("a point of P-256");
        let scalar = sha256(&[b"the platform's key".as_slice(), &x].concat());
        let own = SecretKey::from_slice(&scalar).expect("a scalar");
        let shared = diffie_hellman(own.to_nonzero_scalar(), peer.as_affine());
        let z = shared.raw_secret_bytes();
        let (hmac_key, aes_key) = match protocol {
            Protocol::One => (sha256(z), sha256(z)),
            Protocol::Two => (expand(z, b"CTAP2 HMAC key"), expand(z, b"CTAP2 AES key")),
        };
        let point = own.public_key().to_sec1_point(false);
        let point = point.as_bytes();
        Self {
            protocol,
            key_agreement: cose_key(&point[1..33], &point[33..]),
            hmac_key,
            aes_key,
        }
    }

    /// The keys of HMAC and AES.
    pub(crate) fn keys(&self) -> [&[u8; 32]; 2] {
        [&self.hmac_key, &self.aes_key]
    }

    /// §6.5.6 encrypt.
    pub(crate) fn encrypt(&self, plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut iv = [0; 16];
        if self.protocol == Protocol::Two {
            iv.copy_from_slice(&sha256(&[plain, &self.hmac_key].concat())[..16]);
            out.extend(iv);
        }
        let cipher = cbc::Encryptor::<Aes256>::new(&self.aes_key.into(), &iv.into());
        out.extend(cipher.encrypt_padded_vec::<NoPadding>(plain));
        out
    }

    /// §6.5.6 decrypt.
    pub(crate) fn decrypt(&self, sealed: &[u8]) -> Vec<u8> {
        let (iv, blocks) = match self.protocol {
            Protocol::One => ([0; 16], sealed),
            Protocol::Two => (sealed[..16].try_into().expect("an IV"), &sealed[16..]),
        };
        let cipher = cbc::Decryptor::<Aes256>::new(&self.aes_key.into(), &iv.into());
        let plain = cipher.decrypt_padded_vec::<NoPadding>(blocks);
        plain.expect("whole blocks")
    }

    /// §6.5.6 authenticate, under what was agreed on.
    pub(crate) fn authenticate(&self, message: &[u8]) -> Vec<u8> {
        self.protocol.authenticate(&self.hmac_key, message)
    }

    /// pinHashEnc of a PIN.
    pub(crate) fn pin_hash(&self, pin: &str) -> Vec<u8> {
        self.encrypt(&sha256(pin.as_bytes())[..16])
    }

    /// The input of hmac-secret (§12.5): salts of 32 bytes, one after the other.
    pub(crate) fn salts(&self, salts: &[u8]) -> Value {
        self.sealed_salts(self.encrypt(salts))
    }

    /// The same with saltEnc as it is.
    pub(crate) fn sealed_salts(&self, salt_enc: Vec<u8>) -> Value {
        let salt_auth = self.authenticate(&salt_enc);
        cbor::map([
            (1, self.key_agreement.clone()),
            (2, Value::from(salt_enc)),
            (3, Value::from(salt_auth)),
            (4, Value::from(self.protocol.number())),
        ])
    }

    /// Opens an output of hmac-secret.
    pub(crate) fn open(&self, output: Option<Value>) -> Vec<u8> {
        self.decrypt(&cbor::bytes(output))
    }

    /// The parameters of a subcommand that has a key agreement.
    pub(crate) fn members(&self, subcommand: u8) -> Vec<(i64, Value)> {
        vec![
            (1, Value::from(self.protocol.number())),
            (2, Value::from(subcommand)),
            (3, self.key_agreement.clone()),
        ]
    }

    /// The parameters of setPIN, with the padded PIN as it is.
    pub(crate) fn set_pin(&self, padded: &[u8]) -> Vec<(i64, Value)> {
        let new_pin_enc = self.encrypt(padded);
        let mut members = self.members(subcommand::SET_PIN);
        members.push((4, Value::from(self.authenticate(&new_pin_enc))));
        members.push((5, Value::from(new_pin_enc)));
        members
    }

    /// The parameters of changePIN, with the padded new PIN as it is.
    pub(crate) fn change_pin(&self, old: &str, padded: &[u8]) -> Vec<(i64, Value)> {
        let (new_pin_enc, hash) = (self.encrypt(padded), self.pin_hash(old));
        let message = [new_pin_enc.as_slice(), &hash].concat();
        let mut members = self.members(subcommand::CHANGE_PIN);
        members.push((4, Value::from(self.authenticate(&message))));
        members.push((5, Value::from(new_pin_enc)));
        members.push((6, Value::from(hash)));
        members
    }

    /// The parameters of getPinToken.
    pub(crate) fn pin_token(&self, pin: &str) -> Vec<(i64, Value)> {
        let mut members = self.members(subcommand::GET_PIN_TOKEN);
        members.push((6, Value::from(self.pin_hash(pin))));
        members
    }

    /// The parameters of getPinUvAuthTokenUsingPinWithPermissions.
    pub(crate) fn token(
        &self,
        pin: &str,
        permissions: u64,
        rp_id: Option<&str>,
    ) -> Vec<(i64, Value)> {
        let mut members = self.members(subcommand::GET_TOKEN_USING_PIN);
        members.push((6, Value::from(self.pin_hash(pin))));
        members.push((9, Value::from(permissions)));
        members.extend(rp_id.map(|rp_id| (10, Value::from(rp_id))));
        members
    }
}

fn expand(z: &[u8], info: &[u8]) -> [u8; 32] {
    let mut key = [0; 32];
    let hkdf = Hkdf::<Sha256>::new(Some(&[0; 32]), z);
    hkdf.expand(info, &mut key).expect("one block");
    key
}

/// What a member of getInfo hides for who has the persistent token: iv || AES-128-CBC, under
/// HKDF-SHA-256 of the token for the member's name (CTAP 2.2 §6.4).
pub(crate) fn identifier(member: &str, value: &[u8], token: &Token) -> Vec<u8> {
    let (iv, blocks) = value.split_at(16);
    assert_eq!(blocks.len(), 16, "{member}");
    let hkdf = Hkdf::<Sha256>::new(Some(&[0; 32]), &token.secret);
    let mut key = [0; 16];
    hkdf.expand(member.as_bytes(), &mut key).expect("one block");
    let iv: [u8; 16] = iv.try_into().expect("16 bytes");
    let cipher = cbc::Decryptor::<Aes128>::new(&key.into(), &iv.into());
    cipher
        .decrypt_padded_vec::<NoPadding>(blocks)
        .expect("a block")
}

/// A key agreement key.
pub(crate) fn cose_key(x: &[u8], y: &[u8]) -> Value {
    cbor::map([
        (1, Value::from(2)),
        (3, Value::from(-25)),
        (-1, Value::from(1)),
        (-2, Value::from(x)),
        (-3, Value::from(y)),
    ])
}

/// A PIN padded to 64 bytes; a longer one as it is.
pub(crate) fn padded(pin: &str) -> Vec<u8> {
    let mut bytes = pin.as_bytes().to_vec();
    bytes.resize(bytes.len().max(64), 0);
    bytes
}

/// A pinUvAuthToken.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) protocol: Protocol,
    pub(crate) secret: Vec<u8>,
}

impl Token {
    /// pinUvAuthParam for a message.
    pub(crate) fn param(&self, message: &[u8]) -> Vec<u8> {
        self.protocol.authenticate(&self.secret, message)
    }

    /// The same token under the other protocol.
    pub(crate) fn under_the_other_protocol(&self) -> Self {
        Self {
            protocol: self.protocol.other(),
            secret: self.secret.clone(),
        }
    }
}

impl Platform {
    /// authenticatorClientPIN with parameters as they are.
    pub(crate) fn client_pin(
        &mut self,
        channel: Channel,
        members: Vec<(i64, Value)>,
    ) -> Outcome<Value> {
        self.ctap2(channel, CLIENT_PIN, Some(&cbor::map(members)))
    }

    /// Agrees on a shared secret.
    pub(crate) fn agree(&mut self, channel: Channel, protocol: Protocol) -> Shared {
        let members = vec![
            (1, Value::from(protocol.number())),
            (2, Value::from(subcommand::GET_KEY_AGREEMENT)),
        ];
        let value = self.client_pin(channel, members).expect("a key");
        Shared::agreed(protocol, &cbor::member(&value, 1).expect("keyAgreement"))
    }

    /// pinRetries and powerCycleState.
    pub(crate) fn pin_retries(&mut self, channel: Channel) -> Outcome<(u64, bool)> {
        let members = vec![(2, Value::from(subcommand::GET_PIN_RETRIES))];
        let value = self.client_pin(channel, members)?;
        let state = cbor::member(&value, 4).map(|state| state.as_bool().expect("a boolean"));
        Ok((
            cbor::unsigned(cbor::member(&value, 3)),
            state.unwrap_or(false),
        ))
    }

    pub(crate) fn set_pin(
        &mut self,
        channel: Channel,
        protocol: Protocol,
        pin: &str,
    ) -> Outcome<()> {
        let shared = self.agree(channel, protocol);
        let value = self.client_pin(channel, shared.set_pin(&padded(pin)))?;
        assert_eq!(value, Value::Null, "setPIN answers nothing");
        Ok(())
    }

    pub(crate) fn change_pin(
        &mut self,
        channel: Channel,
        protocol: Protocol,
        (old, new): (&str, &str),
    ) -> Outcome<()> {
        let shared = self.agree(channel, protocol);
        let value = self.client_pin(channel, shared.change_pin(old, &padded(new)))?;
        assert_eq!(value, Value::Null, "changePIN answers nothing");
        Ok(())
    }

    /// getPinToken.
    pub(crate) fn pin_token(
        &mut self,
        channel: Channel,
        protocol: Protocol,
        pin: &str,
    ) -> Outcome<Token> {
        let shared = self.agree(channel, protocol);
        let value = self.client_pin(channel, shared.pin_token(pin))?;
        Ok(opened(&shared, &value))
    }

    /// getPinUvAuthTokenUsingPinWithPermissions.
    pub(crate) fn token(
        &mut self,
        channel: Channel,
        protocol: Protocol,
        pin: &str,
        (permissions, rp_id): (u64, Option<&str>),
    ) -> Outcome<Token> {
        let shared = self.agree(channel, protocol);
        let value = self.client_pin(channel, shared.token(pin, permissions, rp_id))?;
        Ok(opened(&shared, &value))
    }
}

pub(crate) fn opened(shared: &Shared, value: &Value) -> Token {
    assert_eq!(value.as_map().map(Vec::len), Some(1));
    let secret = shared.open(cbor::member(value, 2));
    assert_eq!(secret.len(), 32, "a token is as long as a key");
    Token {
        protocol: shared.protocol,
        secret,
    }
}
