//! Frames: the log file as a chain of checked, compressed pieces.
//!
//! ```text
//! file   ┌──────────────────┬─────────────┬──────────────┐
//!        │ magic       8 B  │ format  4 B │ crc32   4 B  │  then frames up to the end
//!        └──────────────────┴─────────────┴──────────────┘
//! frame  ┌─────────────┬─────────┬──────────┬────────────┬───────────┬──────────────────┐
//!        │ length  4 B │ kind 1B │ codec 1B │ check  2 B │ crc32 4 B │ payload: length B │
//!        └─────────────┴─────────┴──────────┴────────────┴───────────┴──────────────────┘
//! ```
//!
//! All numbers are little-endian. `check` covers length, kind and codec, so that a damaged length
//! is not taken for a file that was cut; `crc32` covers the payload as stored. Both are seeded with
//! the chain: the crc32 of the frame before (of the file header before the first frame), so that a
//! frame that is missing, repeated or comes from another recording is found too. A payload of codec
//! 1 is the unpacked length (4 B) and one LZ4 block; it is used only where that is smaller. The
//! contents of snapshot frames alone may be damaged: the chain goes on with the crc32 field.

use super::error::LogError;

/// The first bytes of a recording. The line ends show what a text-mode copy did to it.
pub const MAGIC: [u8; 8] = *b"DejaVM\r\n";
/// The version of the format.
///
/// Bump it when a file written by this build could be misread by an older one, or the other way
/// round: a frame kind, a record, an input, a field of the machine's configuration that changed its
/// meaning or has no harmless default. Not for new guest semantics: the header has its own number
/// for those, [`crate::machine::config::SEMANTICS`].
pub const FORMAT: u32 = 2;
/// Bytes of the file's header.
pub const FILE_HEADER: usize = 16;
/// Bytes of a frame's header.
pub const FRAME_HEADER: usize = 12;
/// Most bytes of a payload, stored or unpacked: what a hostile length can make a reader reserve.
pub const MAX_PAYLOAD: usize = 1 << 20;

const STORED: u8 = 0;
const LZ4: u8 = 1;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The header: JSON.
    Header,
    /// Records, see [`super::record`].
    Records,
    /// A piece of an image that the recording carries.
    Image,
    /// A piece of a saved snapshot, see [`super::saved`]. Always stored as it is.
    Snapshot,
}

impl Kind {
    fn code(self) -> u8 {
        match self {
            Self::Header => 1,
            Self::Records => 2,
            Self::Image => 3,
            Self::Snapshot => 4,
        }
    }

    fn of(code: u8) -> Option<Self> {
        [Self::Header, Self::Records, Self::Image, Self::Snapshot].into_iter().find(|k| k.code() == code)
    }
}

fn crc(seed: u32, parts: &[&[u8]]) -> u32 {
    let mut h = crc32fast::Hasher::new_with_initial(seed);
    for part in parts {
        h.update(part);
    }
    h.finalize()
}

/// Makes the bytes of a recording: the file's header, then frames.
#[derive(Debug)]
pub struct Chain {
    last: u32,
}

impl Chain {
    /// The chain's start, and the file's header.
    pub fn start() -> (Self, [u8; FILE_HEADER]) {
        let mut header = [0; FILE_HEADER];
        header[..8].copy_from_slice(&MAGIC);
        header[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        let last = crc(0, &[&header[..12]]);
        header[12..].copy_from_slice(&last.to_le_bytes());
        (Self { last }, header)
    }

    /// The next frame's bytes. The payload has at most [`MAX_PAYLOAD`] bytes.
    pub fn frame(&mut self, kind: Kind, payload: &[u8]) -> Vec<u8> {
        debug_assert!(payload.len() <= MAX_PAYLOAD);
        let packed = match kind {
            // Its pages are packed one by one, to be read alone.
            Kind::Snapshot => None,
            _ => Some(lz4_flex::block::compress_prepend_size(payload)),
        };
        let (codec, payload) = match &packed {
            Some(packed) if packed.len() < payload.len() => (LZ4, packed.as_slice()),
            _ => (STORED, payload),
        };
        let mut frame = Vec::with_capacity(FRAME_HEADER + payload.len());
        frame.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        frame.extend_from_slice(&[kind.code(), codec]);
        let check = crc(self.last, &[&frame]);
        frame.extend_from_slice(&(check as u16).to_le_bytes());
        self.last = crc(check, &[payload]);
        frame.extend_from_slice(&self.last.to_le_bytes());
        frame.extend_from_slice(payload);
        frame
    }
}

/// One frame as read.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Where it begins in the file.
    pub offset: u64,
    /// What it holds.
    pub kind: Kind,
    /// Its payload, unpacked.
    pub payload: Vec<u8>,
}

