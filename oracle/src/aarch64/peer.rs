//! The other side: a process that runs the harness.

use super::case::{Case, Outcome, State, WINDOW};
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// 64-bit words of the registers.
const REGS: usize = 31 + 4 + 64;

/// A running harness.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// Compiles the harness into `folder`.
///
/// # Errors
/// A sentence that says what is missing.
pub fn build(folder: &Path) -> Result<PathBuf, String> {
    let out = folder.join("harness");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("aarch64/harness.c");
    // The program lies where no case's random address points.
    let flags = "-O2 -static -nostdlib -ffreestanding -fno-builtin -fno-tree-loop-distribute-patterns \
                 -fno-stack-protector -Wl,-Ttext-segment=0x3a0000000000";
    let status = Command::new("aarch64-linux-gnu-gcc")
        .args(flags.split_whitespace())
        .arg("-o")
        .arg(&out)
        .arg(source)
        .status()
        .map_err(|e| format!("aarch64-linux-gnu-gcc: {e} (Debian's gcc-aarch64-linux-gnu has it)"))?;
    if status.success() { Ok(out) } else { Err("the harness does not compile".to_owned()) }
}

impl Peer {
    /// Cases whose answers fill less than half of a pipe of 64 KiB: one batch is run while another is compared.
    pub const BATCH: u64 = 24;

    /// Starts the harness under qemu-aarch64.
    ///
    /// # Errors
    /// A sentence that says what is missing.
    pub fn start(harness: &Path) -> Result<Self, String> {
        let mut child = Command::new("qemu-aarch64")
            .args(["-cpu", "max,sve=off,sme=off"])
            .arg(harness)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("qemu-aarch64: {e} (Debian's qemu-user has it)"))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("the harness has no pipes".to_owned());
        };
        Ok(Self { child, input, output: BufReader::new(output) })
    }

    /// Sends cases. The answers that are not received yet have to fit a pipe: [`Peer::BATCH`] twice.
    ///
    /// # Errors
    /// When the harness is gone.
    pub fn send(&mut self, cases: &[Case]) -> std::io::Result<()> {
        let mut bytes = Vec::new();
        for case in cases {
            let s = &case.state;
            let mut put = |v: u64| bytes.extend_from_slice(&v.to_le_bytes());
            put(case.word.into());
            s.x.iter().for_each(|v| put(*v));
            [s.sp, s.nzcv, s.fpcr, s.fpsr].into_iter().for_each(&mut put);
            for v in s.v {
                put(v as u64);
                put((v >> 64) as u64);
            }
            bytes.extend_from_slice(&s.mem);
        }
        self.input.write_all(&bytes)?;
        self.input.flush()
    }

    /// Receives the answers to the `n` oldest cases.
    ///
    /// # Errors
    /// When the harness is gone.
    pub fn receive(&mut self, n: usize) -> std::io::Result<Vec<Outcome>> {
        (0..n).map(|_| self.answer()).collect()
    }

    fn answer(&mut self) -> std::io::Result<Outcome> {
        let mut bytes = [0; (3 + REGS) * 8 + WINDOW];
        self.output.read_exact(&mut bytes)?;
        let word = |i: usize| {
            let mut b = [0; 8];
            b.copy_from_slice(&bytes[8 * i..8 * i + 8]);
            u64::from_le_bytes(b)
        };
        let r = |i: usize| word(3 + i);
        Ok(Outcome {
            signal: word(0),
            pc: word(2),
            state: State {
                x: std::array::from_fn(r),
                sp: r(31),
                nzcv: r(32),
                fpcr: r(33),
                fpsr: r(34),
                v: std::array::from_fn(|i| u128::from(r(35 + 2 * i)) | u128::from(r(36 + 2 * i)) << 64),
                mem: bytes[(3 + REGS) * 8..].to_vec(),
            },
        })
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
