//! One question to several addresses: all of them must answer well.

use std::{
    future::Future,
    net::SocketAddr,
    time::{Duration, Instant},
};

use anycast_core::Health;
use futures_util::future::join_all;

use super::Finding;

/// Asks all at once: a slow one must not use up the time of the next. What each has answered; or, if any has not answered well,
/// all that have not as one.
pub(super) async fn each<A: Copy, T, F>(asked: &[A], ask: impl Fn(A) -> F) -> Result<Vec<(A, T)>, Finding>
where
    F: Future<Output = Result<T, Finding>>,
{
    let (mut good, mut failures) = (Vec::new(), Vec::new());
    for (whom, result) in asked.iter().zip(join_all(asked.iter().map(|whom| ask(*whom))).await) {
        match result {
            Ok(answer) => good.push((*whom, answer)),
            Err(failure) => failures.push(failure),
        }
    }
    if failures.is_empty() { Ok(good) } else { Err(Finding::join(&failures)) }
}

/// The same, where the answers are findings already, and the worst of the good ones stands for all.
pub(super) async fn all<F>(addresses: &[SocketAddr], ask: impl Fn(usize) -> F) -> Finding
where
    F: Future<Output = Finding>,
{
    if addresses.len() == 1 {
        return ask(0).await;
    }
    let timed = |asked: F| async {
        let started = Instant::now();
        (asked.await, started.elapsed())
    };
    let found = join_all((0..addresses.len()).map(|index| timed(ask(index)))).await;
    conclude(addresses, found)
}

fn conclude(addresses: &[SocketAddr], found: Vec<(Finding, Duration)>) -> Finding {
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
    let worst = addresses.iter().zip(&found).max_by_key(|(_, (finding, took))| (finding.health != Health::Up, *took));
    match worst {
        Some((_, (last, _))) if last.health == Health::Up => {
            Finding { detail: format!("all {} addresses: {}", addresses.len(), last.detail), ..last.clone() }
        }
        Some(degraded) => placed(degraded),
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
        let soon = Finding { health: Health::Degraded, ..Finding::up("valid for 3 d") };
        let placed = Finding { detail: "[2001:db8::1]:80: valid for 3 d".to_owned(), ..soon.clone() };
        assert_eq!(told(good.clone(), soon), placed, "not all of them are");
        assert_eq!(told(good.clone(), busy.clone()), Finding::down("[2001:db8::1]:80: 503"));
        let both = told(refused, busy);
        assert_eq!((both.health, both.cause), (Health::Down, Cause::Refused));
        assert_eq!(both.detail, "connect 192.0.2.1:80: refused; [2001:db8::1]:80: 503");
        assert_eq!(told(good, Finding::unknown("no idea")).health, Health::Unknown);
        assert_eq!(conclude(&[], Vec::new()).health, Health::Unknown);
    }

    #[tokio::test]
    async fn one_address_speaks_for_itself() {
        let only = ["192.0.2.1:80".parse().unwrap()];
        assert_eq!(all(&only, async |_| Finding::up("200")).await, Finding::up("200"));
    }
}
