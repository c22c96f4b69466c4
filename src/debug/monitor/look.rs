//! Looking at where the machine stands.

use super::{Call, Failure, Monitor};
use crate::machine::board::Board;
use dejavm_interp::inspect::Group;
use std::fmt::Write;

/// Registers are laid out to this many columns.
const COLUMNS: usize = 100;

impl Monitor {
    /// Says where the machine stands.
    pub(super) fn show<B: Board>(&mut self, call: &mut Call<'_, B>) {
        let (here, end, branched) = (call.timeline.icount(), call.timeline.end(), call.timeline.branched());
        let cpu = call.cpu();
        let state = &call.timeline.machine().state;
        let (ns, pc) = (state.now().0, state.board.pc(cpu));
        let of = match end {
            _ if branched => "in a branch".to_owned(),
            0 => "of 0".to_owned(),
            _ => format!("({:.2}%) of {end}", here as f64 * 100.0 / end as f64),
        };
        let time = format!("{}.{:09} s", ns / 1_000_000_000, ns % 1_000_000_000);
        let label = self.label(pc);
        call.say(format!("step {here} {of}, virtual time {time}, CPU {cpu}, pc {pc:#x}{label}"));
    }

    pub(super) fn when<B: Board>(&mut self, call: &mut Call<'_, B>) -> Result<(), Failure> {
        if !call.args.is_empty() {
            return Err(Failure::Usage);
        }
        self.show(call);
        Ok(())
    }

    pub(super) fn info_replay<B: Board>(&mut self, call: &mut Call<'_, B>) -> Result<(), Failure> {
        if !call.args.is_empty() {
            return Err(Failure::Usage);
        }
        let recording = call.timeline.recording().clone();
        let machine = &recording.header.machine;
        if !self.recording.is_empty() {
            call.say(format!("recording  {}", self.recording));
        }
        call.say(format!(
            "machine    {} ({:?}), CPU {} x {}, {} MiB",
            machine.machine,
            machine.arch,
            machine.cpu,
            machine.smp,
            machine.memory >> 20
        ));
        let position = call.timeline.icount();
        call.say(format!("position   step {position}"));
        let end = match recording.end() {
            Some((at, why)) => format!("step {} ({why})", at.icount),
            None => format!("step {}, incomplete", recording.last().icount),
        };
        call.say(format!("end        {end}"));
        let (count, bytes) = call.timeline.snapshots();
        call.say(format!("snapshots  {count}, {:.1} MiB of pages held", bytes as f64 / f64::from(1 << 20)));
        let branch = if call.timeline.branched() {
            "yes: a debugger wrote to the machine, the recording is left and unchanged"
        } else {
            "no"
        };
        call.say(format!("branch     {branch}"));
        Ok(())
    }

    pub(super) fn info_registers<B: Board>(&mut self, call: &mut Call<'_, B>) -> Result<(), Failure> {
        let wanted: &[Group] = match call.args {
            [] | ["general"] => &[Group::General],
            ["segment"] => &[Group::Segment],
            ["control"] => &[Group::Control],
            ["model"] => &[Group::Model],
            ["x87"] => &[Group::X87],
            ["vector"] => &[Group::Vector],
            ["all"] => {
                use Group::{Control, General, Model, Segment, Vector, X87};
                &[General, Segment, Control, Model, X87, Vector]
            }
            _ => return Err(Failure::Usage),
        };
        let index = call.cpu();
        let mut text = String::new();
        let core = call.timeline.machine().state.board.core(index);
        let registers = core.registers();
        if registers.is_empty() {
            return Err(Failure::Text("this board's CPU has no registers".to_owned()));
        }
        for &group in wanted {
            let mut column = 0;
            for r in registers.iter().filter(|r| r.group == group) {
                let digits = r.bits.div_ceil(4) as usize;
                let cell = format!("{:8} {:0digits$x}  ", r.name, core.get(r.name).unwrap_or_default());
                if column > 0 && column + cell.len() > COLUMNS {
                    text.push('\n');
                    column = 0;
                }
                column += cell.len();
                let _ = write!(text, "{cell}");
            }
            text.push('\n');
        }
        for line in text.lines() {
            call.say(line.trim_end());
        }
        Ok(())
    }

    pub(super) fn symbols<B: Board>(&mut self, call: &mut Call<'_, B>) -> Result<(), Failure> {
        let &[spec] = call.args else { return Err(Failure::Usage) };
        let count = self.symbols.add(spec).map_err(|e| Failure::Text(e.to_string()))?;
        call.say(format!("{count} symbols"));
        Ok(())
    }
}
