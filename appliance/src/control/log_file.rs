//! A file that lines are appended to. It is opened again where it was renamed or removed, so that
//! logrotate needs no signal. What cannot be written is lost, counted, and said once.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::logging;

/// Only root and the group may read a log: it names people.
pub const FILE_MODE: u32 = 0o640;

/// Where lines go.
#[derive(Debug)]
pub enum Log {
    Stderr,
    File(LogFile),
}

impl Log {
    /// A file; `name` is what it is called in messages.
    pub fn file(name: &'static str, path: &Path) -> Self {
        Self::File(LogFile::new(name, path.to_owned()))
    }

    /// Appends whole lines.
    pub fn write(&mut self, lines: &[u8]) {
        match self {
            // There is nobody to tell.
            Self::Stderr => drop(io::stderr().write_all(lines)),
            Self::File(file) => file.write(lines),
        }
    }
}

/// A file that is appended to, whichever file has its name.
#[derive(Debug)]
pub struct LogFile {
    name: &'static str,
    path: PathBuf,
    /// With its device and number.
    open: Option<(File, u64, u64)>,
    /// The last line in it may have no end.
    is_cut: bool,
    /// Lines that could not be written, since it was said.
    lost: Option<usize>,
}

impl LogFile {
    pub const fn new(name: &'static str, path: PathBuf) -> Self {
        Self { name, path, open: None, is_cut: false, lost: None }
    }

    /// Appends whole lines.
    pub fn write(&mut self, lines: &[u8]) {
        let count = lines.iter().filter(|&&byte| byte == b'\n').count();
        let written = self.try_write(lines);
        let (name, path) = (self.name, self.path.display());
        match (written, self.lost) {
            (Ok(()), None) => {}
            (Ok(()), Some(lost)) => {
                log::info!(
                    target: logging::AUDIT,
                    "{name} {path} is written again; {lost} lines are lost"
                );
                self.lost = None;
            }
            (Err(problem), None) => {
                log::error!(target: logging::AUDIT, "{name} {path} cannot be written: {problem}");
                self.lost = Some(count);
            }
            (Err(_), Some(lost)) => self.lost = Some(lost + count),
        }
    }

    fn try_write(&mut self, lines: &[u8]) -> io::Result<()> {
        let named = fs::metadata(&self.path).ok().map(|found| (found.dev(), found.ino()));
        let is_open = |(_, dev, ino): &(File, u64, u64)| named == Some((*dev, *ino));
        if !self.open.as_ref().is_some_and(is_open) {
            // The old one may be out of reach, and must not get more lines.
            self.open = None;
            self.open = Some(open(&self.path)?);
            self.is_cut = false;
        }
        let Some((file, ..)) = &mut self.open else { return Ok(()) };
        if self.is_cut {
            file.write_all(b"\n")?;
            self.is_cut = false;
        }
        let written = file.write_all(lines);
        self.is_cut = written.is_err();
        written
    }
}

fn open(path: &PathBuf) -> io::Result<(File, u64, u64)> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let file = OpenOptions::new().create(true).append(true).mode(FILE_MODE).open(path)?;
    let metadata = file.metadata()?;
    Ok((file, metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let name = format!("sluice-log-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_log_that_cannot_be_written_loses_lines_and_nothing_else() {
        let folder = folder("lost");
        let path = folder.join("audit.log");
        // A device that is always full.
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let mut file = LogFile::new("audit log", path.clone());
        file.write(b"one\ntwo\n");
        file.write(b"three\n");
        assert_eq!(file.lost, Some(3));
        fs::remove_file(&path).unwrap();
        file.write(b"four\n");
        assert_eq!((file.lost, fs::read_to_string(&path).unwrap()), (None, "four\n".to_owned()));
        // A file where a folder should be.
        let mut file = LogFile::new("audit log", path.join("x"));
        file.write(b"five\n");
        assert_eq!(file.lost, Some(1));
        fs::remove_dir_all(folder).unwrap();
    }
}
