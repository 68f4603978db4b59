use std::path::PathBuf;

use anycast_core::{
    Cause, Outcome,
    config::{ProbeConfig, TlsOptions},
};
use proptest::prelude::*;
use tokio::net::TcpListener;

use super::{
    super::tests::{Authority, GOOD},
    *,
};
use crate::probe::{
    Prober,
    testing::{AMPLE, Deaf, SHORT, certificate, nobody, run},
};

fn options(name: &str, ca_file: Option<PathBuf>) -> TlsOptions {
    TlsOptions { name: name.to_owned(), verify: ca_file.is_some(), ca_file }
}

async fn ask(config: TlsProbe) -> Outcome {
    run(&Prober::new(&ProbeConfig::Tls(config)), AMPLE).await
}

#[tokio::test]
async fn a_good_certificate_is_up_and_says_until_when() {
    let authority = Authority::new("ours");
    let address = authority.serve(&["www.example.net"], GOOD).await;
    let outcome = ask(certificate(address, options("www.example.net", Some(authority.file())))).await;
    assert_eq!(outcome.health, Health::Up, "{outcome:?}");
    assert!(outcome.detail.starts_with(&format!("{address}: valid until 4000-01-01 (")), "{outcome:?}");
    assert!(outcome.detail.contains("issued by ours, TLS 1.3, in "), "{outcome:?}");

    let twice = TlsProbe { addresses: vec![address; 2], ..certificate(address, options("x", None)) };
    let outcome = ask(twice).await;
    assert!(outcome.detail.starts_with("all 2 addresses: 127.0.0.1:"), "{outcome:?}");
}

#[tokio::test]
async fn a_bad_certificate_is_down() {
    let (authority, stranger) = (Authority::new("ours"), Authority::new("stranger"));
    let good = authority.serve(&["a.example.net"], GOOD).await;
    let old = authority.serve(&["a.example.net"], (2000, 2001)).await;
    let early = authority.serve(&["a.example.net"], (3000, 3001)).await;
    let foreign = stranger.serve(&["a.example.net"], GOOD).await;
    let ours = |name: &str| options(name, Some(authority.file()));
    let cases = [
        (good, ours("b.example.net"), "certificate not valid for name b.example.net"),
        (foreign, ours("a.example.net"), "certificate from an unknown issuer"),
        (old, ours("a.example.net"), "certificate expired on 2001-01-01"),
        (early, ours("a.example.net"), "certificate not valid before 3000-01-01"),
        // Dates are judged whatever else is not.
        (old, options("x", None), "certificate expired on 2001-01-01, CN rcgen self signed cert, issued by ours"),
        (
            early,
            options("x", None),
            "certificate not valid before 3000-01-01, CN rcgen self signed cert, issued by ours",
        ),
    ];
    for (address, tls, words) in cases {
        let outcome = ask(certificate(address, tls)).await;
        assert_eq!(outcome.health, Health::Down, "{outcome:?}");
        assert!(outcome.detail.starts_with(&format!("{address}: {words}")), "{outcome:?}, not {words}");
    }
}

#[tokio::test]
async fn little_validity_is_degraded_and_too_little_is_down() {
    let authority = Authority::new("ours");
    let address = authority.serve(&["a.example.net"], GOOD).await;
    let config = certificate(address, options("x", None));
    let age = Duration::from_secs(3000 * 365 * DAY);
    let outcome = ask(TlsProbe { warn_before: Some(age), ..config.clone() }).await;
    assert_eq!(outcome.health, Health::Degraded, "{outcome:?}");
    assert!(outcome.detail.contains(", less than 1095000 d), CN "), "{outcome:?}");
    let outcome = ask(TlsProbe { fail_before: age, ..config.clone() }).await;
    assert_eq!(outcome.health, Health::Down, "{outcome:?}");

    // The worst address speaks for all.
    let old = authority.serve(&["a.example.net"], (2000, 2001)).await;
    let outcome = ask(TlsProbe { addresses: vec![address, old], ..config }).await;
    assert_eq!(outcome.health, Health::Down);
    assert!(outcome.detail.starts_with(&format!("{old}: certificate expired")), "{outcome:?}");
}

