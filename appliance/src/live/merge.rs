//! What becomes of one thing that was loaded, may have been changed by command since, and is in
//! the file now.

/// Who is right where a thing was changed both by command and in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Winner {
    Command,
    File,
}

/// What a thing is in each of the three places; `None` where it is not.
#[derive(Debug)]
pub struct Three<'a, T> {
    /// In the file when it was loaded last.
    pub loaded: Option<&'a T>,
    /// In the director.
    pub running: Option<&'a T>,
    /// In the file as it is.
    pub file: Option<&'a T>,
}

// Derived, it would ask the same of `T`.
impl<T> Clone for Three<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Three<'_, T> {}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merged {
    /// The director and the file say the same.
    Same,
    /// The file did not change, a command did: what is running stays.
    Commanded,
    /// The file changed, and no command did: the file's is taken.
    FromFile,
    /// Both changed, to different things.
    Conflict,
}

impl<T: PartialEq> Three<'_, T> {
    /// Decides, by what changed since the file was loaded.
    pub fn merged(&self) -> Merged {
        if self.running == self.file {
            Merged::Same
        } else if self.file == self.loaded {
            Merged::Commanded
        } else if self.running == self.loaded {
            Merged::FromFile
        } else {
            Merged::Conflict
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_changed_something_decides() {
        let merged = |loaded: u8, running: u8, file: u8| {
            let some = [1, 2, 3];
            let of = |value: u8| some.iter().find(|it| **it == value);
            Three { loaded: of(loaded), running: of(running), file: of(file) }.merged()
        };
        // 0 is "not there".
        for (loaded, running, file, expected) in [
            (0, 0, 0, Merged::Same),
            (1, 1, 1, Merged::Same),
            (1, 2, 2, Merged::Same),
            (1, 0, 0, Merged::Same),
            (0, 1, 1, Merged::Same),
            (1, 2, 1, Merged::Commanded),
            (0, 2, 0, Merged::Commanded),
            (1, 0, 1, Merged::Commanded),
            (1, 1, 2, Merged::FromFile),
            (0, 0, 2, Merged::FromFile),
            (1, 1, 0, Merged::FromFile),
            (1, 2, 3, Merged::Conflict),
            (0, 1, 2, Merged::Conflict),
            (1, 0, 2, Merged::Conflict),
            (1, 2, 0, Merged::Conflict),
        ] {
            assert_eq!(merged(loaded, running, file), expected, "{loaded} {running} {file}");
        }
    }
}
