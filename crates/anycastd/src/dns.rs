//! Texts of the DNS and what they mean on the wire: what the configuration and the check itself both need.

use std::{iter, str::FromStr as _};

use domain::{
    base::{
        Name, Rtype,
        iana::OptRcode,
        rdata::{ComposeRecordData, UnknownRecordData},
        scan::{IterScanner, Scanner as _},
    },
    rdata::ZoneRecordData,
};

/// An absolute name.
pub(crate) type DnsName = Name<Vec<u8>>;

/// What is asked for, always in class IN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) name: DnsName,
    pub(crate) kind: Rtype,
}

impl Question {
    /// A name and a type, each in presentation format.
    ///
    /// # Errors
    /// What is wrong, as part of a sentence.
    pub(crate) fn new(name: &str, kind: &str) -> Result<Self, String> {
        let shown = kind.to_ascii_uppercase();
        let kind = Rtype::from_str(kind).map_err(|_| format!("`{kind}` is not a record type"))?;
        // Types that are transactions, or belong to a message and not to a name.
        if matches!(kind, Rtype::OPT | Rtype::TSIG | Rtype::AXFR | Rtype::IXFR | Rtype::MAILA | Rtype::MAILB) {
            return Err(format!("`{shown}` is not a record type that a check can ask for"));
        }
        let name = Name::vec_from_str(name).map_err(|error| format!("`{name}` is not a domain name ({error})"))?;
        Ok(Self { name, kind })
    }
}

/// The number of a response code, by its mnemonic.
pub(crate) fn rcode(mnemonic: &str) -> Option<u16> {
    mnemonic.to_ascii_uppercase().parse().ok().map(OptRcode::to_int)
}

/// Record data of this type in presentation format (RFC 1035 §5.1; RFC 3597 §5 with `\#`), in its canonical form on the wire.
///
/// # Errors
/// What is wrong, as part of a sentence.
pub(crate) fn record_data(kind: Rtype, text: &str) -> Result<Vec<u8>, String> {
    let mut tokens = tokens(text).ok_or_else(|| "a quote is not closed".to_owned())?.into_iter().peekable();
    let unknown = tokens.next_if(|token| token == r"\#").is_some();
    let mut scanner = IterScanner::<_, Vec<u8>>::new(tokens);
    let data = if unknown {
        UnknownRecordData::scan_without_marker(kind, &mut scanner).map(ZoneRecordData::Unknown)
    } else {
        ZoneRecordData::scan(kind, &mut scanner)
    };
    let data = data.map_err(|error| error.to_string())?;
    if scanner.continues() {
        return Err("there is more than the type takes".to_owned());
    }
    Ok(canonical(&data))
}

/// The form in which equal data are equal bytes (RFC 4034 §6.2).
pub(crate) fn canonical(data: &impl ComposeRecordData) -> Vec<u8> {
    let mut wire = Vec::new();
    // A vector takes all that it is given.
    let Ok(()) = data.compose_canonical_rdata(&mut wire);
    wire
}

/// Words, and texts in quotes, of which the quotes are removed; escapes are left for later.
fn tokens(text: &str) -> Option<Vec<String>> {
    let mut tokens = Vec::new();
    let mut characters = text.chars().peekable();
    loop {
        while characters.next_if(|character| character.is_whitespace()).is_some() {}
        let Some(first) = characters.peek().copied() else { return Some(tokens) };
        let quoted = first == '"';
        if quoted {
            characters.next();
        }
        let mut token = String::new();
        loop {
            match characters.next_if(|character| quoted || !character.is_whitespace()) {
                Some('"') if quoted => break,
                Some('\\') => token.extend(iter::once('\\').chain(characters.next())),
                Some(character) => token.push(character),
                None if quoted => return None,
                None => break,
            }
        }
        tokens.push(token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(kind: &str, text: &str) -> Result<Vec<u8>, String> {
        record_data(Rtype::from_str(kind).unwrap(), text)
    }

    #[test]
    fn equal_data_are_equal_however_they_are_written() {
        let cases = [
            ("A", "192.0.2.80", r"\# 4 C0000250"),
            ("AAAA", "2001:db8::1", "2001:0DB8:0:0::0001"),
            ("NS", "ns1.Example.net", "ns1.example.net."),
            ("MX", "10 Mail.example.net.", "10   mail.example.NET"),
            ("TXT", "one two", r#""one" "two""#),
            ("TXT", r#""a b""#, r"a\032b"),
            ("TXT", r#""say \"hi\"""#, r#"say\ \"hi\""#),
            ("TXT", r#""""#, r"\# 1 00"),
            ("CAA", r#"0 issue "ca.example.net""#, "0 issue ca.example.net"),
            ("TYPE65280", r"\# 2 abcd", r"\# 2 AB CD"),
        ];
        for (kind, one, other) in cases {
            assert_eq!(data(kind, one).unwrap(), data(kind, other).unwrap(), "{kind} {one}");
        }
        assert_ne!(data("TXT", "one two").unwrap(), data("TXT", r#""one two""#).unwrap());
        assert_ne!(data("TXT", "Upper").unwrap(), data("TXT", "upper").unwrap());
    }

    #[test]
    fn data_that_is_none_is_refused() {
        let cases = [
            ("A", "192.0.2"),
            ("A", "192.0.2.1 192.0.2.2"),
            ("A", ""),
            ("AAAA", "192.0.2.1"),
            ("MX", "mail.example.net"),
            ("TXT", r#""open"#),
            ("NS", "a..b"),
            ("TYPE65280", "abcd"),
            ("A", r"\# 5 C0000250"),
            ("ANY", "192.0.2.1"),
        ];
        for (kind, text) in cases {
            assert!(data(kind, text).is_err(), "{kind} {text}");
        }
    }

    #[test]
    fn questions() {
        let question = Question::new("Health.example.net", "aaaa").unwrap();
        assert_eq!((question.name.to_string().as_str(), question.kind), ("Health.example.net", Rtype::AAAA));
        assert!(Question::new(".", "NS").is_ok() && Question::new("example.net.", "ANY").is_ok());
        let long = format!("{}.net", "x".repeat(64));
        for (name, kind, words) in [
            ("example.net", "AXFR", "not a record type that a check can ask for"),
            ("example.net", "AAAAA", "`AAAAA` is not a record type"),
            ("a..b", "A", "`a..b` is not a domain name"),
            (&long, "A", "is not a domain name"),
        ] {
            let error = Question::new(name, kind).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn response_codes() {
        let cases = [("NOERROR", Some(0)), ("servfail", Some(2)), ("BADVERS", Some(16)), ("NOPE", None), ("3", None)];
        for (mnemonic, number) in cases {
            assert_eq!(rcode(mnemonic), number, "{mnemonic}");
        }
    }
}
