//! What happened in a run. Two runs of one seed have the same trace, byte for byte.

use std::fmt::{self, Write as _};

/// A digest of everything, and the lines themselves when they are wanted.
#[derive(Debug)]
pub(crate) struct Trace {
    digest: Fnv,
    lines: Option<Vec<String>>,
}

/// FNV-1a, 64 bits: stable across releases and machines, which the standard library's hasher is not.
#[derive(Debug)]
struct Fnv(u64);

impl Fnv {
    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

impl fmt::Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }
}

impl Trace {
    pub(crate) fn new(keeps_lines: bool) -> Self {
        Self { digest: Fnv(0xcbf2_9ce4_8422_2325), lines: keeps_lines.then(Vec::new) }
    }

    pub(crate) fn note(&mut self, line: fmt::Arguments<'_>) {
        writeln!(self.digest, "{line}").expect("hashing does not fail");
        if let Some(lines) = &mut self.lines {
            lines.push(line.to_string());
        }
    }

    /// Bytes that are part of what happened, but no line of it.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.digest.bytes(bytes);
    }

    pub(crate) fn digest(&self) -> u64 {
        self.digest.0
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines.unwrap_or_default()
    }
}
