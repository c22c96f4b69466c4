//! Saved snapshots, as the snapshot frames of a recording hold them.
//!
//! A saved snapshot is the pages that changed since the one before (or since power-on), each packed
//! by itself so that it can be read alone, and then everything else of the moment. It takes several
//! frames, one after the other, of which each begins with a byte that says what follows:
//!
//! ```text
//! 0  pages   count, then for each page: frame (difference), length as packed, check (4 B);
//!            then the packed pages
//! 1  a piece of the moment, more of it follows
//! 2  the last piece of the moment
//! ```
//!
//! Numbers are varints. A page's length is 0 for a page of zeros, 4096 for one that is stored as it
//! is, else it is one LZ4 block. The pieces together are the moment: steps, steps of the capture
//! before, the format of the state (8 B), the frames written since then (number, differences), the
//! unpacked length of the state, and the state as one LZ4 block of MessagePack. Reading a recording
//! keeps where the pages lie, not the pages.

use super::frame::MAX_PAYLOAD;
use super::varint::{self, Cursor};
use crate::machine::State;
use crate::machine::board::Board;
use dejavm_interp::mem::PAGE_SIZE;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// Bytes of a page.
pub const PAGE: usize = PAGE_SIZE as usize;
/// Bytes after which a piece ends.
const PIECE: usize = MAX_PAYLOAD / 2;
/// Most bytes of a state, unpacked.
const MAX_STATE: usize = 1 << 28;
/// The version of this layout, part of the state's format.
const LAYOUT: u32 = 1;

const PAGES: u8 = 0;
const MORE: u8 = 1;
const LAST: u8 = 2;

/// A saved snapshot could not be read back.
#[derive(Debug, thiserror::Error)]
#[error("a saved snapshot cannot be read: {0}")]
pub struct ReadError(pub String);

/// Where a saved page lies in the recording's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where it begins.
    pub offset: u64,
    /// Bytes as packed.
    pub len: u32,
    /// Low half of the XXH3-64 of its bytes.
    pub check: u32,
}

/// A recording's file, to read saved pages from.
pub trait Backing: Send + Sync + std::fmt::Debug {
    /// Reads the bytes at `offset`.
    ///
    /// # Errors
    /// When the file has become shorter or cannot be read.
    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), ReadError>;

    /// Reads and unpacks the page at `place`.
    ///
    /// # Errors
    /// When the file has changed or cannot be read.
    fn page(&self, place: Place, into: &mut [u8; PAGE]) -> Result<(), ReadError> {
        let mut buffer = [0; PAGE];
        let packed = &mut buffer[..PAGE.min(place.len as usize)];
        self.read(place.offset, packed)?;
        place.unpack(packed, into)
    }
}

impl Place {
    /// Unpacks the page that lies here.
    ///
    /// # Errors
    /// When it is another than was saved here.
    pub fn unpack(&self, packed: &[u8], into: &mut [u8; PAGE]) -> Result<(), ReadError> {
        let whole = if packed.len() == PAGE {
            into.copy_from_slice(packed);
            true
        } else {
            lz4_flex::block::decompress_into(packed, into).is_ok_and(|n| n == PAGE)
        };
        if whole && xxh3_64(into) as u32 == self.check {
            Ok(())
        } else {
            Err(ReadError(format!("the page at byte {} has changed", self.offset)))
        }
    }
}

/// Nothing is saved.
impl Backing for () {
    fn read(&self, _: u64, _: &mut [u8]) -> Result<(), ReadError> {
        Err(ReadError("there is none".to_owned()))
    }
}

/// A recording in the host's memory.
impl Backing for Vec<u8> {
    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), ReadError> {
        let from = usize::try_from(offset).ok().and_then(|at| self.get(at..)?.get(..into.len()));
        into.copy_from_slice(from.ok_or_else(|| ReadError("the recording is shorter".to_owned()))?);
        Ok(())
    }
}

/// The format of states that this build saves for the machine that powers on like this. It differs
/// where any field's name or shape does, so that a saved state of another build is known as such.
pub fn format_of<B: Board>(power_on: &State<B>) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(env!("CARGO_PKG_VERSION").as_bytes());
    hash.update(&LAYOUT.to_le_bytes());
    let named = rmp_serde::to_vec_named(power_on);
    hash.update(&named.unwrap_or_else(|e| unreachable!("a machine's state is plain data: {e}")));
    hash.digest()
}

/// A saved snapshot as read: all but the pages' bytes.
#[derive(Clone, Debug)]
pub struct Saved {
    /// Steps since power-on.
    pub icount: u64,
    /// Where `written` begins.
    pub since: u64,
    /// The format of the state, see [`format_of`].
    pub format: u64,
    /// Frames written in the steps from `since` up to `icount`, in order.
    pub written: Vec<u32>,
    /// The frames that hold something else than at the saved snapshot before (at power-on for the
    /// first), in order; `None` for zeros.
    pub pages: Vec<(u32, Option<Place>)>,
    /// Number of the recording's records before it.
    pub records: usize,
    /// Where its frames' payloads lie in the file, and their lengths.
    pub payloads: Vec<(u64, u32)>,
    packed: Vec<u8>,
    unpacked: usize,
}

