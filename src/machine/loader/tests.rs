use super::*;

/// A bzImage with nothing in it but a header.
fn bzimage() -> Vec<u8> {
    let mut b = vec![0u8; 512 * 3 + 4096];
    b[0x1f1] = 2;
    b[0x1f4..0x1f8].copy_from_slice(&(4096u32 / 16).to_le_bytes());
    b[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    b[0x201] = 0x6a;
    b[0x202..0x206].copy_from_slice(b"HdrS");
    b[0x206..0x208].copy_from_slice(&0x20fu16.to_le_bytes());
    b[0x211] = 1;
    b[0x22c..0x230].copy_from_slice(&0x7fff_ffffu32.to_le_bytes());
    b[0x230..0x234].copy_from_slice(&0x20_0000u32.to_le_bytes());
    b[0x234] = 1;
    b[0x236] = 1;
    b[0x238..0x23c].copy_from_slice(&2047u32.to_le_bytes());
    b[0x258..0x260].copy_from_slice(&0x100_0000u64.to_le_bytes());
    b[0x260..0x264].copy_from_slice(&0x10_0000u32.to_le_bytes());
    b
}

/// A 32-bit ELF with a multiboot header and one segment at 1 MiB.
fn multiboot_elf() -> Vec<u8> {
    let mut b = vec![0u8; 0x1010];
    b[..8].copy_from_slice(b"\x7fELF\x01\x01\x01\0");
    let mut put = |at: usize, v: u32| b[at..at + 4].copy_from_slice(&v.to_le_bytes());
    put(16, 2 | 3 << 16); // executable, i386
    put(20, 1);
    put(24, 0x10_000c); // entry
    put(28, 52); // program headers
    put(40, 52 | 32 << 16);
    put(44, 1);
    for (i, v) in [1, 0x1000, 0x10_0000, 0x10_0000, 16, 0x100, 5, 0x1000].into_iter().enumerate() {
        put(52 + 4 * i, v);
    }
    put(0x1000, 0x1bad_b002);
    put(0x1004, 3);
    put(0x1008, 0u32.wrapping_sub(0x1bad_b002 + 3));
    b
}

fn boot(kernel: Vec<u8>) -> Boot {
    Boot { kernel: Some(Image { name: "k".into(), bytes: kernel }), ..Boot::default() }
}

fn image(name: &str, len: usize) -> (Image, String) {
    (Image { name: name.into(), bytes: vec![7; len] }, "line".into())
}

#[test]
fn bzimage_by_both_entries() {
    let mut b = boot(bzimage());
    b.append = "console=ttyS0".into();
    b.initrd = vec![image("initrd", 5000)];
    let loaded = load(&b, 64 << 20, 1, true).expect("a good kernel");
    assert_eq!(loaded.start, Start::Long { entry: 0x100_0200, rsi: 0x1_0000 });
    let zero = &loaded.images.iter().find(|(a, _)| *a == 0x1_0000).expect("boot parameters").1;
    let at = u32_at(zero, 0x218);
    assert_eq!(u32_at(zero, 0x21c), 5000);
    assert!(loaded.images.iter().any(|(a, b)| *a == u64::from(at) && b.len() == 5000));
    assert!(matches!(
        load(&b, 64 << 20, 1, false).expect("a good kernel").start,
        Start::Protected { esi: 0x1_0000, .. }
    ));
    // No two images overlap.
    let mut spans: Vec<_> = loaded.images.iter().map(|(a, b)| (*a, a + b.len() as u64)).collect();
    spans.sort_unstable();
    assert!(spans.windows(2).all(|w| w[0].1 <= w[1].0), "{spans:x?}");
}

#[test]
fn multiboot_with_modules() {
    let mut b = boot(multiboot_elf());
    b.append = "hello".into();
    b.initrd = vec![image("one", 10), image("two", 5000)];
    let loaded = load(&b, 16 << 20, 1, true).expect("a good kernel");
    let Start::Protected { entry: 0x10_000c, eax: 0x2bad_b002, ebx, .. } = loaded.start else {
        panic!("{:?}", loaded.start)
    };
    let info = &loaded.images.iter().find(|(a, _)| *a == u64::from(ebx)).expect("information").1;
    assert_eq!(u32_at(info, 20), 2);
    let line = (u32_at(info, 16) - ebx) as usize;
    assert!(info[line..].starts_with(b"k hello\0"));
}

#[test]
fn what_cannot_be_booted_is_named() {
    let mib = 64 << 20;
    assert_eq!(load(&Boot::default(), mib, 1, true), Err(LoadError::Nothing));
    assert_eq!(load(&boot(vec![1, 2, 3]), mib, 1, true), Err(LoadError::Format("k".into())));
    for cut in [0x300, 1536, 2000] {
        let e = load(&boot(bzimage()[..cut].to_vec()), mib, 1, true).expect_err("a cut kernel");
        assert!(matches!(e, LoadError::Truncated { .. }), "{cut}: {e}");
    }
    let mut b = boot(bzimage());
    b.initrd = vec![image("big", 100 << 20)];
    let e = load(&b, mib, 1, true).expect_err("a large initrd");
    assert!(e.to_string().starts_with("big: does not fit"), "{e}");
    assert!(matches!(load(&boot(bzimage()), 0, 1, true), Err(LoadError::NoRoom { .. })));
    let mut b = boot(bzimage());
    b.append = "x".repeat(3000);
    assert_eq!(load(&b, mib, 1, true), Err(LoadError::CommandLine { len: 3000, max: 2047 }));
    let b = Boot { bios: image("b", 1000).0.into(), ..Boot::default() };
    assert!(matches!(load(&b, mib, 1, true), Err(LoadError::Unusable { .. })));
}

/// No damage to a kernel makes the loader panic.
#[test]
fn damaged_kernels_do_not_panic() {
    for good in [bzimage(), multiboot_elf()] {
        for at in (0..good.len()).filter(|i| *i < 0x300 || (0x1000..0x1010).contains(i)) {
            for v in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bad = good.clone();
                bad[at] = v;
                let _ = load(&boot(bad), 64 << 20, 1, true);
            }
        }
        for cut in 0..0x300 {
            let _ = load(&boot(good[..cut].to_vec()), 64 << 20, 1, true);
        }
    }
}
