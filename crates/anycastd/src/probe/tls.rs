//! The TLS side of checks: whom to trust, and what went wrong in words.

mod prober;

use std::{
    collections::BTreeMap,
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, Weak},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anycast_core::{Health, config::TlsOptions};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsConnector, client::TlsStream};

pub(super) use self::prober::TlsProber;
use super::{Finding, words};
use crate::{
    blocking::{FILES, Slot},
    lock::lock,
};

/// 2026-01-01. No version of this program is older: a clock that shows less is not set.
const EARLIEST: Duration = Duration::from_secs(1_767_225_600);

/// The configuration with the system's roots: one for all checks that use it, since its parsed roots are large. Read anew
/// when the last of them is gone.
static SYSTEM: Mutex<Weak<ClientConfig>> = Mutex::new(Weak::new());

/// Whose file system hangs, where no file is named.
const SYSTEMS: &str = "the trusted certificates of the system";

/// What to shake hands with, and the name that is expected.
pub(super) type Prepared = (TlsConnector, ServerName<'static>);
/// The same, and whose it is.
pub(super) type Connector<'a> = (&'a Tls, Prepared);

/// What a check shakes hands with, where it is to.
pub(super) async fn connector(tls: Option<&Tls>, limit: Duration) -> Result<Option<Connector<'_>>, Finding> {
    match tls {
        Some(tls) => Ok(Some((tls, tls.connector(limit).await?))),
        None => Ok(None),
    }
}

type Shared = Mutex<Option<Ready>>;

/// What was made of each file of trusted certificates, and whether they matter: one for all checks that name it, so that a new
/// file is parsed once.
static FILES_READ: Mutex<BTreeMap<(PathBuf, bool), Weak<Shared>>> = Mutex::new(BTreeMap::new());

/// How one check speaks TLS.
#[derive(Debug)]
pub(super) struct Tls {
    options: TlsOptions,
    /// Whether HTTP/2 is to be spoken inside, and nothing else.
    http2: bool,
    ready: Arc<Shared>,
    /// Of the file system that has the trusted certificates.
    slot: Slot,
}

/// What was made of the trusted certificates, and of which state of their file.
#[derive(Debug, Clone)]
struct Ready {
    stamp: Option<Stamp>,
    /// The last error stays until a run finds it mended.
    config: Result<Arc<ClientConfig>, String>,
}

/// Differs when the file was written, or replaced by another. The time of its last change of any kind is among it: the
/// other one can be kept by who copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    written: (i64, i64),
    changed: (i64, i64),
}

impl Tls {
    pub(super) fn new(options: &TlsOptions) -> Self {
        let what = options.ca_file.as_ref().map_or_else(|| SYSTEMS.to_owned(), |file| file.display().to_string());
        Self { options: options.clone(), http2: false, ready: shared(options), slot: Slot::of(&FILES, &what) }
    }

    /// For HTTP/2, or for nothing where the server does not offer it.
    pub(super) fn for_http2(options: &TlsOptions) -> Self {
        Self { http2: true, ..Self::new(options) }
    }

    /// What to shake hands with. The trusted certificates are read when they are first needed,
    /// and again when their file has changed.
    ///
    /// # Errors
    /// Why there is nothing; it is tried again at every call. Of the service that says nothing, however long it takes.
    pub(super) async fn connector(&self, limit: Duration) -> Result<Prepared, Finding> {
        if self.options.verify {
            clock_is_set(SystemTime::now()).map_err(Finding::unknown)?;
        }
        let name = ServerName::try_from(self.options.name.clone()).map_err(|_| {
            Finding::unknown(format!("\"{}\" is neither a host name nor an address", self.options.name))
        })?;
        let config = self.config(limit).await?;
        Ok((TlsConnector::from(config), name))
    }

    async fn config(&self, limit: Duration) -> Result<Arc<ClientConfig>, Finding> {
        let held = lock(&self.ready).clone();
        if let (Some(Ready { config: Ok(config), .. }), None) = (held, &self.options.ca_file) {
            return Ok(config);
        }
        let (ready, options) = (Arc::clone(&self.ready), self.options.clone());
        // As of what we ask for: one who began before may have seen the file of before.
        let question = format!("certificates {}", options.verify);
        let read = self.slot.share(limit, &question, Duration::ZERO, move || refresh(&ready, &options)).await;
        read.map_err(|hang| Finding { health: Health::Unknown, ..Finding::hanging(&self.slot, hang, limit) })?
            .map_err(Finding::unknown)
    }

