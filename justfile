# `just check` is what has to pass: format, lints, docs, tests. CI runs them first.
check: format lint docs test

format:
    cargo fmt --all -- --check

lint:
    cargo clippy --all-targets -- -D warnings
    cargo clippy --no-default-features -- -D warnings

docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps

test:
    cargo test

# Licences and sources of the dependencies; needs `cargo install cargo-deny`.
deny:
    cargo deny check licenses bans sources

# All that CI runs, the real model and llama.cpp included; from nothing, most of an hour.
ci:
    .ci/run
