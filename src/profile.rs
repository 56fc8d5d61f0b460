//! What a key is, as a whole: the authenticator's side and the USB side.

use roamkey_transport::usb::{Identity, IdentityError, IdentityFields};

/// A kind of key. Serial numbers are not part of it: they are each key's own.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// Versions, options, limits.
    pub ctap: roamkey_ctap::Profile,
    /// USB ids and strings; the serial in it is replaced by the key's.
    pub usb: IdentityFields,
}

impl Profile {
    /// The USB identity of the key with this serial.
    ///
    /// # Errors
    /// A string or an interval does not fit into a descriptor.
    pub fn usb_identity(&self, serial: &str) -> Result<Identity, IdentityError> {
        Identity::new(IdentityFields {
            serial: serial.to_owned(),
            ..self.usb.clone()
        })
    }
}
