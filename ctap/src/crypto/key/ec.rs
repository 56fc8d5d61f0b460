//! ECDSA keys (FIPS 186-5): ES256, ES384, ES512 and ES256K (RFC 9053 §2.1, RFC 8812 §3).
//!
//! Macros, since the curves' types share no trait that says all of this in fewer words.

/// Signs a digest deterministically (RFC 6979); the result is DER.
macro_rules! sign {
    ($key:expr, $curve:ty, $digest:ty, $parts:expr) => {{
        let mut hasher = <$digest>::new();
        for part in $parts {
            hasher.update(part);
        }
        let digest = hasher.finalize();
        let scalar = $key.to_nonzero_scalar();
        let (signature, _) = sign_prehashed_rfc6979::<$curve, $digest>(&scalar, &digest, &[]);
        Some(signature.to_der().as_bytes().to_vec())
    }};
}

/// The public point's coordinates.
macro_rules! ec2 {
    ($key:expr) => {{
        let point = $key.public_key().to_sec1_point(false);
        PublicKey::Ec2 {
            x: point.x().map(|x| x.to_vec()).unwrap_or_default(),
            y: point.y().map(|y| y.to_vec()).unwrap_or_default(),
        }
    }};
}

pub(super) use {ec2, sign};
