//! A TLS handshake is done with each address, and the certificate shown there is good for some time yet.

use std::{
    net::SocketAddr,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anycast_core::{Health, config::TlsProbe};
use rustls::{CertificateError, Error, pki_types::UnixTime};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time};
use tokio_rustls::client::TlsStream;
use x509_parser::{
    certificate::X509Certificate,
    prelude::{ASN1Time, FromDer as _, X509Name},
};

use super::{Prepared, Tls, io};
use crate::probe::{Finding, capped::Capped, several, tcp, words};

const DAY: u64 = 24 * 60 * 60;
/// Less validity than this is worth a warning, unless told otherwise ...
const WARN_BEFORE: Duration = Duration::from_secs(14 * DAY);
/// ... or than this part of the lifetime: those who live for days are renewed within days.
const WARN_PART: u32 = 6;

#[derive(Debug)]
pub(in crate::probe) struct TlsProber {
    config: TlsProbe,
    tls: Tls,
}

/// The certificate that was shown, as far as it is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shown {
    /// Seconds since 1970.
    from: i64,
    until: i64,
    subject: Option<String>,
    issuer: Option<String>,
}

impl TlsProber {
    pub(in crate::probe) fn new(config: &TlsProbe) -> Self {
        Self { config: config.clone(), tls: Tls::new(&config.tls) }
    }

    pub(in crate::probe) async fn run(&self, timeout: Duration) -> Finding {
        let addresses = &self.config.addresses;
        several::all(addresses, |index| self.ask(addresses[index], timeout)).await
    }

    async fn ask(&self, address: SocketAddr, timeout: Duration) -> Finding {
        let started = Instant::now();
        // Before the rest, so that certificates that cannot be read are not blamed on the server.
        let ready = match self.tls.connector(timeout).await {
            Ok(ready) => ready,
            Err(finding) => return finding,
        };
        let (mut connected, left) = (false, timeout.saturating_sub(started.elapsed()));
        match time::timeout(left, self.handshake(address, ready, &mut connected, timeout)).await {
            Ok(Ok(stream)) => self.judge(address, &stream, started.elapsed()),
            Ok(Err(finding)) => finding,
            Err(_) if connected => {
                Finding::late(format!("{address}: connected, no TLS handshake within {}", words::time(timeout)))
            }
            Err(_) => Finding::late(format!("connect {address}: no answer within {}", words::time(timeout))),
        }
    }

    async fn handshake(
        &self,
        address: SocketAddr,
        (connector, name): Prepared,
        connected: &mut bool,
        timeout: Duration,
    ) -> Result<TlsStream<Capped<TcpStream>>, Finding> {
        let offered = self.config.alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let stream = Capped::new(tcp::connect(address, timeout).await?);
        *connected = true;
        let failed = |error: io::Error| {
            let words = format!("{address}: {}", expired(&error).unwrap_or_else(|| self.tls.handshake_fault(&error)));
            if words::is_ours(&error) { Finding::unknown(words) } else { Finding::down(words) }
        };
        let mut stream = connector.with_alpn(offered).connect(name, stream).await.map_err(failed)?;
        // A farewell, so that the server logs no error; whether it arrives does not matter.
        let _ = stream.shutdown().await;
        Ok(stream)
    }

    fn judge(&self, address: SocketAddr, stream: &TlsStream<Capped<TcpStream>>, took: Duration) -> Finding {
        let (_, session) = stream.get_ref();
        let chosen = session.alpn_protocol().map(|protocol| String::from_utf8_lossy(protocol).into_owned());
        if chosen.is_none() && !self.config.alpn.is_empty() {
            return Finding::down(format!("{address} chose none of the protocols {}", self.config.alpn.join(", ")));
        }
        let Some(leaf) = session.peer_certificates().and_then(<[_]>::first) else {
            return Finding::down(format!("{address} showed no certificate"));
        };
        let Some(shown) = Shown::read(leaf) else {
            return Finding::down(format!("{address} showed a malformed certificate"));
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let (health, words) = shown.judge(now, self.config.warn_before, self.config.fail_before);
        let version = match session.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_3) => ", TLS 1.3",
            Some(rustls::ProtocolVersion::TLSv1_2) => ", TLS 1.2",
            _ => "",
        };
        let chosen = chosen.map(|protocol| format!(", {protocol}")).unwrap_or_default();
        Finding::answered(health, format!("{address}: {words}{version}{chosen}, in {}", words::took(took)))
    }
}

