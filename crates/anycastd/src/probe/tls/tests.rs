use std::{net::SocketAddr, path::PathBuf};

use anycast_core::{
    Health, Outcome,
    config::{HttpProbe, ProbeConfig},
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::{
    super::{
        Prober,
        testing::{AMPLE, SHORT, http, run},
    },
    *,
};

/// A certificate authority, with its certificate in a file.
pub(in super::super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
}

impl Authority {
    pub(in super::super) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, directory }
    }

    pub(in super::super) fn file(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// Serves with a certificate for these names and years.
    pub(super) async fn serve(&self, names: &[&str], years: (i32, i32)) -> SocketAddr {
        accept(self.acceptor(names, years, &[])).await
    }

    /// What shakes hands with such a certificate.
    pub(in super::super) fn acceptor(&self, names: &[&str], years: (i32, i32), alpn: &[&[u8]]) -> TlsAcceptor {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(years.0, 1, 1);
        params.not_after = date_time_ymd(years.1, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Self::showing(certificate.der(), &key, alpn)
    }

    /// What shows its own certificate, as if it were that of a server.
    fn itself(&self) -> TlsAcceptor {
        Self::showing(self.issuer.der(), self.issuer.key(), &[])
    }

    fn showing(certificate: &CertificateDer<'static>, key: &KeyPair, alpn: &[&[u8]]) -> TlsAcceptor {
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|id| id.to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

async fn accept(acceptor: TlsAcceptor) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") && stream.read_buf(&mut request).await.unwrap_or(0) > 0 {}
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            let _ = stream.shutdown().await;
        }
    });
    address
}

fn https(address: SocketAddr, options: TlsOptions) -> Prober {
    Prober::new(&ProbeConfig::Http(HttpProbe {
        tls: Some(options),
        expect_body: Some("ok".to_owned()),
        ..http(address)
    }))
}

async fn ask(address: SocketAddr, name: &str, ca_file: Option<PathBuf>, verify: bool) -> Outcome {
    run(&https(address, TlsOptions { name: name.to_owned(), ca_file, verify }), AMPLE).await
}

pub(in super::super) const GOOD: (i32, i32) = (2000, 4000);

#[tokio::test]
async fn a_good_certificate_is_up() {
    let authority = Authority::new("ours");
    let address = authority.serve(&["www.example.net", "127.0.0.1"], GOOD).await;
    for name in ["www.example.net", "127.0.0.1"] {
        let outcome = ask(address, name, Some(authority.file()), true).await;
        assert_eq!(outcome.health, Health::Up, "{outcome:?}");
        assert!(outcome.detail.starts_with("status 200, body has \"ok\", in "), "{outcome:?}");
    }
}

/// What a self-signed certificate is that is trusted by itself, made as most are.
#[tokio::test]
async fn a_certificate_that_is_a_ca_is_told_with_its_remedy() {
    let authority = Authority::new("a.example.net");
    let address = accept(authority.itself()).await;
    let outcome = ask(address, "a.example.net", Some(authority.file()), true).await;
    assert_eq!(outcome.health, Health::Down);
    assert!(outcome.detail.starts_with("the server's certificate is itself a CA"), "{outcome:?}");
}

#[tokio::test]
async fn a_bad_certificate_is_down_unless_nothing_is_verified() {
    let (authority, stranger) = (Authority::new("ours"), Authority::new("stranger"));
    let ours = Some(authority.file());
    let cases = [
        (authority.serve(&["b.example.net"], GOOD).await, &ours, "certificate not valid for name a.example.net"),
        (authority.serve(&["a.example.net"], (2000, 2001)).await, &ours, "certificate expired"),
        (authority.serve(&["a.example.net"], (3000, 3001)).await, &ours, "certificate not valid yet"),
        (stranger.serve(&["a.example.net"], GOOD).await, &ours, "certificate from an unknown issuer"),
    ];
    for (address, ca_file, words) in cases {
        let outcome = ask(address, "a.example.net", ca_file.clone(), true).await;
        assert_eq!((outcome.health, outcome.detail.as_str()), (Health::Down, words));
        let outcome = ask(address, "a.example.net", None, false).await;
        assert_eq!(outcome.health, Health::Up, "{outcome:?}");
    }
}

