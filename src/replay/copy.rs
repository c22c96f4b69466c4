//! Writes a recording again, framed as a recorder frames it.

use super::log::{Recording, Writer};
use super::record::Record;
use super::saved::Backing;
use std::io::Write;

/// Copies a recording's records, in order.
#[derive(Debug)]
pub struct Copier<'a> {
    records: &'a [Record],
    done: usize,
}

impl<'a> Copier<'a> {
    /// Nothing is copied yet.
    pub fn new(recording: &'a Recording) -> Self {
        Self { records: &recording.records, done: 0 }
    }

    /// Copies on until `count` records are, and ends the frame.
    ///
    /// # Errors
    /// What the file answers.
    pub fn up_to<W: Write>(&mut self, count: usize, writer: &mut Writer<W>) -> std::io::Result<()> {
        while let Some(record) = self.records[..count.min(self.records.len())].get(self.done) {
            writer.put(record)?;
            self.done += 1;
            // As the recorder ends its frames: a checkpoint before an input or the end shares its
            // frame.
            let shares = matches!(
                (record, self.records.get(self.done)),
                (Record::HostClock { .. }, _)
                    | (Record::Checkpoint(_), Some(Record::Input { .. } | Record::End { .. }))
            );
            if !shares {
                writer.end_frame()?;
            }
        }
        writer.end_frame()
    }

    /// Copies the rest.
    ///
    /// # Errors
    /// What the file answers.
    pub fn rest<W: Write>(&mut self, writer: &mut Writer<W>) -> std::io::Result<()> {
        self.up_to(self.records.len(), writer)
    }
}

/// Copies the images that a recording carries.
///
/// # Errors
/// What the file answers.
pub fn images<W: Write>(recording: &Recording, writer: &mut Writer<W>) -> std::io::Result<()> {
    let carried = recording.images.iter().enumerate().filter_map(|(i, image)| Some((i, image.as_ref()?)));
    carried.into_iter().try_for_each(|(index, image)| writer.image(index, image))
}

/// Copies all records and saved snapshots.
///
/// # Errors
/// What either file answers.
pub fn all<W: Write>(
    recording: &Recording,
    from: &dyn Backing,
    writer: &mut Writer<W>,
) -> std::io::Result<()> {
    let mut copier = Copier::new(recording);
    for saved in &recording.saved {
        copier.up_to(saved.records, writer)?;
        for &(offset, len) in &saved.payloads {
            let mut payload = vec![0; len as usize];
            from.read(offset, &mut payload).map_err(std::io::Error::other)?;
            writer.snapshot(&[payload])?;
        }
    }
    copier.rest(writer)
}
