//! The file as it is written. What these types do not name, the lab cannot do, and serde says so with its place.

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) name: String,
    pub(super) topology: Body,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    #[serde(default)]
    pub(super) defaults: Shared,
    #[serde(default, deserialize_with = "unique")]
    pub(super) kinds: BTreeMap<String, Shared>,
    #[serde(default, deserialize_with = "unique")]
    pub(super) groups: BTreeMap<String, Shared>,
    #[serde(deserialize_with = "unique")]
    pub(super) nodes: BTreeMap<String, Node>,
    #[serde(default)]
    pub(super) links: Vec<Link>,
}

/// What several nodes can have in common: of the rest it is not plain in which order containerlab would put it together.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shared {
    pub(super) kind: Option<String>,
    pub(super) image: Option<String>,
    pub(super) cmd: Option<String>,
    #[serde(rename = "network-mode")]
    pub(super) network_mode: Option<String>,
    #[serde(default, deserialize_with = "unique")]
    pub(super) env: BTreeMap<String, Scalar>,
    #[serde(default, deserialize_with = "unique")]
    pub(super) sysctls: BTreeMap<String, Scalar>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Node {
    pub(super) group: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) image: Option<String>,
    pub(super) cmd: Option<String>,
    #[serde(rename = "network-mode")]
    pub(super) network_mode: Option<String>,
    #[serde(default, deserialize_with = "unique")]
    pub(super) env: BTreeMap<String, Scalar>,
    #[serde(default, deserialize_with = "unique")]
    pub(super) sysctls: BTreeMap<String, Scalar>,
    #[serde(default)]
    pub(super) binds: Vec<String>,
    #[serde(default)]
    pub(super) exec: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Link {
    pub(super) endpoints: (String, String),
    pub(super) mtu: Option<u32>,
}

/// A value that may be written with or without quotes.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum Scalar {
    Number(i64),
    Text(String),
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

/// A map in which no key stands twice: the parser alone would silently take the last.
fn unique<'de, D: Deserializer<'de>, V: Deserialize<'de>>(from: D) -> Result<BTreeMap<String, V>, D::Error> {
    struct Unique<V>(PhantomData<V>);

    impl<'de, V: Deserialize<'de>> Visitor<'de> for Unique<V> {
        type Value = BTreeMap<String, V>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
            let mut map = BTreeMap::new();
            while let Some(key) = entries.next_key::<String>()? {
                if map.contains_key(&key) {
                    return Err(A::Error::custom(format_args!("`{key}` stands here twice")));
                }
                map.insert(key, entries.next_value()?);
            }
            Ok(map)
        }
    }

    from.deserialize_map(Unique(PhantomData))
}
