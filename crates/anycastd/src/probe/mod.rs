//! Asks a service how it is: one [`Prober`] per check, one question per run.
//!
//! A prober owns no task. A run is one future that ends by itself: at its timeout, or for a program that has to be killed
//! within [`exec::OVERRUN`] after it. Dropping the future ends the run: its connection closes, its program is killed with
//! all its process group, and the runtime reaps it. Only a call that the file system or the resolver does not give back, and a
//! program that cannot be killed, outlive their run; each has a slot (see [`blocking`]), so that there are never many.

mod capped;
mod datagram;
mod dns;
mod exec;
mod file;
mod grpc;
mod http;
mod http2;
mod icmp;
mod process;
mod several;
mod systemd;
mod tcp;
mod tls;
mod udp;
mod words;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anycast_core::{
    Cause, Health, Outcome, Performance,
    config::{ProbeConfig, Protocol},
};

use self::{
    dns::DnsProber, exec::ExecProber, file::FileProber, grpc::GrpcProber, http::HttpProber, icmp::IcmpProber,
    process::ProcessProber, systemd::SystemdProber, tcp::TcpProber, tls::TlsProber, udp::UdpProber,
};
pub(crate) use self::{icmp::may_ping, tcp::open, tls::fault_of_roots, words::fault as in_words};
use crate::{
    blocking::{Hang, Slot},
    hints::Listeners,
};

#[cfg(doc)]
use crate::blocking;

/// Keeps deadlines within what a clock can hold.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// What one check asks, made ready.
#[derive(Debug)]
pub(crate) struct Prober {
    kind: Kind,
    /// What it asks, where a refusal does not say which of them refused.
    sockets: Vec<(Protocol, SocketAddr)>,
}

#[derive(Debug)]
enum Kind {
    Tcp(TcpProber),
    Http(Box<HttpProber>),
    Grpc(Box<GrpcProber>),
    Systemd(SystemdProber),
    Process(ProcessProber),
    File(FileProber),
    Exec(ExecProber),
    Dns(Box<DnsProber>),
    Udp(UdpProber),
    Icmp(IcmpProber),
    Tls(Box<TlsProber>),
}

impl Prober {
    /// Reads nothing yet: files that are needed are read by the runs, where what hangs holds nobody up.
    pub(crate) fn new(config: &ProbeConfig) -> Self {
        let kind = match config {
            ProbeConfig::Tcp(config) => Kind::Tcp(TcpProber::new(config)),
            ProbeConfig::Http(config) => Kind::Http(Box::new(HttpProber::new(config))),
            ProbeConfig::Grpc(config) => Kind::Grpc(Box::new(GrpcProber::new(config))),
            ProbeConfig::Systemd(config) => Kind::Systemd(SystemdProber::new(config)),
            ProbeConfig::Process(config) => Kind::Process(ProcessProber::new(config)),
            ProbeConfig::File(config) => Kind::File(FileProber::new(config)),
            ProbeConfig::Exec(config) => Kind::Exec(ExecProber::new(config)),
            ProbeConfig::Dns(config) => Kind::Dns(Box::new(DnsProber::new(config))),
            ProbeConfig::Udp(config) => Kind::Udp(UdpProber::new(config)),
            ProbeConfig::Icmp(config) => Kind::Icmp(IcmpProber::new(config)),
            ProbeConfig::Tls(config) => Kind::Tls(Box::new(TlsProber::new(config))),
        };
        Self { kind, sockets: config.sockets() }
    }

    /// Tells a program for whom it runs, in `ANYCASTD_SERVICE` and `ANYCASTD_CHECK`.
    pub(crate) fn named(mut self, service: &str, check: &str) -> Self {
        if let Kind::Exec(exec) = &mut self.kind {
            exec.set_names(service, check);
        }
        self
    }

    /// One run. Cancel safe: nothing of it goes on when the future is dropped, but for what the module's head names.
    pub(crate) async fn run(&self, timeout: Duration) -> Outcome {
        let started = Instant::now();
        self.ask(timeout).await.judged(started)
    }

    /// The same; where a connection is refused the kernel is asked whether anybody listens there.
    pub(crate) async fn run_to_confirm(&self, timeout: Duration, listeners: &Listeners) -> Outcome {
        let started = Instant::now();
        let mut finding = self.ask(timeout).await;
        if finding.cause == Cause::Refused {
            let sockets = if finding.refused.is_empty() { &self.sockets } else { &finding.refused };
            if let Some((protocol, address)) = listeners.nobody_at(sockets).await {
                finding.cause = Cause::Gone;
                let place = crate::hints::in_words(protocol, address);
                finding.detail = format!("{}; nobody listens on {place}", finding.detail);
            }
        }
        finding.judged(started)
    }

