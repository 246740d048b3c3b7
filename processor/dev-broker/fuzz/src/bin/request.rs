//! Bytes from a socket: what a client sends as a request.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    millrace_dev_broker::fuzz::decode_request(bytes);
});
