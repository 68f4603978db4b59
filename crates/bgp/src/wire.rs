//! Reading octets without a way to read past their end, and writing a message's frame.

use bytes::{BufMut, Bytes, BytesMut};

use crate::framing::{HEADER_LEN, MARKER, MessageType};

/// A cursor over octets that came from the neighbor: every read says whether there was enough.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[octet]| octet)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// A field of as many octets as the octet before it says.
    pub(crate) fn counted_by_u8(&mut self) -> Option<&'a [u8]> {
        let count = self.u8()?;
        self.take(usize::from(count))
    }

    /// A field of as many octets as the two octets before it say.
    pub(crate) fn counted_by_u16(&mut self) -> Option<&'a [u8]> {
        let count = self.u16()?;
        self.take(usize::from(count))
    }
}

/// A whole message (RFC 4271 §4.1). The callers keep bodies within the maximum length.
pub(crate) fn message(kind: MessageType, body: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(HEADER_LEN + body.len());
    bytes.put_slice(&MARKER);
    bytes.put_u16(u16::try_from(HEADER_LEN + body.len()).unwrap_or(u16::MAX));
    bytes.put_u8(kind.code());
    bytes.put_slice(body);
    bytes.freeze()
}
