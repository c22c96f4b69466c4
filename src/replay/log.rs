//! A recording as a file: writing it while the machine runs, reading it back whole.

use super::Moment;
use super::error::LogError;
use super::frame::{Chain, FRAME_HEADER, Frame, Frames, Kind, MAX_PAYLOAD, Next};
use super::record::{Checkpoint, Coder, EndReason, Record};
use super::saved::{Backing, Builder, Malformed, Saved};
use super::varint::{self, Cursor};
use crate::machine::config::{MachineConfig, SEMANTICS};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::sync::Arc;

/// Bytes of records after which a frame ends although no checkpoint came: a guest may read the
/// host's clock millions of times between two.
const FULL: usize = MAX_PAYLOAD / 4;
/// Bytes of an image in one frame.
const IMAGE_PIECE: usize = MAX_PAYLOAD / 2;

/// The first frame: what the recording is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The guest semantics that the recorder had.
    pub semantics: u32,
    /// The machine.
    pub machine: MachineConfig,
    /// When checkpoints are taken.
    pub checkpoints: Spacing,
}

/// When checkpoints are taken, besides before every input and at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spacing {
    /// Binary logarithm of the steps between checkpoints.
    pub steps: u8,
    /// Binary logarithm of the steps between checkpoints that digest memory too.
    pub memory: u8,
    /// Binary logarithm of the virtual nanoseconds between checkpoints in idle time; none when
    /// idle time is skipped. So a recorder that is killed while the guest sleeps loses no more
    /// than that.
    pub idle: Option<u8>,
}

impl Spacing {
    /// The usual spacing, for a run that skips idle time or sleeps it. Digests of memory are most of
    /// what recording costs (`benches/recording.py`): so far apart they keep it under 2 %.
    pub fn usual(sleeps: bool) -> Self {
        Self { steps: 24, memory: 31, idle: sleeps.then_some(29) }
    }

    /// True for a spacing that makes sense.
    fn valid(self) -> bool {
        (8..=40).contains(&self.steps)
            && (self.steps..=62).contains(&self.memory)
            && self.idle.is_none_or(|i| (16..=40).contains(&i))
    }
}

impl Header {
    /// The header of a new recording.
    pub fn new(machine: MachineConfig, checkpoints: Spacing) -> Self {
        Self { semantics: SEMANTICS, machine, checkpoints }
    }
}

/// Writes a recording. Every frame goes out in one write as soon as it ends.
pub struct Writer<W: Write> {
    out: W,
    chain: Chain,
    coder: Coder,
    pending: Vec<u8>,
    bytes: u64,
}

impl<W: Write> std::fmt::Debug for Writer<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl<W: Write> Writer<W> {
    /// Begins a recording.
    ///
    /// # Errors
    /// What `out` answers.
    pub fn begin(mut out: W, header: &Header) -> std::io::Result<Self> {
        let (mut chain, start) = Chain::start();
        let json = serde_json::to_vec(header).map_err(std::io::Error::other)?;
        if json.len() > MAX_PAYLOAD {
            return Err(std::io::Error::other("the machine's description is too long"));
        }
        let mut first = start.to_vec();
        first.extend_from_slice(&chain.frame(Kind::Header, &json));
        out.write_all(&first)?;
        let bytes = first.len() as u64;
        Ok(Self { out, chain, coder: Coder::default(), pending: Vec::new(), bytes })
    }

    /// Adds an image's bytes; `index` is its place in the machine's list of images.
    ///
    /// # Errors
    /// What the file answers.
    pub fn image(&mut self, index: usize, bytes: &[u8]) -> std::io::Result<()> {
        for piece in bytes.chunks(IMAGE_PIECE) {
            let mut payload = Vec::with_capacity(piece.len() + 10);
            varint::put(&mut payload, index as u64);
            payload.extend_from_slice(piece);
            self.write(Kind::Image, &payload)?;
        }
        Ok(())
    }

