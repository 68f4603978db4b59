//! A capture file for Wireshark and its tools, which know no MRT: each message is an "exported PDU", given to the dissector of BGP
//! without a made-up TCP connection around it.

use std::{net::IpAddr, time::UNIX_EPOCH};

use super::Record;

/// Of the registry of link types: LINKTYPE_WIRESHARK_UPPER_PDU.
const EXPORTED_PDU: u32 = 252;
/// The longest BGP message (RFC 8654) and its tags fit.
const SNAP_LENGTH: u32 = 1 << 18;

/// The messages among the records as a pcap file; changes of state are no packets and are left out.
pub(crate) fn pcap(records: &[Record<'_>]) -> Vec<u8> {
    let mut file = Vec::new();
    // Microseconds, version 2.4, UTC.
    for word in [0xA1B2_C3D4, 0x0002_0004, 0, 0, SNAP_LENGTH, EXPORTED_PDU] {
        file.extend(u32::to_be_bytes(word));
    }
    for record in records {
        let Some(message) = record.message else { continue };
        let packet = [&tags(record.from, record.to), message].concat();
        let since_epoch = record.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = u32::try_from(since_epoch.as_secs()).unwrap_or(u32::MAX);
        let length = u32::try_from(packet.len()).unwrap_or(u32::MAX);
        for word in [seconds, since_epoch.subsec_micros(), length, length] {
            file.extend(word.to_be_bytes());
        }
        file.extend(packet);
    }
    file
}

/// What stands before an exported PDU, as Wireshark's `exported_pdu.h` has it: which dissector, from where, to where.
fn tags(from: IpAddr, to: IpAddr) -> Vec<u8> {
    let mut out = Vec::new();
    // Filled up to a multiple of four.
    tag(&mut out, 12, b"bgp\0");
    for (address, v4, v6) in [(from, 20, 22), (to, 21, 23)] {
        match address {
            IpAddr::V4(address) => tag(&mut out, v4, &address.octets()),
            IpAddr::V6(address) => tag(&mut out, v6, &address.octets()),
        }
    }
    tag(&mut out, 0, &[]);
    out
}

fn tag(out: &mut Vec<u8>, number: u16, value: &[u8]) {
    out.extend(number.to_be_bytes());
    out.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mrt::{
        records,
        tests::{keepalive, sample},
    };

    #[test]
    fn each_message_is_a_packet() {
        let sample = sample();
        let file = pcap(&records(&sample).unwrap());
        let packet = [
            &[0, 12, 0, 4][..],
            b"bgp\0",
            &[0, 20, 0, 4, 192, 0, 2, 2],
            &[0, 21, 0, 4, 192, 0, 2, 1],
            &[0, 0, 0, 0],
            &keepalive(),
        ]
        .concat();
        let length = u32::try_from(packet.len()).unwrap();
        let header = [1_700_000_000, 7, length, length].map(u32::to_be_bytes).concat();
        assert_eq!(file[24..], [header, packet].concat());
        assert_eq!(file[20..24], EXPORTED_PDU.to_be_bytes());
    }
}
