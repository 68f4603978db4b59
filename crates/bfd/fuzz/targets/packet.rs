//! One datagram: what is read of it can be written, and is the same then.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| anycast_bfd::fuzzing::packet(data));
