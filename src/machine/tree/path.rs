//! Paths: the names of a tree's parts.

use super::wrong::Wrong;

/// A part of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// A field or a choice.
    Name(&'a str),
    /// A place in a list, or a key.
    Index(&'a str),
}

/// Puts a part to the end of a path.
pub fn join(path: &mut String, part: Part<'_>) {
    match part {
        Part::Name(name) => {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(name);
        }
        Part::Index(index) => {
            path.push('[');
            path.push_str(index);
            path.push(']');
        }
    }
}

/// The parts of `a.b[3].c`.
///
/// # Errors
/// When it is none.
pub fn parts(path: &str) -> Result<Vec<Part<'_>>, Wrong> {
    let wrong = || Wrong::Syntax(path.to_owned());
    let mut parts = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(index) = rest.strip_prefix('[') {
            let (index, after) = index.split_once(']').ok_or_else(wrong)?;
            parts.push(Part::Index(index));
            rest = after;
        } else {
            let name = if parts.is_empty() { rest } else { rest.strip_prefix('.').ok_or_else(wrong)? };
            let end = name.find(['.', '[']).unwrap_or(name.len());
            if end == 0 {
                return Err(wrong());
            }
            parts.push(Part::Name(&name[..end]));
            rest = &name[end..];
        }
    }
    if parts.is_empty() { Err(wrong()) } else { Ok(parts) }
}
