//! The TLS side of an HTTPS check: whom to trust, and what went wrong in words.

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use anycast_core::config::TlsOptions;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::words;

/// The configurations with the system's roots, one for each [`Alpn`]: all checks share them, since parsed roots are large.
/// Read anew when the last check that uses them is gone.
static SYSTEM: [Mutex<Weak<ClientConfig>>; 2] = [const { Mutex::new(Weak::new()) }; 2];

/// What is to be spoken inside TLS (RFC 7301).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alpn {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

impl Alpn {
    const fn id(self) -> &'static [u8] {
        match self {
            Self::Http1 => b"http/1.1",
            Self::Http2 => b"h2",
        }
    }
}

/// How one check speaks TLS.
#[derive(Debug)]
pub(super) struct Tls {
    options: TlsOptions,
    alpn: Alpn,
    /// The last error stays until a run finds it mended.
    ready: Mutex<Result<Arc<ClientConfig>, String>>,
}

impl Tls {
    pub(super) fn new(options: &TlsOptions, alpn: Alpn) -> Self {
        Self { options: options.clone(), alpn, ready: Mutex::new(prepare(options, alpn)) }
    }

    /// What to shake hands with, and the name that is expected.
    ///
    /// # Errors
    /// In words, why there is nothing; it is tried again at every call.
    pub(super) fn connector(&self) -> Result<(TlsConnector, ServerName<'static>), String> {
        let name = ServerName::try_from(self.options.name.clone())
            .map_err(|_| format!("\"{}\" is neither a host name nor an address", self.options.name))?;
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if ready.is_err() {
            *ready = prepare(&self.options, self.alpn);
        }
        let config = ready.clone()?;
        Ok((TlsConnector::from(config), name))
    }

    /// Whether what is to be spoken was agreed upon. Servers of HTTP/1.1 need not know ALPN; those of HTTP/2 must (RFC 9113
    /// §3.2).
    pub(super) fn agreed<S>(&self, stream: &TlsStream<S>) -> Result<(), &'static str> {
        match self.alpn {
            Alpn::Http1 => Ok(()),
            Alpn::Http2 if stream.get_ref().1.alpn_protocol() == Some(Alpn::Http2.id()) => Ok(()),
            Alpn::Http2 => Err("the server does not offer HTTP/2 over TLS"),
        }
    }

    /// Why the handshake failed.
    pub(super) fn handshake_fault(&self, error: &io::Error) -> String {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(_) => self.fault(error),
            None => format!("TLS handshake: {}", words::fault(error)),
        }
    }

    /// Why the stream failed.
    pub(super) fn fault(&self, error: &io::Error) -> String {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(Error::InvalidCertificate(fault)) => certificate_fault(fault, &self.options.name),
            Some(Error::AlertReceived(AlertDescription::NoApplicationProtocol)) if self.alpn == Alpn::Http2 => {
                "the server does not offer HTTP/2 over TLS".to_owned()
            }
            Some(Error::AlertReceived(alert)) => format!("TLS alert from the server: {}", alert_words(*alert)),
            Some(Error::InvalidMessage(_)) => "the server does not speak TLS".to_owned(),
            Some(fault) => format!("TLS: {fault}"),
            None => words::fault(error),
        }
    }
}

fn prepare(options: &TlsOptions, alpn: Alpn) -> Result<Arc<ClientConfig>, String> {
    match &options.ca_file {
        _ if !options.verify => client_config(None, alpn),
        Some(file) => client_config(Some(roots_of(file)?), alpn),
        None => system_config(alpn),
    }
}

fn system_config(alpn: Alpn) -> Result<Arc<ClientConfig>, String> {
    let mut shared = SYSTEM[alpn as usize].lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(config) = shared.upgrade() {
        return Ok(config);
    }
    let mut roots = RootCertStore::empty();
    let (usable, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if usable == 0 {
        return Err("this system has no trusted certificates".to_owned());
    }
    let config = client_config(Some(roots), alpn)?;
    *shared = Arc::downgrade(&config);
    Ok(config)
}

fn roots_of(file: &Path) -> Result<RootCertStore, String> {
    let name = file.display();
    let pem = std::fs::read(file).map_err(|error| format!("cannot read {name}: {}", words::fault(&error)))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| format!("{name} is not PEM: {error}"))?;
        roots.add(certificate).map_err(|error| format!("{name} holds an unusable certificate: {error}"))?;
    }
    if roots.is_empty() { Err(format!("{name} holds no certificate")) } else { Ok(roots) }
}

/// `None` trusts everybody.
fn client_config(roots: Option<RootCertStore>, alpn: Alpn) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let mut config = match roots {
        Some(roots) => builder.with_root_certificates(roots).with_no_client_auth(),
        None => builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider))).with_no_client_auth(),
    };
    config.alpn_protocols = vec![alpn.id().to_vec()];
    // A resumed session shows no certificate: an expired one would go unseen.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

fn certificate_fault(fault: &CertificateError, name: &str) -> String {
    let words = match fault {
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            return format!("certificate not valid for name {name}");
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "certificate expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "certificate not valid yet",
        CertificateError::UnknownIssuer => "certificate from an unknown issuer",
        CertificateError::Revoked => "certificate revoked",
        CertificateError::BadSignature => "certificate or handshake with a bad signature",
        CertificateError::BadEncoding => "certificate is malformed",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "certificate is not for a server"
        }
        // CertificateError is not exhaustive.
        other => return format!("certificate refused: {other}"),
    };
    words.to_owned()
}

/// `HandshakeFailure` becomes `handshake failure`.
fn alert_words(alert: AlertDescription) -> String {
    let mut words = String::new();
    for character in format!("{alert:?}").chars() {
        if character.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(character.to_ascii_lowercase());
    }
    words
}

/// Takes any certificate, but still wants proof that the server holds its key.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
pub(super) mod tests;
