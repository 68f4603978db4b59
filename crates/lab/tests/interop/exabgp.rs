//! exabgp
