//! Images on the host's disks.

use crate::machine::config::{Image, Images, LoadedImage, MachineConfig, Role};
use crate::replay::log::Recording;
use crate::replay::saved::{Backing, ReadError};
use std::fs::File;
use std::io::BufReader;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Largest image.
const MAX_IMAGE: u64 = 4 << 30;

/// Reads a whole file.
///
/// # Errors
/// One line that names the file and says what is wrong.
pub fn read(path: &Path) -> Result<Vec<u8>, String> {
    let wrong = |what: &dyn std::fmt::Display| format!("{}: {what}", path.display());
    let meta = std::fs::metadata(path).map_err(|e| wrong(&plain(&e)))?;
    if meta.is_dir() {
        return Err(wrong(&"is a directory"));
    }
    if !meta.is_file() {
        // A pipe or a device named by a hostile recording could hang the reader.
        return Err(wrong(&"is not a regular file"));
    }
    if meta.len() > MAX_IMAGE {
        return Err(wrong(&"is larger than 4 GiB"));
    }
    let bytes = std::fs::read(path).map_err(|e| wrong(&plain(&e)))?;
    if bytes.is_empty() { Err(wrong(&"is empty")) } else { Ok(bytes) }
}

/// Reads and checks a recording. Pages of saved snapshots stay in the file until they are needed.
///
/// # Errors
/// One line that names the file and says what is wrong.
pub fn open(path: &Path) -> Result<Recording, String> {
    let name = path.display();
    let file = File::open(path).map_err(|e| format!("{name}: {}", plain(&e)))?;
    if file.metadata().is_ok_and(|m| m.is_dir()) {
        return Err(format!("{name}: is a directory"));
    }
    let reader = BufReader::with_capacity(1 << 16, &file);
    let mut recording = Recording::read(reader).map_err(|e| format!("{name}: {e}"))?;
    if !recording.saved.is_empty() || recording.lost.is_some() {
        recording.backing = Some(Arc::new(file));
    }
    Ok(recording)
}

/// A recording's file. Should it become another, the checks of its pages show that.
impl Backing for File {
    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), ReadError> {
        self.read_exact_at(into, offset).map_err(|e| ReadError(plain(&e)))
    }
}

/// A file that is written beside its place and put there when it is whole; on any error what was
/// there stays.
#[derive(Debug)]
pub struct Replacement<'a> {
    target: &'a Path,
    /// The target with links followed.
    place: PathBuf,
    temporary: PathBuf,
}

impl<'a> Replacement<'a> {
    /// Prepares to replace the file `target`, or to make it.
    ///
    /// # Errors
    /// One line that names the file and says what is wrong.
    pub fn create(target: &'a Path) -> Result<Self, String> {
        let name = target.display();
        let place = target.canonicalize().unwrap_or_else(|_| target.to_owned());
        if std::fs::metadata(&place).is_ok_and(|m| !m.is_file()) {
            return Err(format!("{name}: is not a regular file"));
        }
        let Some(file) = place.file_name() else { return Err(format!("{name}: is not a file's name")) };
        let hidden = format!(".{}.{}.tmp", file.to_string_lossy(), std::process::id());
        let temporary = place.with_file_name(hidden);
        let this = Self { target, place, temporary };
        this.prepare().map_err(|e| format!("{name}: {}", plain(&e)))?;
        Ok(this)
    }

    fn prepare(&self) -> std::io::Result<()> {
        let file = File::create(&self.temporary)?;
        match std::fs::metadata(&self.place) {
            Ok(old) => file.set_permissions(old.permissions()),
            Err(_) => Ok(()),
        }
    }

    /// The file to write to.
    ///
    /// # Errors
    /// What the host answers.
    pub fn file(&self) -> std::io::Result<File> {
        File::options().write(true).open(&self.temporary)
    }

    /// The target's name.
    pub fn name(&self) -> std::path::Display<'_> {
        self.target.display()
    }

    /// The line for an error while writing.
    pub fn wrong(&self, error: &std::io::Error) -> String {
        format!("{}: cannot write: {}; nothing was changed", self.name(), plain(error))
    }

    /// Puts the file in its place.
    ///
    /// # Errors
    /// One line that names the file and says what is wrong.
    pub fn commit(&mut self) -> Result<(), String> {
        let whole = File::open(&self.temporary).and_then(|file| file.sync_all());
        let put = whole.and_then(|()| std::fs::rename(&self.temporary, &self.place));
        put.map_err(|e| self.wrong(&e))
    }
}

impl Drop for Replacement<'_> {
    fn drop(&mut self) {
        // After a commit there is none.
        let _ = std::fs::remove_file(&self.temporary);
    }
}

/// An I/O error without the operating system's number.
pub fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" (os error") {
        Some((head, _)) => head.to_owned(),
        None => text,
    }
}

/// Reads an image that the user named, and describes it.
///
/// # Errors
/// One line that names the file and says what is wrong.
pub fn load(role: Role, file: &str, args: &str) -> Result<(Image, LoadedImage), String> {
    let bytes = read(Path::new(file)).map_err(|e| format!("{role} {e}"))?;
    let image = Image::describe(role, file, args, &bytes);
    Ok((image, LoadedImage { role, file: file.to_owned(), args: args.to_owned(), bytes }))
}

/// Finds a recording's images again: those that it carries, then by the name in its header, then
/// beside the recording, or only in `dir` if that is given. Only the exact bytes are taken.
///
/// # Errors
/// One line that names the image and says what is wrong.
pub fn find(
    config: &MachineConfig,
    carried: &[Option<Vec<u8>>],
    recording: &Path,
    dir: Option<&Path>,
) -> Result<Images, String> {
    let mut images = Images::default();
    for (index, image) in config.images.iter().enumerate() {
        let bytes = match carried.get(index) {
            Some(Some(bytes)) => bytes.clone(),
            _ => find_one(image, recording, dir)?,
        };
        let (file, args) = (image.file.clone(), image.args.clone());
        images.0.push(LoadedImage { role: image.role, file, args, bytes });
    }
    Ok(images)
}

fn find_one(image: &Image, recording: &Path, dir: Option<&Path>) -> Result<Vec<u8>, String> {
    let given = Path::new(&image.file);
    let beside = |dir: &Path| given.file_name().map(|name| dir.join(name));
    let places: Vec<PathBuf> = match dir {
        Some(dir) => beside(dir).into_iter().collect(),
        None => {
            let parent = recording.parent().and_then(beside);
            std::iter::once(given.to_owned()).chain(parent).collect()
        }
    };
    let mut wrong = None;
    for place in &places {
        match read(place) {
            Ok(bytes) if image.is(&bytes) => return Ok(bytes),
            Ok(bytes) => {
                let (found, size) = (blake3::hash(&bytes).to_hex(), bytes.len());
                wrong.get_or_insert(format!(
                    "{} {}: not the recorded image: {size} bytes, BLAKE3 {}.., recorded were {} bytes, {}..",
                    image.role,
                    place.display(),
                    &found[..16],
                    image.size,
                    image.blake3.get(..16).unwrap_or(&image.blake3),
                ));
            }
            Err(e) => {
                wrong.get_or_insert(format!("{} {e}; the recording needs it (--images DIR)", image.role));
            }
        }
    }
    Err(wrong.unwrap_or_else(|| format!("{} '{}': not a file name", image.role, image.file)))
}
