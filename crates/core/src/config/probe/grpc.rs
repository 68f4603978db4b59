//! What a gRPC check asks.

use std::net::SocketAddr;

use super::TlsOptions;

/// The question of `grpc.health.v1.Health/Check`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrpcProbe {
    /// Where to; each of them is asked in one run and all must serve. Never empty.
    pub addresses: Vec<SocketAddr>,
    /// The service that is asked about; the empty name means the server as a whole.
    pub service: String,
    /// Whether TLS is spoken.
    pub tls: Option<TlsOptions>,
}
