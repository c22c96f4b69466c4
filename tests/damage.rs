//! Recordings that were cut, damaged or made by somebody with bad intentions.

mod common;

use common::{Random, SPACING, Script, config, record, replay};
use dejavm::machine::config::{Image, Role};
use dejavm::replay::error::LogError;
use dejavm::replay::frame::{Chain, FRAME_HEADER, Kind};
use dejavm::replay::log::{Ending, Header, Recording};
use dejavm::replay::replayer::Outcome;

fn sample() -> (Vec<u8>, Vec<u8>) {
    let mut script = Script::new(11, true, 60);
    let (bytes, _) = record(&config("busy=3000 clock say"), SPACING, &mut script, 1_500_000);
    assert!(bytes.len() > 3000, "{}", bytes.len());
    (bytes, script.shown)
}

#[test]
fn every_damaged_byte_is_found() {
    let (good, _) = sample();
    let mut random = Random(4);
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 + random.below(255) as u8;
        match Recording::read(bad.as_slice()) {
            Err(LogError::NotARecording) => assert!(at < 8),
            Err(LogError::Damaged { offset, .. }) => assert!(offset <= at as u64, "{at}: names {offset}"),
            other => panic!("byte {at}: {other:?}"),
        }
    }
}

#[test]
fn every_cut_replays_to_its_last_whole_frame() {
    let (good, shown) = sample();
    let whole = Recording::read(good.as_slice()).unwrap();
    let mut random = Random(5);
    let mut replayed = 0;
    for length in 0..good.len() {
        match Recording::read(&good[..length]) {
            Err(LogError::NotARecording) => assert_eq!(length, 0),
            Err(LogError::CutInHeader) => assert!(length < 700, "{length}"),
            Err(e) => panic!("cut at {length}: {e}"),
            Ok(cut) => {
                assert!(matches!(cut.ending, Ending::Cut(_) | Ending::NoEnd));
                assert_eq!(cut.records, whole.records[..cut.records.len()]);
                if random.below(good.len() as u64 / 400) == 0 {
                    replayed += 1;
                    let (outcome, printed, icount) = replay(&cut, None);
                    assert_eq!(outcome, Outcome::Cut, "cut at {length}");
                    assert_eq!(icount, cut.last().icount);
                    assert!(shown.starts_with(&printed));
                }
            }
        }
    }
    assert!(replayed >= 200, "{replayed}");
}

#[test]
fn a_lost_tail_of_zeros_is_a_cut() {
    let (mut bytes, _) = sample();
    let from = bytes.len() - 500;
    let at = (from..)
        .find(|&n| matches!(Recording::read(&bytes[..n]), Ok(Recording { ending: Ending::NoEnd, .. })));
    let at = at.unwrap();
    bytes[at..].fill(0);
    bytes.resize(bytes.len() + 10_000, 0);
    let cut = Recording::read(bytes.as_slice()).unwrap();
    assert_eq!(cut.ending, Ending::Cut(at as u64));
    bytes.push(1);
    assert!(matches!(Recording::read(bytes.as_slice()), Err(LogError::Damaged { .. })));
}

#[test]
fn frames_that_are_missing_or_foreign_are_found() {
    let (a, _) = sample();
    let (b, _) = record(&config("busy=3000 clock say quit=9"), SPACING, &mut Script::quiet(), 1_500_000);
    let frame = |bytes: &[u8], at: usize| {
        let length = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        at + FRAME_HEADER + length
    };
    let first = frame(&a, 16);
    let second = frame(&a, first);
    let mut missing = a.clone();
    missing.drain(first..second);
    let mut twice = a.clone();
    twice.splice(second..second, a[first..second].to_vec());
    let mut foreign = a[..first].to_vec();
    foreign.extend_from_slice(&b[frame(&b, 16)..]);
    for bad in [missing, twice, foreign] {
        assert!(matches!(Recording::read(bad.as_slice()), Err(LogError::Damaged { .. })));
    }
}

#[test]
fn hostile_frames_are_refused() {
    let header = Header::new(config(""), SPACING);
    let json = serde_json::to_string(&header).unwrap();
    let file = |json: &str, frames: &[(Kind, Vec<u8>)]| {
        let (mut chain, start) = Chain::start();
        let mut bytes = start.to_vec();
        bytes.extend(chain.frame(Kind::Header, json.as_bytes()));
        for (kind, payload) in frames {
            bytes.extend(chain.frame(*kind, payload));
        }
        bytes
    };
    assert!(Recording::read(file(&json, &[]).as_slice()).is_ok());
    for (from, to) in [
        ("\"toy\"", "\"vax\""),
        ("\"cpu\":\"qemu64\"", "\"cpu\":\"z80\""),
        ("\"memory\":4194304", "\"memory\":0"),
        ("\"memory\":4194304", "\"memory\":18446744073709551615"),
        ("\"memory\":4194304", "\"memory\":-1"),
        ("\"shift\":3", "\"shift\":60"),
        ("\"smp\":1", "\"smp\":4000000000"),
        ("\"steps\":16", "\"steps\":70"),
        ("\"idle\":24", "\"idle\":0"),
        ("\"seed\":42", "\"seed\":42,\"turbo\":true"),
    ] {
        assert!(json.contains(from), "{from} in {json}");
        let bad = file(&json.replace(from, to), &[]);
        assert!(matches!(Recording::read(bad.as_slice()), Err(LogError::Header(_))), "{to}");
    }
    for payload in [vec![99, 0, 0], vec![1, 0, 0, 0, 0xff, 0xff, 0x7f], vec![19, 0, 0, 0, 0], vec![17]] {
        let bad = file(&json, &[(Kind::Records, payload)]);
        assert!(matches!(Recording::read(bad.as_slice()), Err(LogError::Damaged { .. })));
    }
    let bad = file(&json, &[(Kind::Image, vec![5, 1, 2, 3])]);
    assert!(matches!(Recording::read(bad.as_slice()), Err(LogError::Damaged { .. })));
    let bad = file(&json, &[(Kind::Header, json.clone().into_bytes())]);
    assert!(matches!(Recording::read(bad.as_slice()), Err(LogError::Damaged { .. })));
}

#[test]
fn another_format_is_named() {
    let (good, _) = sample();
    let mut bad = good;
    bad[8] = 200;
    let crc = crc32fast::hash(&bad[..12]);
    bad[12..16].copy_from_slice(&crc.to_le_bytes());
    assert!(matches!(Recording::read(bad.as_slice()), Err(LogError::Format { found: 200 })));
}

#[test]
fn every_changed_image_is_found() {
    let mut random = Random(8);
    let mut bytes: Vec<u8> = (0..100_000).map(|_| random.below(256) as u8).collect();
    let image = Image::describe(Role::Kernel, "vmlinuz", "", &bytes);
    assert!(image.is(&bytes));
    for _ in 0..300 {
        let at = random.below(bytes.len() as u64) as usize;
        let change = 1 + random.below(255) as u8;
        bytes[at] ^= change;
        assert!(!image.is(&bytes));
        bytes[at] ^= change;
    }
    assert!(!image.is(&bytes[..99_999]));
}
