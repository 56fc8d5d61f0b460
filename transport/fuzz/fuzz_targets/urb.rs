//! Runs `urb` of the library beside, which says what is attacked and held against what.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| roamkey_transport_fuzz::urb::run(data));
