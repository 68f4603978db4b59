//! One question to several addresses: all of them must answer well.

use std::{
    future::Future,
    net::SocketAddr,
    time::{Duration, Instant},
};

use anycast_core::Health;
use futures_util::future::join_all;

use super::Finding;

/// Asks all at once: a slow address must not use up the time of the next.
pub(super) async fn all<F>(addresses: &[SocketAddr], ask: impl Fn(usize) -> F) -> Finding
where
    F: Future<Output = Finding>,
{
    let timed = |asked: F| async {
        let started = Instant::now();
        (asked.await, started.elapsed())
    };
    let found = join_all((0..addresses.len()).map(|index| timed(ask(index)))).await;
    conclude(addresses, found)
}

fn conclude(addresses: &[SocketAddr], mut found: Vec<(Finding, Duration)>) -> Finding {
    if addresses.len() == 1
        && let Some((only, _)) = found.pop()
    {
        return only;
    }
    let placed = |(address, (finding, _)): (&SocketAddr, &(Finding, Duration))| {
        let named = finding.detail.contains(&address.to_string());
        let detail = if named { finding.detail.clone() } else { format!("{address}: {}", finding.detail) };
        Finding { detail, ..finding.clone() }
    };
    let bad = |(_, (finding, _)): &(&SocketAddr, &(Finding, Duration))| finding.health < Health::Degraded;
    let failures: Vec<Finding> = addresses.iter().zip(&found).filter(bad).map(placed).collect();
    if !failures.is_empty() {
        return Finding::join(&failures);
    }
    match found.iter().max_by_key(|(finding, took)| (finding.health != Health::Up, *took)) {
        Some((last, _)) => {
            Finding { detail: format!("all {} addresses: {}", addresses.len(), last.detail), ..last.clone() }
        }
        None => Finding::unknown("no address to ask"),
    }
}

#[cfg(test)]
mod tests {
    use anycast_core::Cause;

    use super::*;

    #[test]
    fn all_must_answer_well() {
        let addresses: Vec<SocketAddr> = vec!["192.0.2.1:80".parse().unwrap(), "[2001:db8::1]:80".parse().unwrap()];
        let told = |first: Finding, second: Finding| {
            let (slow, fast) = (Duration::from_millis(2), Duration::from_millis(1));
            conclude(&addresses, vec![(first, slow), (second, fast)])
        };
        let (good, busy) = (Finding::up("200"), Finding::down("503"));
        let refused = Finding { cause: Cause::Refused, ..Finding::down("connect 192.0.2.1:80: refused") };
        assert_eq!(told(good.clone(), Finding::up("204")), Finding::up("all 2 addresses: 200"));
        assert_eq!(told(good.clone(), busy.clone()), Finding::down("[2001:db8::1]:80: 503"));
        let both = told(refused, busy);
        assert_eq!((both.health, both.cause), (Health::Down, Cause::Refused));
        assert_eq!(both.detail, "connect 192.0.2.1:80: refused; [2001:db8::1]:80: 503");
        assert_eq!(told(good.clone(), Finding::unknown("no idea")).health, Health::Unknown);
        assert_eq!(conclude(&addresses[..1], vec![(good.clone(), Duration::ZERO)]), good);
        assert_eq!(conclude(&[], Vec::new()).health, Health::Unknown);
    }
}
