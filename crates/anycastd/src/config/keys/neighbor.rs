//! `bgp.neighbors`, and the attributes that services have as well.

use super::{
    ADDRESS, COUNT, FAMILIES, INTERFACE, Key, Keys, LONGEST, MOST, NAME, PATH, PORT, PREFIX, Shape, TEXT, TRUTH, key,
};

/// A neighbor.
pub(super) const NEIGHBOR: Keys = Keys {
    place: "bgp.neighbors[]",
    keys: &[
        key("name", NAME, "Its name.").required(),
        key("address", ADDRESS, "Its address.").else_says("one of `address`, `interface`, `prefix` is required"),
        key("interface", INTERFACE, "Instead: the router at the other end of this interface, by link-local addresses."),
        key("prefix", PREFIX, "Instead: every router that connects from this network, each with a session of its own."),
        key("max_sessions", COUNT, "How many routers of a `prefix` may have a session at a time.").or("100"),
        key("connect", Shape::Word(&["active", "passive"]), "Whether we dial, or wait for the neighbor to.")
            .else_says("`active`; of a `prefix`, `passive`"),
        key(
            "asn",
            Shape::Either(&[Shape::Number(1, MOST), Shape::Word(&["external", "internal"])]),
            "Its AS number; or any but ours, or ours.",
        )
        .required(),
        key("port", PORT, "The TCP port that we dial.").or("179"),
        key("source", ADDRESS, "Our end of the session, of the same family.").else_says("the kernel's choice"),
        key("bind_device", INTERFACE, "The interface or VRF that the session is bound to."),
        key(
            "multihop",
            Shape::Number(1, 255),
            "How many hops its packets may take, for an external neighbor that is not on the same link.",
        )
        .else_says("1 hop to an external neighbor; the kernel's TTL to an internal one"),
        key(
            "ttl_security",
            Shape::Number(1, 254),
            "GTSM (RFC 5082): only packets that came over at most so many hops are taken.",
        )
        .else_says("off"),
        PASSWORD_FILE,
        CREDENTIAL,
        key("tcp_ao", Shape::Keys(&TCP_AO), "TCP-AO (RFC 5925) instead of TCP MD5, where the kernel has it."),
        key(
            "hold_time",
            Shape::Time("0s", "65535s"),
            "What we propose, in whole seconds: at least `3s`, or `0s` for a session without keepalives.",
        )
        .or("90s"),
        key(
            "connect_retry",
            Shape::Time("1s", "10m"),
            "The longest time between two dials; it begins with 1 s and doubles.",
        )
        .or("30s"),
        key(
            "send_hold_time",
            Shape::Time("3s", LONGEST),
            "How long the neighbor may read nothing of what we send (RFC 9687); longer than `hold_time`.",
        )
        .else_says("the hold time, 90 s without one"),
        key("families", FAMILIES, "All that it is to carry.")
            .else_says("those of the prefixes it is to carry; both where there are none"),
        key("next_hop", Shape::Keys(&NEXT_HOP), "The addresses that it is to send to."),
        key(
            "graceful_restart",
            Shape::Either(&[TRUTH, Shape::Keys(&RESTART)]),
            "Whether it keeps our routes while there is no session (RFC 4724).",
        )
        .or("false"),
        key(
            "bfd",
            Shape::Either(&[TRUTH, Shape::Keys(&BFD)]),
            "A dead path is noticed by BFD (RFC 5880), before the hold timer does.",
        )
        .or("false"),
        key(
            "drain_by",
            Shape::Word(&["gshut", "prepend", "none"]),
            "How it is asked to prefer other ways before a planned withdraw.",
        )
        .or("gshut"),
        key("attributes", Shape::Keys(&OF_NEIGHBOR), "What is changed of the attributes of every route for it."),
        key("max_announced", Shape::Number(1, MOST), "How many prefixes may be announced to it.").else_says("no limit"),
        key("max_prefixes", Shape::Number(1, MOST), "How many prefixes it should announce to us: an alarm.")
            .else_says("no alarm"),
        key("role", Shape::Word(&["customer", "provider", "peer", "rs", "rs-client"]), "What we are to it (RFC 9234).")
            .else_says("none shown"),
        key("role_strict", TRUTH, "Also refuse a neighbor that shows no role.").or("false"),
        key("capabilities", Shape::Keys(&CAPABILITIES), "What is offered."),
    ],
};

const PASSWORD_FILE: Key = key("password_file", PATH, "A file with the password, on one line.");
const CREDENTIAL: Key = key("credential", TEXT, "Instead: the name of a credential of systemd.");

const TCP_AO: Keys = Keys {
    place: "bgp.neighbors[].tcp_ao",
    keys: &[
        PASSWORD_FILE,
        CREDENTIAL,
        key("send_id", Shape::Number(0, 255), "The number of the key in what we send.").required(),
        key("recv_id", Shape::Number(0, 255), "The number of the key in what we take.").required(),
        key("algorithm", Shape::Word(&["hmac-sha-1-96", "aes-128-cmac-96"]), "How packets are signed.")
            .or("hmac-sha-1-96"),
    ],
};

