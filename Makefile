# One verb each; what they do is in scripts/, so that they can be read and run alone.

.PHONY: test check fuzz bench

## Runs every test. Brings the servers that tests need, and ends with `N passed, N failed`.
test:
	@scripts/test

## Formatting, lints with warnings denied, licences and sources of dependencies.
check:
	@scripts/check

## Every fuzz target for 60 seconds (FUZZ_SECONDS) from its corpus.
fuzz:
	@scripts/fuzz

## Prints the table of measurements; bench/README.md says how to read it.
bench:
	@cargo run --release --locked -p seawall-bench