impl Shown {
    fn read(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let validity = certificate.validity();
        Some(Self {
            from: validity.not_before.timestamp(),
            until: validity.not_after.timestamp(),
            subject: common_name(certificate.subject()).map(|name| format!("CN {name}")),
            issuer: common_name(certificate.issuer()).or_else(|| organization(certificate.issuer())),
        })
    }

    /// At a time in seconds since 1970. Dates are judged here too, for where nothing else of the certificate is verified.
    fn judge(&self, now: u64, warn_before: Option<Duration>, fail_before: Duration) -> (Health, String) {
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let seconds = |time: i64| Duration::from_secs(u64::try_from(time).unwrap_or(0));
        if now < self.from {
            return (Health::Down, format!("certificate not valid before {}{}", date(self.from), self.names()));
        }
        if now >= self.until {
            return (Health::Down, format!("certificate expired on {}{}", date(self.until), self.names()));
        }
        let left = seconds(self.until - now);
        let lifetime = seconds(self.until.saturating_sub(self.from));
        let warn_before = warn_before.unwrap_or_else(|| WARN_BEFORE.min(lifetime / WARN_PART));
        let (health, limit) = if left < fail_before {
            (Health::Down, Some(fail_before))
        } else if left < warn_before {
            (Health::Degraded, Some(warn_before))
        } else {
            (Health::Up, None)
        };
        let limit = limit.map(|limit| format!(", less than {}", span(limit))).unwrap_or_default();
        (health, format!("valid until {} ({}{limit}){}", date(self.until), span(left), self.names()))
    }

    fn names(&self) -> String {
        let subject = self.subject.iter().cloned();
        let issuer = self.issuer.iter().map(|issuer| format!("issued by {issuer}"));
        subject.chain(issuer).map(|words| format!(", {words}")).collect()
    }
}

/// What the verifier says only as "expired".
fn expired(error: &io::Error) -> Option<String> {
    match error.get_ref()?.downcast_ref::<Error>()? {
        Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. }) => {
            Some(format!("certificate expired on {}", day(*not_after)))
        }
        Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. }) => {
            Some(format!("certificate not valid before {}", day(*not_before)))
        }
        _ => None,
    }
}

fn day(time: UnixTime) -> String {
    date(i64::try_from(time.as_secs()).unwrap_or(i64::MAX))
}

/// `2027-01-02`.
fn date(seconds: i64) -> String {
    ASN1Time::from_timestamp(seconds)
        .map_or_else(|_| "another age".to_owned(), |time| time.to_datetime().date().to_string())
}

/// `37 d`, `5 h`, `30 min`.
fn span(time: Duration) -> String {
    match time.as_secs() {
        seconds if seconds >= 2 * DAY => format!("{} d", seconds / DAY),
        seconds if seconds >= 2 * 3600 => format!("{} h", seconds / 3600),
        seconds => format!("{} min", seconds / 60),
    }
}

fn common_name(name: &X509Name<'_>) -> Option<String> {
    name.iter_common_name().next().and_then(|name| name.as_str().ok()).map(shortened)
}

fn organization(name: &X509Name<'_>) -> Option<String> {
    name.iter_organization().next().and_then(|name| name.as_str().ok()).map(shortened)
}

/// A certificate may hold a name of any length; the line has others to say too.
fn shortened(name: &str) -> String {
    match name.char_indices().nth(48) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests;