    /// Adds a record to the current frame.
    ///
    /// # Errors
    /// What the file answers, when the frame was full.
    pub fn put(&mut self, record: &Record) -> std::io::Result<()> {
        self.coder.put(&mut self.pending, record);
        if self.pending.len() >= FULL { self.end_frame() } else { Ok(()) }
    }

    /// Ends the current frame and writes it out.
    ///
    /// # Errors
    /// What the file answers.
    pub fn end_frame(&mut self) -> std::io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let pending = std::mem::take(&mut self.pending);
        self.write(Kind::Records, &pending)?;
        self.pending = pending;
        self.pending.clear();
        Ok(())
    }

    /// Adds a saved snapshot after what was put so far.
    ///
    /// # Errors
    /// What the file answers.
    pub fn snapshot(&mut self, payloads: &[Vec<u8>]) -> std::io::Result<()> {
        self.end_frame()?;
        payloads.iter().try_for_each(|payload| self.write(Kind::Snapshot, payload))
    }

    /// Bytes written so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What is written to.
    pub fn into_inner(self) -> W {
        self.out
    }

    fn write(&mut self, kind: Kind, payload: &[u8]) -> std::io::Result<()> {
        let frame = self.chain.frame(kind, payload);
        self.out.write_all(&frame)?;
        self.bytes += frame.len() as u64;
        Ok(())
    }
}

/// How a recording's file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With an end record.
    Whole,
    /// After a whole frame, but without an end record: the recorder was killed, or the file was cut.
    NoEnd,
    /// Inside a frame, which begins at this byte.
    Cut(u64),
}

/// A recording, read and checked.
#[derive(Clone, Debug)]
pub struct Recording {
    /// What it is of.
    pub header: Header,
    /// Everything that happened, in order.
    pub records: Vec<Record>,
    /// The images that the file carries, by their place in the machine's list of images.
    pub images: Vec<Option<Vec<u8>>>,
    /// How the file ends.
    pub ending: Ending,
    /// Bytes of the file.
    pub bytes: u64,
    /// Frames of the file.
    pub frames: u64,
    /// The saved snapshots, in order.
    pub saved: Vec<Saved>,
    /// Where saved snapshots are damaged; from there on they are left out.
    pub lost: Option<u64>,
    /// The file that saved pages are read from; without one saved snapshots are not used.
    pub backing: Option<Arc<dyn Backing>>,
}

impl Recording {
    /// Reads and checks a whole recording.
    ///
    /// # Errors
    /// [`LogError`] when it is damaged or of another version.
    pub fn read(input: impl std::io::Read) -> Result<Self, LogError> {
        let mut frames = Frames::open(input)?;
        let first = match frames.read_next()? {
            Next::Frame(f) if f.kind == Kind::Header => f,
            Next::Frame(Frame { offset, .. }) | Next::Lost(offset) => {
                return Err(LogError::Damaged { offset, what: "the first frame" });
            }
            Next::End | Next::Cut(_) => return Err(LogError::CutInHeader),
        };
        let header = parse_header(&first.payload)?;
        let mut images = vec![None; header.machine.images.len()];
        let (mut records, mut count) = (Vec::new(), 1);
        let mut coder = Coder::default();
        let mut last = first.offset;
        let (mut saved, mut builder, mut lost) = (Vec::<Saved>::new(), Builder::default(), None);
        let ending = loop {
            let frame = match frames.read_next()? {
                Next::Frame(frame) => frame,
                Next::Lost(offset) => {
                    count += 1;
                    lost.get_or_insert(offset);
                    builder = Builder::default();
                    continue;
                }
                Next::Cut(offset) => break Ending::Cut(offset),
                Next::End => break Ending::NoEnd,
            };
            count += 1;
            last = frame.offset;
            let ended = matches!(records.last(), Some(Record::End { .. }));
            let between = builder.is_empty();
            let good = !ended
                && match frame.kind {
                    Kind::Header => false,
                    Kind::Records => between && take_records(&mut coder, &frame, &mut records),
                    Kind::Image => {
                        between && records.is_empty() && take_image(&header, &mut images, &frame.payload)
                    }
                    // What follows a lost one says only what changed since then.
                    Kind::Snapshot if lost.is_some() => true,
                    Kind::Snapshot => take_snapshot(&mut builder, &frame, records.len(), &mut saved),
                };
            if !good {
                return Err(LogError::Damaged { offset: frame.offset, what: "a frame's records" });
            }
        };
        let ended = matches!(records.last(), Some(Record::End { .. }));
        let ending = if ended && ending == Ending::NoEnd { Ending::Whole } else { ending };
        for (index, image) in images.iter().enumerate() {
            let described = &header.machine.images[index];
            if let Some(image) = image
                && !described.is(image)
            {
                let cut = image.len() as u64 != described.size && ending != Ending::Whole;
                return Err(if cut {
                    LogError::CutInHeader
                } else {
                    LogError::Damaged { offset: last, what: "a carried image" }
                });
            }
        }
        let bytes = frames.offset();
        Ok(Self { header, records, images, ending, bytes, frames: count, saved, lost, backing: None })
    }

