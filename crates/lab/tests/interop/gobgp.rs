//! gobgp
