//! What to do where one end does not take the other's OPEN (RFC 4271 §6.2): both have to say who they are.

use anycast_bgp::{DownReason, Fault, Notification, OpenError, PeerAs, PeerConfig};

/// `None`: the error says all there is to say.
pub(super) fn of(reason: &DownReason, ours: &PeerConfig) -> Option<String> {
    match reason {
        DownReason::Fault(Fault::Open(error)) => here(error),
        DownReason::Received(notification) => there(notification, ours),
        _ => None,
    }
}

/// We did not take it.
fn here(error: &OpenError) -> Option<String> {
    Some(match error {
        OpenError::BadPeerAs { found: 0, .. } => {
            "mend it there: AS 0 is nobody's (RFC 7607); FRR, IOS: `router bgp ASN`".to_owned()
        }
        OpenError::BadPeerAs { found, expected, ours } => {
            let key = match expected {
                PeerAs::External if *found == ours.get() => "internal".to_owned(),
                PeerAs::External | PeerAs::Exactly(_) | PeerAs::Internal => found.to_string(),
            };
            format!(
                "if that is the router that is meant: `asn: {key}` for this neighbor, then `anycastctl reload`; else mend the address here, or \
                 there its AS number (`local-as` too)"
            )
        }
        OpenError::ZeroIdentifier => {
            "give the neighbor a router id: FRR, IOS `bgp router-id A.B.C.D`; Junos `routing-options router-id`; BIRD `router id`".to_owned()
        }
        OpenError::OurIdentifier(identifier) => format!(
            "see which of the two {identifier} belongs to, and give the other one its own: here `bgp: router_id:`, then `anycastctl reload`; a \
             copied configuration has it twice"
        ),
        OpenError::NoCommonFamily { .. } => {
            "`families` for this neighbor, then `anycastctl reload`; or activate one of ours there".to_owned()
        }
        OpenError::RoleMismatch { .. } => "`role` for this neighbor, then `anycastctl reload`; or mend its role there".to_owned(),
        OpenError::HoldTime(_) => "mend its hold time there".to_owned(),
        OpenError::Malformed(_) | OpenError::Version(_) | OpenError::Parameter(_) => return None,
    })
}

/// It did not take ours.
fn there(notification: &Notification, ours: &PeerConfig) -> Option<String> {
    let (asn, identifier) = (ours.local_as, ours.router_id.get());
    match (notification.code, notification.subcode) {
        (2, 2) => Some(format!(
            "it expects another AS number of this node than {asn}: mend it there (FRR, IOS `neighbor … remote-as {asn}`; Junos `peer-as {asn}`; BIRD \
             `neighbor … as {asn}`), or `bgp: asn:` here"
        )),
        (2, 3) => Some(format!(
            "it does not take our BGP Identifier {identifier}: it has the same one itself, or has a session with another node that has it; \
             give this node its own, `bgp: router_id:`, then `anycastctl reload`"
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use anycast_bgp::{Asn, RouterId};

    use super::*;

    #[test]
    fn an_open_that_is_refused_names_what_to_mend() {
        let asn = |number| Asn::new(number).unwrap();
        let identifier = [192, 0, 2, 2].into();
        let config = PeerConfig::new(asn(65010), RouterId::new(identifier).unwrap(), PeerAs::Exactly(asn(65001)));
        let bad =
            |found, expected| DownReason::Fault(OpenError::BadPeerAs { found, expected, ours: asn(65010) }.into());
        let received = |code, subcode| DownReason::Received(Notification { code, subcode, data: bytes::Bytes::new() });
        let table = [
            (bad(65002, PeerAs::Exactly(asn(65001))), "`asn: 65002` for this neighbor"),
            (bad(65010, PeerAs::External), "`asn: internal` for this neighbor"),
            (bad(0, PeerAs::External), "AS 0 is nobody's"),
            (DownReason::Fault(OpenError::ZeroIdentifier.into()), "bgp router-id"),
            (DownReason::Fault(OpenError::OurIdentifier(identifier).into()), "192.0.2.2 belongs to"),
            (received(2, 2), "remote-as 65010"),
            (received(2, 3), "our BGP Identifier 192.0.2.2"),
            (received(6, 2), ""),
            (DownReason::Closed(None), ""),
        ];
        for (reason, part) in table {
            let told = of(&reason, &config).unwrap_or_default();
            assert!(told.contains(part) && told.is_empty() == part.is_empty(), "{reason}: {told}");
        }
    }
}
