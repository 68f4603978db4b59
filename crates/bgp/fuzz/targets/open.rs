//! The body of an OPEN, and what it means together with ours.
//!
//! Input: three octets of configuration, the body.

#![no_main]

use anycast_bgp::{Capability, MessageType, fuzzing};
use anycast_bgp_fuzz::{Input, config};
use libfuzzer_sys::fuzz_target;

/// The most octets of capabilities that one parameter in the format of RFC 4271 holds, which is what we write.
const ONE_PARAMETER: usize = 253;

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let config = config(&mut input);
    let refused = |error: anycast_bgp::OpenError| {
        assert!(!error.to_string().chars().any(char::is_control));
        let notification = error.notification();
        assert_eq!(notification.code, 2);
        let message = fuzzing::encode(&notification);
        assert_eq!(fuzzing::frames([&message[..]], false).0, [(MessageType::Notification, message)]);
    };
    let open = match fuzzing::PeerOpen::parse(input.rest()) {
        Ok(open) => open,
        Err(error) => return refused(error),
    };

    let capabilities = open.capabilities();
    assert!(capabilities.iter().all(|capability| !capability.to_string().is_empty()));
    let octets = |capability: &Capability| match capability {
        Capability::Other { value, .. } => 2 + value.len(),
        Capability::GracefulRestart { families, .. } => 4 + 4 * families.len(),
        _ => 8,
    };
    if capabilities.iter().map(octets).sum::<usize>() <= ONE_PARAMETER {
        let message = open.encode();
        let (messages, error) = fuzzing::frames([&message[..]], false);
        assert_eq!((messages, error), (vec![(MessageType::Open, message.clone())], None));
        assert_eq!(fuzzing::PeerOpen::parse(&message[19..]), Ok(open.clone()), "what was read can be written");
    }

    let negotiated = match open.negotiate(&config) {
        Ok(negotiated) => negotiated,
        Err(error) => return refused(error),
    };
    assert!(!negotiated.families.is_empty() && negotiated.families.is_subset(&config.families));
    assert_eq!(negotiated.external, negotiated.peer_as != config.local_as);
    let (ours, agreed) = (config.hold_time.to_wire(), negotiated.hold_time.to_wire());
    assert!(agreed <= ours && (agreed == 0 || agreed >= 3), "{agreed} of {ours}");
    assert_eq!(negotiated.keepalive, negotiated.hold_time.duration().map(|hold| hold / 3));
    let shown = |capability: Capability| capabilities.contains(&capability);
    assert_eq!(negotiated.extended_message, config.offers.extended_message && shown(Capability::ExtendedMessage));
    assert_eq!(
        negotiated.enhanced_route_refresh,
        config.offers.enhanced_route_refresh && shown(Capability::EnhancedRouteRefresh)
    );
    assert!(!negotiated.extended_next_hop || config.offers.extended_next_hop);
    assert!(negotiated.graceful_restart.is_none() || config.graceful_restart.is_some());
    assert!(negotiated.external || negotiated.role.is_none());
    assert!(negotiated.role.is_none_or(|role| Some(role) == config.role));
    assert_eq!(negotiated.received, capabilities);
    assert!(negotiated.in_force().iter().all(|words| !words.is_empty()));
});
