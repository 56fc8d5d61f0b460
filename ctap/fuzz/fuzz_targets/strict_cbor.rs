//! Runs `strict_cbor` of the library beside, which says what is attacked and held against what.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| roamkey_ctap_fuzz::strict_cbor::run(data));
