//! The names operators give to neighbors, services and checks.

use std::{borrow::Borrow, fmt, sync::Arc};

/// Why a text cannot be a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` cannot be a name; use 1 to 63 letters, digits, `.`, `_` or `-`, beginning with a letter or a digit")]
pub struct BadName(pub String);

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// # Errors
            /// [`BadName`] unless it is 1 to 63 characters of `A-Za-z0-9._-`, the first a letter or a digit.
            pub fn new(text: &str) -> Result<Self, BadName> {
                let fits = (1..=63).contains(&text.len())
                    && text.starts_with(|first: char| first.is_ascii_alphanumeric())
                    && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
                if fits { Ok(Self(text.into())) } else { Err(BadName(text.to_owned())) }
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name! {
    /// A neighbor, by the name its operator gave it.
    PeerId
}
impl PeerId {
    /// One of the routers that the neighbor `self`, a network, stands for. No operator can give such a name.
    #[must_use]
    pub fn at(&self, address: std::net::IpAddr) -> Self {
        Self(format!("{self}@{address}").into())
    }
}

name! {
    /// A service.
    ServiceName
}
name! {
    /// A check of a service; unique within it.
    CheckName
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_router_of_a_network_has_a_name_that_nobody_can_give() {
        let one = PeerId::new("leafs").unwrap().at("192.0.2.7".parse().unwrap());
        assert_eq!(one.as_str(), "leafs@192.0.2.7");
        assert!(PeerId::new(one.as_str()).is_err());
    }

    #[test]
    fn names_are_short_and_plain() {
        for good in ["a", "leaf1", "0", "dns.eu-west_1", &"x".repeat(63)] {
            assert!(ServiceName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", ".", "a b", "ä", "a/b", "a\n", &"x".repeat(64)] {
            assert!(ServiceName::new(bad).is_err(), "{bad}");
        }
    }
}