    /// Why and when the run ended, if that is in the file.
    pub fn end(&self) -> Option<(Moment, &EndReason)> {
        match self.records.last() {
            Some(Record::End { at, reason }) => Some((*at, reason)),
            _ => None,
        }
    }

    /// The last moment up to which it can be replayed.
    pub fn last(&self) -> Moment {
        let moments = self.records.iter().rev().filter_map(|r| match r {
            Record::Input { at, .. } | Record::End { at, .. } => Some(*at),
            Record::Checkpoint(Checkpoint { at, .. }) => Some(*at),
            Record::HostClock { .. } => None,
        });
        moments.into_iter().next().unwrap_or_default()
    }
}

fn parse_header(json: &[u8]) -> Result<Header, LogError> {
    let header: Header = serde_json::from_slice(json).map_err(|e| LogError::Header(e.to_string()))?;
    header.machine.check().map_err(LogError::Header)?;
    if !header.checkpoints.valid() {
        return Err(LogError::Header("checkpoint spacing out of range".to_owned()));
    }
    Ok(header)
}

/// Takes a frame's records. An end record is the last of its frame.
fn take_records(coder: &mut Coder, frame: &Frame, records: &mut Vec<Record>) -> bool {
    let mut cursor = Cursor::new(&frame.payload);
    while !cursor.at_end() {
        let Some(record) = coder.take(&mut cursor) else { return false };
        if record.icount() > MAX_ICOUNT {
            return false;
        }
        let end = matches!(record, Record::End { .. });
        records.push(record);
        if end && !cursor.at_end() {
            return false;
        }
    }
    true
}

/// Takes a piece of a saved snapshot.
fn take_snapshot(builder: &mut Builder, frame: &Frame, records: usize, saved: &mut Vec<Saved>) -> bool {
    match builder.take(frame.offset + FRAME_HEADER as u64, &frame.payload, records) {
        Ok(Some(next)) => {
            let good = next.icount <= MAX_ICOUNT && saved.last().is_none_or(|last| last.icount < next.icount);
            saved.push(next);
            good
        }
        Ok(None) => true,
        Err(Malformed) => false,
    }
}

/// No run is longer: keeps virtual time inside 64 bits.
const MAX_ICOUNT: u64 = 1 << 53;

/// Takes a piece of a carried image.
fn take_image(header: &Header, images: &mut [Option<Vec<u8>>], payload: &[u8]) -> bool {
    let mut cursor = Cursor::new(payload);
    let Some(index) = cursor.number().and_then(|i| usize::try_from(i).ok()) else { return false };
    let Some(slot) = images.get_mut(index) else { return false };
    let image = slot.get_or_insert_default();
    let piece = cursor.rest();
    if (image.len() + piece.len()) as u64 > header.machine.images[index].size {
        return false;
    }
    image.extend_from_slice(piece);
    true
}