#[tokio::test]
async fn the_systems_roots_do_not_vouch_for_a_stranger() {
    let address = Authority::new("ours").serve(&["a.example.net"], GOOD).await;
    let outcome = ask(address, "a.example.net", None, true).await;
    let words = outcome.detail.as_str();
    match outcome.health {
        Health::Unknown => assert_eq!(words, "this system has no trusted certificates"),
        health => assert_eq!((health, words), (Health::Down, "certificate from an unknown issuer")),
    }
}

#[tokio::test]
async fn trouble_with_the_ca_file_proves_nothing_until_it_is_mended() {
    let authority = Authority::new("ours");
    let address = authority.serve(&["a.example.net"], GOOD).await;
    let file = authority.directory.path().join("later.pem");
    let shown = file.display().to_string();
    let options = TlsOptions { name: "a.example.net".to_owned(), ca_file: Some(file.clone()), verify: true };
    let prober = https(address, options);

    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let cases: [(Option<&str>, String); 3] = [
        (None, format!("cannot read {shown}: no such file")),
        (Some("# nothing\n"), format!("{shown} holds no certificate")),
        (Some(broken), format!("{shown} holds an unusable certificate")),
    ];
    for (text, words) in cases {
        if let Some(text) = text {
            std::fs::write(&file, text).unwrap();
        }
        let outcome = run(&prober, AMPLE).await;
        assert_eq!(outcome.health, Health::Unknown);
        let start: String = words.chars().take(150).collect();
        assert!(outcome.detail.starts_with(&start), "{outcome:?}");
    }
    std::fs::copy(authority.file(), &file).unwrap();
    assert_eq!(run(&prober, AMPLE).await.health, Health::Up);
}

#[tokio::test]
async fn a_changed_ca_file_is_read_again() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let address = new.serve(&["a.example.net"], GOOD).await;
    let file = old.file();
    let prober = https(address, options(&file));
    let stranger = (Health::Down, "certificate from an unknown issuer");
    let outcome = run(&prober, AMPLE).await;
    assert_eq!((outcome.health, outcome.detail.as_str()), stranger);

    // Replaced, as careful writers do, by one that is dated as the old one was.
    let dated = std::fs::metadata(&file).unwrap().modified().unwrap();
    let next = old.directory.path().join("next.pem");
    std::fs::copy(new.file(), &next).unwrap();
    std::fs::File::options().write(true).open(&next).unwrap().set_modified(dated).unwrap();
    std::fs::rename(&next, &file).unwrap();
    assert_eq!(run(&prober, AMPLE).await.health, Health::Up);

    // Written over in place.
    std::fs::write(&file, "# nothing\n").unwrap();
    let outcome = run(&prober, AMPLE).await;
    assert_eq!(outcome.health, Health::Unknown, "{outcome:?}");
    assert!(outcome.detail.ends_with("holds no certificate"), "{outcome:?}");
    std::fs::remove_file(&file).unwrap();
    let outcome = run(&prober, AMPLE).await;
    assert_eq!(outcome.health, Health::Unknown, "{outcome:?}");
    assert!(outcome.detail.ends_with("no such file"), "{outcome:?}");
    std::fs::copy(new.file(), &file).unwrap();
    assert_eq!(run(&prober, AMPLE).await.health, Health::Up);
}

#[test]
fn a_file_that_did_not_change_is_not_parsed_again() {
    let authority = Authority::new("ours");
    let options = options(&authority.file());
    let ready = Mutex::default();
    let before = refresh(&ready, &options).unwrap();
    assert!(Arc::ptr_eq(&before, &refresh(&ready, &options).unwrap()));
    std::fs::copy(Authority::new("other").file(), authority.file()).unwrap();
    assert!(!Arc::ptr_eq(&before, &refresh(&ready, &options).unwrap()));
}

