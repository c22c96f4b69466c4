//! The table of commands: what is in it can be run, and helped with.

use super::{Call, Failure, Monitor};
use crate::machine::board::Board;

/// What runs a command.
type Run<B> = fn(&mut Monitor, &mut Call<'_, B>) -> Result<(), Failure>;

/// A command.
pub struct Command<B: Board> {
    /// Its name, of one word or two.
    pub name: &'static str,
    /// Name and arguments.
    pub usage: &'static str,
    /// What it does, in one line.
    pub help: &'static str,
    /// True when a format may follow the name, after a `/`.
    format: bool,
    /// Does it.
    pub run: Run<B>,
}

/// All commands, in the order in which help lists them.
pub fn commands<B: Board>() -> Vec<Command<B>> {
    let c = |name, usage, help, run: Run<B>| Command { name, usage, help, format: false, run };
    let x = |name, usage, help, run: Run<B>| Command { name, usage, help, format: true, run };
    vec![
        c("help", "help [COMMAND]", "list the commands, or explain one", Monitor::help),
        c("when", "when", "show where the machine stands", Monitor::when),
        c("seek", "seek N|+N|-N|P%|start|end", "go to a step", Monitor::seek),
        c("back", "back", "go to where you were before", Monitor::back),
        c("forward", "forward", "undo a back", Monitor::forward),
        c("checkpoint", "checkpoint [NAME]", "remember this step", Monitor::checkpoint),
        c("info checkpoints", "info checkpoints", "list the checkpoints", Monitor::info_checkpoints),
        c("restart", "restart N|NAME", "go to a checkpoint", Monitor::restart),
        c("delete checkpoint", "delete checkpoint N|NAME", "forget a checkpoint", Monitor::delete_checkpoint),
        c(
            "last",
            "last [-g] ADDR[:LEN] | last -g",
            "show the last write to memory before now; -g goes there",
            Monitor::last,
        ),
        c("last-write", "last-write ADDR[:LEN] [OPTION]...", "show the last write to memory", Monitor::query),
        c("writes", "writes ADDR[:LEN] [OPTION]...", "list all writes to memory", Monitor::query),
        c("reads", "reads ADDR[:LEN] [OPTION]...", "list all reads of memory", Monitor::query),
        c(
            "executions",
            "executions PC|SYMBOL [OPTION]...",
            "list when an instruction was executed",
            Monitor::query,
        ),
        c("interrupts", "interrupts [VECTOR] [OPTION]...", "list the interrupts", Monitor::query),
        c("exceptions", "exceptions [VECTOR|NAME] [OPTION]...", "list the exceptions", Monitor::query),
        c(
            "io",
            "io [PORT[-PORT]|ADDR[:LEN]]... [OPTION]...",
            "list accesses to ports and device memory",
            Monitor::query,
        ),
        c("console", "console TEXT [OPTION]...", "list when the serial port printed a text", Monitor::query),
        c(
            "info replay",
            "info replay",
            "show the recording, its end, snapshots and memory held",
            Monitor::info_replay,
        ),
        c(
            "info registers",
            "info registers [general|segment|control|model|x87|vector|all]",
            "show registers",
            Monitor::info_registers,
        ),
        x("x", "x[/[COUNT][xduoci][bhwg]] ADDR", "show memory at a virtual address", Monitor::x),
        x("xp", "xp[/[COUNT][xduoci][bhwg]] PHYS", "show memory at a physical address", Monitor::xp),
        c("disas", "disas [ADDR] [COUNT]", "disassemble, from the next instruction on", Monitor::disas),
        c(
            "symbols",
            "symbols FILE[@OFFSET]",
            "load symbols from an ELF file or System.map",
            Monitor::symbols,
        ),
        c("quit", "quit", "leave the monitor", Monitor::quit),
    ]
}

/// The command that words name, its format and its arguments.
pub fn find<'a, B: Board>(words: &'a [&'a str]) -> Option<(Command<B>, &'a str, &'a [&'a str])> {
    let (first, format) = words[0].split_once('/').unwrap_or((words[0], ""));
    let two = words.get(1).map(|second| format!("{} {second}", words[0]));
    for command in commands::<B>() {
        if two.as_deref() == Some(command.name) {
            return Some((command, "", &words[2..]));
        }
        if command.name == words[0] || (command.format && command.name == first) {
            return Some((command, format, &words[1..]));
        }
    }
    None
}

impl Monitor {
    pub(super) fn help<B: Board>(&mut self, call: &mut Call<'_, B>) -> Result<(), Failure> {
        let all = commands::<B>();
        if call.args.is_empty() {
            let width = all.iter().map(|c| c.name.len()).max().unwrap_or(0);
            for c in &all {
                call.say(format!("{:width$}  {}", c.name, c.help));
            }
            return Ok(());
        }
        let name = call.args.join(" ");
        let begins = |c: &&Command<B>| c.name == name || c.name.split(' ').next() == Some(name.as_str());
        let found: Vec<&Command<B>> = all.iter().filter(begins).collect();
        if found.is_empty() {
            return Err(Failure::Text(format!("'{name}' is no command; 'help' lists them")));
        }
        for c in found {
            call.say(format!("{}: {}", c.usage, c.help));
            if c.usage.contains("OPTION") {
                call.say(super::questions::OPTIONS);
            }
        }
        Ok(())
    }

    pub(super) fn quit<B: Board>(&mut self, call: &mut Call<'_, B>) -> Result<(), Failure> {
        if !call.args.is_empty() {
            return Err(Failure::Usage);
        }
        call.quit = true;
        Ok(())
    }
}
