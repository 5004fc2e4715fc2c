#![no_main]

use libfuzzer_sys::fuzz_target;
use seawall_fuzz::read_both_ways;
use seawall_ingest::adapters::{parse_kubernetes_event, stream_kubernetes_event};

fuzz_target!(|body: &[u8]| read_both_ways(
    body,
    parse_kubernetes_event,
    |body, normaliser, received, most| { stream_kubernetes_event(body, normaliser, received, most) }
));
