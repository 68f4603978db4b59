//! The authentication section (RFC 5880 §4.2 to §4.4, §6.7).
//!
//! The sequence number of the *keyed* types moves on with what is said, that of the *meticulous* ones with each packet: so a
//! packet that was recorded is not taken again.

use std::fmt;

use md5::{Digest as _, Md5};
use sha1::Sha1;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::packet::{MANDATORY, Packet, Received};

/// How packets are authenticated (IANA "BFD Authentication Types").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuthType {
    /// Simple Password (§6.7.2): who listens on the path learns it.
    Simple,
    /// Keyed MD5 (§6.7.3).
    KeyedMd5,
    /// Meticulous Keyed MD5 (§6.7.3).
    MeticulousKeyedMd5,
    /// Keyed SHA1 (§6.7.4).
    KeyedSha1,
    /// Meticulous Keyed SHA1 (§6.7.4).
    MeticulousKeyedSha1,
}

impl AuthType {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Simple, Self::KeyedMd5, Self::MeticulousKeyedMd5, Self::KeyedSha1, Self::MeticulousKeyedSha1];

    /// As operators write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::KeyedMd5 => "keyed-md5",
            Self::MeticulousKeyedMd5 => "meticulous-keyed-md5",
            Self::KeyedSha1 => "keyed-sha1",
            Self::MeticulousKeyedSha1 => "meticulous-keyed-sha1",
        }
    }

    /// The octet of the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Simple => 1,
            Self::KeyedMd5 => 2,
            Self::MeticulousKeyedMd5 => 3,
            Self::KeyedSha1 => 4,
            Self::MeticulousKeyedSha1 => 5,
        }
    }

    /// The longest key it can use, in octets.
    #[must_use]
    pub const fn longest(self) -> usize {
        match self {
            Self::Simple | Self::KeyedMd5 | Self::MeticulousKeyedMd5 => 16,
            Self::KeyedSha1 | Self::MeticulousKeyedSha1 => 20,
        }
    }

    const fn digest(self) -> Option<Hash> {
        match self {
            Self::Simple => None,
            Self::KeyedMd5 | Self::MeticulousKeyedMd5 => Some(Hash::Md5),
            Self::KeyedSha1 | Self::MeticulousKeyedSha1 => Some(Hash::Sha1),
        }
    }

    const fn is_meticulous(self) -> bool {
        match self {
            Self::Simple | Self::KeyedMd5 | Self::KeyedSha1 => false,
            Self::MeticulousKeyedMd5 | Self::MeticulousKeyedSha1 => true,
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Hash {
    Md5,
    Sha1,
}

impl Hash {
    const fn length(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
        }
    }

    /// Of the packet, with the key where the digest is to be.
    fn of(self, packet: &[u8], key: &[u8]) -> [u8; 20] {
        let mut padded = Zeroizing::new([0; 20]);
        padded.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
        let mut digest = [0; 20];
        match self {
            Self::Md5 => {
                digest[..16].copy_from_slice(&Md5::new().chain_update(packet).chain_update(&padded[..16]).finalize());
            }
            Self::Sha1 => {
                digest.copy_from_slice(&Sha1::new().chain_update(packet).chain_update(&padded[..]).finalize());
            }
        }
        digest
    }
}

/// What both ends share.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// How it is used.
    pub auth_type: AuthType,
    /// Its number, where there are several.
    pub id: u8,
    secret: Zeroizing<Vec<u8>>,
}

/// A key that its type cannot use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key is 1 to {longest} octets long, this one {length}")]
pub struct BadKey {
    /// Its length in octets.
    pub length: usize,
    /// The longest of that type.
    pub longest: usize,
}

impl Key {
    /// # Errors
    /// It is empty, or longer than 16 octets (simple, MD5) or 20 (SHA1).
    pub fn new(auth_type: AuthType, id: u8, secret: &[u8]) -> Result<Self, BadKey> {
        let longest = auth_type.longest();
        match secret.len() {
            length if length == 0 || length > longest => Err(BadKey { length, longest }),
            _ => Ok(Self { auth_type, id, secret: Zeroizing::new(secret.to_vec()) }),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("auth_type", &self.auth_type).field("id", &self.id).finish_non_exhaustive()
    }
}

/// Why a packet is not taken for the other end's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Unauthentic {
    /// It has no authentication section, and is to have one.
    #[error("no authentication, and {} is configured here", configured.name())]
    Missing {
        /// What it is to have.
        configured: AuthType,
    },
    /// It has one, and is to have none.
    #[error("{}, and no authentication is configured here", named(*received))]
    Unwanted {
        /// The octet of its type.
        received: u8,
    },
    /// Another type.
    #[error("{}, and {} is configured here", named(*received), configured.name())]
    Type {
        /// The octet of its type.
        received: u8,
        /// What it is to be.
        configured: AuthType,
    },
    /// Another key.
    #[error("key ID {received}, and {configured} is configured here")]
    KeyId {
        /// That of the packet.
        received: u8,
        /// That of the key.
        configured: u8,
    },
    /// The section is not as long as its type is.
    #[error("an authentication section of another length")]
    Length,
    /// A sequence number that was already, or is too far ahead.
    #[error("a sequence number out of range")]
    Sequence,
    /// The password or digest is another.
    #[error("another password or digest")]
    Digest,
}

