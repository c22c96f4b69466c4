//! Images on the host's disks.

use crate::machine::config::{Image, Images, LoadedImage, MachineConfig, Role};
use std::path::{Path, PathBuf};

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
