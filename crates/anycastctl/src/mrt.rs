//! MRT files (RFC 6396) as the agent writes them: how to walk through one, and how to turn one into a capture file for Wireshark.

mod pcap;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

pub(crate) use pcap::pcap;

/// BGP4MP_ET: BGP with microseconds.
const BGP4MP_ET: u16 = 17;
const BGP4MP_STATE_CHANGE_AS4: u16 = 5;

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    /// When.
    pub(crate) at: SystemTime,
    /// Who sent it, and to whom.
    pub(crate) from: IpAddr,
    /// To whom.
    pub(crate) to: IpAddr,
    /// The BGP message as on the wire; `None`: a change of state.
    pub(crate) message: Option<&'a [u8]>,
}

/// The records of a whole file; `None` when it is not one.
pub(crate) fn records(mut file: &[u8]) -> Option<Vec<Record<'_>>> {
    let mut records = Vec::new();
    while !file.is_empty() {
        records.push(record(&mut file)?);
    }
    Some(records)
}

fn record<'a>(file: &mut &'a [u8]) -> Option<Record<'a>> {
    let seconds = u32::from_be_bytes(take(file)?);
    let kind = u16::from_be_bytes(take(file)?);
    let subtype = u16::from_be_bytes(take(file)?);
    let length = usize::try_from(u32::from_be_bytes(take(file)?)).ok()?;
    let (mut body, rest) = file.split_at_checked(length)?;
    *file = rest;
    // RFC 6396 §4.4, §5.3: the width of AS numbers, and which end sent it.
    let (octets, local) = match (kind, subtype) {
        (BGP4MP_ET, 1) => (2, false),
        (BGP4MP_ET, 4 | BGP4MP_STATE_CHANGE_AS4) => (4, false),
        (BGP4MP_ET, 6) => (2, true),
        (BGP4MP_ET, 7) => (4, true),
        _ => return None,
    };
    let micros = u32::from_be_bytes(take(&mut body)?);
    let interface = 2;
    body = body.get(2 * octets + interface..)?;
    let (peer, local_address) = match u16::from_be_bytes(take(&mut body)?) {
        1 => (Ipv4Addr::from(take::<4>(&mut body)?).into(), Ipv4Addr::from(take::<4>(&mut body)?).into()),
        2 => (Ipv6Addr::from(take::<16>(&mut body)?).into(), Ipv6Addr::from(take::<16>(&mut body)?).into()),
        _ => return None,
    };
    let (from, to) = if local { (local_address, peer) } else { (peer, local_address) };
    let since_epoch = Duration::from_secs(seconds.into()) + Duration::from_micros(micros.into());
    let message = (subtype != BGP4MP_STATE_CHANGE_AS4).then_some(body);
    Some(Record { at: UNIX_EPOCH + since_epoch, from, to, message })
}

fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A KEEPALIVE that 192.0.2.2 sent, and the neighbor's change of state.
    pub(super) fn sample() -> Vec<u8> {
        let ends = [&[0, 0, 0xFD, 0xE9, 0, 0, 0xFD, 0xF2, 0, 0, 0, 1][..], &[192, 0, 2, 1, 192, 0, 2, 2]].concat();
        let record = |subtype: u8, message: &[u8]| {
            let length = u8::try_from(4 + ends.len() + message.len()).unwrap();
            [&[0x65, 0x53, 0xF1, 0, 0, 17, 0, subtype, 0, 0, 0, length, 0, 0, 0, 7][..], &ends, message].concat()
        };
        [record(7, &keepalive()), record(5, &[0, 6, 0, 3])].concat()
    }

    pub(super) fn keepalive() -> Vec<u8> {
        [&[0xFF; 16][..], &[0, 19, 4]].concat()
    }

    #[test]
    fn a_file_is_walked_through() {
        let file = sample();
        let records = records(&file).unwrap();
        let at = UNIX_EPOCH + Duration::from_micros(1_700_000_000_000_007);
        let (us, them) = ("192.0.2.2".parse().unwrap(), "192.0.2.1".parse().unwrap());
        let message = keepalive();
        assert_eq!(
            records,
            [
                Record { at, from: us, to: them, message: Some(&message[..]) },
                Record { at, from: them, to: us, message: None }
            ]
        );
    }

    #[test]
    fn what_is_cut_or_something_else_is_no_file() {
        let file = sample();
        let ends = [0, file.len() - 40, file.len()];
        for end in 0..=file.len() {
            assert_eq!(records(&file[..end]).is_some(), ends.contains(&end), "{end}");
        }
        for at in [5, 7, 27] {
            let mut other = file.clone();
            other[at] = 99;
            assert_eq!(records(&other), None, "{at}");
        }
    }
}
