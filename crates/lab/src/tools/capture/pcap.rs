//! A capture file as libpcap writes it (the classic format, in nanoseconds).

use std::{
    fs::File,
    io::{self, BufWriter, Write as _},
    path::Path,
    time::{Duration, Instant},
};

use crate::tools::record::Nanos;

/// pcap-savefile(5): the magic of files with nanoseconds.
const MAGIC: u32 = 0xA1B2_3C4D;
/// LINKTYPE_RAW: packets that begin with their IP header.
const RAW_IP: u32 = 101;
/// How long a packet may wait to be seen in the file.
const FLUSH: Duration = Duration::from_millis(500);

/// A file that is being written.
#[derive(Debug)]
pub(super) struct Pcap {
    file: BufWriter<File>,
    flushed: Instant,
}

impl Pcap {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let mut file = BufWriter::new(File::create(path)?);
        file.write_all(&header())?;
        file.flush()?;
        Ok(Self { file, flushed: Instant::now() })
    }

    pub(super) fn write(&mut self, at: Nanos, packet: &[u8]) -> io::Result<()> {
        self.file.write_all(&record_header(at, packet.len()))?;
        self.file.write_all(packet)?;
        if self.flushed.elapsed() > FLUSH {
            self.file.flush()?;
            self.flushed = Instant::now();
        }
        Ok(())
    }
}

fn header() -> Vec<u8> {
    let longest = super::socket::LONGEST as u32;
    let mut header = Vec::with_capacity(24);
    header.extend(MAGIC.to_ne_bytes());
    header.extend(2_u16.to_ne_bytes());
    header.extend(4_u16.to_ne_bytes());
    for field in [0, 0, longest, RAW_IP] {
        header.extend(field.to_ne_bytes());
    }
    header
}

fn record_header(at: Nanos, length: usize) -> Vec<u8> {
    let since = Duration::from_nanos(at.0);
    let (seconds, length) = (since.as_secs() as u32, length as u32);
    [seconds, since.subsec_nanos(), length, length].into_iter().flat_map(u32::to_ne_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_the_layout_of_the_manual() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut pcap = Pcap::create(file.path()).unwrap();
        pcap.write(Nanos(1_790_000_000_123_456_789), b"\x45rest").unwrap();
        drop(pcap);
        let bytes = std::fs::read(file.path()).unwrap();
        let word = |at: usize| u32::from_ne_bytes(*bytes[at..].first_chunk().unwrap());
        assert_eq!(bytes.len(), 24 + 16 + 5);
        assert_eq!((word(0), word(16), word(20)), (0xA1B2_3C4D, 65536, 101));
        assert_eq!((word(24), word(28), word(32), word(36)), (1_790_000_000, 123_456_789, 5, 5));
        assert_eq!(&bytes[40..], b"\x45rest");
    }
}