const NEXT_HOP: Keys = Keys {
    place: "bgp.neighbors[].next_hop",
    keys: &[
        key("ipv4", ADDRESS, "The next hop of our IPv4 routes.").else_says("the session's own address"),
        key(
            "ipv6",
            Shape::Either(&[ADDRESS, Shape::Word(&["none"])]),
            "The global next hop of our IPv6 routes, or `none`.",
        )
        .else_says("the session's own address, or one of its interface"),
        key(
            "ipv6_link_local",
            Shape::Either(&[ADDRESS, Shape::Word(&["auto", "none"])]),
            "A link-local next hop beside it: an address, that of the session's interface, or none.",
        )
        .else_says("`auto` where the session runs over link-local addresses"),
    ],
};

const RESTART: Keys = Keys {
    place: "bgp.neighbors[].graceful_restart",
    keys: &[key("restart_time", Shape::Time("1s", "4095s"), "How long it keeps them, in whole seconds.").or("120s")],
};

const BFD: Keys = Keys {
    place: "bgp.neighbors[].bfd",
    keys: &[
        key(
            "interval",
            Shape::Time("10ms", "1m"),
            "How often each end sends at most, and takes packets at most, while the session is Up.",
        )
        .or("300ms"),
        key("multiplier", Shape::Number(1, 255), "After so many missing packets of ours the router takes us for gone.")
            .or("3"),
        key("strict", TRUTH, "No session of BGP before that of BFD is Up.").or("false"),
        key("multihop", TRUTH, "UDP port 4784 instead of 3784 (RFC 5883).")
            .else_says("`false` where the neighbor is on the same link, else `true`"),
        key("min_ttl", Shape::Number(1, 255), "Over several hops: the least TTL of packets that are taken.")
            .else_says("256 - N with `ttl_security: N`, else 1"),
        key("authentication", Shape::Keys(&AUTHENTICATION), "Authentication (RFC 5880 §6.7).")
            .else_says("no authentication"),
    ],
};

const AUTHENTICATION: Keys = Keys {
    place: "bgp.neighbors[].bfd.authentication",
    keys: &[
        key(
            "type",
            Shape::Word(&["simple", "keyed-md5", "meticulous-keyed-md5", "keyed-sha1", "meticulous-keyed-sha1"]),
            "How packets are authenticated.",
        )
        .required(),
        key("key_id", Shape::Number(0, 255), "The number of the key.").or("1"),
        PASSWORD_FILE,
        CREDENTIAL,
    ],
};

const CAPABILITIES: Keys = Keys {
    place: "bgp.neighbors[].capabilities",
    keys: &[
        key("extended_message", TRUTH, "Messages of up to 65,535 octets (RFC 8654).").or("true"),
        key("enhanced_route_refresh", TRUTH, "Marks at both ends of the answer to a route refresh (RFC 7313).")
            .or("true"),
        key("extended_next_hop", TRUTH, "IPv4 routes with an IPv6 next hop (RFC 8950).")
            .else_says("`false`; with `interface` `true`"),
    ],
};

const OF_NEIGHBOR: Keys = attributes("bgp.neighbors[].attributes");

/// What a route carries.
pub(super) const fn attributes(place: &'static str) -> Keys {
    Keys { place, keys: ATTRIBUTES }
}

const ATTRIBUTES: &[Key] = &[
    key("med", Shape::Number(0, MOST), "MULTI_EXIT_DISC.").else_says("not sent"),
    key("local_pref", Shape::Number(0, MOST), "LOCAL_PREF, on sessions within our AS only."),
    key(
        "as_path_prepend",
        Shape::Number(0, 32),
        "How often our AS number is prepended once more, on sessions to other systems only.",
    )
    .or("0"),
    key(
        "communities",
        Shape::List(&Shape::Form("^([0-9]+:[0-9]+|[a-z-]+)$", "community: two numbers, or a well-known name")),
        "Communities (RFC 1997).",
    ),
    key(
        "extended_communities",
        Shape::List(&Shape::Form(
            "^((rt|soo):[0-9.]+:[0-9]+|0x[0-9a-fA-F]{16})$",
            "`rt:65010:100`, `soo:192.0.2.1:5` or eight octets",
        )),
        "Extended communities (RFC 4360, RFC 5668).",
    ),
    key(
        "large_communities",
        Shape::List(&Shape::Form("^[0-9]+:[0-9]+:[0-9]+$", "large community: three numbers")),
        "Large communities (RFC 8092).",
    ),
    key(
        "link_bandwidth",
        Shape::Either(&[RATE, Shape::Keys(&BANDWIDTH)]),
        "What this node can take, for routers that share traffic by it (RFC 10005).",
    ),
];

const RATE: Shape = Shape::Form("^[0-9]+(\\.[0-9]+)? ?[kMGT]?bps$", "rate, such as `10Gbps`");

const BANDWIDTH: Keys = Keys {
    place: "link_bandwidth",
    keys: &[
        key("rate", RATE, "The rate.").required(),
        key("transitive", TRUTH, "Whether it may cross the border of an AS.").or("true"),
    ],
};
