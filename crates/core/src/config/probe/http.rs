//! What an HTTP check asks.

use std::{collections::BTreeMap, net::SocketAddr, ops::RangeInclusive};

use super::TlsOptions;
use crate::secret::Secret;

/// A request, and the answer that is expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpProbe {
    /// As the operator would write it.
    pub url: String,
    /// Whether TLS is spoken.
    pub tls: Option<TlsOptions>,
    /// Where to connect.
    pub target: HttpTarget,
    /// Who is asked: host, and the port where it is not the scheme's own. `None`: the address that is connected to.
    pub authority: Option<String>,
    /// Path and query, beginning with `/`.
    pub path: String,
    /// How it is asked.
    pub method: HttpMethod,
    /// In which version.
    pub version: HttpVersion,
    /// Fields of the request, by their names in lower case. The values may be passwords.
    pub headers: BTreeMap<String, Secret>,
    /// Status codes that are good; never empty.
    pub expect_status: Vec<RangeInclusive<u16>>,
    /// A text the first 64 KiB of the body must hold.
    pub expect_body: Option<String>,
    /// Fields that the answer must have, by their names in lower case, each with a text that it must hold where there is one.
    pub expect_headers: BTreeMap<String, Option<String>>,
}

/// Where an HTTP check connects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpTarget {
    /// To each of them, and all must answer. Never empty.
    Addresses(Vec<SocketAddr>),
    /// To the addresses of a host, looked up for each run; one of them must answer.
    Name {
        /// The host name.
        host: String,
        /// The TCP port.
        port: u16,
    },
}

/// How it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HttpMethod {
    /// For the whole.
    #[default]
    Get,
    /// For status and header alone.
    Head,
}

/// The version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HttpVersion {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2: over TLS by ALPN, else with prior knowledge (RFC 9113 §3.3).
    Http2,
}
