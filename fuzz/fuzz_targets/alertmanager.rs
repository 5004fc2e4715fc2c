#![no_main]

use libfuzzer_sys::fuzz_target;
use seawall_fuzz::read_both_ways;
use seawall_ingest::adapters::{parse_alertmanager, stream_alertmanager};

fuzz_target!(|body: &[u8]| read_both_ways(body, parse_alertmanager, |body, normaliser, received, most| {
    stream_alertmanager(body, normaliser, received, most)
}));
