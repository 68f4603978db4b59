//! Requests to whatever address a name has.
//!
//! A client either asks its resolver before each request, so that nothing but the resolver's cache lies between an answer that
//! changed and the request that follows it; or it keeps the first address of an answer for as long as the answer lives, as
//! programs do that look a name up once.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tokio::{net::UdpSocket, time};

use super::{datagrams, ledger::Ledger, ticks};
use crate::tools::{
    names::{Changes, Question},
    record::How,
};

/// Who is asked for what, and when.
#[derive(Debug)]
pub(super) struct Lookups {
    pub(super) question: Question,
    pub(super) resolver: SocketAddr,
    /// Where the service answers datagrams.
    pub(super) port: u16,
    pub(super) every: Duration,
    /// After which a request is lost, its lookup included.
    pub(super) timeout: Duration,
    pub(super) changes: Mutex<Changes>,
    pub(super) ledger: Arc<Ledger>,
}

/// A socket and its port.
type Flow = (Arc<UdpSocket>, u16);

impl Lookups {
    /// Asks from now on, in turn from so many source ports, with a lookup before each request.
    pub(super) fn start(self: Arc<Self>, flows: u16) -> anyhow::Result<()> {
        let ring = self.open(flows)?;
        tokio::spawn(async move {
            let mut ticks = ticks(self.every);
            for flow in ring.into_iter().cycle() {
                ticks.tick().await;
                let this = self.clone();
                tokio::spawn(async move {
                    // It knows of no address before.
                    this.request(&flow, None).await;
                });
            }
        });
        Ok(())
    }

    /// So many clients ask from now on, each of which keeps what it was told.
    pub(super) fn start_keepers(self: Arc<Self>, clients: u16) -> anyhow::Result<()> {
        for (flow, index) in self.open(clients)?.into_iter().zip(0..) {
            let this = self.clone();
            tokio::spawn(async move {
                // Spread over the time between two requests of one.
                time::sleep(this.every * index / u32::from(clients)).await;
                let (mut ticks, mut known) = (ticks(this.every), None);
                loop {
                    ticks.tick().await;
                    known = this.request(&flow, known.filter(|(_, until)| Instant::now() < *until)).await;
                }
            });
        }
        Ok(())
    }

    fn open(self: &Arc<Self>, flows: u16) -> anyhow::Result<Vec<Flow>> {
        let any = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), self.port);
        let ring = (0..flows).map(|_| datagrams::open(any)).collect::<Result<Vec<_>, _>>();
        let ring = ring.with_context(|| format!("cannot open sockets to ask {}", self.question.name()))?;
        for (socket, _) in &ring {
            tokio::spawn(datagrams::listen(socket.clone(), self.port, self.ledger.clone()));
        }
        Ok(ring)
    }

    /// One request, to the address that is known or else to the one that the resolver gives; what is known then.
    async fn request(&self, (socket, flow): &Flow, known: Option<(IpAddr, Instant)>) -> Option<(IpAddr, Instant)> {
        let ticket = self.ledger.enter_named(How::Udp, self.question.name(), *flow);
        let known = match known {
            Some(known) => Ok(known),
            None => self.look_up().await,
        };
        match known {
            Ok(known) => {
                self.ledger.set_target(ticket, known.0);
                if let Err(error) = socket.try_send_to(&ticket.to_wire(), SocketAddr::new(known.0, self.port)) {
                    self.ledger.close(ticket, None, Some(error.to_string()));
                }
                Some(known)
            }
            Err(error) => {
                self.ledger.close(ticket, None, Some(format!("the name is not resolved: {error:#}")));
                None
            }
        }
    }

    /// The first address, and until when it is one.
    async fn look_up(&self) -> anyhow::Result<(IpAddr, Instant)> {
        let answer = self.question.ask(self.resolver, self.timeout).await?;
        let told =
            self.changes.lock().unwrap_or_else(PoisonError::into_inner).told(self.resolver, &self.question, &answer);
        if let Some(told) = told {
            self.ledger.resolved(told);
        }
        let first = answer.addresses.first().context("it has no address")?;
        Ok(((*first).into(), Instant::now() + answer.ttl))
    }
}

#[cfg(test)]
mod tests;
