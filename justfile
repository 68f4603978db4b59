# What developers type; every recipe is a plain command that works without just.

# List the recipes
default:
    @just --list

# See it fail over between real routers (root)
demo *ARGS:
    cargo lab demo {{ARGS}}

# Everything CI runs (root)
test *ARGS:
    cargo lab test {{ARGS}}

# Bring the lab up and leave it up (root)
up:
    cargo lab up

# Take the lab down (root)
down:
    cargo lab down

# Format and lint
lint:
    cargo fmt --all
    cargo clippy --workspace --all-targets -- -D warnings

# The binaries of a release
release:
    cargo build --release --locked --package anycastd --package anycastctl

# The binaries of a release without any library, and whether they run without (in an empty root, if you are root)
static:
    RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --target {{arch()}}-unknown-linux-gnu --package anycastd --package anycastctl
    deploy/check-static target/{{arch()}}-unknown-linux-gnu/release

# Install on this node (root): binaries, unit, an example configuration where there is none
install: release
    install -m 0755 target/release/anycastd target/release/anycastctl /usr/bin/
    install -D -m 0644 deploy/systemd/anycastd.service /etc/systemd/system/anycastd.service
    install -D -m 0644 deploy/systemd/anycastd-drain.service /etc/systemd/system/anycastd-drain.service
    install -D -m 0644 deploy/systemd/anycastd.sysusers.conf /etc/sysusers.d/anycastd.conf
    mkdir -p /usr/local/share/man/man1
    target/release/anycastctl man --dir /usr/local/share/man/man1
    systemd-sysusers
    test -e /etc/anycastd/anycastd.yaml || install -D -m 0640 -g anycastd deploy/examples/anycastd.yaml /etc/anycastd/anycastd.yaml
    systemctl daemon-reload

# Build the Debian package
package:
    cargo lab package --release

# Install, run and remove the package under a real systemd in a container (root)
systemd:
    cargo lab systemd

# Try the other implementations, and write the page that shows what works with them (root)
interop:
    ANYCAST_INTEROP_TABLE="{{justfile_directory()}}/target/interop" cargo test --package anycast-lab --test interop
    ANYCAST_INTEROP_TABLE="{{justfile_directory()}}/target/interop" cargo test --package anycast-lab --test interop -- --ignored

# The book, as pages for a browser in target/book (needs mdBook)
book:
    mdbook build docs
