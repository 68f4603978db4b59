//! What stands behind the question mark of a request.

use std::collections::BTreeMap;

/// The pairs of a query string, percent-decoded; `None` where they cannot be.
pub(crate) fn query(text: &str) -> Option<BTreeMap<String, String>> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    let decoded = pairs.map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((percent_decode(key)?, percent_decode(value)?))
    });
    decoded.collect()
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? << 4 | digit()?).ok()?
            }
            b'+' => b' ',
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_decoded() {
        let good = query("target=203.0.113.0%2F24&x=a+b&flag").unwrap();
        assert_eq!(good["target"], "203.0.113.0/24");
        assert_eq!(good["x"], "a b");
        assert_eq!(good["flag"], "");
        for bad in ["a=%", "a=%2", "a=%zz", "a=%ff", "%+1=x"] {
            assert!(query(bad).is_none(), "{bad}");
        }
    }
}
