//! What each of them is told.

use std::fmt::Write as _;

use super::watcher::Pace;

/// The service's address.
pub(super) const ADDRESS: &str = "203.0.113.80";
/// What is announced for it.
pub(super) const PREFIX: &str = "203.0.113.80/32";
/// Where it listens.
pub(super) const PORT: u16 = 8080;
/// What anycast-healthchecker writes and BIRD reads.
pub(super) const HEALTHCHECKER_FILE: &str = "/run/bench/anycast-prefixes.conf";

/// What everybody but the agent asks: whether the same page answers well.
fn question() -> String {
    format!("curl --silent --fail --output /dev/null --max-time 1 http://{ADDRESS}:{PORT}/healthz")
}

/// The agent with its neighbor, and services to come.
pub(super) fn anycastd_with(services: &str) -> String {
    format!(
        "bgp:\n  asn: 65010\n  router_id: 192.0.2.254\n  neighbors:\n    - {{ name: peer1, address: 192.0.2.1, asn: 65101, \
         hold_time: 180s }}\nservices:\n{services}log: {{ format: text, level: info }}\nstate: {{ directory: /run/bench/state }}\n"
    )
}

/// The agent with the one service.
pub(super) fn anycastd(pace: Pace) -> String {
    let (watch, timing) = match pace {
        Pace::Listener => ("    watch: listener\n", ""),
        Pace::Fast => ("", ", interval: 100ms, fast_interval: 100ms, rise: 1, fall: 1"),
        Pace::Default => ("", ""),
    };
    anycastd_with(&format!(
        "  - name: web\n    addresses: [{ADDRESS}]\n{watch}    checks:\n      \
         - {{ name: serves, type: http, url: \"http://{ADDRESS}:{PORT}/healthz\"{timing} }}\n"
    ))
}

/// The same with a check of TCP that takes all defaults.
pub(super) fn anycastd_tcp(pace: Pace) -> String {
    let watch = if pace == Pace::Listener { "    watch: listener\n" } else { "" };
    anycastd_with(&format!(
        "  - name: web\n    addresses: [{ADDRESS}]\n{watch}    checks:\n      - {{ name: accepts, type: tcp, address: \"{ADDRESS}:{PORT}\" }}\n"
    ))
}

/// The agent with many checks, ten for each service with an address of its own; `check` gives the type and what it asks, for an
/// address and a number from 0 to 9.
pub(super) fn anycastd_of(checks: u32, check: impl Fn(&str, u32) -> String) -> String {
    let mut services = String::new();
    for service in 0..checks.div_ceil(10) {
        let address = many_address(service);
        let _ = write!(services, "  - name: service{service}\n    addresses: [{address}]\n    checks:\n");
        for n in 0..10.min(checks - service * 10) {
            let _ = writeln!(services, "      - {{ name: check{n}, interval: 1s, {} }}", check(&address, n));
        }
    }
    anycastd_with(&services)
}

/// The address of one of many services.
pub(super) fn many_address(service: u32) -> String {
    format!("10.99.{}.{}", service / 250, service % 250 + 1)
}

/// ExaBGP with its `healthcheck`.
pub(super) fn exabgp(pace: Pace) -> String {
    let timing = match pace {
        Pace::Fast => "--interval 0.1 --fast-interval 0.1 --rise 1 --fall 1",
        Pace::Listener | Pace::Default => "",
    };
    let question = question();
    format!(
        "process watch {{\n  run /usr/bin/python3 -m exabgp healthcheck --no-syslog --no-ack --no-ip-setup \
         --withdraw-on-down --ip {PREFIX} {timing} --cmd \"{question}\";\n  encoder text;\n}}\n\
         neighbor 192.0.2.1 {{\n  router-id 192.0.2.254;\n  local-address 192.0.2.254;\n  local-as 65010;\n  peer-as 65101;\n  \
         hold-time 180;\n  family {{\n    ipv4 unicast;\n  }}\n  api {{\n    processes [ watch ];\n  }}\n}}\n"
    )
}

/// BIRD, which announces what the file lists and the loopback has.
pub(super) fn bird() -> String {
    format!(
        "router id 192.0.2.254;\ninclude \"{HEALTHCHECKER_FILE}\";\nprotocol device {{ }}\n\
         protocol direct {{ ipv4; interface \"lo\"; }}\n\
         protocol bgp {{\n  local 192.0.2.254 as 65010;\n  neighbor 192.0.2.1 as 65101;\n  hold time 180;\n  connect delay time 1;\n  \
         connect retry time 1;\n  ipv4 {{ import none; export where net ~ ACAST_PS_ADVERTISE; next hop self; }};\n}}\n"
    )
}

/// As anycast-healthchecker wants to find it.
pub(super) fn healthchecker_file() -> String {
    "define ACAST_PS_ADVERTISE =\n    [\n        10.189.200.255/32\n    ];\n".to_owned()
}

/// anycast-healthchecker with the one service.
pub(super) fn healthchecker(pace: Pace) -> String {
    let timing = match pace {
        Pace::Fast => "check_interval = 0.1\ncheck_timeout = 1\ncheck_rise = 1\ncheck_fail = 1\n",
        Pace::Listener | Pace::Default => "",
    };
    let question = question();
    format!(
        "[DEFAULT]\ninterface = lo\n\n[daemon]\npidfile = /run/bench/healthchecker.pid\nipv4 = true\nipv6 = false\n\
         bird_conf = {HEALTHCHECKER_FILE}\nbird_variable = ACAST_PS_ADVERTISE\n\
         bird_reconfigure_cmd = /usr/sbin/birdc -s /run/bird.ctl configure\ndummy_ip_prefix = 10.189.200.255/32\n\
         loglevel = error\nlog_file = /run/bench/healthchecker.log\nstderr_file = /run/bench/healthchecker.err\n\n\
         [web]\ncheck_cmd = {question}\nip_prefix = {PREFIX}\ncheck_disabled = false\non_disabled = withdraw\n{timing}"
    )
}

/// A check every 100 ms, and an order to GoBGP when the answer is another one.
pub(super) fn script() -> String {
    let question = question();
    format!(
        "known=down\nwhile :; do\n  if {question}; then now=up; order=add; else now=down; order=del; fi\n  \
         if [ $now != $known ]; then gobgp global rib $order {PREFIX} && known=$now; fi\n  sleep 0.1\ndone\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_checks_are_ten_to_a_service() {
        let text = anycastd_of(25, |address, n| format!("type: tcp, address: \"{address}:{}\"", 20_000 + n));
        assert_eq!(text.matches("interval: 1s").count(), 25);
        assert_eq!(text.matches("  - name: service").count(), 3);
        assert!(text.contains("addresses: [10.99.0.3]") && text.contains("10.99.0.3:20004"), "{text}");
        assert!(!text.contains("10.99.0.3:20005"), "{text}");
        assert_eq!(many_address(250), "10.99.1.1");
    }
}
