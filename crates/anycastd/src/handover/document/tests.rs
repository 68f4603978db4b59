use std::time::{Instant, UNIX_EPOCH};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn known() -> Known {
    let at = |seconds| UNIX_EPOCH + SECOND * seconds;
    Known {
        check: core::State {
            enabled: true,
            health: Health::Degraded,
            age: SECOND * 40,
            streak: Some((true, 1, Health::Up)),
            on_probation: true,
            last: Some(Outcome::new(Health::Up, Cause::Answered, "status 200 in 1 ms".to_owned(), SECOND / 1000)),
            holds: SECOND * 9,
            due: SECOND / 5,
            returns: Some(SECOND * 3),
            first: None,
            counters: CheckCounters { runs: 5, failures: 4, inconclusive: 3, late: 2, hints: 1 },
        },
        since: at(1_700_000_000),
        answered: at(1_700_000_040),
        passed: true,
    }
}

fn document() -> Document {
    let mut document = Document::new(b"bgp: { asn: 65010 }".to_vec(), Timestamp::now(), SECOND * 7);
    let drain = drain::State { stage: drain::Stage::Lingering, age: SECOND, left: Some(SECOND * 4) };
    let service = Service::new(Some(drain), [(CheckName::new("asks").unwrap(), known())], Some(Health::Up), None);
    document.services.insert("web".to_owned(), service);
    document.bound.insert("192.0.2.80".parse().unwrap());
    document
}

#[test]
fn what_is_written_is_read() {
    let document = Document::read(&document().write().unwrap()).unwrap();
    let service = document.service(&ServiceName::new("web").unwrap()).unwrap();
    assert_eq!(service.check(&CheckName::new("asks").unwrap()), Some(known()));
    assert_eq!(service.check(&CheckName::new("other").unwrap()), None);
    let drain = service.drain().unwrap();
    assert_eq!((drain.stage, drain.left), (drain::Stage::Lingering, Some(SECOND * 4)));
    assert_eq!((service.served(), document.uptime), (Some(Health::Up), SECOND * 7));
    for stage in [
        drain::Stage::Active,
        drain::Stage::Degraded,
        drain::Stage::GracefulShutdown,
        drain::Stage::Withdrawing,
        drain::Stage::Lingering,
        drain::Stage::Drained,
    ] {
        let state = drain::State { stage, age: SECOND, left: None };
        assert_eq!(drain::State::from(&Drain::from(state)), state);
    }
}

#[test]
fn another_version_is_read_as_far_as_it_is_known() {
    let mut text: serde_json::Value = serde_json::from_slice(&document().write().unwrap()).unwrap();
    text["news"] = serde_json::json!({ "of": "a later version" });
    text["services"]["web"]["checks"]["asks"]["news"] = serde_json::json!(1);
    text["services"]["web"].as_object_mut().unwrap().remove("served");
    let read = Document::read(text.to_string().as_bytes()).unwrap();
    assert_eq!(read.service(&ServiceName::new("web").unwrap()).unwrap().served(), None);

    text["version"] = serde_json::json!(2);
    text["services"] = serde_json::json!("of which nothing is known");
    let error = Document::read(text.to_string().as_bytes()).unwrap_err().to_string();
    assert!(error.contains("format 2"), "{error}");
    let whole = document().write().unwrap();
    for end in 0..whole.len() {
        assert!(matches!(Document::read(&whole[..end]), Err(Bad::Unreadable(_))), "cut at {end}");
    }
}

/// Whatever is handed over, no clock is left with a time that it cannot hold.
#[test]
fn times_that_nobody_could_have_meant_do_no_harm() {
    let mut known = known();
    (known.check.age, known.check.holds, known.check.due) = (Duration::MAX, Duration::MAX, Duration::MAX);
    (known.check.returns, known.check.first) = (Some(Duration::MAX), Some(Duration::MAX));
    let timing = anycast_core::config::CheckTiming {
        interval: SECOND,
        fast_interval: SECOND,
        timeout: SECOND,
        rise: std::num::NonZeroU16::MIN,
        fall: std::num::NonZeroU16::MIN,
        start_delay: Duration::ZERO,
        restart_grace: Duration::ZERO,
        stale_after: SECOND * 10,
    };
    let now = Instant::now();
    let check = anycast_core::Check::take_over(timing, 0, known.check, now);
    assert!(check.claims_until().is_some_and(|at| at <= now + SECOND * 10));
    let long = drain::State { stage: drain::Stage::Lingering, age: Duration::MAX, left: Some(Duration::MAX) };
    let times = anycast_core::config::DrainTimes { graceful_shutdown: SECOND, linger: SECOND };
    assert_eq!(anycast_core::Drain::take_over(times, long, now).poll_timeout(), Some(now + SECOND));
}
