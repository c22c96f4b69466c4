//! Memory as numbers, characters and instructions.

use super::{Call, Failure, Monitor};
use crate::debug::disassembly::{LONGEST, Line, disassemble};
use crate::debug::expr::{Place, number};
use crate::machine::board::Board;
use dejavm_interp::mem::{self, PAGE_SIZE};

/// Most items that one command shows.
const MAX_COUNT: u64 = 1 << 16;
/// Instructions that `disas` shows if it is not told how many.
const INSTRUCTIONS: u64 = 10;

/// How memory is shown: count, letter, bytes of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    count: u64,
    letter: char,
    size: usize,
}

impl Format {
    /// A format as QEMU's monitor has it: `4xg`, `10i`, `c`. Without a size it is 4 bytes, or 1 for
    /// characters.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let count = if digits == 0 { 1 } else { text[..digits].parse().ok()? };
        let (mut letter, mut size) = ('x', None);
        for c in text[digits..].chars() {
            match c {
                'x' | 'd' | 'u' | 'o' | 'c' | 'i' => letter = c,
                'b' => size = Some(1),
                'h' => size = Some(2),
                'w' => size = Some(4),
                'g' => size = Some(8),
                _ => return None,
            }
        }
        let size = size.unwrap_or(if letter == 'c' { 1 } else { 4 });
        (1..=MAX_COUNT).contains(&count).then_some(Self { count, letter, size })
    }

    fn item(self, bytes: &[u8]) -> String {
        let mut wide = [0; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        let value = u64::from_le_bytes(wide);
        let bits = 8 * bytes.len() as u32;
        let digits = 2 * bytes.len();
        match self.letter {
            'd' => format!("{}", (value << (64 - bits)) as i64 >> (64 - bits)),
            'u' => format!("{value}"),
            'o' => format!("{value:#o}"),
            'c' => format!("'{}'", bytes.escape_ascii()),
            _ => format!("0x{value:0digits$x}"),
        }
    }

    /// Items in a line.
    fn columns(self) -> usize {
        if self.letter == 'c' { 8 } else { 16 / self.size }
    }
}

/// Reads memory until a byte is not mapped; device memory is not read, for that could change it.
fn read<B: Board>(call: &mut Call<'_, B>, place: Place, len: usize) -> Vec<u8> {
    let cpu = call.cpu();
    let machine = call.timeline.machine();
    let mut bytes = Vec::with_capacity(len);
    let mut addr = place.addr();
    while bytes.len() < len {
        let part = ((PAGE_SIZE - addr % PAGE_SIZE) as usize).min(len - bytes.len());
        let phys = match place {
            Place::Physical(_) => Some(addr),
            Place::Virtual(_) => machine.state.board.translate(cpu, &machine.mem, addr),
        };
        let Some(phys) = phys.filter(|&p| machine.mem.place(p) != mem::Place::Bus) else { break };
        let start = bytes.len();
        bytes.resize(start + part, 0);
        machine.mem.read(phys, &mut bytes[start..]);
        addr = addr.wrapping_add(part as u64);
    }
    bytes
}

impl Monitor {
    pub(super) fn x<B: Board>(&mut self, call: &mut Call<'_, B>) -> Result<(), Failure> {
        let &[text] = call.args else { return Err(Failure::Usage) };
        let place = self.scoped(call, |scope| scope.place(text))?;
        self.examine(call, place)
    }

    pub(super) fn xp<B: Board>(&mut self, call: &mut Call<'_, B>) -> Result<(), Failure> {
        let &[text] = call.args else { return Err(Failure::Usage) };
        let place = self.scoped(call, |scope| scope.place(text))?;
        self.examine(call, Place::Physical(place.addr()))
    }

