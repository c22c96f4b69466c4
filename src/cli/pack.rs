//! `pack`: a copy of a recording that carries its images.

use super::args::PackArgs;
use super::{Done, open};
use crate::host::files::{self, plain};
use crate::replay::copy;
use crate::replay::log::{Ending, Writer};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

/// `pack`.
pub fn pack(a: &PackArgs) -> Done {
    let recording = open(&a.file)?;
    let name = a.file.display();
    let images = files::find(&recording.header.machine, &recording.images, &a.file, a.images.as_deref())
        .map_err(|e| format!("{name}: {e}"))?;
    let output = a.output.clone().unwrap_or_else(|| {
        let mut name = a.file.clone().into_os_string();
        name.push(".packed");
        PathBuf::from(name)
    });
    let same = output.canonicalize().is_ok_and(|o| a.file.canonicalize().is_ok_and(|f| f == o));
    if same {
        return Err(format!("{name}: the copy needs another name"));
    }
    let wrong = |e: std::io::Error| format!("{}: cannot write: {}", output.display(), plain(&e));
    let mut writer =
        Writer::begin(File::create(&output).map_err(wrong)?, &recording.header).map_err(wrong)?;
    for (index, image) in images.0.iter().enumerate() {
        writer.image(index, &image.bytes).map_err(wrong)?;
    }
    let backing = recording.backing.clone().unwrap_or_else(|| Arc::new(()));
    copy::all(&recording, &*backing, &mut writer).map_err(wrong)?;
    eprintln!("dejavm: {}: {} bytes, {} images", output.display(), writer.bytes(), images.0.len());
    if recording.ending != Ending::Whole {
        eprintln!("dejavm: {name} is cut: the copy ends at step {}", recording.last().icount);
    }
    Ok(0)
}
