# `just check` is what CI runs first: format, lints, docs, tests.
check: format lint docs test

format:
    cargo fmt --all -- --check

lint:
    cargo clippy --all-targets -- -D warnings

docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps

test:
    cargo test

# Licences and sources of the dependencies; needs `cargo install cargo-deny`.
deny:
    cargo deny check licenses bans sources