/// A type by the octet of the wire, known or not.
fn named(code: u8) -> String {
    let known = AuthType::ALL.into_iter().find(|known| known.code() == code);
    known.map_or_else(|| format!("authentication of type {code}"), |known| known.name().to_owned())
}

/// The sequence numbers of one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Sequences {
    /// bfd.XmitAuthSeq.
    pub(crate) transmitted: u32,
    /// bfd.RcvAuthSeq, where bfd.AuthSeqKnown is 1.
    pub(crate) received: Option<u32>,
}

impl Sequences {
    /// Takes a packet for the other end's, or does not.
    ///
    /// # Errors
    /// Why it is not.
    pub(crate) fn verify(&mut self, key: Option<&Key>, received: &Received<'_>) -> Result<(), Unauthentic> {
        let (key, section) = match (key, received.authentication) {
            (None, None) => return Ok(()),
            (None, Some(&[received, ..])) => return Err(Unauthentic::Unwanted { received }),
            (None, Some([])) => return Err(Unauthentic::Length),
            (Some(key), None) => return Err(Unauthentic::Missing { configured: key.auth_type }),
            (Some(key), Some(section)) => (key, section),
        };
        let &[auth_type, _, key_id, ref rest @ ..] = section else {
            return Err(Unauthentic::Length);
        };
        if auth_type != key.auth_type.code() {
            return Err(Unauthentic::Type { received: auth_type, configured: key.auth_type });
        }
        if key_id != key.id {
            return Err(Unauthentic::KeyId { received: key_id, configured: key.id });
        }
        let Some(hash) = key.auth_type.digest() else {
            let same = bool::from(rest.ct_eq(&key.secret));
            return if same { Ok(()) } else { Err(Unauthentic::Digest) };
        };
        // Reserved, sequence number, digest.
        let &[_, a, b, c, d, ref digest @ ..] = rest else {
            return Err(Unauthentic::Length);
        };
        if digest.len() != hash.length() {
            return Err(Unauthentic::Length);
        }
        let sequence = u32::from_be_bytes([a, b, c, d]);
        if let Some(last) = self.received {
            // §6.7.3, §6.7.4: a circular number space, and the multiplier of the packet: so many may be lost without a fault, and more
            // than that are not waited for.
            let ahead = sequence.wrapping_sub(last);
            let least = u32::from(key.auth_type.is_meticulous());
            let most = 3 * u32::from(received.packet.detect_mult);
            if ahead < least || ahead > most {
                return Err(Unauthentic::Sequence);
            }
        }
        let covered = received.octets.get(..received.octets.len() - digest.len()).unwrap_or_default();
        let expected = hash.of(covered, &key.secret);
        if !bool::from(expected[..hash.length()].ct_eq(digest)) {
            return Err(Unauthentic::Digest);
        }
        // Not before it is proven to be the other end's: anybody could move the window else.
        // And not by one that does not name our discriminator: it may be one that was recorded before we began, and would shut out those
        // that are said now. One that does was said since.
        if self.received.is_some() || received.packet.your_discriminator != 0 {
            self.received = Some(sequence);
        }
        Ok(())
    }

    /// Writes a packet; `changed`: it says something else than the one before.
    pub(crate) fn write(&mut self, packet: &Packet, key: Option<&Key>, changed: bool) -> Vec<u8> {
        let Some(key) = key else {
            return packet.head(0).to_vec();
        };
        let Some(hash) = key.auth_type.digest() else {
            let length = 3 + key.secret.len();
            let mut octets = packet.head(length).to_vec();
            octets.extend([key.auth_type.code(), length_octet(length), key.id]);
            octets.extend_from_slice(&key.secret);
            return octets;
        };
        if changed || key.auth_type.is_meticulous() {
            self.transmitted = self.transmitted.wrapping_add(1);
        }
        let length = 8 + hash.length();
        let mut octets = Vec::with_capacity(MANDATORY + length);
        octets.extend(packet.head(length));
        octets.extend([key.auth_type.code(), length_octet(length), key.id, 0]);
        octets.extend(self.transmitted.to_be_bytes());
        let digest = hash.of(&octets, &key.secret);
        octets.extend_from_slice(&digest[..hash.length()]);
        octets
    }
}

/// A section is 28 octets at most.
fn length_octet(length: usize) -> u8 {
    u8::try_from(length).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests;