    fn examine<B: Board>(&mut self, call: &mut Call<'_, B>, place: Place) -> Result<(), Failure> {
        let format = Format::parse(call.format).ok_or(Failure::Usage)?;
        if format.letter == 'i' {
            return self.instructions(call, place, format.count);
        }
        let wanted = format.count as usize * format.size;
        let bytes = read(call, place, wanted);
        let per_line = format.columns() * format.size;
        for (n, line) in bytes.chunks(per_line).enumerate() {
            let addr = place.addr().wrapping_add((n * per_line) as u64);
            let items: Vec<String> = line.chunks_exact(format.size).map(|b| format.item(b)).collect();
            if !items.is_empty() {
                call.say(format!("{addr:016x}: {}", items.join(" ")));
            }
        }
        if bytes.len() < wanted {
            let addr = place.addr().wrapping_add(bytes.len() as u64);
            return Err(Failure::Text(unreadable(place, addr)));
        }
        Ok(())
    }

    pub(super) fn disas<B: Board>(&mut self, call: &mut Call<'_, B>) -> Result<(), Failure> {
        let (addr, count) = match call.args {
            [] => ("$pc", INSTRUCTIONS),
            &[addr] => (addr, INSTRUCTIONS),
            &[addr, count] => (addr, number(count).ok_or(Failure::Usage)?),
            _ => return Err(Failure::Usage),
        };
        if !(1..=MAX_COUNT).contains(&count) {
            return Err(Failure::Usage);
        }
        let place = self.scoped(call, |scope| scope.place(addr))?;
        self.instructions(call, place, count)
    }

    fn instructions<B: Board>(
        &mut self,
        call: &mut Call<'_, B>,
        place: Place,
        count: u64,
    ) -> Result<(), Failure> {
        let index = call.cpu();
        let mut addr = place.addr();
        let mut symbol = None;
        for _ in 0..count {
            let here = match place {
                Place::Physical(_) => Place::Physical(addr),
                Place::Virtual(_) => Place::Virtual(addr),
            };
            let bytes = read(call, here, LONGEST as usize);
            if bytes.is_empty() {
                return Err(Failure::Text(unreadable(place, addr)));
            }
            let core = call.timeline.machine().state.board.core(index);
            let Some(Line { len, text, target }) = disassemble(&core, addr, &bytes) else {
                return Err(Failure::Text("this board's CPU has no instructions".to_owned()));
            };
            let text = text.unwrap_or_else(|| "(bad)".to_owned());
            let named = target.and_then(|target| self.symbols.describe(target));
            let named = named.map_or_else(String::new, |n| format!("  <{n}>"));
            let name = self.symbols.name(addr).map(|n| n.0.to_owned());
            if name.is_some() && name != symbol {
                call.say(format!("{}:", self.symbols.describe(addr).unwrap_or_default()));
            }
            symbol = name;
            let hex: String = bytes[..len].iter().map(|b| format!("{b:02x}")).collect();
            call.say(format!("{addr:016x}: {hex:30} {text}{named}"));
            addr = addr.wrapping_add(len as u64);
        }
        Ok(())
    }
}

fn unreadable(place: Place, addr: u64) -> String {
    match place {
        Place::Virtual(_) => format!("{addr:016x}: not mapped to memory"),
        Place::Physical(_) => format!("{addr:016x}: no memory"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        let format = |count, letter, size| Some(Format { count, letter, size });
        assert_eq!(Format::parse(""), format(1, 'x', 4));
        assert_eq!(Format::parse("4xg"), format(4, 'x', 8));
        assert_eq!(Format::parse("10i"), format(10, 'i', 4));
        assert_eq!(Format::parse("c"), format(1, 'c', 1));
        for bad in ["0x", "99999999x", "4q", "x4", "é", "99999999999999999999999"] {
            assert_eq!(Format::parse(bad), None, "{bad}");
        }
        let item = |text: &str, bytes: &[u8]| Format::parse(text).unwrap().item(bytes);
        assert_eq!(item("xh", &[0x34, 0x12]), "0x1234");
        assert_eq!(item("db", &[0xff]), "-1");
        assert_eq!(item("dg", &[0xfe, 255, 255, 255, 255, 255, 255, 255]), "-2");
        assert_eq!(item("ub", &[0xff]), "255");
        assert_eq!(item("ob", &[8]), "0o10");
        assert_eq!(item("c", b"\n"), "'\\n'");
    }
}
