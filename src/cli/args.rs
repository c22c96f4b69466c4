//! What the user can say.

use super::stats::StatsArgs;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// A full-system emulator that records a run once and replays it exactly.
#[derive(Debug, Parser)]
#[command(name = "dejavm", version, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Record and replay the embedded guest, and show what to try next
    Demo,
    /// Run without recording
    Run(RunArgs),
    /// Run and record
    Record(RecordArgs),
    /// Replay a recording and show what it printed
    Replay(ReplayArgs),
    /// Replay a recording against every checkpoint; exit 0 only if all hold
    Verify(VerifyArgs),
    /// Ask a recording's history: who wrote this, when was that executed
    Query(QueryArgs),
    /// Find the first step at which two recordings, or two engines, differ
    Diff(DiffArgs),
    /// Show what a recording is of
    Info(FileArgs),
    /// Show every record of a recording
    Dump(FileArgs),
    /// Copy a recording with the images that it needs inside
    Pack(PackArgs),
    /// Save snapshots in a recording, so that it opens anywhere at once
    Index(IndexArgs),
}

/// The machine, and how to run it.
#[derive(Args, Clone, Debug)]
pub struct MachineArgs {
    /// Architecture: x86_64, i386 or aarch64
    #[arg(long, default_value = "x86_64")]
    pub arch: String,
    /// Board: pc, or virt[,gic-version=2|3] for aarch64 (or toy, which tests the recorder)
    #[arg(long, short = 'M')]
    pub machine: Option<String>,
    /// CPU model: qemu64, 486, pentium3, Nehalem or max; cortex-a53, cortex-a57 or max
    #[arg(long)]
    pub cpu: Option<String>,
    /// RAM: bytes with K, M or G; a bare number is mebibytes
    #[arg(long, short = 'm', default_value = "512M")]
    pub memory: String,
    /// Number of CPUs
    #[arg(long, default_value = "1")]
    pub smp: String,
    /// Kernel: bzImage, multiboot or PVH ELF; Image, Image.gz or ELF for aarch64
    #[arg(long, value_name = "FILE")]
    pub kernel: Option<String>,
    /// Initial RAM disk
    #[arg(long, value_name = "FILE")]
    pub initrd: Option<String>,
    /// Multiboot module: a file, then a space and its arguments (repeatable)
    #[arg(long, value_name = "FILE ARGS")]
    pub module: Vec<String>,
    /// The kernel's command line
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    pub append: String,
    /// Firmware at the reset vector
    #[arg(long, value_name = "FILE")]
    pub bios: Option<String>,
    /// First serial port: stdio (read standard input even if it is not a terminal), none, file:PATH
    #[arg(long)]
    pub serial: Option<String>,
    /// Debug console (ports 0xe9, 0x402): none, stderr, file:PATH
    #[arg(long, default_value = "none")]
    pub debugcon: String,
    /// Engine: interp or jit
    #[arg(long)]
    pub engine: Option<String>,
    /// Virtual nanoseconds of a step, as a power of two: 0 to 10, or auto
    #[arg(long, default_value = "auto")]
    pub shift: String,
    /// Real-time clock: base=utc|YYYY-MM-DDTHH:MM:SS,clock=host|vm
    #[arg(long, default_value = "base=utc,clock=host")]
    pub rtc: String,
    /// What the guest's random numbers are made from; random if not given
    #[arg(long)]
    pub seed: Option<u64>,
    /// End the run when the guest resets the machine
    #[arg(long)]
    pub no_reboot: bool,
    /// Stop after this many steps
    #[arg(long, value_name = "N")]
    pub max_icount: Option<u64>,
    #[command(flatten)]
    pub stats: StatsArgs,
    /// (not available yet)
    #[arg(long, hide = true)]
    pub drive: Vec<String>,
    /// (not available yet)
    #[arg(long, hide = true)]
    pub net: Vec<String>,
    /// none; others are not available yet
    #[arg(long, hide = true)]
    pub display: Option<String>,
    /// (not available yet)
    #[arg(long, hide = true)]
    pub keep: Option<String>,
    /// Flip a bit at a step, for tests (repeatable): see docs/diff.md
    #[arg(long, value_name = "ICOUNT:TARGET[:BIT]", hide_short_help = true)]
    pub inject: Vec<String>,
    #[command(flatten)]
    pub later: LaterArgs,
}

/// Options of commands that attach a debugger.
#[derive(Args, Clone, Debug)]
pub struct LaterArgs {
    /// Wait for gdb: PORT (of this host), HOST:PORT or unix:PATH; port 0 is any free one
    #[arg(long, value_name = "ADDR")]
    pub gdb: Option<String>,
    /// Monitor for replay: stdio, PORT, HOST:PORT or unix:PATH
    #[arg(long, value_name = "ADDR")]
    pub monitor: Option<String>,
    /// (not available yet)
    #[arg(long, hide = true)]
    pub qmp: Option<String>,
}