#[test]
fn checks_that_name_one_file_parse_it_once() {
    let authority = Authority::new("ours");
    let options = options(&authority.file());
    let (one, other) = (Tls::new(&options), Tls::for_http2(&options));
    let parsed = refresh(&one.ready, &options).unwrap();
    assert!(Arc::ptr_eq(&parsed, &refresh(&other.ready, &options).unwrap()));
    let trusting = TlsOptions { verify: false, ..options };
    assert!(
        !Arc::ptr_eq(&parsed, &refresh(&Tls::new(&trusting).ready, &trusting).unwrap()),
        "who trusts all does so alone"
    );
}

/// A pipe that nobody writes to hangs as a file system does whose server is away.
#[tokio::test]
async fn certificates_that_cannot_be_read_in_time_prove_nothing_and_hold_nobody_up() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.pem");
    nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let nobody = "127.0.0.1:1".parse().unwrap();
    // Each with a prober of its own, as reloads make them. The one thread of this runtime is not the one that hangs.
    for _ in 0..3 {
        let outcome = run(&https(nobody, options(&file)), SHORT).await;
        assert_eq!(outcome.health, Health::Unknown, "{outcome:?}");
        assert!(outcome.detail.starts_with(&file.display().to_string()), "{outcome:?}");
        assert!(outcome.detail.contains("file system"), "{outcome:?}");
    }
    std::fs::write(&file, "# nothing\n").unwrap();
}

fn options(ca_file: &Path) -> TlsOptions {
    TlsOptions { name: "a.example.net".to_owned(), ca_file: Some(ca_file.to_owned()), verify: true }
}

#[tokio::test]
async fn a_name_that_is_none_proves_nothing() {
    let outcome = ask("127.0.0.1:1".parse().unwrap(), "a b", None, false).await;
    let words = "\"a b\" is neither a host name nor an address";
    assert_eq!((outcome.health, outcome.detail.as_str()), (Health::Unknown, words));
}

#[tokio::test]
async fn a_server_without_tls_is_down() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let options = TlsOptions { name: "a.example.net".to_owned(), ca_file: None, verify: false };
    let prober = https(address, options);
    for (answer, words) in [
        (Some(&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..]), "the server does not speak TLS"),
        (Some(&b""[..]), "TLS handshake: connection closed"),
        (None, "connected, no TLS handshake within 300 ms"),
    ] {
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await;
            match answer {
                Some(answer) => stream.write_all(answer).await.unwrap(),
                None => drop(stream.read_to_end(&mut Vec::new()).await),
            }
        };
        let timeout = if answer.is_some() { AMPLE } else { SHORT };
        let (outcome, ()) = tokio::join!(run(&prober, timeout), serve);
        assert_eq!((outcome.health, outcome.detail.as_str()), (Health::Down, words));
    }
}

#[test]
fn system_roots_are_shared() {
    if let (Ok(one), Ok(other)) = (system_config(), system_config()) {
        assert!(Arc::ptr_eq(&one, &other));
    }
}

#[test]
fn alerts_are_words() {
    assert_eq!(alert_words(AlertDescription::HandshakeFailure), "handshake failure");
    assert_eq!(alert_words(AlertDescription::NoApplicationProtocol), "no application protocol");
}

#[test]
fn a_clock_that_is_not_set_judges_nothing() {
    assert_eq!(clock_is_set(SystemTime::now()), Ok(()));
    assert_eq!(clock_is_set(UNIX_EPOCH + EARLIEST), Ok(()));
    let words = "the clock of this node shows 1970-01-01T00:00:05Z: no certificate can be judged";
    assert_eq!(clock_is_set(UNIX_EPOCH + Duration::from_secs(5)), Err(words.to_owned()));
}
