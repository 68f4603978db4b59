//! A session to which anything is said and done, in any order and at any time.
//!
//! Input: an octet of configuration; then a command with the time before it, the length of a datagram, and the datagram, again and again.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| anycast_bfd::fuzzing::session(data));