#[test]
fn what_is_little_depends_on_the_lifetime_unless_it_is_written() {
    let days = |number: u64| Duration::from_secs(number * DAY);
    let shown = |lifetime: i64| Shown { from: 0, until: lifetime * 86_400, subject: None, issuer: None };
    // (lifetime, days left, written, health)
    let cases = [
        (90, 15, None, Health::Up),
        (90, 13, None, Health::Degraded),
        (365, 15, None, Health::Up),
        (365, 13, None, Health::Degraded),
        (6, 2, None, Health::Up),
        (12, 1, None, Health::Degraded),
        (6, 2, Some(days(3)), Health::Degraded),
        (90, 1, Some(Duration::ZERO), Health::Up),
        (90, 0, None, Health::Down),
    ];
    for (lifetime, left, written, health) in cases {
        let now = u64::try_from(lifetime - left).unwrap() * DAY;
        assert_eq!(shown(lifetime).judge(now, written, Duration::ZERO).0, health, "{lifetime} {left} {written:?}");
    }
    let (health, words) = shown(90).judge(80 * DAY, None, days(20));
    assert_eq!((health, words.as_str()), (Health::Down, "valid until 1970-04-01 (10 d, less than 20 d)"));
    let (_, words) = shown(90).judge(89 * DAY + 3600, None, Duration::ZERO);
    assert_eq!(words, "valid until 1970-04-01 (23 h, less than 14 d)");
}

#[tokio::test]
async fn a_protocol_must_be_chosen_where_some_are_offered() {
    let address = Authority::new("ours").serve(&["a.example.net"], GOOD).await;
    let offer =
        |protocol: &str| TlsProbe { alpn: vec![protocol.to_owned()], ..certificate(address, options("x", None)) };
    let outcome = ask(offer("h2")).await;
    assert_eq!(outcome.detail, format!("{address} chose none of the protocols h2"));
}

#[tokio::test]
async fn nobody_is_refused_and_silence_is_late() {
    let absent = nobody().await;
    let outcome = ask(certificate(absent, options("x", None))).await;
    let words = format!("connect {absent}: refused");
    assert_eq!((outcome.health, outcome.cause, outcome.detail), (Health::Down, Cause::Refused, words));

    let (deaf, silent) = (Deaf::new().await, TcpListener::bind("127.0.0.1:0").await.unwrap());
    let mute = silent.local_addr().unwrap();
    let cases = [
        (deaf.address, format!("connect {}: no answer within 300 ms", deaf.address)),
        (mute, format!("{mute}: connected, no TLS handshake within 300 ms")),
    ];
    for (address, words) in cases {
        let prober = Prober::new(&ProbeConfig::Tls(certificate(address, options("x", None))));
        let outcome = run(&prober, SHORT).await;
        assert_eq!((outcome.health, outcome.cause, outcome.detail), (Health::Down, Cause::TimedOut, words));
    }
}

#[tokio::test]
async fn what_is_not_tls_is_down() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.write_all(b"220 mail.example.net ESMTP\r\n").await;
        std::future::pending::<()>().await;
    });
    let outcome = ask(certificate(address, options("x", None))).await;
    let words = format!("{address}: the server does not speak TLS");
    assert_eq!((outcome.health, outcome.detail), (Health::Down, words));
}

#[test]
fn garbage_is_no_certificate() {
    for bytes in [&b""[..], b"\x30\x03\x02\x01\x01", &[0x30; 64], b"nothing of the kind"] {
        assert_eq!(Shown::read(bytes), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Whatever is shown as a certificate, it is judged.
    #[test]
    fn no_certificate_is_too_strange(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        static DER: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
            let certified = rcgen::generate_simple_self_signed(vec!["www.example.net".to_owned()]).unwrap();
            certified.cert.der().to_vec()
        });
        let mut der = DER.clone();
        for (at, value) in changes {
            let at = at.index(der.len());
            der[at] = value;
        }
        if let Some(shown) = Shown::read(&der) {
            let _ = shown.judge(1_800_000_000, None, Duration::ZERO);
        }
    }
}
