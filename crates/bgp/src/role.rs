//! BGP roles and the route-leak guard that follows from them (RFC 9234).

use std::fmt;

/// What this speaker is to its neighbor (RFC 9234 §3.1), on a session between two AS numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// It sells the neighbor transit.
    Provider,
    /// It is a route server.
    RouteServer,
    /// It is a client of a route server.
    RouteServerClient,
    /// It buys transit from the neighbor.
    Customer,
    /// Both exchange their own and their customers' routes.
    Peer,
}

impl Role {
    /// All of them, in the order of the registry.
    pub const ALL: [Self; 5] = [Self::Provider, Self::RouteServer, Self::RouteServerClient, Self::Customer, Self::Peer];

    /// The value of the capability (RFC 9234 §4.1).
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Provider => 0,
            Self::RouteServer => 1,
            Self::RouteServerClient => 2,
            Self::Customer => 3,
            Self::Peer => 4,
        }
    }

    /// The role with that value, if there is one.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.code() == code)
    }

    /// The only role that a neighbor of this one can have (RFC 9234 §4.2, table 2).
    #[must_use]
    pub const fn counterpart(self) -> Self {
        match self {
            Self::Provider => Self::Customer,
            Self::Customer => Self::Provider,
            Self::RouteServer => Self::RouteServerClient,
            Self::RouteServerClient => Self::RouteServer,
            Self::Peer => Self::Peer,
        }
    }

    /// Whether our routes carry Only To Customer: to a customer, a peer and a client of our route server (RFC 9234 §5).
    pub(crate) const fn marks_routes(self) -> bool {
        matches!(self, Self::Provider | Self::Peer | Self::RouteServer)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Provider => "provider",
            Self::RouteServer => "route server",
            Self::RouteServerClient => "route server client",
            Self::Customer => "customer",
            Self::Peer => "peer",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_come_in_pairs_and_survive_their_code() {
        for role in Role::ALL {
            assert_eq!(Role::from_code(role.code()), Some(role));
            assert_eq!(role.counterpart().counterpart(), role);
        }
        assert_eq!(Role::from_code(5), None);
    }
}