    /// Every run moves its future about, so what is large is put aside.
    async fn ask(&self, timeout: Duration) -> Finding {
        let timeout = timeout.min(LONGEST);
        match &self.kind {
            Kind::Tcp(tcp) => tcp.run(timeout).await,
            Kind::Http(http) => http.run(timeout).await,
            Kind::Grpc(grpc) => Box::pin(grpc.run(timeout)).await,
            Kind::Systemd(systemd) => Box::pin(systemd.run(timeout)).await,
            Kind::Process(process) => Box::pin(process.run(timeout)).await,
            Kind::File(file) => Box::pin(file.run(timeout)).await,
            Kind::Exec(exec) => Box::pin(exec.run(timeout)).await,
            Kind::Dns(dns) => Box::pin(dns.run(timeout)).await,
            Kind::Udp(udp) => Box::pin(udp.run(timeout)).await,
            Kind::Icmp(icmp) => Box::pin(icmp.run(timeout)).await,
            Kind::Tls(tls) => Box::pin(tls.run(timeout)).await,
        }
    }

    /// Ends when what it asks about has changed, so that it is worth asking now. Most kinds cannot tell. Cancel safe: what
    /// changes meanwhile is told at the next call.
    pub(crate) async fn changed(&self) {
        match &self.kind {
            Kind::Systemd(systemd) => systemd.changed().await,
            Kind::Tcp(_)
            | Kind::Http(_)
            | Kind::Grpc(_)
            | Kind::Process(_)
            | Kind::File(_)
            | Kind::Exec(_)
            | Kind::Dns(_)
            | Kind::Udp(_)
            | Kind::Icmp(_)
            | Kind::Tls(_) => std::future::pending().await,
        }
    }
}

/// What a run saw, before it is made fit for a line.
#[derive(Debug, Clone, PartialEq)]
struct Finding {
    health: Health,
    cause: Cause,
    detail: String,
    /// The sockets that refused, as far as it is known which.
    refused: Vec<(Protocol, SocketAddr)>,
    performance: Vec<Performance>,
}

impl Finding {
    fn judged(self, started: Instant) -> Outcome {
        let finding = self;
        Outcome {
            health: finding.health,
            cause: finding.cause,
            detail: words::line(&finding.detail),
            took: started.elapsed(),
            performance: finding.performance,
        }
    }

    fn up(detail: impl Into<String>) -> Self {
        Self::answered(Health::Up, detail)
    }

    fn down(detail: impl Into<String>) -> Self {
        Self::answered(Health::Down, detail)
    }

    /// There was no answer in time.
    fn late(detail: impl Into<String>) -> Self {
        Self { cause: Cause::TimedOut, ..Self::down(detail) }
    }

    /// The file system has not said anything of what the slot is for.
    fn hanging(slot: &Slot, hang: Hang, timeout: Duration) -> Self {
        let what = slot.what();
        match hang {
            Hang::Late => Self::late(format!("{what}: no answer from the file system within {}", words::time(timeout))),
            Hang::Before(time) => {
                Self::late(format!("{what}: the file system has not answered for {}", words::age(time)))
            }
            // It was our own doing that it was not asked.
            Hang::Busy => Self::unknown(format!("{what}: not asked in time, too many checks ask for it at once")),
            Hang::Full(threads) => Self::unknown(format!("{what}: not asked in time, {}", words::full(threads))),
            Hang::Fault(why) => Self::unknown(format!("cannot ask for {what}: {why}")),
        }
    }

    fn answered(health: Health, detail: impl Into<String>) -> Self {
        Self { health, cause: Cause::Answered, detail: detail.into(), refused: Vec::new(), performance: Vec::new() }
    }

    /// The run could not be done, and says nothing about the service.
    fn unknown(detail: impl Into<String>) -> Self {
        Self::answered(Health::Unknown, detail)
    }

    /// A failed system call, judged by whose trouble it is.
    fn fault(doing: &str, error: &std::io::Error) -> Self {
        let health = if words::is_ours(error) { Health::Unknown } else { Health::Down };
        let refused = error.kind() == std::io::ErrorKind::ConnectionRefused;
        let cause = if refused { Cause::Refused } else { Cause::Answered };
        Self { cause, ..Self::answered(health, format!("{doing}: {}", words::fault(error))) }
    }

    /// It was this socket that refused, if it did.
    fn of(mut self, protocol: Protocol, address: SocketAddr) -> Self {
        if self.cause == Cause::Refused {
            self.refused = vec![(protocol, address)];
        }
        self
    }

    /// Several failures as one: it takes a single proof that the service is bad.
    fn join(failures: &[Self]) -> Self {
        let proven = failures.iter().any(|failure| failure.health == Health::Down);
        let details: Vec<&str> = failures.iter().map(|failure| failure.detail.as_str()).collect();
        let health = if proven { Health::Down } else { Health::Unknown };
        // What is refused is refused whatever else was late; only where all were late may the trouble be ours.
        let causes = || failures.iter().filter(|failure| failure.health == health).map(|failure| failure.cause);
        let cause = if causes().any(|cause| cause == Cause::Refused) {
            Cause::Refused
        } else if causes().all(|cause| cause == Cause::TimedOut) {
            Cause::TimedOut
        } else {
            Cause::Answered
        };
        let refused = failures.iter().flat_map(|failure| failure.refused.iter().copied()).collect();
        Self { cause, refused, ..Self::answered(health, details.join("; ")) }
    }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
