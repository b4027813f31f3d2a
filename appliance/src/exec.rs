//! `sluicectl exec`: runs a program that was made for the kernel's IPVS, so that it talks to
//! `sluiced`. The preload library does that (`preload/`); here it is found and set.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The preload library.
const LIBRARY: &str = "libsluice_ipvs.so";
/// Where it is when a package has installed it.
const INSTALLED: &str = "/usr/lib/sluice";
/// The same, from the folder of the program on.
const INSTALLED_BESIDE: &str = "../lib/sluice";
/// Names it, if it is somewhere else.
const LIBRARY_VARIABLE: &str = "SLUICE_PRELOAD";
/// Tells the library where `sluiced` listens.
const SOCKET_VARIABLE: &str = "SLUICE_NETLINK_SOCKET";
/// The dynamic loader's list of libraries to load first, separated by blanks or colons.
const LOADER_VARIABLE: &str = "LD_PRELOAD";

/// Why a program cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    #[error(
        "sluicectl exec: {LIBRARY} is not beside sluicectl, in {INSTALLED_BESIDE} from there, nor \
         in {INSTALLED}; set ${LIBRARY_VARIABLE} to its path"
    )]
    NoLibrary,
    #[error(
        "sluicectl exec: {}: there is no such file; set ${LIBRARY_VARIABLE} to the path of \
         {LIBRARY}",
        path.display()
    )]
    NotThere { path: PathBuf },
    #[error(
        "sluicectl exec: {}: the dynamic loader takes no path with blanks or colons; move the \
         library",
        path.display()
    )]
    NotLoadable { path: PathBuf },
    #[error("sluicectl exec: {}: {source}", program.display())]
    Program { program: PathBuf, source: io::Error },
}

impl ExecError {
    /// The exit code, as a shell would have it.
    pub fn exit(&self) -> u8 {
        match self {
            Self::Program { source, .. } if source.kind() == io::ErrorKind::NotFound => 127,
            Self::Program { .. } => 126,
            _ => 2,
        }
    }
}

/// Becomes the program. `words` are its name and its arguments; `socket` is sluiced's netlink
/// socket, where it is not the one of the environment or the default.
///
/// # Errors
///
/// Only when it fails.
pub fn exec(words: &[OsString], socket: Option<&Path>) -> ExecError {
    let library = match library(env::var_os(LIBRARY_VARIABLE), env::current_exe().ok().as_deref()) {
        Ok(library) => library,
        Err(error) => return error,
    };
    let Some((program, arguments)) = words.split_first() else { return ExecError::NoLibrary };
    let mut command = Command::new(program);
    command.args(arguments).env(LOADER_VARIABLE, with(&library, env::var_os(LOADER_VARIABLE)));
    if let Some(socket) = socket {
        command.env(SOCKET_VARIABLE, socket);
    }
    ExecError::Program { program: program.into(), source: command.exec() }
}

/// The library: the one that is named, else the one beside the running program, as after a build,
/// else the one that is installed.
fn library(named: Option<OsString>, program: Option<&Path>) -> Result<PathBuf, ExecError> {
    let path = match named.filter(|named| !named.is_empty()) {
        Some(named) => {
            let path = PathBuf::from(named);
            if !path.is_file() {
                return Err(ExecError::NotThere { path });
            }
            path
        }
        None => {
            let beside = program.and_then(Path::parent);
            let near = ["", "deps", INSTALLED_BESIDE];
            let near = beside.into_iter().flat_map(|dir| near.map(|folder| dir.join(folder)));
            let folders = near.chain([PathBuf::from(INSTALLED)]);
            let found = folders.map(|folder| folder.join(LIBRARY)).find(|path| path.is_file());
            found.ok_or(ExecError::NoLibrary)?
        }
    };
    // The program may run in another folder.
    let path = std::path::absolute(&path).unwrap_or(path);
    if path.as_os_str().as_bytes().iter().any(|byte| b" :\t\n".contains(byte)) {
        return Err(ExecError::NotLoadable { path });
    }
    Ok(path)
}

/// The loader's list with the library in front.
fn with(library: &Path, others: Option<OsString>) -> OsString {
    let mut list = library.as_os_str().to_owned();
    if let Some(others) = others.filter(|others| !others.is_empty()) {
        list.push(OsStr::new(":"));
        list.push(others);
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_comes_before_others() {
        let list = |others: Option<&str>| with(Path::new("/a/b.so"), others.map(OsString::from));
        assert_eq!(list(None), "/a/b.so");
        assert_eq!(list(Some("")), "/a/b.so");
        assert_eq!(list(Some("/x.so /y.so")), "/a/b.so:/x.so /y.so");
    }

    #[test]
    fn a_library_is_found_or_missed_by_name() {
        let folder = env::temp_dir().join(format!("sluice-exec-{}", std::process::id()));
        let with_blank = folder.join("a b");
        std::fs::create_dir_all(&with_blank).unwrap();
        let beside = folder.join("sluicectl");
        let installed = folder.join("sbin").join(INSTALLED_BESIDE).join(LIBRARY);
        for folder in ["sbin", "lib/sluice"].map(|name| folder.join(name)) {
            std::fs::create_dir_all(folder).unwrap();
        }
        for path in [&folder.join(LIBRARY), &with_blank.join(LIBRARY), &installed] {
            std::fs::write(path, "").unwrap();
        }
        assert_eq!(library(None, Some(&beside)).unwrap(), folder.join(LIBRARY));
        let program = folder.join("sbin").join("sluicectl");
        assert_eq!(library(None, Some(&program)).unwrap(), installed);
        let named = folder.join(LIBRARY);
        assert_eq!(library(Some(named.clone().into()), None).unwrap(), named);
        let wrong = library(Some("/nowhere/x.so".into()), Some(&beside)).unwrap_err();
        assert!(wrong.to_string().contains("/nowhere/x.so: there is no such file"), "{wrong}");
        let wrong = library(Some(with_blank.join(LIBRARY).into()), None).unwrap_err();
        assert!(wrong.to_string().contains("blanks or colons"), "{wrong}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