impl Saved {
    /// Bytes in the file.
    pub fn bytes(&self) -> u64 {
        let frame = |(_, len): &(u64, u32)| u64::from(*len) + super::frame::FRAME_HEADER as u64;
        self.payloads.iter().map(frame).sum()
    }

    /// The state, tally and cursor as MessagePack; `None` when they cannot be unpacked.
    pub fn state(&self) -> Option<Vec<u8>> {
        let state = lz4_flex::block::decompress(&self.packed, self.unpacked).ok()?;
        (state.len() == self.unpacked).then_some(state)
    }
}

/// A page to be saved: its frame, and the packed bytes with their check, or none for zeros.
pub type Packed = (u32, Option<(Vec<u8>, u32)>);

/// Packs a page.
pub fn pack(bytes: &[u8; PAGE]) -> Vec<u8> {
    let packed = lz4_flex::block::compress(bytes);
    if packed.len() < PAGE { packed } else { bytes.to_vec() }
}

/// The payloads of the frames that hold these pages, in order of frames.
pub fn put_pages(pages: &[Packed]) -> Vec<Vec<u8>> {
    let mut payloads = Vec::new();
    let mut rest = pages;
    let mut last = 0;
    while !rest.is_empty() {
        let mut size = 0;
        let fits = rest.iter().take_while(|(_, page)| {
            size += 16 + page.as_ref().map_or(0, |p| p.0.len());
            size <= PIECE
        });
        let (piece, after) = rest.split_at(fits.count());
        rest = after;
        let mut payload = vec![PAGES];
        varint::put(&mut payload, piece.len() as u64);
        for (frame, page) in piece {
            varint::put(&mut payload, u64::from(frame - last));
            last = *frame;
            let (len, check) = page.as_ref().map_or((0, 0), |(packed, check)| (packed.len(), *check));
            varint::put(&mut payload, len as u64);
            payload.extend_from_slice(&check.to_le_bytes());
        }
        piece.iter().filter_map(|p| p.1.as_ref()).for_each(|(packed, _)| payload.extend_from_slice(packed));
        payloads.push(payload);
    }
    payloads
}

/// The payloads of the frames that hold the rest of a moment.
pub fn put_moment(icount: u64, since: u64, format: u64, written: &[u32], state: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    varint::put(&mut all, icount);
    varint::put(&mut all, since);
    all.extend_from_slice(&format.to_le_bytes());
    varint::put(&mut all, written.len() as u64);
    let mut last = 0;
    for &frame in written {
        varint::put(&mut all, u64::from(frame - last));
        last = frame;
    }
    varint::put(&mut all, state.len() as u64);
    all.extend_from_slice(&lz4_flex::block::compress(state));
    let pieces = all.chunks(PIECE);
    let count = pieces.len();
    let tagged = pieces.enumerate().map(|(i, piece)| {
        let mut payload = vec![if i + 1 == count { LAST } else { MORE }];
        payload.extend_from_slice(piece);
        payload
    });
    tagged.collect()
}

/// Puts the payloads of a saved snapshot together.
#[derive(Debug, Default)]
pub struct Builder {
    pages: Vec<(u32, Option<Place>)>,
    moment: Vec<u8>,
    payloads: Vec<(u64, u32)>,
}

