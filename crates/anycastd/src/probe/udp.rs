//! A datagram is answered by each address.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anycast_core::config::{UdpExpect, UdpProbe};
use tokio::time;

use super::{Finding, datagram::Peer, several, words};

#[derive(Debug)]
pub(super) struct UdpProber {
    config: UdpProbe,
}

/// The good end of one address.
#[derive(Debug)]
struct Seen {
    /// How many bytes the answer had; `None`: there was none, and none is needed.
    bytes: Option<usize>,
    took: Duration,
}

impl UdpProber {
    pub(super) fn new(config: &UdpProbe) -> Self {
        Self { config: config.clone() }
    }

    pub(super) async fn run(&self, timeout: Duration) -> Finding {
        let seen = several::each(&self.config.addresses, |address| self.ask(address, timeout)).await;
        seen.map_or_else(|failure| failure, |seen| self.good(&seen))
    }

    async fn ask(&self, address: SocketAddr, timeout: Duration) -> Result<Seen, Finding> {
        let started = Instant::now();
        // Where none is needed the run ends by itself, before its time is over.
        let patience = if self.config.expect == UdpExpect::Nothing { timeout / 2 } else { timeout };
        let answer = async {
            let mut peer = Peer::new(address).await?;
            peer.send(&self.config.send).await?;
            let answer = peer.receive().await?;
            if let UdpExpect::Holds(part) = &self.config.expect
                && !holds(answer, part)
            {
                return Err(Finding::down(format!("{address} answered {}, without {}", shown(answer), shown(part))));
            }
            Ok(answer.len())
        };
        match time::timeout(patience, answer).await {
            Ok(answer) => Ok(Seen { bytes: Some(answer?), took: started.elapsed() }),
            Err(_) if self.config.expect == UdpExpect::Nothing => Ok(Seen { bytes: None, took: started.elapsed() }),
            Err(_) => Err(Finding::late(format!("{address}: no answer within {}", words::time(timeout)))),
        }
    }

    fn good(&self, seen: &[(SocketAddr, Seen)]) -> Finding {
        let Some((address, last)) = seen.iter().max_by_key(|(_, seen)| seen.took) else {
            return Finding::unknown("no address to ask");
        };
        let took = words::took(last.took);
        if seen.iter().any(|(_, seen)| seen.bytes.is_none()) {
            let whom = if seen.len() == 1 { address.to_string() } else { format!("all {} addresses", seen.len()) };
            return Finding::up(format!("{whom} did not refuse within {took}"));
        }
        let with = match &self.config.expect {
            UdpExpect::Holds(part) => format!(" with {}", shown(part)),
            UdpExpect::Any | UdpExpect::Nothing => String::new(),
        };
        if let [(address, Seen { bytes: Some(bytes), .. })] = seen {
            return Finding::up(format!("{address} answered {bytes} bytes{with} in {took}"));
        }
        Finding::up(format!("all {} addresses answered{with}, {address} last, in {took}", seen.len()))
    }
}

fn holds(answer: &[u8], part: &[u8]) -> bool {
    part.is_empty() || answer.windows(part.len()).any(|window| window == part)
}

/// Text as text, anything else as hexadecimal digits; the beginning of it.
fn shown(bytes: &[u8]) -> String {
    const CHARACTERS: usize = 40;
    const BYTES: usize = 16;
    if bytes.is_empty() {
        return "an empty datagram".to_owned();
    }
    let readable = |text: &&str| !text.chars().any(|character| character.is_control() && !character.is_whitespace());
    if let Some(text) = std::str::from_utf8(bytes).ok().filter(readable) {
        let end = text.char_indices().nth(CHARACTERS).map(|(end, _)| end);
        return format!(
            "\"{}{}\"",
            &text[..end.unwrap_or(text.len())].trim_end(),
            if end.is_some() { "…" } else { "" }
        );
    }
    let digits: String = bytes.iter().take(BYTES).map(|byte| format!("{byte:02x}")).collect();
    format!("0x{digits}{}", if bytes.len() > BYTES { "…" } else { "" })
}

#[cfg(test)]
mod tests;