/// What comes next in a file.
#[derive(Debug)]
pub enum Next {
    /// A whole frame.
    Frame(Frame),
    /// A piece of a saved snapshot whose contents are damaged; what follows is not affected.
    Lost(u64),
    /// The end of the file at the end of a frame.
    End,
    /// The file was cut inside the frame that begins at this offset.
    Cut(u64),
}

/// Reads frames from bytes that may be cut, damaged or hostile.
#[derive(Debug)]
pub struct Frames<R> {
    input: R,
    offset: u64,
    last: u32,
}

/// Reads until `buffer` is full or the file ends; returns the bytes read.
fn fill(input: &mut impl std::io::Read, buffer: &mut [u8]) -> Result<usize, LogError> {
    let mut n = 0;
    while n < buffer.len() {
        match input.read(&mut buffer[n..]) {
            Ok(0) => break,
            Ok(k) => n += k,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(LogError::Read(e)),
        }
    }
    Ok(n)
}

impl<R: std::io::Read> Frames<R> {
    /// Reads the file's header.
    ///
    /// # Errors
    /// [`LogError`] when it is not the header of a recording that this build can read.
    pub fn open(mut input: R) -> Result<Self, LogError> {
        let mut header = [0; FILE_HEADER];
        let n = fill(&mut input, &mut header)?;
        let known = n.min(8);
        if header[..known] != MAGIC[..known] || n == 0 {
            return Err(LogError::NotARecording);
        }
        if n < FILE_HEADER {
            return Err(LogError::CutInHeader);
        }
        let [.., v0, v1, v2, v3, c0, c1, c2, c3] = header;
        let last = crc(0, &[&header[..12]]);
        if last != u32::from_le_bytes([c0, c1, c2, c3]) {
            return Err(LogError::Damaged { offset: 8, what: "the file's header" });
        }
        let found = u32::from_le_bytes([v0, v1, v2, v3]);
        if found != FORMAT {
            return Err(LogError::Format { found });
        }
        Ok(Self { input, offset: FILE_HEADER as u64, last })
    }

    /// Bytes of the whole pieces read so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Reads what comes next.
    ///
    /// # Errors
    /// [`LogError`] for a damaged frame or when the file cannot be read.
    pub fn read_next(&mut self) -> Result<Next, LogError> {
        let offset = self.offset;
        let damaged = |what| Err(LogError::Damaged { offset, what });
        let mut header = [0; FRAME_HEADER];
        let n = fill(&mut self.input, &mut header)?;
        if n == 0 {
            return Ok(Next::End);
        }
        if n < FRAME_HEADER {
            return Ok(Next::Cut(offset));
        }
        let [l0, l1, l2, l3, kind, codec, k0, k1, c0, c1, c2, c3] = header;
        let check = crc(self.last, &[&header[..6]]);
        if check as u16 != u16::from_le_bytes([k0, k1]) {
            // After a power cut a file system may show the lost tail as zeros.
            if header == [0; FRAME_HEADER] && self.zeros_to_end()? {
                return Ok(Next::Cut(offset));
            }
            return damaged("a frame's header");
        }
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        if length > MAX_PAYLOAD {
            return damaged("a frame's length");
        }
        let mut stored = vec![0; length];
        if fill(&mut self.input, &mut stored)? < length {
            return Ok(Next::Cut(offset));
        }
        let last = u32::from_le_bytes([c0, c1, c2, c3]);
        let kind = Kind::of(kind);
        if last != crc(check, &[&stored]) {
            // A saved snapshot is a cache: without it nothing is lost but time.
            if kind == Some(Kind::Snapshot) {
                self.last = last;
                self.offset += (FRAME_HEADER + length) as u64;
                return Ok(Next::Lost(offset));
            }
            return damaged("a frame's contents");
        }
        let Some(kind) = kind else { return damaged("a frame's kind") };
        let payload = match codec {
            STORED => stored,
            LZ4 if kind != Kind::Snapshot => match unpack(&stored) {
                Some(payload) => payload,
                None => return damaged("a frame's compression"),
            },
            _ => return damaged("a frame's codec"),
        };
        self.last = last;
        self.offset += (FRAME_HEADER + length) as u64;
        Ok(Next::Frame(Frame { offset, kind, payload }))
    }

    fn zeros_to_end(&mut self) -> Result<bool, LogError> {
        let mut buffer = [0; 4096];
        loop {
            match fill(&mut self.input, &mut buffer)? {
                0 => return Ok(true),
                n if buffer[..n].iter().any(|&b| b != 0) => return Ok(false),
                _ => {}
            }
        }
    }
}

/// Unpacks an LZ4 payload without trusting its length.
fn unpack(stored: &[u8]) -> Option<Vec<u8>> {
    let (length, block) = stored.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length) as usize;
    if length > MAX_PAYLOAD {
        return None;
    }
    let payload = lz4_flex::block::decompress(block, length).ok()?;
    (payload.len() == length).then_some(payload)
}