/// A payload that is no piece of a saved snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl Builder {
    /// True between saved snapshots.
    pub fn is_empty(&self) -> bool {
        self.payloads.is_empty()
    }

    /// Takes the payload that lies at `offset`, after so many records of the recording. The
    /// snapshot, if that was its last; `Err` when this is not a piece of one.
    pub fn take(&mut self, offset: u64, payload: &[u8], records: usize) -> Result<Option<Saved>, Malformed> {
        let Some((&what, rest)) = payload.split_first() else { return Err(Malformed) };
        self.payloads.push((offset, payload.len() as u32));
        match what {
            PAGES if self.moment.is_empty() => self.pages(offset + 1, rest).map(|()| None).ok_or(Malformed),
            MORE | LAST if self.moment.len() + rest.len() > MAX_STATE => Err(Malformed),
            MORE | LAST => {
                self.moment.extend_from_slice(rest);
                if what == MORE {
                    return Ok(None);
                }
                let whole = std::mem::take(self);
                whole.finish(records).map(Some).ok_or(Malformed)
            }
            _ => Err(Malformed),
        }
    }

    fn pages(&mut self, offset: u64, payload: &[u8]) -> Option<()> {
        let mut cursor = Cursor::new(payload);
        let count = cursor.number()?;
        let mut places = Vec::new();
        for _ in 0..count {
            let step = u32::try_from(cursor.number()?).ok()?;
            let frame = match self.pages.last().or(places.last()) {
                Some(_) if step == 0 => return None,
                _ => places.last().or(self.pages.last()).map_or(0, |p| p.0).checked_add(step)?,
            };
            let len = u32::try_from(cursor.number()?).ok().filter(|&len| len as usize <= PAGE)?;
            let check = u32::from_le_bytes(cursor.bytes(4)?.try_into().ok()?);
            places.push((frame, (len > 0).then_some(Place { offset: 0, len, check })));
        }
        let packed = cursor.rest();
        let mut at = offset + (payload.len() - packed.len()) as u64;
        for place in places.iter_mut().filter_map(|p| p.1.as_mut()) {
            place.offset = at;
            at += u64::from(place.len);
        }
        self.pages.append(&mut places);
        (at == offset + payload.len() as u64).then_some(())
    }

    fn finish(self, records: usize) -> Option<Saved> {
        let mut cursor = Cursor::new(&self.moment);
        let (icount, since) = (cursor.number()?, cursor.number()?);
        let format = cursor.fixed()?;
        let count = cursor.number()?;
        let mut written: Vec<u32> = Vec::new();
        for _ in 0..count {
            let step = u32::try_from(cursor.number()?).ok()?;
            if step == 0 && !written.is_empty() {
                return None;
            }
            written.push(written.last().map_or(0, |f| *f).checked_add(step)?);
        }
        let unpacked = usize::try_from(cursor.number()?).ok().filter(|&n| n <= MAX_STATE)?;
        let (packed, payloads) = (cursor.rest().to_vec(), self.payloads);
        let pages = self.pages;
        (since < icount).then_some(Saved {
            icount,
            since,
            format,
            written,
            pages,
            records,
            payloads,
            packed,
            unpacked,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(n: u64) -> [u8; PAGE] {
        let mut bytes = [0; PAGE];
        let mut x = n;
        for (i, b) in bytes.iter_mut().enumerate() {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // Every third cannot be packed.
            *b = if n.is_multiple_of(3) { (x >> 56) as u8 } else { (i / 100) as u8 ^ n as u8 };
        }
        bytes
    }

    fn sample() -> (Vec<Vec<u8>>, Vec<u32>) {
        let frames: Vec<u32> = (0..700).map(|i| i * 3 + i % 2).collect();
        let pages: Vec<Packed> = frames
            .iter()
            .map(|&f| {
                let bytes = page(u64::from(f));
                (f, (f % 5 != 1).then(|| (pack(&bytes), xxh3_64(&bytes) as u32)))
            })
            .collect();
        let mut payloads = put_pages(&pages);
        assert!(payloads.len() > 1);
        let state: Vec<u8> = (0..750u64).flat_map(|i| page(3 * i)).collect();
        let moment = put_moment(1 << 40, 5, 99, &[0, 1, 1000], &state);
        assert!(moment.len() > 1);
        payloads.extend(moment);
        (payloads, frames)
    }

    fn build(payloads: &[Vec<u8>]) -> Result<Option<Saved>, Malformed> {
        let (mut builder, mut at) = (Builder::default(), 0);
        let mut last = Ok(None);
        for payload in payloads {
            last = Ok(builder.take(at, payload, 7)?);
            at += payload.len() as u64;
        }
        last
    }

    #[test]
    fn comes_back_page_by_page() {
        let (payloads, frames) = sample();
        let saved = build(&payloads).unwrap().unwrap();
        assert_eq!((saved.icount, saved.since, saved.format, saved.records), (1 << 40, 5, 99, 7));
        assert_eq!(saved.written, [0, 1, 1000]);
        assert!(saved.state().unwrap()[749 * PAGE..] == page(3 * 749));
        assert_eq!(saved.pages.iter().map(|p| p.0).collect::<Vec<_>>(), frames);
        let mut file: Vec<u8> = payloads.concat();
        let mut bytes = [0; PAGE];
        for &(frame, place) in saved.pages.iter().rev() {
            assert_eq!(place.is_none(), frame % 5 == 1);
            if let Some(place) = place {
                file.page(place, &mut bytes).unwrap();
                assert!(bytes == page(frame.into()));
            }
        }
        let place = saved.pages.iter().rev().find_map(|p| p.1).unwrap();
        file[place.offset as usize + 9] ^= 1;
        assert!(file.page(place, &mut bytes).is_err());
        file.truncate(place.offset as usize + 9);
        assert!(file.page(place, &mut bytes).is_err());
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [
            &[][..],
            &[3],
            &[PAGES],
            &[PAGES, 1, 0, 5, 0, 0, 0, 0, 1, 2],
            &[PAGES, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &[PAGES, 1, 0, 0x81, 0x20, 0, 0, 0, 0],
            &[PAGES, 0xff, 0xff, 0xff, 0xff, 0x0f, 0],
            &[LAST],
            &[LAST, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &[LAST, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f],
        ] {
            assert!(build(&[bad.to_vec()]).is_err(), "{bad:?}");
        }
        assert!(build(&[vec![MORE, 1], vec![PAGES, 0]]).is_err());
        let short = [LAST, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 200, 1, 4, 5];
        assert!(build(&[short.to_vec()]).unwrap().unwrap().state().is_none());
    }
}
