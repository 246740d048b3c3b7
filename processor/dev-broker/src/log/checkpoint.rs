//! The two offsets of a log that its segments do not tell, in a small file that is replaced as a whole.

use std::io;
use std::path::Path;

use bytes::Buf;

use crate::log::batch::OFFSET_MAX;
use crate::log::files::{self, CHECKPOINT};

const VERSION: u8 = 1;

/// Both are 0 in a log that has no such file yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// Nothing below it is read any more (KIP-107), though the first segment may begin earlier.
    pub(crate) start_offset: i64,
    /// Below it, compaction has seen every record.
    pub(crate) cleaned_to: i64,
}

impl Checkpoint {
    pub(crate) fn write(self, dir: &Path) -> io::Result<()> {
        let body =
            [&[VERSION][..], &self.start_offset.to_le_bytes(), &self.cleaned_to.to_le_bytes()].concat();
        files::write_sealed(&dir.join(CHECKPOINT), &body, true)
    }

    /// `None` if there is a file that cannot be read.
    pub(crate) fn read(dir: &Path) -> io::Result<Option<Self>> {
        let path = dir.join(CHECKPOINT);
        match files::read_sealed(&path)? {
            Some(body) => Ok(Self::parse(&body)),
            None => Ok((!path.exists()).then(Self::default)),
        }
    }

    fn parse(mut body: &[u8]) -> Option<Self> {
        if body.try_get_u8().ok()? != VERSION {
            return None;
        }
        let (start_offset, cleaned_to) = (body.try_get_i64_le().ok()?, body.try_get_i64_le().ok()?);
        let are_offsets = [start_offset, cleaned_to].iter().all(|it| (0..OFFSET_MAX).contains(it));
        (are_offsets && body.is_empty()).then_some(Self { start_offset, cleaned_to })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_read_as_written_or_reported_lost() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        assert_eq!(Checkpoint::read(dir).unwrap(), Some(Checkpoint::default()));
        let checkpoint = Checkpoint { start_offset: 7, cleaned_to: 40 };
        checkpoint.write(dir).unwrap();
        assert_eq!(Checkpoint::read(dir).unwrap(), Some(checkpoint));
        std::fs::write(dir.join(CHECKPOINT), "not ours").unwrap();
        assert_eq!(Checkpoint::read(dir).unwrap(), None);
        Checkpoint { start_offset: i64::MAX, cleaned_to: 0 }.write(dir).unwrap();
        assert_eq!(Checkpoint::read(dir).unwrap(), None);
    }
}