    /// Shakes hands with what [`connector`](Self::connector) gave.
    ///
    /// # Errors
    /// As the library says it, for [`handshake_fault`](Self::handshake_fault).
    pub(super) async fn shake_hands<S>(&self, (connector, name): Prepared, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if !self.http2 {
            return connector.connect(name, stream).await;
        }
        let stream = connector.with_alpn(vec![b"h2".to_vec()]).connect(name, stream).await?;
        // A server of HTTP/1.1 need not know ALPN, one of HTTP/2 must (RFC 9113 §3.2).
        if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err(io::Error::other(Error::AlertReceived(AlertDescription::NoApplicationProtocol)));
        }
        Ok(stream)
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
            Some(Error::AlertReceived(AlertDescription::NoApplicationProtocol)) if self.http2 => {
                "the server does not offer HTTP/2 over TLS".to_owned()
            }
            Some(Error::AlertReceived(alert)) => format!("TLS alert from the server: {}", alert_words(*alert)),
            Some(Error::InvalidMessage(_)) => "the server does not speak TLS".to_owned(),
            Some(fault) => format!("TLS: {fault}"),
            None => words::fault(error),
        }
    }
}

/// A file that is as it was is not read again. Blocks as long as the file system does, but holds no lock meanwhile. The stamp is
/// taken before the file is read: what is written in between is read at the next run.
fn refresh(ready: &Shared, options: &TlsOptions) -> Result<Arc<ClientConfig>, String> {
    let stamp = options.ca_file.as_deref().and_then(Stamp::of);
    if let Some(Ready { stamp: before, config: Ok(config) }) = lock(ready).clone()
        && before == stamp
    {
        return Ok(config);
    }
    // Kept even when nobody waits any more: the next run has it then.
    let config = prepare(options);
    *lock(ready) = Some(Ready { stamp, config: config.clone() });
    config
}

fn shared(options: &TlsOptions) -> Arc<Shared> {
    let Some(file) = &options.ca_file else { return Arc::default() };
    let mut read = lock(&FILES_READ);
    let key = (file.clone(), options.verify);
    if let Some(ready) = read.get(&key).and_then(Weak::upgrade) {
        return ready;
    }
    read.retain(|_, ready| ready.strong_count() > 0);
    let ready = Arc::default();
    read.insert(key, Arc::downgrade(&ready));
    ready
}

impl Stamp {
    /// `None`: there is none to look at.
    fn of(file: &Path) -> Option<Self> {
        let data = std::fs::metadata(file).ok()?;
        Some(Self {
            device: data.dev(),
            inode: data.ino(),
            length: data.len(),
            written: (data.mtime(), data.mtime_nsec()),
            changed: (data.ctime(), data.ctime_nsec()),
        })
    }
}

/// Dates can be judged only by a clock that is set.
fn clock_is_set(now: SystemTime) -> Result<(), String> {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    if since >= EARLIEST {
        return Ok(());
    }
    let shown = humantime::format_rfc3339_seconds(UNIX_EPOCH + since);
    Err(format!("the clock of this node shows {shown}: no certificate can be judged"))
}

fn prepare(options: &TlsOptions) -> Result<Arc<ClientConfig>, String> {
    match &options.ca_file {
        _ if !options.verify => client_config(None),
        Some(file) => client_config(Some(roots_of(file)?)),
        None => system_config(),
    }
}

fn system_config() -> Result<Arc<ClientConfig>, String> {
    let mut shared = lock(&SYSTEM);
    if let Some(config) = shared.upgrade() {
        return Ok(config);
    }
    let mut roots = RootCertStore::empty();
    let (usable, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if usable == 0 {
        return Err("this system has no trusted certificates".to_owned());
    }
    let config = client_config(Some(roots))?;
    *shared = Arc::downgrade(&config);
    Ok(config)
}

/// Why a file of trusted certificates cannot be used, if it cannot. Blocks as long as the disk does.
pub(crate) fn fault_of_roots(file: &Path) -> Option<String> {
    roots_of(file).err()
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
fn client_config(roots: Option<RootCertStore>) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let mut config = match roots {
        Some(roots) => builder.with_root_certificates(roots).with_no_client_auth(),
        None => builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider))).with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
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
        // The verifier tells it as an error of its own.
        CertificateError::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            "the server's certificate is itself a CA (made by `openssl req -x509`?): sign one with it, or make it with \
             `-addext basicConstraints=critical,CA:FALSE`"
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