/// `run`.
#[derive(Args, Debug)]
pub struct RunArgs {
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// `record`.
#[derive(Args, Debug)]
pub struct RecordArgs {
    #[command(flatten)]
    pub machine: MachineArgs,
    /// The recording to write
    #[arg(long, short, value_name = "FILE")]
    pub output: PathBuf,
    /// Save a snapshot in the recording each N steps, with K, M or G (powers of 1024)
    #[arg(long, value_name = "N")]
    pub save_every: Option<String>,
    /// Go on from a moment of another recording, with its machine: FILE@ICOUNT, FILE@P% or FILE@end
    #[arg(long, value_name = "FILE@ICOUNT", conflicts_with_all = NOT_FROM)]
    pub from: Option<String>,
    /// With --from: look for the images here instead of under their recorded names
    #[arg(long, value_name = "DIR", requires = "from")]
    pub images: Option<PathBuf>,
}

/// The options that say what machine it is, and those of runs from power-on alone.
const NOT_FROM: [&str; 17] = [
    "arch",
    "machine",
    "cpu",
    "memory",
    "smp",
    "kernel",
    "initrd",
    "module",
    "append",
    "bios",
    "shift",
    "rtc",
    "seed",
    "no_reboot",
    "drive",
    "gdb",
    "inject",
];

/// What finds the recording and its images.
#[derive(Args, Debug)]
pub struct InputArgs {
    /// The recording
    pub file: PathBuf,
    /// Engine: interp or jit
    #[arg(long)]
    pub engine: Option<String>,
    /// Look for the images here instead of under their recorded names
    #[arg(long, value_name = "DIR")]
    pub images: Option<PathBuf>,
    #[command(flatten)]
    pub stats: StatsArgs,
}

/// `replay`.
#[derive(Args, Debug)]
pub struct ReplayArgs {
    #[command(flatten)]
    pub input: InputArgs,
    /// Stop at this step, or at the end; a debugger begins there, and at the start if not told.
    /// Where no output is shown (--serial none) the way there begins at a saved snapshot
    #[arg(long, value_name = "ICOUNT|end")]
    pub to: Option<String>,
    /// Where the first serial port's output goes: stdio, none, file:PATH
    #[arg(long, default_value = "stdio")]
    pub serial: String,
    /// Where the debug console's output goes: none, stderr, file:PATH
    #[arg(long, default_value = "none")]
    pub debugcon: String,
    #[command(flatten)]
    pub time: TimelineArgs,
    #[command(flatten)]
    pub later: LaterArgs,
}

/// How to move in a recording's time.
#[derive(Args, Clone, Debug)]
pub struct TimelineArgs {
    /// Memory that snapshots may hold: bytes with K, M or G; a bare number is mebibytes
    #[arg(long, value_name = "SIZE", default_value = "1G")]
    pub snapshot_memory: String,
    /// Threads for searches; as many as the host has if not given
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
    /// Names for addresses: ELF file or System.map; OFFSET is added to its addresses (repeatable)
    #[arg(long, value_name = "FILE[@OFFSET]")]
    pub symbols: Vec<String>,
}

/// `query`.
#[derive(Args, Debug)]
pub struct QueryArgs {
    /// The recording
    pub file: PathBuf,
    #[command(flatten)]
    pub ask: crate::debug::query::Ask,
    /// Print one JSON object a row
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub time: TimelineArgs,
    /// Engine: interp
    #[arg(long)]
    pub engine: Option<String>,
    /// Look for the images here instead of under their recorded names
    #[arg(long, value_name = "DIR")]
    pub images: Option<PathBuf>,
}

/// `verify`.
#[derive(Args, Debug)]
pub struct VerifyArgs {
    #[command(flatten)]
    pub input: InputArgs,
    /// Threads to use, from one saved snapshot to the next; a recording without any needs one
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: u16,
}

/// `diff`.
#[derive(Args, Debug)]
pub struct DiffArgs {
    /// The first recording
    pub first: PathBuf,
    /// The second recording; the first again if not given
    pub second: Option<PathBuf>,
    /// Engines of the two machines (default interp,jit for one recording alone, else interp,interp)
    #[arg(long, value_name = "FIRST,SECOND")]
    pub engines: Option<String>,
    /// Flip a bit in the second machine (repeatable): see docs/diff.md
    #[arg(long, value_name = "ICOUNT:TARGET[:BIT]", hide_short_help = true)]
    pub inject: Vec<String>,
    /// First step to compare
    #[arg(long, value_name = "ICOUNT", default_value_t = 0)]
    pub from: u64,
    /// Last step to compare
    #[arg(long, value_name = "ICOUNT")]
    pub to: Option<u64>,
    /// Compare after every step, which also finds differences that heal
    #[arg(long)]
    pub step: bool,
    /// Threads: with 2 both machines run at once, or a pair for each interval between saved snapshots
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: u16,
    /// Look for the images here instead of under their recorded names
    #[arg(long, value_name = "DIR")]
    pub images: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `info` and `dump`.
#[derive(Args, Debug)]
pub struct FileArgs {
    /// The recording
    pub file: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `pack`.
#[derive(Args, Debug)]
pub struct PackArgs {
    /// The recording
    pub file: PathBuf,
    /// The copy to write; FILE.packed if not given
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Look for the images here instead of under their recorded names
    #[arg(long, value_name = "DIR")]
    pub images: Option<PathBuf>,
}

/// `index`.
#[derive(Args, Debug)]
pub struct IndexArgs {
    /// The recording; replaced by the new file when that is whole
    pub file: PathBuf,
    /// Steps between saved snapshots, with K, M or G (powers of 1024); 32M if not given
    #[arg(long, value_name = "N")]
    pub every: Option<String>,
    /// Write the new file here and leave the recording as it is
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Take saved snapshots out instead
    #[arg(long, conflicts_with = "every")]
    pub remove: bool,
    /// Threads that pack pages
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: u16,
    /// Engine: interp
    #[arg(long)]
    pub engine: Option<String>,
    /// Look for the images here instead of under their recorded names
    #[arg(long, value_name = "DIR")]
    pub images: Option<PathBuf>,
    #[command(flatten)]
    pub stats: StatsArgs,
}
