#![no_main]

use libfuzzer_sys::fuzz_target;
use seawall_fuzz::read_both_ways;
use seawall_ingest::adapters::{parse_prometheus, stream_prometheus};

fuzz_target!(|body: &[u8]| read_both_ways(body, parse_prometheus, |body, normaliser, received, most| {
    stream_prometheus(body, normaliser, received, most)
}));
